"""Where money goes beyond what is due, worked out by hand. `settle` holds the SQL to the oracle on every book here.

A story line reads: day, payment, how much, commitment (v2: its second version) / installment. Amounts are cents.
"""

import pytest

from .books import OVERPAYMENT_RULES, Book
from .told import settle


def plan(rule: str, *amounts: int, **columns: str) -> Book:
    """A plan with installments due on the first of March, April, May …"""
    book = Book()
    book.commit("C-9", "02-01", *((f"{3 + n:02}-01", amount) for n, amount in enumerate(amounts)), rule=rule, **columns)
    return book


# What is due comes first, whatever the rule


@pytest.mark.parametrize("rule", OVERPAYMENT_RULES)
def test_what_is_past_due_is_paid_first_then_what_is_due_today(rule: str) -> None:
    book = plan(rule, 100, 100, 100, 100)
    book.pay("P-1", "04-15", 150)
    book.pay("P-2", "05-01", 150)
    assert settle(book).story() == [
        "04-15 P-1 pays 100 of C-9/1",
        "04-15 P-1 pays 50 of C-9/2",
        "05-01 P-2 pays 50 of C-9/2",
        "05-01 P-2 pays 100 of C-9/3",
    ]


def test_money_on_the_due_day_pays_what_is_due_and_a_day_before_it_is_in_advance() -> None:
    book = plan("hold", 100, 100)
    book.pay("P-1", "02-28", 30)
    book.pay("P-2", "03-01", 70)
    assert settle(book).story() == ["03-01 P-1 pays 30 of C-9/1", "03-01 P-2 pays 70 of C-9/1"]


# next


def test_next_pays_the_following_installments_in_order() -> None:
    book = plan("next", 100, 100, 100, 100)
    book.pay("P-1", "03-10", 250)
    assert settle(book).story() == ["03-10 P-1 pays 100 of C-9/1", "03-10 P-1 pays 100 of C-9/2", "03-10 P-1 pays 50 of C-9/3"]


# last


def test_last_pays_from_the_final_installment_backwards() -> None:
    book = plan("last", 100, 100, 100, 100)
    book.pay("P-1", "03-10", 250)
    book.pay("P-2", "03-11", 70)
    assert settle(book).story() == [
        "03-10 P-1 pays 100 of C-9/1",
        "03-10 P-1 pays 50 of C-9/3",
        "03-10 P-1 pays 100 of C-9/4",
        "03-11 P-2 pays 20 of C-9/2",
        "03-11 P-2 pays 50 of C-9/3",
    ]


# spread


def test_spread_gives_every_remaining_installment_the_same_and_the_last_one_the_odd_cents() -> None:
    book = plan("spread", 100, 100, 100, 100)
    book.pay("P-1", "03-01", 200)
    book.pay("P-2", "03-02", 50)
    assert settle(book).story() == [
        "03-01 P-1 pays 100 of C-9/1",
        "03-01 P-1 pays 33 of C-9/2",
        "03-01 P-1 pays 33 of C-9/3",
        "03-01 P-1 pays 34 of C-9/4",
        "03-02 P-2 pays 17 of C-9/2",
        "03-02 P-2 pays 17 of C-9/3",
        "03-02 P-2 pays 16 of C-9/4",
    ]


@pytest.mark.parametrize(
    ("money", "shares"),
    [
        (1, [0, 0, 0, 1]),  # a share of 0.25 is nothing: the last one has it
        (2, [1, 1, 0, 0]),  # a half is rounded up, until the money is gone
        (3, [1, 1, 1, 0]),
        (5, [1, 1, 1, 2]),
        (6, [2, 2, 2, 0]),
        (397, [99, 99, 99, 100]),
        (398, [100, 100, 100, 98]),
        (400, [100, 100, 100, 100]),
        (401, [100, 100, 100, 100]),
    ],
)
def test_a_spread_share_is_rounded_and_never_more_than_there_is(money: int, shares: list[int]) -> None:
    book = plan("spread", 100, 100, 100, 100)
    book.pay("P-1", "02-10", money)
    assert settle(book).story() == [f"02-10 P-1 pays {share} of C-9/{n}" for n, share in enumerate(shares, 1) if share]


