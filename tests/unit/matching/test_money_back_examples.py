"""Reversals, chargebacks and refunds, worked out by hand. `settle` holds the SQL to the oracle on every book here.

A story line reads: day, row, how much, commitment (v2: its second version) / installment. Amounts are cents.
"""

from datetime import date

import pytest

from .batch import matched
from .books import Book, day
from .told import known_allocations, known_debits, settle


def plan(*amounts: int, rule: str = "next", **columns: str) -> Book:
    """A plan with installments due on the first of March, April, May …"""
    book = Book()
    book.commit("C-9", "02-01", *((f"{3 + n:02}-01", amount) for n, amount in enumerate(amounts)), rule=rule, **columns)
    return book


def sequences_known_on(book: Book, known_on: date) -> dict[tuple[str, int], int]:
    """What each payment had paid of each installment, as the book said on a day."""
    return {(payment_id, sequence): n for (payment_id, _, _, sequence, *_), n in known_allocations(matched(book), known_on).items()}


# Reversals


def test_a_reversal_dated_before_other_payments_moves_them_up() -> None:
    book = plan(100, 100, 100)
    book.pay("P-1", "03-01", 100)
    book.reverse("R-1", "P-1", "03-05", 100)
    book.pay("P-2", "03-10", 100)
    book.pay("P-3", "04-01", 100)
    assert settle(book).story() == ["03-05 R-1 takes 100 back from P-1", "03-10 P-2 pays 100 of C-9/1", "04-01 P-3 pays 100 of C-9/2"]


def test_a_reversal_after_other_payments_replays_them_and_the_history_keeps_what_was_said() -> None:
    book = plan(100, 100, 100)
    book.pay("P-1", "03-01", 100)
    book.pay("P-2", "04-01", 100)
    book.reverse("R-1", "P-1", "05-20", 60)
    assert settle(book).story() == [
        "03-01 P-1 pays 40 of C-9/1",
        "04-01 P-2 pays 60 of C-9/1",
        "04-01 P-2 pays 40 of C-9/2",
        "05-20 R-1 takes 60 back from P-1",
    ]
    assert sequences_known_on(book, day("05-19")) == {("P-1", 1): 100, ("P-2", 2): 100}
    assert sequences_known_on(book, day("05-20")) == {("P-1", 1): 40, ("P-2", 1): 60, ("P-2", 2): 40}


def test_each_of_several_reversals_leaves_its_own_history() -> None:
    book = plan(100, 100)
    book.pay("P-1", "03-01", 100)
    book.reverse("R-1", "P-1", "03-10", 30)
    book.reverse("R-2", "P-1", "03-20", 50)
    book.reverse("R-3", "P-1", "03-30", 50)
    told = settle(book)
    assert told.unapplied() == {"R-3": 30}
    assert [sequences_known_on(book, day(on)).get(("P-1", 1), 0) for on in ("03-09", "03-10", "03-20", "03-30")] == [100, 70, 20, 0]


def test_of_a_split_payment_the_last_part_loses_first_what_is_reversed() -> None:
    book = plan(100)
    book.commit("C-8", "02-01", ("03-01", 100))
    book.pay("P-1", "03-01", 100)
    book.split("P-1", ("C-9", 40), ("C-8", 60))
    book.reverse("R-1", "P-1", "03-05", 50)
    assert settle(book).story() == ["03-01 P-1 pays 10 of C-8/1", "03-01 P-1 pays 40 of C-9/1", "03-05 R-1 takes 50 back from P-1"]
    book.reverse("R-2", "P-1", "03-06", 20)
    assert settle(book).story()[:1] == ["03-01 P-1 pays 30 of C-9/1"]


def test_a_reversal_dated_before_its_payment_waits_for_it() -> None:
    book = plan(100)
    book.reverse("R-1", "P-1", "03-05", 60)
    book.pay("P-1", "03-10", 100)
    told = settle(book)
    assert told.story() == ["03-05 R-1 takes 60 back from P-1", "03-10 P-1 pays 40 of C-9/1"]
    book.as_of = day("03-09")
    assert settle(book).unapplied() == {"R-1": 60}


