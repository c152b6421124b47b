"""What a run found open is in the ledger when the run has recorded its build, and only what changed is written."""

from datetime import date
from typing import Any

import psycopg
import pytest

from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import positions
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.run import run_org
from ptp_pipeline.settings import Settings
from tests.conftest import PIPELINE
from tests.integration.pipeline_book import Book, approved_book, new_book

MORE = """payment_id,customer_id,received_date,amount,currency
PAY-5,C-1,2026-05-02,120.00,USD
"""


@pytest.fixture
def book(settings: Settings, ledger: Ledger) -> Book:
    book = approved_book(settings.model_copy(update={"increment_percent": 100}), ledger)
    book.run("2026-05-19")
    return book


def invoices(book: Book) -> list[tuple[Any, ...]]:
    return rows(book, "select invoice_id, customer_id, currency, open_minor from ptp.invoice_position order by 1")


def commitments(book: Book) -> list[tuple[Any, ...]]:
    return rows(book, "select commitment_id, version, paid_minor, outstanding_minor, status from ptp.commitment_position order by 1, 2")


def balance(book: Book, customer: str, currency: str = "USD") -> Any:
    with book.ledger.transaction(book.org, PIPELINE) as tx:
        found = tx.one("select ptp.customer_balance(%s, %s) as balance", [customer, currency])
    return found and found["balance"]


def rows(book: Book, sql: str) -> list[tuple[Any, ...]]:
    with book.ledger.transaction(book.org, PIPELINE) as tx:
        return [tuple(row.values()) for row in tx.all(sql)]


def last_written(book: Book) -> dict[str, str]:
    """By invoice or commitment, the transaction that wrote its row last."""
    of_invoices, of_commitments = (
        "select invoice_id, xmin::text from ptp.invoice_position",
        "select commitment_id, xmin::text from ptp.commitment_position",
    )
    return dict(rows(book, f"{of_invoices} union all {of_commitments}"))


def source(book: Book) -> positions.Source | None:
    with book.ledger.transaction(book.org, PIPELINE) as tx:
        return positions.source(tx)


def test_a_run_leaves_what_is_open_in_the_ledger_where_people_cannot_write_it(book: Book) -> None:
    assert invoices(book) == [("INV-1", "C-1", "USD", 100_000), ("INV-2", "C-2", "USD", 60_000)]
    assert commitments(book) == [("PLAN-1", 1, 55_000, 45_000, "active"), ("PROM-1", 1, 0, 60_000, "active")]
    assert [balance(book, customer) for customer in ("C-1", "C-2", "C-9")] == [100_000, 60_000, None]
    assert balance(book, "C-1", "EUR") is None
    build, digest = book.settings.current_build(book.org).resolve().name, book.query("select digest from run_info")[0][0]
    assert source(book) == positions.Source(build, digest, date(2026, 5, 19))
    for statement in (
        "insert into ptp.invoice_position values (ptp.current_org(), 'X', 'C-1', 'USD', 1, 1)",
        "update ptp.invoice_position set open_minor = open_minor + 1",
        "delete from ptp.commitment_position",
        "delete from ptp.position_source",
    ):
        with pytest.raises((Refused, psycopg.Error)), book.ledger.transaction(book.org, book.people["sam"]) as tx:
            tx.execute(statement)


def test_open_amounts_are_those_last_received_and_nothing_once_settled(book: Book) -> None:
    book.drop("invoices", "invoice_id,customer_id,customer_name,invoice_date,due_date,amount,open_amount,currency,settled_date\n"
              "INV-1,C-1,Ace Tools,2026-01-05,2026-02-04,1000.00,450.00,USD,\n"
              "INV-2,C-2,Bolt Works,2026-01-06,2026-02-05,600.00,600.00,USD,2026-05-01\n"
              "INV-3,C-3,Yen Trading,2026-01-06,2026-02-05,12345,,JPY,\n"
              "INV-4,C-3,Dinar Trading,2026-01-06,2026-02-05,1.234,,KWD,\n", "newer.csv")  # fmt: skip
    book.run("2026-05-19")
    assert {row[0]: row[3] for row in invoices(book)} == {"INV-1": 45_000, "INV-2": 0, "INV-3": 12_345, "INV-4": 1_234}
    assert [balance(book, "C-2"), balance(book, "C-3", "JPY"), balance(book, "C-3", "KWD")] == [0, 12_345, 1_234]


def test_an_increment_writes_only_what_changed(book: Book) -> None:
    before = last_written(book)
    book.drop("payments", MORE, "more.csv")
    book.run("2026-05-19")
    after = last_written(book)
    assert {key for key in after if after[key] != before[key]} == {"PLAN-1"}
    assert commitments(book)[0] == ("PLAN-1", 1, 67_000, 33_000, "active")


def test_positions_written_anew_equal_those_written_by_changes(book: Book) -> None:
    book.drop("payments", MORE, "more.csv")
    book.run("2026-05-19")
    by_changes = invoices(book), commitments(book)
    with book.ledger.transaction(book.org, PIPELINE) as tx:
        tx.execute("delete from ptp.position_source")
        tx.execute("delete from ptp.invoice_position where invoice_id = 'INV-1'")
        tx.execute("insert into ptp.invoice_position values (ptp.current_org(), 'NOBODY', 'C-1', 'USD', 1, 1)")
    assert run_org(book.settings, book.org, date(2026, 5, 19), full=True, ledger=book.ledger).ok
    assert (invoices(book), commitments(book)) == by_changes


def test_a_build_for_an_earlier_day_leaves_the_positions_unless_it_is_made_current(settings: Settings, ledger: Ledger) -> None:
    book = new_book(settings, ledger)
    book.run("2026-05-19")
    now = source(book), invoices(book), commitments(book)
    assert [row[0] for row in now[1]] == ["INV-1", "INV-2"]
    book.run("2026-01-05")
    assert (source(book), invoices(book), commitments(book)) == now
    book.run("2026-01-05", make_current=True)
    assert [row[0] for row in invoices(book)] == ["INV-1"]
    assert commitments(book) == []
