"""A run after a small payments file makes the rows of the customers it concerns, says so, and ends where a rebuild would."""

from datetime import date

import duckdb
import pytest

from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.run import failure_words, run_org
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse import increment
from tests.integration.pipeline_book import PAYMENTS, Book, approved_book

NEWS = """payment_id,customer_id,received_date,amount,currency,kind,reverses_payment_id,invoice_id,commitment_id,reference
PAY-5,C-1,2026-05-02,120.00,USD,payment,,,,
PAY-2,C-9,2026-04-10,300.00,USD,payment,,INV-1,,another customer under a known id
PAY-6,C-9,2026-05-03,45.00,USD,payment,,,,PROM-1 of Bolt Works
PAY-7,C-1,2026-05-04,100.00,USD,chargeback,PAY-1,,,
"""


@pytest.fixture
def book(settings: Settings, ledger: Ledger) -> Book:
    """Approved and published; of two customers, any is a large share."""
    book = approved_book(settings.model_copy(update={"increment_percent": 100}), ledger)
    book.run("2026-05-19")
    return book


def scope_of(book: Book) -> str:
    found = increment.current(book.settings, book.org)
    return found.words if found else ""


def test_a_small_payments_file_is_an_increment_that_equals_a_rebuild(book: Book) -> None:
    assert scope_of(book) == ""
    book.drop("payments", NEWS, "more.csv")
    result = book.try_run("2026-05-19")
    assert result.success, failure_words(result.all_events)
    assert scope_of(book) == "Increment: 2 customers of 2."
    part = book.settings.current_build(book.org).resolve()
    assert book.query("select count(*) from payments where payment_id in ('PAY-5', 'PAY-7')") == [(2,)]
    recorded = transitions(book)
    outcome = run_org(book.settings, book.org, date(2026, 5, 19), full=True, ledger=book.ledger)
    assert outcome.ok, outcome.errors
    whole = book.settings.current_build(book.org).resolve()
    assert scope_of(book) == ""
    assert whole != part
    assert book.query("select digest from run_info", part) == book.query("select digest from run_info", whole)
    with duckdb.connect() as con:
        con.execute(f"attach '{part / 'ptp.duckdb'}' as a (read_only); attach '{whole / 'ptp.duckdb'}' as b (read_only)")
        for table in outcome.tables.keys() - {"run_info", "build"}:
            for left, right in (("a", "b"), ("b", "a")):
                assert con.execute(f"from {left}.{table} except all from {right}.{table}").fetchall() == [], (left, table)
    assert transitions(book) == recorded


def test_another_day_or_a_decision_makes_everything(book: Book) -> None:
    book.drop("payments", NEWS, "more.csv")
    book.run("2026-05-20")
    assert scope_of(book) == ""
    book.drop("commitments", "commitment_id,kind,customer_id,agreed_on,amount,first_due_date,currency,frequency,owner\n"
              "PROM-2,promise,C-2,2026-05-02,10.00,2026-05-06,USD,once,maria\n", "c.csv")  # fmt: skip
    book.drop("payments", PAYMENTS.replace("PAY-", "PAX-"), "other.csv")
    book.run("2026-05-20")
    assert scope_of(book) == ""


def test_stages_run_alone_after_new_files_never_mix_with_an_increment(book: Book) -> None:
    book.drop("payments", NEWS, "more.csv")
    book.run("2026-05-19")
    assert scope_of(book)
    book.drop("payments", PAYMENTS.replace("PAY-", "PAX-"), "other.csv")
    assert book.try_run("2026-05-19", stages=["feed", "raw"]).success
    assert scope_of(book) == ""
    result = book.try_run("2026-05-19", stages=["published"])
    assert not result.success
    assert any("were made before" in error for error in failure_words(result.all_events))


def transitions(book: Book) -> list[tuple[object, ...]]:
    with book.ledger.transaction(book.org, book.people["sam"]) as tx:
        rows = tx.all("select commitment_id, version, sequence, from_state, to_state, effective_on from ptp.transition")
    return sorted(tuple(row.values()) for row in rows)