def test_a_reversal_of_held_money_releases_only_what_is_left_of_it() -> None:
    book = plan(100, 100, rule="hold")
    book.pay("P-1", "02-10", 150)
    book.reverse("R-1", "P-1", "03-20", 80)
    assert settle(book).story() == ["03-01 P-1 pays 70 of C-9/1", "03-20 R-1 takes 80 back from P-1"]
    assert sequences_known_on(book, day("03-19")) == {("P-1", 1): 100}


def test_what_was_held_before_a_reversed_payment_came_was_released_in_the_history_too() -> None:
    book = plan(100, 100, rule="hold")
    book.commit("C-8", "02-01", ("03-15", 70), ("06-15", 70))
    book.pay("P-1", "03-01", 150, commitment_id="C-9")
    book.pay("P-2", "03-20", 60)
    book.reverse("R-1", "P-2", "04-20", 60)
    assert settle(book).story() == [
        "03-01 P-1 pays 100 of C-9/1",
        "04-01 P-1 pays 50 of C-9/2",
        "04-20 R-1 takes 60 back from P-2",
    ]
    assert sequences_known_on(book, day("04-10")) == {("P-1", 1): 100, ("P-1", 2): 50, ("P-2", 1): 60}


# Chargebacks: where the debit goes


def test_a_chargeback_leaves_the_payment_where_it_was_and_is_owed_with_the_next_installment() -> None:
    book = plan(100, 100, 100)
    book.pay("P-1", "03-01", 100)
    book.chargeback("B-1", "P-1", "03-10", 100)
    book.pay("P-2", "04-01", 250)
    told = settle(book)
    assert told.story() == [
        "03-01 P-1 pays 100 of C-9/1",
        "03-10 B-1 charges 100 to C-9/2, due 04-01",
        "04-01 P-2 pays 200 of C-9/2",
        "04-01 P-2 pays 50 of C-9/3",
    ]
    assert (told.answers["P-1"].charged_back_minor, told.answers["P-1"].reversed_minor) == (100, 0)
    assert told.answers["B-1"].reversed_minor == 100


def test_a_chargeback_on_a_due_day_is_owed_with_the_installment_after_that() -> None:
    book = plan(100, 100, 100)
    book.pay("P-1", "03-01", 100)
    book.chargeback("B-1", "P-1", "04-01", 100)
    assert settle(book).story()[-1] == "04-01 B-1 charges 100 to C-9/3, due 05-01"


def test_a_chargeback_on_the_due_day_of_the_last_installment_is_owed_with_it() -> None:
    book = plan(100, 100, 100)
    book.pay("P-1", "03-01", 100)
    book.chargeback("B-1", "P-1", "05-01", 100)
    assert settle(book).story()[-1] == "05-01 B-1 charges 100 to C-9/3, due 05-01"


def test_a_chargeback_past_the_last_installment_makes_a_new_one_due_that_day_with_the_grace_of_the_last() -> None:
    book = Book()
    book.commit("C-9", "02-01", ("03-01", 100), ("04-01", 100), grace_days=5)
    book.pay("P-1", "03-01", 100)
    book.chargeback("B-1", "P-1", "04-02", 100)
    book.pay("P-2", "04-10", 200)
    told = settle(book)
    assert told.story() == [
        "03-01 P-1 pays 100 of C-9/1",
        "04-02 B-1 charges 100 to new C-9/3, due 04-02",
        "04-10 P-2 pays 100 of C-9/2",
        "04-10 P-2 pays 100 of C-9/3",
    ]
    (debit,) = told.debits
    assert (debit.grace_days, debit.nominal_due_date) == (5, day("04-02"))


