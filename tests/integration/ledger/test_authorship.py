"""Who did it: authors are proven persons, and what a role may do is held by the database for any client of the app role."""

import datetime as dt

import psycopg
import pytest

from ptp_pipeline.domain.policy import Policy
from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import audit, commitments, overrides, transitions
from ptp_pipeline.ledger.connection import Actor

DAY = dt.date(2026, 3, 5)
COMMITMENT = (
    "insert into ptp.commitment (org_id, commitment_id, kind, customer_id, currency, source) values (%s, 'SP', 'plan', 'C', 'USD', 'cli')"
)
FEED_ROW = (
    "insert into ptp.commitment (org_id, commitment_id, kind, customer_id, currency, source, file_sha256, line_number)"
    " values (%s, 'SP', 'plan', 'C', 'USD', 'feed', repeat('f', 64), 2)"
)
VERSION = (
    "insert into ptp.commitment_version (org_id, commitment_id, version, kind, customer_id, currency, agreed_on, amount_minor,"
    " total_minor, discount_minor, down_payment_minor, frequency, installment_count, first_due_date, overpayment_rule, invoice_ids, reason,"
    " terms_digest, logged_by, logged_at) values (%s, 'SP', 1, 'plan', 'C', 'USD', '2026-03-01', 100, 100, 0, 0, 'monthly', 1,"
    " '2026-04-01', 'next', '{}', '', 'x', 'ghost', now())"
)
EVENT = (
    "insert into ptp.commitment_event (org_id, commitment_id, kind, effective_on, reason)"
    " values (%s, 'PLAN-1', 'cancel', '2026-03-05', 'r')"
)
OVERRIDE = "insert into ptp.payment_override (org_id, payment_id, commitment_id, reason) values (%s, 'PAY-1', 'PLAN-1', 'r')"
TRANSITION = (
    "insert into ptp.transition (org_id, commitment_id, version, sequence, to_state, effective_on, cause, figures, run_id)"
    " values (%s, 'PLAN-1', 1, 1, 'kept', '2026-03-05', 'x', '{}', 'x')"
)
FILE = (
    "insert into ptp.received_file (org_id, feed, file_name, byte_size, content_sha256, rows_fingerprint, row_count, status)"
    " values (%s, 'commitments', 'x', 1, repeat('a', 64), 'x', 1, 'accepted')"
)
BUILD = (
    "insert into ptp.build (org_id, build_id, as_of, run_id, digest, ledger_position, counts)"
    " values (%s, 'b', '2026-03-05', 'r', '', 1, '{}')"
)
MAIL = (
    "insert into ptp.outbox (org_id, kind, business_date, send_key, recipients, subject, html, body_text)"
    " values (%s, 'daily', '2026-03-05', 'k', '{}', '', '', '')"
)
NOTE = "select ptp.note('payment.logged', 'payment', '{f}', '', null, array[null::jsonb]) where %s <> ''"
RUN_NOTE = NOTE.replace("payment.logged", "mail.sent")


def approve(desk, who, *items):
    desk.decide(who, *items, reason="talked it through")


@pytest.fixture
def plan(desk):
    desk.log("PLAN-1")
    approve(desk, "sue", ("PLAN-1", 1))


@pytest.mark.parametrize("auth", ["token", "password", "code", "pipeline", "operator"])
def test_a_name_written_into_the_session_is_nobodys(desk, plan, auth):
    for actor in ("ghost", "sam"):
        for statement in (COMMITMENT, EVENT, OVERRIDE, NOTE):
            with desk.raw(actor=actor, role="supervisor", auth=auth) as con, pytest.raises(psycopg.Error, match="signed in") as error:
                con.execute(statement, [desk.org])
            assert error.value.sqlstate == "PT005"


@pytest.mark.parametrize("signed_in", ["", "sue"])
def test_the_login_of_people_does_nothing_a_run_does_whoever_has_signed_in(desk, plan, new, signed_in):
    desk.receive()
    for statement in (TRANSITION, FILE, FEED_ROW, BUILD, MAIL, RUN_NOTE):
        with (
            desk.raw(actor="pipeline", role="pipeline", auth="pipeline", signed_in=signed_in) as con,
            pytest.raises(psycopg.Error) as error,
        ):
            con.execute(statement, [desk.org])
        assert error.value.sqlstate in ("42501", "PT003", "PT005")