def test_what_a_spread_share_finds_full_goes_round_again() -> None:
    """150 over 20, 100 and 100: 50 each, of which the first takes 20. The 30 left go round: 15 each."""
    book = plan("spread", 20, 100, 100)
    book.pay("P-1", "02-10", 150)
    assert settle(book).story() == ["02-10 P-1 pays 20 of C-9/1", "02-10 P-1 pays 65 of C-9/2", "02-10 P-1 pays 65 of C-9/3"]


def test_spread_goes_round_until_the_commitment_is_full() -> None:
    """100 over 1, 5, 20, 30 and 40: shares of 20; then 34 over 10 and 20 left: 17 each; then 4 more for the last."""
    book = plan("spread", 1, 5, 20, 30, 40)
    book.pay("P-1", "02-10", 100)
    told = settle(book)
    assert told.story() == [f"02-10 P-1 pays {amount} of C-9/{n}" for n, amount in enumerate([1, 5, 20, 30, 40], 1)]
    assert told.unapplied() == {"P-1": 4}


@pytest.mark.parametrize("currency", ["JPY", "KWD"])
def test_spread_rounds_to_the_smallest_unit_of_the_currency(currency: str) -> None:
    book = plan("spread", 1000, 1000, 1000, currency=currency)
    book.pay("P-1", "02-10", 1001, currency=currency)
    assert settle(book).story() == ["02-10 P-1 pays 334 of C-9/1", "02-10 P-1 pays 334 of C-9/2", "02-10 P-1 pays 333 of C-9/3"]


# hold


def test_held_money_is_applied_on_the_due_day_before_the_payments_of_that_day() -> None:
    book = plan("hold", 100, 100, 100)
    book.pay("P-1", "03-10", 150)
    book.pay("A-1", "04-01", 80)
    told = settle(book)
    assert told.story() == [
        "03-10 P-1 pays 100 of C-9/1",
        "04-01 A-1 pays 50 of C-9/2",
        "04-01 P-1 pays 50 of C-9/2",
        "05-01 A-1 pays 30 of C-9/3",
    ]
    assert told.unapplied() == {}


def test_held_money_waits_for_the_next_due_day() -> None:
    book = plan("hold", 100, 100, 100)
    book.pay("P-1", "03-10", 350)
    book.as_of = book.as_of.replace(month=3, day=31)
    assert settle(book).unapplied() == {"P-1": 250}
    book.as_of = book.as_of.replace(month=4, day=1)
    assert settle(book).unapplied() == {"P-1": 150}
    book.as_of = book.as_of.replace(month=6, day=30)
    assert settle(book).unapplied() == {"P-1": 50}


def test_of_several_held_payments_the_first_is_used_first() -> None:
    book = plan("hold", 100, 100)
    book.pay("P-2", "02-10", 70)
    book.pay("P-1", "02-11", 70)
    assert settle(book).story() == ["03-01 P-1 pays 30 of C-9/1", "03-01 P-2 pays 70 of C-9/1", "04-01 P-1 pays 40 of C-9/2"]


def test_held_money_is_no_longer_applied_once_the_commitment_is_cancelled() -> None:
    book = plan("hold", 100, 100, cancelled_on="03-15")
    book.pay("P-1", "02-10", 150)
    told = settle(book)
    assert (told.story(), told.unapplied()) == (["03-01 P-1 pays 100 of C-9/1"], {"P-1": 50})


# Several commitments


