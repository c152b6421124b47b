"""No invoice is promised beyond its open amount: by people, files, direct SQL and several of them at once."""

import datetime as dt
from typing import Any

import psycopg
import pytest

from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import approvals, commitments, policies
from tests.conftest import PIPELINE
from tests.integration.ledger.test_commitments_and_files import SHA, at_once

DAY = "2026-03-01"


def opened(desk, *, invoiced=0, **minor):
    """Have a run find these invoices of C-1 open, each over the greater of `invoiced` and what is open."""
    with desk.as_(PIPELINE) as tx:
        tx.execute(
            "insert into ptp.position_source (org_id, build_id, digest, as_of) values (ptp.current_org(), 'b', 'd', %s)"
            " on conflict do nothing",
            [DAY],
        )
        for invoice, amount in minor.items():
            tx.execute(
                "insert into ptp.invoice_position values (ptp.current_org(), %s, 'C-1', 'USD', %s, %s)",
                [invoice, max(invoiced, amount), amount],
            )


def found(desk, commitment_id, outstanding, status="active"):
    """Have a run find this outstanding on a commitment."""
    with desk.as_(PIPELINE) as tx:
        tx.execute("insert into ptp.commitment_position values (ptp.current_org(), %s, 1, 0, %s, %s)", [commitment_id, outstanding, status])


def promise(desk, commitment_id, minor, *invoices, who="cara", due="2026-03-06", **terms):
    return desk.log(commitment_id, who, kind="promise", amount_minor=minor, invoice_ids=invoices, first_due_date=due, **terms)


def refusal(desk, *args: Any, **terms: Any) -> Refused:
    with pytest.raises(Refused) as error:
        promise(desk, *args, **terms)
    return error.value


def test_an_invoice_is_promised_up_to_its_open_amount_and_no_further(desk):
    opened(desk, A=100_000)
    promise(desk, "P-1", 60_000, "A")
    error = refusal(desk, "P-2", 50_000, "A")
    assert error.message == (
        "P-2 would promise 500.00 USD on A, but 400.00 USD is left to promise on A:"
        " 1,000.00 USD open on 2026-03-01, 600.00 USD promised by P-1."
    )
    assert error.next_step == (
        "Promise what is left, or renegotiate or cancel P-1. If invoices or payments came since, bring them in with ptp run first."
    )
    promise(desk, "P-3", 40_000, "A")
    assert "nothing is left to promise on A: 1,000.00 USD open on 2026-03-01, 1,000.00 USD promised by P-1, P-3." in str(
        refusal(desk, "P-4", 1, "A")
    )


def test_a_promise_beyond_what_was_ever_open_is_refused_alone(desk):
    opened(desk, A=100_000)
    error = refusal(desk, "P-1", 100_001, "A")
    assert "1,000.00 USD open on 2026-03-01, nothing promised." in error.message
    assert error.next_step.startswith("Promise what is open. ")


def test_the_same_promise_hears_that_it_is_the_same_not_that_it_is_too_much(desk):
    opened(desk, A=100_000)
    promise(desk, "P-1", 90_000, "A")
    assert "P-2 is the same as P-1" in str(refusal(desk, "P-2", 90_000, "A"))


def test_what_names_no_known_invoice_is_held_against_nothing(desk):
    opened(desk, A=100)
    promise(desk, "P-1", 90_000, "UNKNOWN")
    promise(desk, "P-2", 90_000, "UNKNOWN", "UNSEEN")
    promise(desk, "P-3", 90_000)


def test_an_unknown_invoice_beside_a_known_one_does_not_lift_its_limit(desk):
    opened(desk, A=100_000)
    error = refusal(desk, "P-1", 100_001, "A", "UNKNOWN")
    assert error.message == (
        "P-1 would promise 1,000.01 USD on A, UNKNOWN, but 1,000.00 USD is left to promise on A:"
        " 1,000.00 USD open on 2026-03-01, nothing promised."
    )
    assert error.next_step == (
        "Promise what is open. ptp does not know UNKNOWN, so nothing can be promised on it beside what it knows:"
        " bring in its file with ptp run first."
    )
    promise(desk, "P-2", 60_000, "A", "UNKNOWN")
    promise(desk, "P-3", 30_000, "A", "UNSEEN")
    assert "100.00 USD is left to promise on A: 1,000.00 USD open on 2026-03-01, 900.00 USD promised by P-2, P-3." in str(
        refusal(desk, "P-4", 10_001, "A")
    )
    assert "is left to promise on A" in str(refusal(desk, "P-5", 10_001, "A", "ANOTHER"))