@pytest.mark.parametrize(("login", "actor", "role"), [("ptp_pipeline", "pipeline", "pipeline"), ("ptp_ops", "operator", "operator")])
def test_the_pipeline_and_the_operator_do_not_do_what_persons_do(desk, plan, login, actor, role):
    proof = desk.people["sue"].proof
    for statement in (COMMITMENT, EVENT, OVERRIDE, f"select ptp.acting('{proof}') where %s <> ''",
                      f"select ptp.decide('{proof}', '[]', 'approve', 'r', 'cli') where %s <> ''"):  # fmt: skip
        with desk.raw(actor=actor, role=role, auth=actor, login=login) as con, pytest.raises(psycopg.Error) as error:
            con.execute(statement, [desk.org])
        assert error.value.sqlstate in ("42501", "PT005")


@pytest.mark.parametrize(
    ("login", "actor", "role", "auth"),
    [("ptp_pipeline", "operator", "operator", "operator"), ("ptp_pipeline", "sue", "supervisor", "token"),
     ("ptp_pipeline", "sue", "pipeline", "pipeline"), ("ptp_ops", "pipeline", "pipeline", "pipeline"),
     ("ptp_ops", "sue", "admin", "operator")],
)  # fmt: skip
def test_no_login_takes_another_ones_part(desk, login, actor, role, auth):
    with pytest.raises(psycopg.Error, match="does not act through this login"), desk.raw(actor=actor, role=role, auth=auth, login=login):
        pass


def test_a_supervisor_who_writes_another_name_into_the_session_is_still_the_author_and_cannot_approve(desk):
    proof = desk.people["sam"].proof
    with desk.raw(actor="ghost", role="collector", signed_in="sam") as con:
        con.execute(COMMITMENT, [desk.org])
        con.execute(VERSION, [desk.org])
        assert con.execute("select logged_by from ptp.commitment_version").fetchall() == [("sam",)]
        with pytest.raises(psycopg.Error, match="sam logged version 1 of SP"):
            con.execute("select ptp.decide(%s, '[{\"commitment_id\": \"SP\", \"version\": 1}]', 'approve', 'self', 'cli')", [proof])


def test_a_proof_shown_in_one_transaction_says_nothing_in_the_next(desk):
    with desk.raw(actor="sam", signed_in="sam") as con:
        con.execute(COMMITMENT, [desk.org])
        con.commit()
        with pytest.raises(psycopg.Error, match="signed in"):
            con.execute(VERSION, [desk.org])


@pytest.mark.parametrize(
    "statement",
    ["insert into ptp.visit select * from ptp.visit",
     "update ptp.visit set actor = 'sam', is_inside = true, is_person = true", "delete from ptp.visit",
     "select ptp.show_person('sam', 'supervisor', 'token', '{approve}', '')", "select ptp.identity()",
     "insert into ptp.audit_event (org_id, action, object_type, object_id) select org_id, 'file.rejected', 'file', 'f' from ptp.org"],
)  # fmt: skip
def test_the_app_role_cannot_name_the_acting_person_itself(desk, statement):
    with desk.raw(actor="sam") as con, pytest.raises(psycopg.errors.InsufficientPrivilege):
        con.execute(statement)


@pytest.mark.parametrize(
    "action",
    ["approval.approved", "policy.changed", "override.set", "commitment.logged", "commitment.cancelled", "login.accepted", "file.accepted"],
)
def test_what_the_ledger_records_itself_nobody_else_records(desk, action):
    with desk.as_("sue") as tx, pytest.raises(psycopg.Error, match="recorded by the ledger itself"):
        audit.record(tx, action, "commitment", "X")


