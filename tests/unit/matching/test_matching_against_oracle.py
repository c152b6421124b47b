"""Any book at all: the statements in sql/warehouse/matching equal a plain replay, to the cent and to the day.

`python -m tests.unit.matching.soak` does the same with as many books as there is time for.
"""

from dataclasses import replace
from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ptp_pipeline.warehouse import rounds

from .books import Book, match
from .generators import START, Crowd, random_book
from .oracle import replay
from .soak import disagreements
from .told import allocations_by_history_key, known_allocations, known_debits, told_by_oracle, told_by_sql

SLOW_IS_FINE = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
}
A_DAY = st.integers(2, 44).map(lambda n: START + timedelta(n))


def books(households: int) -> st.SearchStrategy[Book]:
    """Books that hypothesis makes smaller when they fail."""
    return st.randoms(use_true_random=False).map(lambda rng: random_book(rng, households))


def big_book(seed: int, households: int = 12) -> Book:
    """Hypothesis starts with plain books; this one is always messy."""
    return random_book(Random(seed), households)


@settings(max_examples=8, **SLOW_IS_FINE)
@given(books(6), st.lists(A_DAY, min_size=1, max_size=3))
@example(big_book(1), [START + timedelta(n) for n in (5, 15, 20, 30)])
@example(big_book(2), [START + timedelta(n) for n in (10, 18, 25, 40)])
@example(big_book(3), [START + timedelta(n) for n in (8, 22, 28, 35)])
def test_every_payment_allocation_debit_and_return_equals_the_plain_replay_today_and_on_any_day_before(
    book: Book, known_dates: list[date]
) -> None:
    found = disagreements(book, [known_on for known_on in known_dates if known_on <= book.as_of])
    assert not found, "\n".join(found)


@settings(max_examples=4, **SLOW_IS_FINE)
@given(st.randoms(use_true_random=False).map(lambda rng: random_book(rng, 3, Crowd)), st.integers(1, 3))
@example(random_book(Random(1), 12, Crowd), 1)
@example(random_book(Random(2), 12, Crowd), 2)
def test_much_shared_money_done_in_rounds_equals_the_plain_replay_however_far_they_look_ahead(book: Book, look_ahead: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "LOOK_AHEAD", look_ahead)
        found = disagreements(book, [START + timedelta(20)])
    assert not found, "\n".join(found)


@settings(max_examples=2, **SLOW_IS_FINE)
@given(books(6), st.integers(1, 1000))
@example(big_book(4), 1)
def test_the_order_of_arrival_the_number_of_threads_and_the_memory_do_not_show(book: Book, seed: int) -> None:
    assert match(book) == match(book, seed=seed, threads=2, memory_limit="64MB")


@settings(max_examples=2, **SLOW_IS_FINE)
@given(books(6), A_DAY)
@example(big_book(5), START + timedelta(20))
def test_what_the_book_says_of_a_day_today_is_what_a_run_on_that_day_said(book: Book, on: date) -> None:
    then, today = match(replace(book, as_of=min(on, book.as_of))), match(book)
    on = min(on, book.as_of)
    assert known_allocations(today, on) == allocations_by_history_key(told_by_sql(then))
    assert known_debits(today, on) == told_by_sql(then).debits


def test_money_is_conserved_and_nothing_is_paid_twice() -> None:
    """Of the oracle itself: it must not be right about the SQL by being wrong in the same way."""
    for seed in range(60):
        r = replay(big_book(seed))
        told = told_by_oracle(r)
        for row in r.rows:
            a = told.answers[row.payment_id]
            assert row.amount_minor == a.allocated_minor + a.unapplied_minor + a.reversed_minor
            assert min(a.allocated_minor, a.unapplied_minor, a.reversed_minor, a.charged_back_minor) >= 0
        assert all(0 <= line.paid_minor <= line.amount_minor for line in r.lines)
        assert sum(told.allocations.values()) == sum(line.paid_minor for line in r.lines)
        assert sum(told.debits.values()) == sum(line.amount_minor for line in r.lines) - sum(
            i.amount_minor for v in r.versions for i in v.installments
        )


def test_the_generated_books_hold_every_kind_of_mess() -> None:
    """A rule that no book exercises is not proven."""
    found: set[str] = set()
    for seed in range(20):
        book = big_book(seed)
        r = replay(book)
        found |= {f"{a.match_status} by {a.matched_by}" for a in map(r.answer, r.rows) if a.matched_by}
        found |= {f"{row.kind} took effect" for row in r.rows if r.took_effect[row.payment_id]}
        found |= {f"{row.kind} did not" for row in r.rows if row.kind != "payment" and not r.took_effect[row.payment_id]}
        found |= {f"{'new' if d.line.is_added else 'more of an'} installment" for d in r.debits}
        found |= {f"credit applied by {rule}" for a in r.allocations for rule in rules_of(r.versions, a) if a.applied_on > a.received_date}
        found |= {"rest of an exact amount" for a in r.allocations if a.is_elsewhere}
        found |= {"split payment" for p in r.rows if len(r.decision_on(p)) > 1}
        found |= {"stale decision" for d in book.decisions if d.payment_id in r.by_id and not r.decision_on(r.by_id[d.payment_id])}
        found |= {"split payment charged back" for p in r.rows if len(r.decision_on(p)) > 1 and r.charged_back[p.payment_id]}
    rules = ("override", "commitment_id", "invoice_id", "reference", "exact_amount", "only_commitment", "oldest_due")
    wanted = {f"matched by {rule}" for rule in rules} | {f"{kind} took effect" for kind in ("reversal", "chargeback", "refund")}
    wanted |= {f"{kind} did not" for kind in ("reversal", "chargeback", "refund")} | {"new installment", "more of an installment"}
    wanted |= {f"credit applied by {rule}" for rule in ("next", "last", "spread", "hold")}
    wanted |= {"set_aside by override", "rest of an exact amount", "split payment", "stale decision", "split payment charged back"}
    assert wanted <= found, wanted - found


def rules_of(versions: list, allocation: object) -> list[str]:
    return [v.overpayment_rule for v in versions if (v.commitment_id, v.version) == (allocation.commitment_id, allocation.version)]
