"""People's decisions as a run sees them: which work out, which are stale, and why, in words."""

from typing import Any

import duckdb
import pytest

from ptp_pipeline.warehouse.models import create_table, stage_models

from .books import Book, match, rows

MODELS = [model for model in stage_models("matching") if model.table in ("commitment_histories", "decisions")]


def decisions(book: Book, seed: int = 0) -> list[dict[str, Any]]:
    with duckdb.connect(":memory:") as con:
        con.execute("set timezone = 'UTC'")
        book.load(con, seed)
        for model in MODELS:
            create_table(con, model)
        return sorted(rows(con, "matching.decisions"), key=lambda row: (row["payment_id"], row["part"]))


def small_book(**pay: Any) -> Book:
    book = Book()
    book.commit("C-1", "03-01", ("04-01", 10_000), ("05-01", 10_000))
    book.commit("OTHER", "03-01", ("04-01", 10_000), customer="K2")
    book.commit("LATER", "05-02", ("06-01", 10_000))
    book.commit("GONE", "03-01", ("06-01", 10_000), cancelled_on="03-10")
    book.commit("WAITS", "03-01", ("06-01", 10_000), decision=None)
    book.commit("BACK", "03-01", ("06-01", 10_000), decision="send_back")
    book.commit("NO", "03-01", ("06-01", 10_000), decision="reject")
    book.commit("EURO", "03-01", ("06-01", 10_000), currency="EUR")
    book.pay("P-1", "04-02", 10_000, **pay)
    return book


UNAPPLIED = "The money stays unapplied; decide again, or undo the decision."
AT_THE_SOURCE = "The money stays unapplied; correct the customer at the source, decide again, or undo the decision."
NOT_FOLLOWED = "The decision is not followed and the other rules hold; decide again, or undo it."


@pytest.mark.parametrize(
    ("commitment", "problem"),
    [
        ("C-1", None),
        (None, None),
        ("OTHER", f"Commitment OTHER belongs to another customer, K2. {AT_THE_SOURCE}"),
        ("EURO", f"The payment is in USD, but commitment EURO is in EUR. {UNAPPLIED}"),
        ("LATER", f"Commitment LATER was agreed on 2 May 2026, after the money came in on 2 Apr 2026. {UNAPPLIED}"),
        ("GONE", f"Commitment GONE was cancelled on 10 Mar 2026. {UNAPPLIED}"),
        ("WAITS", "Commitment WAITS is not approved yet. The money stays unapplied until it is."),
        ("BACK", f"Commitment BACK was sent back and is not approved. {UNAPPLIED}"),
        ("NO", f"Commitment NO was rejected. {UNAPPLIED}"),
        ("NOWHERE", f"Commitment NOWHERE is not in this book. {NOT_FOLLOWED}"),
    ],
)
def test_a_decision_works_out_or_says_why_not(commitment: str | None, problem: str | None) -> None:
    book = small_book()
    book.assign("P-1", commitment)
    ((row),) = decisions(book)
    assert (row["is_stale"], row["problem"]) == (problem is not None, problem)
    assert (row["commitment_id"], row["amount_minor"], row["decided_by"], row["reason"]) == (commitment, None, "ann", "told by phone")