def test_a_made_up_person_logs_cancels_and_assigns_nothing_through_the_services_either(desk, plan, new):
    ghost = Actor("sue", "supervisor", "token", "cli")
    for act in (
        lambda tx: commitments.log(tx, new("PLAN-2")),
        lambda tx: commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", agreed_on="2026-03-04", installment_count=5).terms, "r"),
        lambda tx: commitments.cancel(tx, "PLAN-1", DAY, "r"),
        lambda tx: overrides.set_target(tx, "PAY-1", "PLAN-1", "r"),
        lambda tx: audit.record(tx, "payment.logged", "payment", "f"),
    ):
        with pytest.raises(Refused, match="signed in"), desk.as_(ghost) as tx:
            act(tx)


def test_rows_of_a_file_that_was_not_accepted_are_refused(desk, new):
    pipeline = Actor("pipeline", "pipeline", "pipeline", "dagster")
    with pytest.raises(Refused, match="not accepted here"), desk.as_(pipeline) as tx:
        commitments.log_many(tx, [new("PLAN-1", file_sha256="f" * 64, line_number=2)])
    with (
        desk.raw(actor="pipeline", role="pipeline", auth="pipeline", login="ptp_pipeline") as con,
        pytest.raises(psycopg.Error, match="not accepted here"),
    ):
        con.execute(FEED_ROW, [desk.org])
    desk.receive()
    with desk.as_(pipeline) as tx:
        commitments.log_many(tx, [new("PLAN-1", file_sha256="f" * 64, line_number=2)])
        assert tx.one("select logged_by from ptp.commitment_version") == {"logged_by": "pipeline"}


def test_events_and_overrides_written_by_hand_are_in_the_audit_trail_under_their_authors_name(desk, plan):
    with desk.raw(actor="ghost", signed_in="sue") as con:
        con.execute(OVERRIDE, [desk.org])
        con.execute(EVENT, [desk.org])
        con.commit()
    with desk.as_("cara") as tx:
        events = audit.show(tx)[-2:]
        assert [(e.actor, e.action, e.object_id, e.reason) for e in events] == [
            ("sue", "override.set", "PAY-1", "r"), ("sue", "commitment.cancelled", "PLAN-1", "r"),
        ]  # fmt: skip
        overrides.set_target(tx, "PAY-1", None, "not ours")
        assert audit.show(tx)[-1].before == {"commitment_id": "PLAN-1", "decided_by": "sue"}


# what roles may do -----------------------------------------------------------------------------------------------------


def test_an_analyst_changes_nothing(desk, plan, new):
    for act in (
        lambda tx: commitments.log(tx, new("PLAN-2")),
        lambda tx: commitments.renegotiate(tx, "PLAN-1", new("PLAN-1", agreed_on="2026-03-04", installment_count=5).terms, "r"),
        lambda tx: commitments.cancel(tx, "PLAN-1", DAY, "r"),
        lambda tx: commitments.pause(tx, "PLAN-1", DAY, "r"),
        lambda tx: commitments.resume(tx, "PLAN-1", DAY, "r"),
        lambda tx: overrides.set_target(tx, "PAY-1", "PLAN-1", "r"),
    ):
        with pytest.raises(Refused, match="ann is an analyst"), desk.as_("ann") as tx:
            act(tx)
    with desk.raw(actor="sue", role="supervisor", signed_in="ann") as con, pytest.raises(psycopg.Error, match="ann is an analyst"):
        con.execute(COMMITMENT, [desk.org])


def test_new_terms_of_a_broken_promise_need_a_person_however_small_and_however_early_they_were_agreed(desk, new):
    assert desk.log("PR-1", kind="promise").status == "active"
    with desk.as_("cara") as tx:
        moved = new("PR-1", kind="promise", agreed_on="2026-03-05", first_due_date="2026-03-12").terms
        commitments.renegotiate(tx, "PR-1", moved, "customer called")
    assert (desk.status("PR-1", 1), desk.status("PR-1", 2)) == ("active", "pending_approval")
    with desk.as_("cara") as tx:
        assert [i.guardrails for i in commitments.pending(tx)] == [["New terms: Supervisor approval required"]]
    with pytest.raises(Refused, match="only a supervisor"):
        approve(desk, "cara", ("PR-1", 2))
    approve(desk, "sue", ("PR-1", 2))
    assert (desk.status("PR-1", 1), desk.status("PR-1", 2)) == ("superseded", "active")