def test_an_unknown_invoice_counts_from_the_day_it_is_known_also_for_what_was_promised_before(desk):
    opened(desk, A=100_000)
    promise(desk, "P-1", 30_000, "A", "LATER")
    promise(desk, "P-2", 60_000, "LATER")
    opened(desk, LATER=50_000)
    assert "nothing is left to promise on LATER: 500.00 USD open on 2026-03-01, 600.00 USD promised by P-2." in str(
        refusal(desk, "P-3", 1, "LATER")
    )
    promise(desk, "P-4", 60_000, "A")  # P-1 may be on either of its invoices now
    assert "nothing is left to promise on A, LATER: 1,500.00 USD open on 2026-03-01, 1,500.00 USD promised by P-1, P-2, P-4." in str(
        refusal(desk, "P-5", 1, "A")
    )


def test_whoever_promises_an_invoice_it_is_not_promised_beyond_what_is_open(desk):
    opened(desk, A=100_000)
    promise(desk, "P-1", 70_000, "A", customer_id="PARENT")
    assert "300.00 USD is left to promise on A" in str(refusal(desk, "P-2", 30_001, "A"))
    assert "300.00 USD is left to promise on A" in str(refusal(desk, "P-3", 30_001, "A", customer_id="C-2"))
    assert "0.00 EUR open" in str(refusal(desk, "P-4", 1, "A", currency="EUR"))


def test_over_several_invoices_only_sums_that_hold_for_any_split_are_compared(desk):
    opened(desk, A=100_000, B=100_000, C=100_000)
    promise(desk, "AB", 150_000, "A", "B")
    promise(desk, "A1", 50_000, "A")  # may be right: AB with 1,000 on B and 500 on A
    left = "on B, but nothing is left to promise on A, B: 2,000.00 USD open on 2026-03-01, 2,000.00 USD promised by A1, AB."
    assert left in str(refusal(desk, "B1", 1, "B"))
    promise(desk, "BC", 100_000, "B", "C")
    assert "1,000.00 USD is left to promise on C:" in str(refusal(desk, "C1", 100_001, "C"))


def test_what_was_paid_is_claimed_no_more_and_what_was_charged_back_is_again(desk):
    opened(desk, A=100_000)
    promise(desk, "P-1", 100_000, "A")
    found(desk, "P-1", 30_000)
    assert "700.00 USD is left" in str(refusal(desk, "P-2", 70_001, "A"))
    promise(desk, "P-3", 70_000, "A")
    found(desk, "P-3", 0, "completed")
    promise(desk, "P-4", 70_000, "A", due="2026-03-07")


def test_what_waits_claims_what_is_turned_down_or_called_off_does_not(desk):
    opened(desk, A=100_000)
    desk.log("PLAN-1", amount_minor=100_000, invoice_ids=["A"])
    found(desk, "PLAN-1", 0, "pending_approval")
    refusal(desk, "P-2", 1, "A")
    with desk.as_("sue") as tx:
        approvals.decide(tx, [("PLAN-1", 1)], "reject", "too long", "cli")
    promise(desk, "P-3", 100_000, "A")
    with desk.as_("sue") as tx:
        commitments.cancel(tx, "P-3", dt.date(2026, 3, 3), "paid by card")
    desk.log("PLAN-4", amount_minor=100_000, invoice_ids=["A"], discount_minor=10_000)
    promise(desk, "P-5", 10_000, "A")


def test_new_terms_take_the_place_of_the_old_and_both_count_until_decided(desk, new):
    opened(desk, A=100_000)
    promise(desk, "P-1", 80_000, "A")

    def renegotiate(minor: int, day: int) -> None:
        later = {"agreed_on": f"2026-03-{day:02}", "first_due_date": "2026-04-05"}
        with desk.as_("cara") as tx:
            commitments.renegotiate(tx, "P-1", new("P-1", kind="promise", amount_minor=minor, invoice_ids=["A"], **later).terms, "later")

    with pytest.raises(Refused, match=r"P-1 would promise 1,000\.01 USD on A, but 1,000\.00 USD is left"):
        renegotiate(100_001, 5)
    renegotiate(10_000, 5)
    assert "200.00 USD is left" in str(refusal(desk, "P-2", 20_001, "A"))
    desk.decide("sue", ("P-1", 2))
    promise(desk, "P-3", 90_000, "A")