def test_shared_money_pays_what_is_due_then_by_rule_next_spread_last_and_never_what_is_held() -> None:
    book = Book()
    book.commit("C-H", "02-01", ("03-01", 10), ("04-01", 100), rule="hold")
    book.commit("C-L", "02-01", ("03-01", 10), ("04-01", 100), ("05-01", 100), rule="last")
    book.commit("C-N", "02-01", ("03-05", 10), ("05-01", 100))
    book.commit("C-S", "02-01", ("03-01", 10), ("04-01", 100), ("05-01", 100), rule="spread")
    book.pay("P-1", "03-02", 130)
    book.pay("P-2", "03-03", 100)
    book.pay("P-3", "03-04", 500)
    told = settle(book)
    assert told.story()[:10] == [
        "03-02 P-1 pays 10 of C-H/1",
        "03-02 P-1 pays 10 of C-L/1",
        "03-02 P-1 pays 10 of C-N/1",
        "03-02 P-1 pays 90 of C-N/2",
        "03-02 P-1 pays 10 of C-S/1",
        "03-03 P-2 pays 10 of C-N/2",
        "03-03 P-2 pays 45 of C-S/2",
        "03-03 P-2 pays 45 of C-S/3",
        "03-04 P-3 pays 100 of C-L/2",
        "03-04 P-3 pays 100 of C-L/3",
    ]
    assert told.story()[10:] == ["03-04 P-3 pays 55 of C-S/2", "03-04 P-3 pays 55 of C-S/3", "04-01 P-3 pays 100 of C-H/2"]
    assert told.unapplied() == {"P-3": 90}


def test_shared_money_is_spread_over_the_installments_of_all_commitments_that_spread() -> None:
    book = plan("spread", 100, 100)
    book.commit("C-8", "02-01", ("03-10", 100), ("04-10", 100), rule="spread")
    book.pay("P-1", "02-10", 40)
    book.pay("P-2", "03-10", 250)
    told = settle(book).story()
    assert told[:4] == [f"02-10 P-1 pays 10 of {place}" for place in ("C-8/1", "C-8/2", "C-9/1", "C-9/2")]
    assert told[4:] == [
        "03-10 P-2 pays 90 of C-8/1",
        "03-10 P-2 pays 35 of C-8/2",
        "03-10 P-2 pays 90 of C-9/1",
        "03-10 P-2 pays 35 of C-9/2",
    ]


def test_shared_money_that_a_commitment_holds_is_released_there() -> None:
    book = Book()
    book.commit("C-1", "02-01", ("03-01", 100), ("04-01", 100), rule="hold")
    book.commit("C-2", "02-01", ("03-01", 100))
    book.pay("P-1", "03-05", 250)
    assert settle(book).story() == ["03-05 P-1 pays 100 of C-1/1", "03-05 P-1 pays 100 of C-2/1", "04-01 P-1 pays 50 of C-1/2"]


def test_two_commitments_of_a_customer_that_hold_share_the_money_in_order_of_their_ids() -> None:
    book = Book()
    for commitment_id in ("C-2", "C-1"):
        book.commit(commitment_id, "02-01", ("03-01", 100), ("04-01", 100), rule="hold")
    book.pay("P-1", "02-10", 250)
    assert settle(book).story() == ["03-01 P-1 pays 100 of C-1/1", "03-01 P-1 pays 100 of C-2/1", "04-01 P-1 pays 50 of C-1/2"]


def test_another_currency_and_another_customer_have_no_part_in_it() -> None:
    book = plan("spread", 100, 100)
    book.commit("C-E", "02-01", ("03-01", 100), ("04-01", 100), currency="EUR", rule="spread")
    book.commit("C-O", "02-01", ("03-01", 100), ("04-01", 100), customer="K2", rule="spread")
    book.pay("P-1", "02-10", 50)
    book.pay("P-2", "02-10", 30, currency="EUR")
    assert settle(book).story() == [
        "02-10 P-1 pays 25 of C-9/1",
        "02-10 P-1 pays 25 of C-9/2",
        "02-10 P-2 pays 15 of C-E/1",
        "02-10 P-2 pays 15 of C-E/2",
    ]


# Renegotiation


