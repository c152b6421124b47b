"""Ways round the gate that somebody with the app's own password found and that are closed: each was open once. What a person may do at
all is in test_gate.py and test_authorship.py.
"""

import json

import psycopg
import pytest

from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import approvals, policies

_PROMISE = {"kind": "promise", "frequency": "once", "installment_count": 1, "agreed_on": "2026-04-01", "first_due_date": "2026-04-02"}


def write_version(con, desk, commitment_id, version=1, returning="", **terms):
    """Terms written by hand, as a client could; of version 1 with their commitment."""
    row = {
        "kind": "plan", "currency": "USD", "customer_id": "C-1", "amount_minor": 1_000, "discount_minor": 0,
        "down_payment_minor": 0,
        "overpayment_rule": "next", "invoice_ids": [], "reason": "as agreed", "terms_digest": "", "logged_by": "x",
        "logged_at": "2026-01-01",
        "source": "cli", "org_id": desk.org, "commitment_id": commitment_id, "version": version, **terms,
    }  # fmt: skip
    row.setdefault("total_minor", row["amount_minor"])
    if version == 1:
        con.execute(
            "insert into ptp.commitment (org_id, commitment_id, kind, customer_id, currency, source, logged_by, logged_at)"
            " select org_id, commitment_id, kind, customer_id, currency, source, logged_by, logged_at"
            " from jsonb_populate_record(null::ptp.commitment, %s)",
            [json.dumps(row)],
        )
    con.execute(
        f"insert into ptp.commitment_version select * from jsonb_populate_record(null::ptp.commitment_version, %s) {returning}",
        [json.dumps(row)],
    )


def decide(con, desk, who, items, decision="approve"):
    return con.execute("select * from ptp.decide(%s, %s, %s, 'fine', 'cli')", [desk.people[who].proof, json.dumps(items), decision])


def test_what_is_open_on_an_invoice_is_told_to_nobody_who_has_not_signed_in(desk):
    with desk.raw() as con, pytest.raises(psycopg.Error, match="has not signed in"):
        con.execute("select * from ptp.beyond_open('{x}', '{USD}', '{INV-1}', '{999999}', '{2026-03-05}')")


def test_a_decision_on_nothing_leaves_no_event_of_an_approval(desk):
    with desk.raw(signed_in="ann") as con, pytest.raises(psycopg.Error, match="nothing to decide on"):
        decide(con, desk, "ann", [])


def test_naming_another_org_in_the_session_does_not_hide_that_a_commitment_has_ended(desk):
    desk.log("PR-1", kind="promise")
    with desk.raw(signed_in="sue") as con:
        con.execute(
            "insert into ptp.commitment_event (org_id, commitment_id, kind, effective_on, reason, recorded_by, recorded_at)"
            " values (%s, 'PR-1', 'cancel', '2026-03-03', 'void', 'x', now())",
            [desk.org],
        )
    with desk.raw(signed_in="cara") as con:
        con.execute("select set_config('ptp.org_id', 'elsewhere', true)")
        with pytest.raises(psycopg.Error, match="did not enter the org"):
            write_version(con, desk, "PR-1", 2, f"returning set_config('ptp.org_id', '{desk.org}', true)", **_PROMISE)


@pytest.mark.parametrize("act", ["set_active(null, 'sam', false, 'left')", "set_role(null, 'sam', 'analyst', 'moved')"])
def test_a_transaction_opened_before_a_person_lost_the_right_does_not_keep_it(desk, act):
    desk.log("PR-1", kind="promise")
    with desk.raw(signed_in="sam") as con:
        with desk.operator() as tx:
            tx.execute(f"select ptp.{act}")
        with pytest.raises(psycopg.Error, match="no longer signed in as an active supervisor"):
            con.execute(
                "insert into ptp.commitment_event (org_id, commitment_id, kind, effective_on, reason, recorded_by, recorded_at)"
                " values (%s, 'PR-1', 'cancel', '2026-03-03', 'void', 'x', now())",
                [desk.org],
            )


def test_a_code_does_not_approve_another_schedule_by_naming_the_digest_of_its_own(desk):
    desk.log("PLAN-1")
    shown = [[str(nominal), str(due), amount, grace] for nominal, due, amount, grace in desk.schedules(("PLAN-1", 1))["PLAN-1", 1]]
    with desk.as_("sue") as tx:
        code = approvals.issue_code(tx, [("PLAN-1", 1)], 24, desk.schedules(("PLAN-1", 1)))
    proof = approvals.present_code(desk.ledger, desk.org, "sue", code, "cli")
    later = [*shown[:-1], [shown[-1][0], "2026-05-14", *shown[-1][2:]]]
    with desk.raw() as con:
        con.execute("select ptp.acting(%s)", [proof])
        digest = con.execute("select ptp.schedule_digest(terms_digest, %s) from ptp.commitment_version", [json.dumps(shown)]).fetchone()[0]
        items = [{"commitment_id": "PLAN-1", "version": 1, "schedule": later, "schedule_digest": digest}]
        with pytest.raises(psycopg.Error, match="is for another schedule"):
            con.execute("select * from ptp.decide(%s, %s, 'approve', 'fine', 'cli')", [proof, json.dumps(items)])


