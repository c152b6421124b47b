"""Suggestions where a payment may belong: what is found, how it is ranked and said, and what is never suggested."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptp_pipeline.warehouse.allocation import PYTHON_STEPS
from ptp_pipeline.warehouse.models import create_table, stage_models

from .books import Book, Decision, rows

Row = dict[str, Any]


@contextmanager
def matched(book: Book, seed: int = 0, threads: int = 1) -> Iterator[duckdb.DuckDBPyConnection]:
    """The whole stage over a book, as a run makes it."""
    with duckdb.connect(":memory:", config={"threads": threads, "preserve_insertion_order": False}) as con:
        con.execute("set timezone = 'UTC'")
        book.load(con, seed)
        for model in stage_models("matching"):
            create_table(con, model)
            if step := PYTHON_STEPS.get(model.table):
                step(con)
        yield con


def suggestions(book: Book, seed: int = 0, threads: int = 1) -> list[Row]:
    with matched(book, seed, threads) as con:
        return sorted(rows(con, "matching.suggestions"), key=lambda row: (row["payment_id"], row["rank"]))


def found(book: Book, payment_id: str = "P-1") -> list[tuple[str, int | None, bool]]:
    return [(r["commitment_id"], r["sequence"], r["is_acceptable"]) for r in suggestions(book) if r["payment_id"] == payment_id]


def street() -> Book:
    """Three customers with a plan each, and invoices."""
    book = Book(names={"C-1001": "Alder Foods", "C-1002": "Birch & Sons", "C-1003": "Cedar Tools"})
    book.commit("PL-104", "03-01", ("03-15", 10_000), ("04-15", 10_000), ("05-15", 25_000), customer="C-1001", invoices=["INV-1004"])
    book.commit("PL-205", "03-01", ("04-01", 30_000), customer="C-1002", invoices=["INV-2005"])
    book.commit("PL-306", "03-01", ("04-01", 7_700), customer="C-1003", invoices=["INV-3006"])
    return book


# ways to be found -------------------------------------------------------------------------------------------------------


def test_an_amount_and_a_misspelt_invoice_say_what_to_correct() -> None:
    book = street()
    book.pay("P-1", "03-16", 10_000, "C-9", reference="thanks INV 10O4")
    first, *_ = suggestions(book)
    assert (first["commitment_id"], first["version"], first["sequence"], first["score"]) == ("PL-104", 1, 1, 78)
    assert first["reasons"] == "equals installment 1 due 15 Mar 2026; its reference 'INV 10O4' is close to invoice INV-1004"
    assert (first["amount_minor"], first["customer_id"], first["is_acceptable"]) == (10_000, "C-1001", False)
    assert first["correction"].startswith(
        "It is of customer C-1001, the payment of C-9. If C-1001 paid, correct the customer at the source"
    )


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("INV-2005", "names invoice INV-2005"),
        ("inv-2005,", "names invoice INV-2005"),
        ("INV-2OO5", "'INV-2OO5' is close to invoice INV-2005"),
        ("INV-2050", "'INV-2050' is close to invoice INV-2005"),
        ("INV-205", "'INV-205' is close to invoice INV-2005"),
        ("INV-20055", "'INV-20055' is close to invoice INV-2005"),
        ("INV-2015", "'INV-2015' is close to invoice INV-2005"),
        ("inv 2005", "'inv 2005' is close to invoice INV-2005"),
        ("PL-2O5", "'PL-2O5' is close to commitment PL-205"),
    ],
)
def test_an_id_in_the_reference_is_found_across_customers_one_slip_away(written: str, why: str) -> None:
    book = street()
    book.pay("P-1", "04-02", 123, "C-9", reference=f"for {written} ok")
    ((row),) = suggestions(book)
    assert row["commitment_id"] == "PL-205"
    assert f"its reference {why}" in row["reasons"]


@pytest.mark.parametrize(("column", "value"), [("commitment_id", "PL-2005"), ("invoice_id", "INV-20O5")])
def test_an_unknown_id_on_the_row_is_compared_too(column: str, value: str) -> None:
    book = street()
    book.pay("P-1", "04-02", 123, "C-9", **{column: value})
    assert found(book) == [("PL-205", 1, False)]
    assert f"its {column} '{value}' is close to" in suggestions(book)[0]["reasons"]


def test_an_id_of_this_book_is_not_a_misspelt_other_one() -> None:
    book = street()
    book.commit("PL-206", "03-01", ("04-01", 500), customer="C-1003", invoices=["INV-2006"])
    book.pay("P-1", "04-02", 123, "C-9", reference="INV-2006")
    assert found(book) == [("PL-206", 1, False)]


def test_a_misspelt_customer_is_found() -> None:
    book = street()
    book.pay("P-1", "04-02", 30_000, "C-10O2")
    first, *_ = suggestions(book)
    assert first["commitment_id"] == "PL-205"
    assert first["reasons"] == "equals installment 1 due 1 Apr 2026; customer 'C-10O2' is close to C-1002"


def test_a_customers_name_in_the_reference_is_found() -> None:
    book = street()
    book.pay("P-1", "04-01", 5, "C-9", reference="transfer ALDER FOODS ltd")
    book.pay("P-2", "04-02", 5, "C-9", reference="Sons of Birch")
    assert [(r["payment_id"], r["commitment_id"]) for r in suggestions(book)] == [("P-2", "PL-205")]
    assert "its reference names customer C-1002, Birch & Sons" in suggestions(book)[0]["reasons"]


def test_what_is_left_of_a_payment_may_go_to_another_commitment_of_its_customer() -> None:
    book = street()
    book.commit("PR-1", "03-01", ("04-02", 5_000), customer="C-1003")
    book.pay("P-1", "04-02", 12_700, "C-1003", commitment_id="PL-306")
    ((row),) = suggestions(book)
    assert (row["commitment_id"], row["sequence"], row["amount_minor"], row["is_acceptable"]) == ("PR-1", 1, 5_000, True)
    assert row["reasons"] == "equals installment 1 due 2 Apr 2026; of the same customer"
    assert row["correction"] is None


def test_amounts_that_are_nearly_or_all_that_is_open_or_the_total_are_said() -> None:
    book = street()
    for number, (amount, words) in enumerate(
        [
            (29_970, "0.30 USD less than installment 1 due 1 Apr 2026"),
            (45_000, "equals its total"),
            (35_000, "equals all that is open on it"),
        ],
        1,
    ):
        book.pay(f"P-{number}", "04-01", amount, "C-9", reference={1: "INV-2005", 2: "INV-1004", 3: "INV-1004"}[number])
        if number == 2:
            book.pay("P-0", "03-15", 10_000, "C-1001")
        assert words in next(r["reasons"] for r in suggestions(book) if r["payment_id"] == f"P-{number}")


def test_money_before_the_agreement_is_suggested_with_the_dates_to_check() -> None:
    book = street()
    book.pay("P-1", "02-26", 7_700, "C-1003")
    ((row),) = suggestions(book)
    assert (row["commitment_id"], row["is_acceptable"]) == ("PL-306", False)
    assert row["correction"].startswith("It is in force from 1 Mar 2026, the payment came on 26 Feb 2026.")


def test_a_payment_that_has_its_place_but_names_something_unknown_is_suggested_only_what_it_names() -> None:
    book = street()
    book.commit("PL-777", "03-01", ("04-01", 99_900), customer="C-1003")
    book.pay("P-1", "04-01", 7_700, "C-1003", commitment_id="PL-77")
    with matched(book) as con:
        (payment,) = rows(con, "matching.payments")
        ((row),) = rows(con, "matching.suggestions")
    assert (payment["match_status"], payment["target_commitment_id"]) == ("matched", "PL-306")
    assert (row["commitment_id"], row["is_acceptable"]) == ("PL-777", True)
    assert "its commitment_id 'PL-77' is close to commitment PL-777" in row["reasons"]


# ranking ----------------------------------------------------------------------------------------------------------------


def test_one_of_many_equal_amounts_says_less_than_the_only_one() -> None:
    book = Book()
    book.commit("A", "03-01", ("04-01", 500), customer="K1")
    book.pay("P-1", "04-01", 500, "K9")
    alone = suggestions(book)[0]
    for n in range(5):
        book.commit(f"B-{n}", "03-01", ("04-01", 500), customer=f"K{n + 2}")
    crowd = suggestions(book)
    assert (alone["score"], crowd[0]["score"]) == (50, 30)
    assert "(and one of at least 4 other commitments)" in crowd[0]["reasons"]
    assert [(r["rank"], r["commitment_id"]) for r in crowd] == [(1, "A"), (2, "B-0"), (3, "B-1")]  # ties go by id, three at most


def test_with_everybodys_installment_alike_only_the_nearest_are_looked_at() -> None:
    book = Book()
    for n in range(60):
        book.commit(f"C-{n:03}", "03-01", (f"04-{n % 30 + 1:02}", 500), customer=f"K{n:03}")
    book.pay("P-1", "04-10", 500, "K999")
    with matched(book) as con:
        dues = con.execute(
            "select distinct abs(d.due_date - date '2026-04-10') from matching.suggestion_candidates"
            " join matching.suggestion_dues as d using (commitment_id, version)"
        ).fetchall()
        count = con.execute("select count(*) from matching.suggestion_candidates").fetchall()
    assert count == [(8,)]
    assert max(days for (days,) in dues) <= 2


def test_only_the_newest_payments_are_looked_at_and_it_is_said() -> None:
    book = street()
    for n in range(503):
        book.pay(f"P-{n:05}", "04-01" if n else "04-05", 30_000, "C-9")
    made = suggestions(book, threads=2)
    assert len({r["payment_id"] for r in made}) == 500
    assert {r["note"] for r in made} == {"Only the newest 500 payments were looked at; 3 older ones were not."}
    assert "P-00000" in {r["payment_id"] for r in made}
    assert not {"P-00001", "P-00002", "P-00003"} & {r["payment_id"] for r in made}


# what is never suggested ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", [None, "reject", "send_back"])
def test_what_was_never_approved_is_not_suggested(decision: str | None) -> None:
    book = Book()
    book.commit("C-1", "03-01", ("04-01", 500), customer="K1", invoices=["INV-1001"], decision=decision)
    book.pay("P-1", "04-01", 500, "K9", reference="INV-1001")
    assert suggestions(book) == []


def test_what_is_paid_is_not_suggested() -> None:
    book = Book()
    book.commit("C-1", "03-01", ("04-01", 500), customer="K1", invoices=["INV-1001"])
    book.pay("P-0", "03-20", 500, "K1")
    book.pay("P-1", "04-01", 500, "K9", reference="INV-1001")
    assert suggestions(book) == []


def test_credit_that_waits_for_the_next_due_date_is_left_in_peace() -> None:
    book = Book()
    book.commit("C-1", "03-01", ("04-01", 500), ("08-01", 500), rule="hold")
    book.commit("C-2", "03-01", ("04-01", 500))
    book.pay("P-1", "04-01", 1_000, commitment_id="C-1")
    assert suggestions(book) == []


def test_what_a_person_set_aside_is_left_in_peace() -> None:
    book = street()
    book.pay("P-1", "04-01", 40_000, "C-1002")
    book.pay("P-2", "04-01", 7_700, "C-9")
    assert {r["payment_id"] for r in suggestions(book)} == {"P-1", "P-2"}
    book.assign("P-2", None)
    book.split("P-1", ("PL-205", 30_000), (None, 10_000))
    assert suggestions(book) == []


# any book ---------------------------------------------------------------------------------------------------------------


@st.composite
def books(draw: st.DrawFn) -> Book:
    """A few customers, commitments with likely ids, and payments that miss them in all ways."""
    book = Book(names={"K-101": "Alder Foods", "K-102": "Birch Sons"})
    customers = st.sampled_from(["K-101", "K-102", "K-103", "K-1O1", "K-9"])
    amounts = st.sampled_from([100, 100, 150, 333, 1_000])
    days = st.integers(1, 30).map(lambda n: f"04-{n:02}")
    for n in range(draw(st.integers(1, 5))):
        for _ in range(draw(st.sampled_from([1, 1, 2]))):
            dues = draw(st.lists(st.tuples(days, amounts), min_size=1, max_size=3))
            first = min(due for due, _ in dues)
            book.commit(
                f"PL-10{n}", draw(st.sampled_from(["03-01", first])), *sorted(dues),
                customer=["K-101", "K-102", "K-103"][n % 3], currency=["USD", "USD", "JPY"][n % 3],
                invoices=[f"INV-10{n}"], decision=draw(st.sampled_from(["approve"] * 4 + [None, "reject"])),
                cancelled_on=draw(st.sampled_from([None, None, "04-10"])),
            )  # fmt: skip
    for n in range(draw(st.integers(1, 6))):
        book.pay(
            f"P-{n}", draw(days), draw(amounts), draw(customers), currency=draw(st.sampled_from(["USD", "USD", "JPY"])),
            reference=draw(st.sampled_from([None, "INV 10O", "INV-101", "PL-1O1 thanks", "from alder foods", "INV-01"])),
            commitment_id=draw(st.sampled_from([None, None, "PL-100", "PL-1OO"])),
        )  # fmt: skip
    if draw(st.booleans()):
        book.assign("P-0", draw(st.sampled_from([None, "PL-100"])))
    return book


@settings(max_examples=25, deadline=None)
@given(books())
def test_suggestions_never_cross_currencies_nor_leave_what_is_in_force(book: Book) -> None:
    versions = {(v.commitment_id, v.version): v for v in book.approved()}
    with matched(book) as con:
        payments = {p["payment_id"]: p for p in rows(con, "matching.payments")}
        made = rows(con, "matching.suggestions")
    by_payment: dict[str, list[Row]] = {}
    for row in made:
        by_payment.setdefault(row["payment_id"], []).append(row)
        version, payment = versions[row["commitment_id"], row["version"]], payments[row["payment_id"]]
        came = payment["received_date"]
        assert version.currency == payment["currency"]
        assert payment["kind"] == "payment"
        assert payment["unapplied_minor"] > 0 or row["amount_minor"] == payment["allocated_minor"]
        assert any(version.is_in_force(came + timedelta(n)) for n in range(-7, 8))
        is_own = version.customer_id == payment["customer_id"]
        assert row["is_acceptable"] == (is_own and version.is_in_force(came)) == (row["correction"] is None)
        assert 0 <= row["score"] <= 100
        assert row["reasons"]
    for ranked in by_payment.values():
        ranked.sort(key=lambda row: row["rank"])
        assert [row["rank"] for row in ranked] == list(range(1, len(ranked) + 1))
        assert len(ranked) <= 3
        assert len({row["commitment_id"] for row in ranked}) == len(ranked)
        assert all(better["score"] >= worse["score"] for better, worse in pairwise(ranked))


@settings(max_examples=10, deadline=None)
@given(books(), st.integers(1, 99))
def test_the_same_facts_give_the_same_suggestions(book: Book, seed: int) -> None:
    assert suggestions(book) == suggestions(book, seed, threads=2)


@settings(max_examples=15, deadline=None)
@given(books())
def test_what_is_acceptable_takes_money_when_it_is_accepted(book: Book) -> None:
    made = [row for row in suggestions(book) if row["is_acceptable"] and row["rank"] == 1]
    for row in made[:1]:
        book.decisions = [d for d in book.decisions if d.payment_id != row["payment_id"]]
        book.decisions.append(Decision(row["payment_id"], row["commitment_id"]))
        with matched(book) as con:
            (paid,) = con.execute(
                "select coalesce(sum(amount_minor), 0) from matching.allocations where payment_id = $1 and commitment_id = $2",
                [row["payment_id"], row["commitment_id"]],
            ).fetchall()[0]
            stale = con.execute("select problem from matching.decisions where is_stale and payment_id = $1", [row["payment_id"]]).fetchall()
        assert paid > 0
        assert stale == []
