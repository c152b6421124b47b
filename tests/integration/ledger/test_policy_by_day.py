"""A policy is of a day: changes from the past move their own keys only, and a run for a past day goes by the policy of that day."""

import datetime as dt
import threading

import psycopg
import pytest

from ptp_pipeline.domain.policy import Policy, PolicyError
from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger import audit, policies
from tests.integration.pipeline_book import OPERATOR, new_book

JAN, MAR, JUN, SEP = (dt.date(2026, month, 1) for month in (1, 3, 6, 9))


def change(desk, day, reason="agreed", **changes):
    with desk.operator() as tx:
        return policies.change(tx, changes, reason, day)


def seen(desk, key):
    """The key's value on the last day before each date, and on it."""
    with desk.operator() as tx:
        days = [d + dt.timedelta(days=n) for d in (JAN, MAR, JUN, SEP) for n in (-1, 0)]
        return [getattr(policies.current(tx, day), key) for day in days]


def test_a_change_from_the_past_moves_its_own_key_and_nothing_else(desk):
    change(desk, SEP, grace_days=9)
    change(desk, JUN, due_soon_days=6)
    change(desk, MAR, default_after_broken=5)
    assert seen(desk, "grace_days") == [0] * 7 + [9]
    assert seen(desk, "due_soon_days") == [3] * 5 + [6] * 3
    assert seen(desk, "default_after_broken") == [2] * 3 + [5] * 5


def test_a_change_from_the_past_ends_where_a_later_version_changed_the_same_key(desk):
    change(desk, JUN, grace_days=6)
    change(desk, SEP, due_soon_days=9)
    change(desk, MAR, grace_days=3)
    assert seen(desk, "grace_days") == [0, 0, 0, 3, 3, 6, 6, 6]
    assert seen(desk, "due_soon_days") == [3] * 7 + [9]
    change(desk, JAN, grace_days=1)
    assert seen(desk, "grace_days") == [0, 1, 1, 3, 3, 6, 6, 6]


def test_dotted_keys_of_one_section_move_apart(desk):
    change(desk, JUN, **{"approval.promise_days": 60})
    change(desk, MAR, **{"approval.code_hours": 48, "tolerance_amount.plan": "1.50"})
    with desk.operator() as tx:
        march, june = policies.current(tx, MAR), policies.current(tx, JUN)
    assert (march.approval.promise_days, march.approval.code_hours) == (7, 48)
    assert (june.approval.promise_days, june.approval.code_hours) == (60, 48)
    assert june.tolerance("plan") == march.tolerance("plan")


def test_of_two_changes_on_one_day_the_newer_holds(desk):
    change(desk, MAR, grace_days=3)
    change(desk, MAR, grace_days=4)
    assert seen(desk, "grace_days") == [0, 0, 0] + [4] * 5


def test_a_change_for_the_future_leaves_today_alone(desk):
    with desk.operator() as tx:
        today = tx.one("select ptp.org_today() as d")["d"]
        policies.change(tx, {"timezone": "Pacific/Kiritimati", "grace_days": 3}, "we move", today + dt.timedelta(days=30))
        assert policies.current(tx) == Policy()
        assert tx.one("select ptp.org_today() as d")["d"] == today


def test_a_change_that_does_not_fit_a_later_version_is_refused_whole(desk):
    weights = {"risk_weights.missed_commitments": "35", "risk_weights.open_disputes": "10"}
    change(desk, JUN, **weights)
    with pytest.raises(PolicyError, match=r"policy that starts on 2026-06-01.*not to 100"):
        change(desk, MAR, **{"risk_weights.open_disputes": "15", "risk_weights.amount_concentration": "20"})
    with desk.operator() as tx:
        assert len(policies.history(tx)) == 2