def test_new_terms_take_over_what_the_old_ones_left_and_apply_it_by_their_own_rule() -> None:
    """100 of 350 is due; the old terms hold the rest. The new ones spread it before the payment of their first day."""
    book = plan("hold", 100, 300)
    book.commit("C-9", "03-20", ("04-10", 120), ("05-10", 120), ("06-10", 120), rule="spread")
    book.pay("P-2", "03-05", 350)
    book.pay("P-1", "03-20", 30)
    assert settle(book).story() == [
        "03-05 P-2 pays 100 of C-9/1",
        "03-20 P-1 pays 10 of C-9 v2/1",
        "03-20 P-1 pays 10 of C-9 v2/2",
        "03-20 P-1 pays 10 of C-9 v2/3",
        "03-20 P-2 pays 83 of C-9 v2/1",
        "03-20 P-2 pays 83 of C-9 v2/2",
        "03-20 P-2 pays 84 of C-9 v2/3",
    ]


def test_credit_of_several_payments_is_spread_as_one_sum() -> None:
    """70 in three: 23, 23 and 24. The first payment pays the first of it."""
    book = plan("hold", 300)
    book.commit("C-9", "02-20", ("04-10", 100), ("05-10", 100), ("06-10", 100), rule="spread")
    book.pay("P-1", "02-10", 30)
    book.pay("P-2", "02-11", 40)
    assert settle(book).story() == [
        "02-20 P-1 pays 23 of C-9 v2/1",
        "02-20 P-1 pays 7 of C-9 v2/2",
        "02-20 P-2 pays 16 of C-9 v2/2",
        "02-20 P-2 pays 24 of C-9 v2/3",
    ]


def test_spread_credit_is_rounded_to_the_nearest() -> None:
    """80 in three: 27, 27 and 26."""
    book = plan("hold", 300)
    book.commit("C-9", "02-20", ("04-10", 100), ("05-10", 100), ("06-10", 100), rule="spread")
    book.pay("P-1", "02-10", 80)
    assert settle(book).story() == [f"02-20 P-1 pays {amount} of C-9 v2/{n}" for n, amount in ((1, 27), (2, 27), (3, 26))]


def test_credit_of_several_payments_goes_to_the_last_installment_first() -> None:
    book = plan("hold", 300)
    book.commit("C-9", "02-20", ("04-10", 100), ("05-10", 50), rule="last")
    book.pay("P-1", "02-10", 30)
    book.pay("P-2", "02-11", 40)
    assert settle(book).story() == ["02-20 P-1 pays 30 of C-9 v2/2", "02-20 P-2 pays 20 of C-9 v2/1", "02-20 P-2 pays 20 of C-9 v2/2"]


def test_new_terms_that_hold_keep_taking_over_until_their_due_days() -> None:
    book = plan("next", 100)
    book.commit("C-9", "03-20", ("04-10", 40), ("05-10", 40), rule="hold")
    book.pay("P-1", "03-05", 160)
    assert settle(book).story() == ["03-05 P-1 pays 100 of C-9/1", "04-10 P-1 pays 40 of C-9 v2/1", "05-10 P-1 pays 20 of C-9 v2/2"]


def test_a_second_renegotiation_takes_over_what_the_first_could_not_use() -> None:
    book = plan("next", 100)
    book.commit("C-9", "03-20", ("04-10", 40), rule="last")
    book.commit("C-9", "04-20", ("05-10", 40), ("06-10", 40), rule="last")
    book.pay("P-1", "03-05", 200)
    assert settle(book).story() == [
        "03-05 P-1 pays 100 of C-9/1",
        "03-20 P-1 pays 40 of C-9 v2/1",
        "04-20 P-1 pays 20 of C-9 v3/1",
        "04-20 P-1 pays 40 of C-9 v3/2",
    ]


def test_a_payment_on_the_day_of_new_terms_goes_to_them() -> None:
    book = plan("last", 100, 100)
    book.commit("C-9", "03-20", ("04-10", 40), ("05-10", 40), rule="last")
    book.pay("P-1", "03-20", 50)
    assert settle(book).story() == ["03-20 P-1 pays 10 of C-9 v2/1", "03-20 P-1 pays 40 of C-9 v2/2"]