def test_a_code_is_good_for_a_week_at_most(desk):
    desk.log("PLAN-1")
    with desk.raw(signed_in="sue") as con, pytest.raises(psycopg.Error, match="a week at most"):
        con.execute(
            "select ptp.issue_code(%s, %s, %s, now() + interval '8 days')",
            [desk.people["sue"].proof, json.dumps([{"commitment_id": "PLAN-1", "version": 1}]), "a" * 64],
        )


def test_a_listed_schedule_is_kept_as_dates_that_mean_the_same_to_everybody(desk):
    lines = [
        {"sequence": 2, "due_date": "Dec 15 2026", "amount_minor": "400"},
        {"sequence": 1, "due_date": "11/29/2026", "amount_minor": 600, "note": "x"},
    ]
    terms = {
        "frequency": "custom",
        "installment_count": 2,
        "agreed_on": "2026-11-01",
        "first_due_date": "2026-11-29",
        "custom_schedule": lines,
    }
    with desk.raw(signed_in="cara") as con:
        write_version(con, desk, "PLAN-1", **terms)
        kept = con.execute("select custom_schedule from ptp.commitment_version").fetchone()
    assert kept[0] == [
        {"sequence": 1, "due_date": "2026-11-29", "amount_minor": 600, "grace_days": None},
        {"sequence": 2, "due_date": "2026-12-15", "amount_minor": 400, "grace_days": None},
    ]
    lines[0]["grace_days"] = -7
    with desk.raw(signed_in="cara") as con, pytest.raises(psycopg.Error, match="do not add up"):
        write_version(con, desk, "PLAN-2", **terms)


@pytest.mark.parametrize(
    "line",
    [["Mar 6 2026", "2026-03-06", 30_000, 0], ["2026-03-06", "2026-03-06", "30000", 0], ["soon", "2026-03-06", 30_000, 0],
     ["2026-02-30", "2026-03-06", 30_000, 0], ["2026-03-06", "2026-03-06", "a lot", 0], ["2026-03-06", "2026-03-06", 10**20, 0],
     ["2026-03-06", "2026-03-06", 30_000, {}]],
)  # fmt: skip
def test_a_schedule_is_approved_in_plain_dates_and_numbers_alone(desk, line):
    desk.log("PLAN-1")
    shown = [list(map(str, one[:2])) + list(one[2:]) for one in desk.schedules(("PLAN-1", 1))["PLAN-1", 1]]
    with desk.raw(signed_in="sue") as con, pytest.raises(psycopg.Error, match="not written as YYYY-MM-DD"):
        decide(con, desk, "sue", [{"commitment_id": "PLAN-1", "version": 1, "schedule": [line, *shown[1:]]}])


def test_an_agreement_dated_ahead_does_not_shorten_the_way_to_its_due_date(desk):
    desk.log("PR-1", kind="promise", agreed_on="2150-01-01", first_due_date="2150-01-03")
    assert desk.status("PR-1") == "pending_approval"
    with desk.as_("con") as tx:
        policies.change(tx, {"approval.caps.supervisor.days": 365}, "no longer than a year")
    desk.log("PLAN-1", agreed_on="2150-01-01", first_due_date="2150-01-03")
    with pytest.raises(Refused, match="runs longer than 365 days"):
        desk.decide("sue", ("PLAN-1", 1))


def test_events_are_numbered_by_the_ledger_and_have_a_day(desk):
    desk.log("PR-1", kind="promise")
    insert = (
        "insert into ptp.commitment_event (org_id, event_id, commitment_id, kind, effective_on, reason, recorded_by, recorded_at)"
        " overriding system value values (%s, -5, 'PR-1', %s, %s, 'ill', 'x', now()) returning event_id"
    )
    with desk.raw(signed_in="cara") as con:
        assert con.execute(insert, [desk.org, "pause", "2026-03-03"]).fetchone() == (1,)
        with pytest.raises(psycopg.errors.CheckViolation):
            con.execute(insert, [desk.org, "resume", "infinity"])


def test_a_limit_one_loosened_oneself_is_for_others_to_use(desk):
    desk.hire("cleo", "controller")
    with desk.as_("cleo") as tx:
        policies.change(tx, {"approval.caps.controller.amount": "100000"}, "no more than this")
    desk.log("PLAN-1", amount_minor=20_000_000)
    with pytest.raises(Refused, match="Legal approval required"):
        desk.decide("con", ("PLAN-1", 1))
    with desk.as_("con") as tx:
        policies.change(tx, {"approval.caps.controller.amount": None}, "this one is fine")
    with pytest.raises(Refused, match="Plan exceeds 100,000 USD, and it was con who changed that limit"):
        desk.decide("con", ("PLAN-1", 1))
    desk.decide("cleo", ("PLAN-1", 1))


def test_who_makes_policy_grant_more_gets_nothing_granted_by_it(desk):
    desk.hire("ada", "admin")
    with desk.as_("ada") as tx:
        policies.change(tx, {"approval.promise_days": None}, "we trust them")
    far = {"kind": "promise", "first_due_date": "2030-01-01"}
    assert desk.log("PR-1", who="ada", **far).status == "pending_approval"
    assert desk.log("PR-2", who="cara", amount_minor=1_000, **far).status == "active"