@pytest.mark.parametrize("commitment", ["C-1", None, "OTHER", "EURO", "LATER", "GONE", "WAITS", "NOWHERE"])
def test_stale_is_what_the_money_does(commitment: str | None) -> None:
    """The matching itself is asked: a decision that is not stale is followed, a stale one leaves the money unapplied or to the rules."""
    book = small_book()
    book.assign("P-1", commitment)
    ((row),) = decisions(book)
    payment = match(book).payment("P-1")
    if row["is_stale"] and "not followed" in row["problem"]:
        assert payment["matched_by"] not in {None, "override"}
    elif row["is_stale"]:
        assert (payment["match_status"], payment["matched_by"]) == ("unmatched", None)
    else:
        assert payment["matched_by"] == "override"
        assert payment["match_status"] == ("matched" if commitment else "set_aside")


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        (4_000, None),
        (3_095, f"The parts add up to 90.95 USD, but the payment is 100.00 USD: 9.05 USD are missing. {NOT_FOLLOWED}"),
        (4_001, f"The parts add up to 100.01 USD, but the payment is 100.00 USD: 0.01 USD too much. {NOT_FOLLOWED}"),
    ],
)
def test_a_split_must_add_up(rest: int, problem: str | None) -> None:
    book = small_book()
    book.split("P-1", ("C-1", 6_000), (None, rest))
    assert [(row["part"], row["amount_minor"], row["problem"]) for row in decisions(book)] == [(1, 6_000, problem), (2, rest, problem)]
    assert match(book).payment("P-1")["allocated_minor"] == (6_000 if problem is None else 10_000)


def test_amounts_read_with_the_decimals_of_their_currency() -> None:
    book = Book()
    book.pay("YEN", "04-02", 100, currency="JPY")
    book.pay("DINAR", "04-02", 10_005, currency="KWD")
    book.split("YEN", (None, 60), (None, 41))
    book.split("DINAR", (None, 10_000), (None, 1))
    dinar, _, yen, _ = (row["problem"] for row in decisions(book))
    assert "add up to 101 JPY, but the payment is 100 JPY: 1 JPY too much" in yen
    assert "add up to 10.001 KWD, but the payment is 10.005 KWD: 0.004 KWD are missing" in dinar


def test_one_part_may_be_stale_and_the_others_not() -> None:
    book = small_book()
    book.split("P-1", ("C-1", 6_000), ("GONE", 4_000))
    assert [(row["commitment_id"], row["is_stale"]) for row in decisions(book)] == [("C-1", False), ("GONE", True)]
    payment = match(book).payment("P-1")
    assert (payment["allocated_minor"], payment["unapplied_minor"]) == (6_000, 4_000)


def test_a_part_to_nowhere_makes_the_whole_split_stale() -> None:
    book = small_book()
    book.split("P-1", (None, 6_000), ("NOWHERE", 4_000))
    assert [row["is_stale"] for row in decisions(book)] == [True, True]
    assert match(book).payment("P-1")["matched_by"] == "exact_amount"


def test_a_decision_on_a_payment_that_is_not_there_or_is_none_is_reported() -> None:
    book = small_book()
    book.reverse("R-1", "P-1", "04-05", 50)
    book.assign("P-404", "C-1")
    book.assign("R-1", "C-1")
    missing, reversal = decisions(book)
    assert missing["problem"].startswith("Payment P-404 is not in this book.")
    assert reversal["problem"].startswith("R-1 is a reversal; people decide on payments only.")
    assert missing["is_stale"]
    assert reversal["is_stale"]


def test_a_decision_on_what_comes_after_the_day_is_not_known_yet() -> None:
    book = small_book()
    book.pay("P-2", "07-01", 100)
    book.assign("P-2", "C-1")
    assert decisions(book) == []


def test_a_version_replaced_since_still_takes_the_money_of_its_days() -> None:
    book = small_book()
    book.commit("C-1", "04-10", ("06-01", 5_000))
    book.assign("P-1", "C-1")
    assert [row["is_stale"] for row in decisions(book)] == [False]
    book.commit("C-1", "03-01", ("06-01", 5_000), cancelled_on="04-15")
    assert [row["is_stale"] for row in decisions(book)] == [False]


def test_the_order_of_the_rows_makes_no_difference() -> None:
    book = small_book()
    book.split("P-1", ("C-1", 1), ("GONE", 4), ("NOWHERE", 5), ("ZZZ", 6))
    book.assign("P-9", "C-1")
    assert decisions(book, 0) == decisions(book, 1) == decisions(book, 2)