def test_policy_grants_first_versions_only(desk):
    import json

    with psycopg.connect(**desk.ledger._admin) as con:
        granted = con.execute(
            "select ptp.policy_grants(v, %s, 0) from generate_series(1, 2) as n, jsonb_populate_record(null::ptp.commitment_version,"
            " jsonb_build_object('version', n, 'kind', 'promise', 'currency', 'USD', 'total_minor', 100, 'discount_minor', 0,"
            " 'agreed_on', '2026-03-01', 'first_due_date', '2026-03-02')) as v order by n",
            [json.dumps(Policy().as_json())],
        ).fetchall()
    assert granted == [(True,), (False,)]


@pytest.mark.parametrize("who", ["cara", "adam"])
def test_what_is_in_force_is_cancelled_by_a_supervisor_a_controller_or_legal_alone(desk, plan, who):
    desk.hire("adam", "admin")
    with pytest.raises(Refused, match="may not cancel what is in force"), desk.as_(who) as tx:
        commitments.cancel(tx, "PLAN-1", DAY, "r")
    with desk.raw(signed_in=who) as con, pytest.raises(psycopg.Error, match="may not cancel"):
        con.execute(EVENT, [desk.org])
    with desk.raw(signed_in=who) as con, pytest.raises(psycopg.Error, match="cannot be withdrawn"):
        con.execute(EVENT.replace("cancel", "withdraw"), [desk.org])
    with desk.as_("con") as tx:
        commitments.cancel(tx, "PLAN-1", DAY, "r")
    assert desk.status("PLAN-1") == "cancelled"


def test_a_collector_withdraws_what_is_his_own_and_still_waits(desk):
    desk.hire("carl", "collector")
    desk.log("PLAN-1")
    desk.log("PLAN-2", who="sue", owner="Cara")
    with pytest.raises(Refused, match="carl neither logged nor owns PLAN-1"), desk.as_("carl") as tx:
        commitments.cancel(tx, "PLAN-1", DAY, "r")
    for mine in ("PLAN-1", "PLAN-2"):
        with desk.as_("cara") as tx:
            commitments.cancel(tx, mine, DAY, "r")
    assert desk.status("PLAN-2") == "cancelled"


def test_a_collector_pauses_and_resumes_what_is_in_force(desk, plan):
    with desk.as_("cara") as tx:
        commitments.pause(tx, "PLAN-1", DAY, "hospital")
        commitments.resume(tx, "PLAN-1", DAY, "back")
        assert [e.action for e in audit.show(tx)][-2:] == ["commitment.paused", "commitment.resumed"]


def test_a_person_does_not_append_transitions(desk, plan):
    row = {"commitment_id": "PLAN-1", "version": 1, "sequence": 1, "to_state": "kept", "effective_on": DAY, "cause": "x"}
    with desk.raw(signed_in="sue") as con, pytest.raises(psycopg.errors.InsufficientPrivilege):
        con.execute(TRANSITION, [desk.org])
    with desk.as_(Actor("pipeline", "pipeline", "pipeline", "dagster")) as tx:
        assert transitions.append(tx, [row], "run") == 1


def test_transitions_are_of_an_org_that_is_there(desk):
    pipeline = {"actor": "pipeline", "role": "pipeline", "auth": "pipeline", "login": "ptp_pipeline"}
    with desk.raw(org="nowhere", **pipeline) as con, pytest.raises(psycopg.Error, match="entered no org that is there"):
        con.execute(TRANSITION, ["nowhere"])
    with desk.raw(**pipeline) as con, pytest.raises(psycopg.Error, match="row-level security"):
        con.execute(TRANSITION, ["nowhere"])


def test_a_commitment_written_by_hand_is_in_the_audit_trail_too(desk):
    with desk.raw(signed_in="cara") as con:
        con.execute(COMMITMENT, [desk.org])
        con.execute(VERSION, [desk.org])
    with desk.as_("cara") as tx:
        (event,) = audit.show(tx, action="commitment.logged")
    assert (event.actor, event.object_id, event.after["status"], event.after["amount_minor"]) == ("cara", "SP", "pending_approval", 100)