def test_new_installments_are_numbered_by_day_and_two_of_one_day_share_one() -> None:
    book = plan(100, 100, 100)
    for n, due in enumerate(("03-01", "04-01", "05-01"), 1):
        book.pay(f"P-{n}", due, 100)
    book.chargeback("B-3", "P-3", "05-20", 100)
    book.chargeback("B-1", "P-1", "05-10", 100)
    book.chargeback("B-2", "P-2", "05-10", 100)
    assert settle(book).story()[3:] == [
        "05-10 B-1 charges 100 to new C-9/4, due 05-10",
        "05-10 B-2 charges 100 to new C-9/4, due 05-10",
        "05-20 B-3 charges 100 to new C-9/5, due 05-20",
    ]


def test_a_chargeback_after_completion_opens_the_commitment_again() -> None:
    book = plan(100, 100)
    book.pay("P-1", "02-10", 200)
    book.chargeback("B-1", "P-1", "03-10", 150)
    book.pay("P-2", "04-01", 70)
    assert settle(book).story() == [
        "02-10 P-1 pays 100 of C-9/1",
        "02-10 P-1 pays 100 of C-9/2",
        "03-10 B-1 charges 150 to C-9/2, due 04-01",
        "04-01 P-2 pays 70 of C-9/2",
    ]


def test_a_chargeback_on_a_down_payment_is_owed_with_the_next_installment() -> None:
    book = Book()
    book.commit("C-9", "02-01", ("02-01", 50), ("03-01", 100), ("04-01", 100), down_payment=True)
    book.pay("P-1", "02-01", 50)
    book.chargeback("B-1", "P-1", "02-15", 50)
    book.pay("P-2", "03-01", 150)
    assert settle(book).story() == [
        "02-01 P-1 pays 50 of C-9/1",
        "02-15 B-1 charges 50 to C-9/2, due 03-01",
        "03-01 P-2 pays 150 of C-9/2",
    ]


def test_a_chargeback_on_the_day_of_its_payment_comes_after_it() -> None:
    book = plan(100, 100)
    book.chargeback("A-1", "P-1", "03-01", 100)
    book.pay("P-1", "03-01", 100)
    book.pay("P-2", "03-01", 30)
    assert settle(book).story() == [
        "03-01 P-1 pays 100 of C-9/1",
        "03-01 P-2 pays 30 of C-9/2",
        "03-01 A-1 charges 100 to C-9/2, due 04-01",
    ]


def test_repeated_chargebacks_of_a_payment_stop_where_nothing_of_it_is_left() -> None:
    book = plan(100, 100, 100)
    book.pay("P-1", "03-01", 100)
    book.chargeback("B-1", "P-1", "03-10", 60)
    book.chargeback("B-2", "P-1", "03-11", 60)
    book.chargeback("B-3", "P-1", "04-11", 60)
    told = settle(book)
    assert told.story() == [
        "03-01 P-1 pays 100 of C-9/1",
        "03-10 B-1 charges 60 to C-9/2, due 04-01",
        "03-11 B-2 charges 40 to C-9/2, due 04-01",
    ]
    assert told.unapplied() == {"B-2": 20, "B-3": 60}


def test_a_debit_makes_its_installment_larger_and_does_not_count_twice_when_money_is_spread() -> None:
    """90 over installment 2, now 200, and installment 3: 45 each."""
    book = plan(100, 100, 100, rule="spread")
    book.pay("P-1", "03-01", 100)
    book.chargeback("B-1", "P-1", "03-10", 100)
    book.pay("P-2", "03-20", 90)
    book.pay("P-3", "03-21", 180)
    assert settle(book).story()[2:] == [
        "03-20 P-2 pays 45 of C-9/2",
        "03-20 P-2 pays 45 of C-9/3",
        "03-21 P-3 pays 125 of C-9/2",
        "03-21 P-3 pays 55 of C-9/3",
    ]


