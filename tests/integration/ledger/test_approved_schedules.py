"""What is approved is the terms and the schedule: the gate keeps both, refuses what does not fit, and a change of either shows."""

import datetime as dt
import json

import psycopg
import pytest

from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import approvals, audit, policies, snapshot

PLAN = ("PLAN-1", 1)


@pytest.fixture
def shown(desk):
    """The schedule of a plan over 900.00 USD with a down payment, as an approver sees it, by index: nominal, due, amount, grace."""
    desk.log("PLAN-1", down_payment_minor=30_000, first_due_date="2026-03-06", grace_days=2)
    return [list(line) for line in desk.schedules(PLAN)[PLAN]]


def approve(desk, schedule):
    with desk.as_("sue") as tx:
        return approvals.decide(tx, [PLAN], "approve", "fine", "cli", {PLAN: schedule} if schedule is not None else {})


def test_the_schedule_that_was_shown_is_kept_with_its_digest(desk, shown):
    (decision,) = approve(desk, shown)
    with desk.as_("sue") as tx:
        row = tx.one("select schedule, schedule_digest, ptp.schedule_digest(terms_digest, schedule) as again from ptp.approval")
        (event,) = audit.show(tx, object_id="PLAN-1", action="approval.")
    assert row["schedule"] == [
        ["2026-03-02", "2026-03-02", 30000, 2],
        ["2026-03-06", "2026-03-06", 20000, 2],
        ["2026-04-06", "2026-04-06", 20000, 2],
        ["2026-05-06", "2026-05-06", 20000, 2],
    ]
    assert row["schedule_digest"] == row["again"] == decision.schedule_digest == event.after["items"][0]["schedule_digest"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({(1, 2): 19_999}, "amounts"),
        ({(1, 2): 19_999, (2, 2): 20_001}, "amounts"),
        ({(0, 2): 30_001, (3, 2): 19_999}, "amounts"),
        ({(3, 2): 0, (0, 2): 50_000}, "amounts"),
        ({(1, 0): "2026-03-07"}, "dates"),
        ({(2, 0): "2026-04-07"}, "dates"),
        ({(3, 0): "2026-05-07"}, "dates"),
        ({(2, 1): "2026-05-01"}, "dates"),
        ({(0, 1): "2026-03-01"}, "dates"),
        ({(2, 3): 3}, "grace"),
    ],
)
def test_a_schedule_that_does_not_fit_its_terms_is_not_approved(desk, shown, changes, said):
    for (line, column), value in changes.items():
        shown[line][column] = value
    with pytest.raises(Refused, match=f"The schedule to be approved for PLAN-1 has not the {said}"):
        approve(desk, shown)
    assert desk.status("PLAN-1") == "pending_approval"


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("following", ["2026-04-05", "2026-04-21"]),
        ("preceding", ["2026-04-07", "2026-03-22"]),
        ("modified_following", ["2026-03-31", "2026-04-21"]),
        ("none", ["2026-04-05", "2026-04-07"]),
    ],
)
def test_a_due_date_goes_only_where_the_business_day_rule_sends_it(desk, rule, wrong):
    with desk.as_("con") as tx:
        policies.change(tx, {"business_day_rule": rule}, "agreed")
    desk.log("PLAN-1")
    for due in wrong:
        moved = [list(line) for line in desk.schedules(PLAN)[PLAN]]
        moved[1][1] = due
        with pytest.raises(Refused, match="has not the dates of its terms"):
            approve(desk, moved)
    approve(desk, desk.schedules(PLAN)[PLAN])


@pytest.mark.parametrize("rule", ["following", "preceding", "modified_following", "none"])
@pytest.mark.parametrize("frequency", ["weekly", "biweekly", "semimonthly", "monthly", "quarterly"])
@pytest.mark.parametrize("first_due", ["2026-03-15", "2026-03-31", "2026-03-13", "2026-03-16", "2026-03-30"])
def test_the_gate_takes_every_schedule_the_builder_makes(desk, frequency, first_due, rule):
    with desk.as_("con") as tx:
        policies.change(tx, {"business_day_rule": rule, "calendar": "CN"}, "agreed")
    desk.log("PLAN-1", frequency=frequency, first_due_date=first_due, installment_count=25, amount_minor=100_003)
    desk.log("RP-1", kind="repeating_promise", frequency=frequency, first_due_date=first_due, amount_minor=4_000, total_minor=100_003)
    desk.decide("sue", ("PLAN-1", 1), ("RP-1", 1))