def test_what_was_agreed_before_the_last_run_may_have_been_paid_in_part_since(desk):
    opened(desk, A=40_000, invoiced=100_000)
    earlier = {"agreed_on": "2026-02-28"}
    error = refusal(desk, "P-1", 100_001, "A", **earlier)
    assert "but 1,000.00 USD is left to promise on A: 1,000.00 USD invoiced, nothing promised." in error.message
    promise(desk, "P-1", 90_000, "A", **earlier)
    assert "but 100.00 USD is left to promise on A: 1,000.00 USD invoiced, 900.00 USD promised by P-1." in str(
        refusal(desk, "P-2", 40_000, "A")
    )
    promise(desk, "P-2", 10_000, "A")
    found(desk, "P-1", 30_000)
    assert "nothing is left to promise on A: 400.00 USD open on 2026-03-01, 400.00 USD promised by P-1, P-2." in str(
        refusal(desk, "P-3", 1, "A")
    )


def test_new_terms_agreed_ahead_free_nothing_before_their_day(desk, new):
    opened(desk, A=100_000)
    promise(desk, "P-1", 100_000, "A")
    later = new("P-1", kind="promise", amount_minor=1, invoice_ids=["A"], agreed_on="2199-01-01", first_due_date="2199-01-01")
    with desk.as_("cara") as tx:
        commitments.renegotiate(tx, "P-1", later.terms, "later")
    desk.decide("sue", ("P-1", 2))
    assert "nothing is left to promise on A" in str(refusal(desk, "P-2", 1, "A"))
    with desk.as_("sue") as tx:
        assert tx.one("select used_minor from ptp.commitment_exposure where commitment_id = 'P-1'") == {"used_minor": 100_000}


def test_policy_may_allow_it(desk):
    opened(desk, A=100)
    with desk.operator() as tx:
        policies.change(tx, {"over_promising": "allow"}, "settlements with interest", dt.date(2020, 1, 1))
    promise(desk, "P-1", 90_000, "A")


def test_who_allowed_it_does_not_promise_beyond_what_is_open(desk):
    opened(desk, A=100)
    with desk.as_("con") as tx:
        policies.change(tx, {"over_promising": "allow"}, "settlements with interest")
    assert "1.00 USD is left to promise on A" in str(refusal(desk, "P-1", 90_000, "A", who="con"))
    promise(desk, "P-1", 90_000, "A")


def test_two_terminals_at_once_do_not_promise_an_invoice_twice(desk):
    opened(desk, A=100_000)
    answers = at_once(*[lambda n=n: promise(desk, f"P-{n}", 60_000 + n, "A", who=("cara", "sue", "sam", "con")[n]) for n in range(4)])
    assert sorted(type(a).__name__ for a in answers) == ["Logged", "Refused", "Refused", "Refused"]
    assert "is left to promise on A" in next(str(a) for a in answers if isinstance(a, Refused))


def test_direct_sql_is_held_to_it_and_to_seeing_what_others_wrote(desk):
    opened(desk, A=100_000)
    promise(desk, "P-1", 60_000, "A")
    with desk.raw(signed_in="cara") as con, pytest.raises(psycopg.Error, match=r"P-2 would promise 500\.00 USD on A"):
        desk.copy_by_sql(con, "P-2", amount_minor=50_000, total_minor=50_000)
    with psycopg.connect(**desk.ledger.parameters("ptp_app")) as con:
        con.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(psycopg.Error, match="isolation level"):
            con.execute("select ptp.enter(%s, 'cara', 'collector', 'token', 'psql', '', '', null), ptp.lock_org()", [desk.org])


def test_rows_of_a_file_are_taken_in_order_while_they_fit(desk, new):
    desk.receive()
    opened(desk, A=100_000, B=50_000)
    wanted = [(60_000, "A"), (60_001, "A"), (60_001, "A"), (60_001, "A"), (40_000, "A"), (50_000, "B"), (1, "A", "B")]
    rows = [
        new(name, kind="promise", amount_minor=minor, invoice_ids=invoices, file_sha256=SHA, line_number=line)
        for line, (name, (minor, *invoices)) in enumerate(zip(["P-1", "P-2", "P-2", "P-9", "P-3", "P-4", "P-5"], wanted, strict=True), 2)
    ]
    with desk.as_(PIPELINE) as tx:
        first = commitments.log_many(tx, rows)
        assert commitments.log_many(tx, rows) == first
    assert [(o.commitment_id, o.outcome, o.rule) for o in first] == [
        ("P-1", "loaded", ""),
        ("P-2", "refused", "over_promised"),
        ("P-2", "refused", "over_promised"),
        ("P-9", "refused", "over_promised"),
        ("P-3", "loaded", ""),
        ("P-4", "loaded", ""),
        ("P-5", "refused", "over_promised"),
    ]
    assert (
        "400.00 USD is left to promise on A: 1,000.00 USD open on 2026-03-01, 600.00 USD promised by P-1. Promise what" in first[1].reason
    )
    assert "1,500.00 USD promised by P-1, P-3, P-4." in first[6].reason