def test_last_reaches_a_new_debit_only_after_later_installments() -> None:
    book = plan(100, 100, 100, rule="last")
    book.pay("P-1", "03-01", 100)
    book.chargeback("B-1", "P-1", "03-10", 70)
    book.pay("P-2", "03-20", 130)
    assert settle(book).story()[2:] == ["03-20 P-2 pays 30 of C-9/2", "03-20 P-2 pays 100 of C-9/3"]


# Chargebacks: credit first


def test_a_chargeback_is_first_covered_by_what_is_unapplied_of_its_own_payment() -> None:
    book = plan(100)
    book.pay("P-1", "02-10", 130)
    book.chargeback("B-1", "P-1", "02-20", 20)
    told = settle(book)
    assert told.story() == ["02-10 P-1 pays 100 of C-9/1", "02-20 B-1 takes 20 back from P-1"]
    assert told.unapplied() == {"P-1": 10}


def test_a_chargeback_larger_than_all_the_credit_owes_only_the_rest() -> None:
    """P-1 has 30 left, P-2 another 20: of the 120 charged back, 70 are owed again."""
    book = plan(100)
    book.pay("P-1", "02-10", 130)
    book.pay("P-2", "02-11", 20)
    book.chargeback("B-1", "P-1", "02-20", 120)
    told = settle(book)
    assert told.story() == [
        "02-10 P-1 pays 100 of C-9/1",
        "02-20 B-1 takes 30 back from P-1",
        "02-20 B-1 takes 20 back from P-2",
        "02-20 B-1 charges 70 to C-9/1, due 03-01",
    ]
    assert [told.answers[p].match_status for p in ("P-1", "P-2", "B-1")] == ["matched", "reversed", "chargeback"]
    assert told.answers["P-1"].charged_back_minor == 120


def test_held_money_covers_a_chargeback_and_is_not_released_again() -> None:
    book = plan(100, 100, rule="hold")
    book.pay("P-1", "03-01", 100)
    book.pay("P-2", "03-02", 80)
    book.chargeback("B-1", "P-1", "03-10", 60)
    assert settle(book).story() == ["03-01 P-1 pays 100 of C-9/1", "03-10 B-1 takes 60 back from P-2", "04-01 P-2 pays 20 of C-9/2"]


def test_credit_of_another_commitment_does_not_cover_a_chargeback() -> None:
    book = plan(100, 100)
    book.commit("C-8", "02-01", ("03-01", 10))
    book.pay("P-1", "03-01", 100, commitment_id="C-9")
    book.pay("P-2", "03-01", 50, commitment_id="C-8")
    book.chargeback("B-1", "P-1", "03-10", 60)
    told = settle(book)
    assert told.story()[2:] == ["03-10 B-1 charges 60 to C-9/2, due 04-01"]
    assert told.unapplied() == {"P-2": 40}


# Chargebacks: several commitments and versions


def test_a_chargeback_of_money_for_two_commitments_comes_off_what_fell_due_last() -> None:
    book = plan(100, 100)
    book.commit("C-8", "02-01", ("03-05", 100), ("04-05", 100))
    book.pay("P-1", "03-06", 200)
    book.chargeback("B-1", "P-1", "03-10", 130)
    assert settle(book).story() == [
        "03-06 P-1 pays 100 of C-8/1",
        "03-06 P-1 pays 100 of C-9/1",
        "03-10 B-1 charges 100 to C-8/2, due 04-05",
        "03-10 B-1 charges 30 to C-9/2, due 04-01",
    ]


def test_a_second_chargeback_goes_on_where_the_first_one_stopped() -> None:
    book = plan(100, 100)
    book.commit("C-8", "02-01", ("03-05", 100), ("04-05", 100))
    book.pay("P-1", "03-06", 200)
    book.chargeback("B-1", "P-1", "03-10", 60)
    book.chargeback("B-2", "P-1", "03-11", 100)
    assert settle(book).story()[2:] == [
        "03-10 B-1 charges 60 to C-8/2, due 04-05",
        "03-11 B-2 charges 40 to C-8/2, due 04-05",
        "03-11 B-2 charges 60 to C-9/2, due 04-01",
    ]