def test_history_tells_who_changed_what_why_and_from_when(desk):
    change(desk, SEP, grace_days=9)
    change(desk, MAR, "retroactive, agreed with audit", **{"tolerance_amount": "0.50", "approval.promise_days": "30"})
    with desk.operator() as tx:
        versions = policies.history(tx)
        events = audit.show(tx, action="policy.changed")
    assert [(v.version, v.effective_from, v.changed_by) for v in versions] == [
        (1, dt.date.min, "operator"), (2, SEP, "operator"), (3, MAR, "operator"), (4, SEP, "operator")
    ]  # fmt: skip
    assert versions[2].changes == {"tolerance_amount": ("0", "0.50"), "approval.promise_days": (7, 30)}
    assert versions[3].changes == versions[2].changes
    assert (versions[2].reason, versions[3].reason) == (
        "retroactive, agreed with audit", "retroactive, agreed with audit (from 2026-03-01 on)"
    )  # fmt: skip
    assert (events[0].before, events[0].after) == ({"grace_days": 0}, {"grace_days": 9, "effective_from": "2026-09-01"})
    assert set(events[1].before) == {"tolerance_amount", "approval"}
    assert events[1].after["effective_from"] == "2026-03-01"


def test_changes_at_once_do_not_lose_each_other(desk):
    keys = ["grace_days", "due_soon_days", "exact_amount_window_days", "default_after_broken"]
    threads = [threading.Thread(target=change, args=(desk, MAR), kwargs={key: 8}) for key in keys]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    with desk.operator() as tx:
        policy = policies.current(tx, MAR)
    assert [getattr(policy, key) for key in keys] == [8] * 4


def test_a_change_needs_a_reason_and_the_right_person(desk):
    with pytest.raises(UsageError, match="reason"):
        change(desk, MAR, " ", grace_days=1)
    with pytest.raises(Refused, match="sue is a supervisor and may not do this"), desk.as_("sue") as tx:
        policies.change(tx, {"grace_days": 1}, "mine")


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ('{"grace": 1}', "no policy key grace"),
        ('{"timezone": "Mars/Base"}', "no time zone Mars/Base"),
        ('{"timezone": null}', "names its timezone"),
        ('{"approval": {"kinds": [], "caps": {}}}', "A plan always needs a supervisor"),
        ('{"approval": {"kinds": ["plan"]}}', "approval.caps"),
        ('{"approval": {"kinds": ["plan"], "caps": {"intern": {}}}}', "approval.caps"),
        ('{"approval": {"kinds": ["plan"], "caps": {"legal": {"amount": "lots"}}}}', "approval.caps"),
        ('{"approval": {"kinds": ["plan"], "caps": {}, "promise_days": "many"}}', "promise_days"),
    ],
)
def test_another_client_cannot_store_what_the_gate_could_not_read(desk, patch, said):
    con_policy = desk.people["con"]
    with desk.raw(signed_in="con") as con, pytest.raises(psycopg.Error, match=said):
        con.execute(
            "select ptp.change_policy(%s, (select policy from ptp.policy_version where version = 1) || %s::jsonb, 'why', '2026-01-01')",
            [con_policy.proof, patch],
        )


def test_the_database_knows_the_same_keys_as_the_policy(desk):
    for key in Policy.model_fields:
        change(desk, MAR, **{key: getattr(Policy(), key) if not hasattr(getattr(Policy(), key), "model_dump") else {}})


def test_a_run_for_a_past_day_goes_by_the_policy_of_that_day(settings, ledger):
    book = new_book(settings, ledger)
    with ledger.operator(OPERATOR, book.org) as tx:
        changes = {"grace_days": 5, "tolerance_amount": "250", "calendar": "US", "business_day_rule": "preceding"}
        policies.change(tx, changes, "kinder from April", dt.date(2026, 4, 1))

    def told(as_of):
        book.run(as_of, make_current=True)
        (run,) = book.query("select policy_version from run_info")
        ((grace,),) = book.query("select grace_days from installments where commitment_id = 'PROM-1'")
        return run[0], grace

    book.take_in()
    book.approve_all("sam")
    version, march = told("2026-03-31")
    assert version == 1
    assert march == 0  # policy let the promise through, so its grace is that of the day; what people approved stays
    before = book.facts()
    version, april = told("2026-04-20")
    assert version == 2
    assert april == 5
    again, _ = told("2026-03-31")
    assert again == 1
    assert book.facts() == before