def test_without_a_whole_schedule_nothing_is_approved(desk, shown):
    for schedule in (None, [], shown[:-1], [*shown, shown[-1]], [line[:3] for line in shown]):
        with pytest.raises(Refused, match="The schedule to be approved for PLAN-1"):
            approve(desk, schedule)
    assert desk.status("PLAN-1") == "pending_approval"


def test_a_rejection_needs_no_schedule_and_keeps_none(desk, shown):
    desk.decide("sue", PLAN, decision="reject")
    with desk.as_("sue") as tx:
        assert tx.one("select schedule, schedule_digest from ptp.approval") == {"schedule": None, "schedule_digest": None}


def test_a_code_is_for_the_schedule_it_was_made_for(desk, shown):
    with desk.as_("sue") as tx:
        code = approvals.issue_code(tx, [PLAN], schedules={PLAN: shown})
    other = [*shown[:-1], [shown[-1][0], "2026-05-08", *shown[-1][2:]]]
    with pytest.raises(Refused, match="another schedule of version 1 of PLAN-1"):
        approvals.decide_with_code(desk.ledger, desk.org, "sue", code, [PLAN], "approve", "fine", "cli", {PLAN: other})
    assert desk.status("PLAN-1") == "pending_approval"


def test_the_approved_schedule_stays_when_policy_moves_due_dates(desk):
    desk.log("PLAN-1", first_due_date="2026-03-07")  # a Saturday
    desk.decide("sue", PLAN)
    with desk.operator() as tx:
        policies.change(tx, {"business_day_rule": "preceding"}, "bank changed")
    assert desk.schedules(PLAN) == {}
    with desk.as_("sue") as tx:
        assert tx.one("select schedule -> 0 ->> 1 as due from ptp.approval") == {"due": "2026-03-09"}


@pytest.mark.parametrize(
    "tampering",
    [
        "update ptp.commitment_version set amount_minor = amount_minor + 1, total_minor = total_minor + 1",
        "update ptp.commitment_version set first_due_date = first_due_date + 1",
        "update ptp.commitment_version set terms_digest = repeat('0', 64)",
        """update ptp.approval set schedule = jsonb_set(schedule, '{0,1}', '"2026-03-07"')""",
        "update ptp.approval set schedule = jsonb_set(schedule, '{0,2}', '29999')",
        "update ptp.approval set schedule = null, schedule_digest = null, decided_by = 'policy', terms_digest = ''",
    ],
)
def test_a_cent_or_a_date_changed_behind_the_ledgers_back_shows_in_the_next_run(desk, tmp_path, tampering):
    import duckdb

    def fits(name):
        with desk.as_("sue") as tx:
            snapshot.export(tx, tmp_path / name, dt.date(2026, 3, 31))
        with duckdb.connect() as con:
            return con.execute(f"select approval_fits from '{tmp_path / name / 'versions.parquet'}'").fetchall()

    desk.log("PLAN-1")
    desk.decide("sue", PLAN)
    assert fits("before") == [(True,)]
    with psycopg.connect(**desk.ledger._admin) as con:
        con.execute("set session_replication_role = replica")
        con.execute(f"{tampering} where org_id = %s".encode(), [desk.org])
    assert fits("after") == [(False,)]


def test_forged_items_do_not_carry_a_decision_past_the_gate(desk, shown):
    proof = desk.people["sue"].proof
    forged = {"commitment_id": "PLAN-1", "version": 1, "schedule": shown, "terms_digest": "x", "schedule_digest": "y", "decided_by": "sam"}
    with desk.raw(actor="sue") as con:
        con.execute("select ptp.decide(%s, %s, 'approve', 'fine', 'cli')", [proof, json.dumps([forged], default=str)])
        decided_by, right = con.execute(
            "select decided_by, schedule_digest = ptp.schedule_digest(terms_digest, schedule) and terms_digest <> 'x' from ptp.approval"
        ).fetchone()
    assert (decided_by, right) == ("sue", True)