def test_a_chargeback_of_a_split_payment_takes_its_last_unapplied_part_first() -> None:
    book = plan(30)
    book.commit("C-8", "02-01", ("03-05", 10))
    book.commit("C-8", "03-20", ("04-05", 40))
    book.pay("P-1", "03-06", 100)
    book.split("P-1", ("C-8", 40), ("C-9", 60))
    book.chargeback("B-1", "P-1", "03-10", 35)
    told = settle(book)
    assert told.story() == [
        "03-06 P-1 pays 10 of C-8/1",
        "03-06 P-1 pays 30 of C-9/1",
        "03-10 B-1 takes 35 back from P-1",
        "03-20 P-1 pays 25 of C-8 v2/1",
    ]


def test_a_chargeback_is_charged_to_the_version_in_force_on_its_day() -> None:
    book = plan(100, 100)
    book.commit("C-9", "03-20", ("04-10", 50), ("05-10", 50))
    book.pay("P-1", "03-01", 100)
    book.chargeback("B-1", "P-1", "04-20", 100)
    assert settle(book).story()[1:] == ["04-20 B-1 charges 100 to C-9 v2/2, due 05-10"]


def test_nothing_is_charged_to_a_commitment_no_longer_in_force() -> None:
    book = plan(100, 100, cancelled_on="03-20")
    book.pay("P-1", "03-01", 100)
    book.chargeback("B-1", "P-1", "03-20", 100)
    told = settle(book)
    assert told.story() == ["03-01 P-1 pays 100 of C-9/1"]
    assert told.unapplied() == {"B-1": 100}
    assert matched(book).payment("B-1")["problem"]


def test_new_terms_do_not_take_over_what_a_chargeback_took() -> None:
    book = plan(100)
    book.commit("C-9", "03-20", ("04-10", 100))
    book.pay("P-1", "03-05", 150)
    book.chargeback("B-1", "P-1", "03-10", 40)
    assert settle(book).story() == ["03-05 P-1 pays 100 of C-9/1", "03-10 B-1 takes 40 back from P-1", "03-20 P-1 pays 10 of C-9 v2/1"]


# Chargebacks and reversals together


def test_what_was_reversed_cannot_be_charged_back_even_when_the_reversal_came_later() -> None:
    book = plan(100, 100)
    book.pay("P-1", "03-01", 100)
    book.chargeback("B-1", "P-1", "03-10", 80)
    book.reverse("R-1", "P-1", "03-20", 70)
    told = settle(book)
    assert told.story() == [
        "03-01 P-1 pays 30 of C-9/1",
        "03-10 B-1 charges 30 to C-9/2, due 04-01",
        "03-20 R-1 takes 70 back from P-1",
    ]
    assert told.unapplied() == {"B-1": 50}
    assert list(known_debits(matched(book), day("03-19")).values()) == [80]
    assert list(known_debits(matched(book), day("03-20")).values()) == [30]


def test_the_debit_of_a_chargeback_is_known_from_its_day_on() -> None:
    book = plan(100, 100)
    book.pay("P-1", "03-01", 100)
    book.chargeback("B-1", "P-1", "03-10", 80)
    assert [sum(known_debits(matched(book), day(on)).values()) for on in ("03-09", "03-10")] == [0, 80]


@pytest.mark.parametrize(
    ("named", "columns"),
    [("P-404", {}), (None, {}), ("P-1", {"customer": "K2"}), ("P-1", {"currency": "EUR"}), ("B-0", {}), ("P-2", {})],
)
@pytest.mark.parametrize("kind", ["chargeback", "reversal"])
def test_what_names_no_payment_of_its_customer_touches_nothing_and_says_why(kind: str, named: str | None, columns: dict[str, str]) -> None:
    book = plan(100, 100)
    book.pay("P-1", "03-01", 100)
    book.pay("B-0", "03-01", 100, kind="chargeback", reverses_payment_id="nothing")
    book.pay("P-2", "05-01", 100, customer="K3" if kind == "reversal" else "K1")
    book.pay("B-1", "03-10", 100, kind=kind, reverses_payment_id=named, **columns)
    told = settle(book)
    assert (told.answers["B-1"].unapplied_minor, told.answers["P-1"].allocated_minor) == (100, 100)
    assert matched(book).payment("B-1")["problem"]


# Refunds


def test_a_refund_takes_unapplied_money_of_the_payment_it_names() -> None:
    book = plan(100)
    book.pay("P-1", "02-10", 130)
    book.pay("P-2", "02-11", 50)
    book.refund("F-1", "P-2", "02-20", 40)
    told = settle(book)
    assert told.story() == ["02-10 P-1 pays 100 of C-9/1", "02-20 F-1 takes 40 back from P-2"]
    assert told.unapplied() == {"P-1": 30, "P-2": 10}


def test_a_refund_that_names_no_payment_takes_the_oldest_unapplied_money() -> None:
    """Matched, unmatched or set aside: it is the customer's. Money of another currency is not touched."""
    book = plan(100)
    book.pay("P-0", "01-10", 20)
    book.pay("P-1", "02-10", 130)
    book.pay("P-2", "02-11", 50)
    book.assign("P-2", None)
    book.pay("P-3", "02-11", 50, currency="EUR")
    book.refund("F-1", None, "02-20", 90)
    told = settle(book)
    assert told.story() == [
        "02-10 P-1 pays 100 of C-9/1",
        "02-20 F-1 takes 20 back from P-0",
        "02-20 F-1 takes 30 back from P-1",
        "02-20 F-1 takes 40 back from P-2",
    ]
    assert told.unapplied() == {"P-2": 10, "P-3": 50}
    assert [told.answers[p].match_status for p in ("P-0", "P-1", "P-2", "P-3")] == ["reversed", "matched", "set_aside", "unmatched"]


def test_a_refund_never_takes_more_than_is_unapplied() -> None:
    book = plan(100, 100)
    book.pay("P-1", "02-10", 230)
    book.refund("F-1", "P-1", "02-20", 50)
    told = settle(book)
    assert told.story()[2:] == ["02-20 F-1 takes 30 back from P-1"]
    assert (told.unapplied(), told.answers["P-1"].allocated_minor) == ({"F-1": 20}, 200)
    assert matched(book).payment("F-1")["problem"]


def test_refunded_money_is_not_there_for_new_terms() -> None:
    book = plan(100)
    book.commit("C-9", "03-20", ("04-10", 100))
    book.pay("P-1", "03-05", 150)
    book.refund("F-1", None, "03-10", 30)
    assert settle(book).story()[1:] == ["03-10 F-1 takes 30 back from P-1", "03-20 P-1 pays 20 of C-9 v2/1"]


def test_a_refund_comes_after_the_payments_and_chargebacks_of_its_day() -> None:
    book = plan(100)
    book.refund("A-1", None, "02-10", 50)
    book.pay("P-1", "02-10", 130)
    book.chargeback("B-1", "P-1", "02-10", 10)
    told = settle(book)
    assert told.story() == ["02-10 A-1 takes 20 back from P-1", "02-10 B-1 takes 10 back from P-1", "02-10 P-1 pays 100 of C-9/1"]


def test_a_refund_of_money_that_came_later_takes_nothing() -> None:
    book = plan(100)
    book.refund("F-1", None, "02-10", 50)
    book.refund("F-2", "P-1", "02-10", 50)
    book.pay("P-1", "02-11", 130)
    assert settle(book).unapplied() == {"F-1": 50, "F-2": 50, "P-1": 30}
