"""A run after a small payments file makes the rows of the customers it concerns, says so, and ends where a rebuild would.

What runs find open is in the ledger when they have recorded their builds, and only what changed is written there.
"""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import positions
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.run import RunOutcome, failure_words, run_org
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse import increment
from tests.conftest import PIPELINE
from tests.integration.pipeline_book import PAYMENTS, Book, approved_book

NEWS = """payment_id,customer_id,received_date,amount,currency,kind,reverses_payment_id,invoice_id,commitment_id,reference
PAY-5,C-1,2026-05-02,120.00,USD,payment,,,,
PAY-2,C-9,2026-04-10,300.00,USD,payment,,INV-1,,another customer under a known id
PAY-6,C-9,2026-05-03,45.00,USD,payment,,,,PROM-1 of Bolt Works
PAY-7,C-1,2026-05-04,100.00,USD,chargeback,PAY-1,,,
"""
NEWER_INVOICES = """invoice_id,customer_id,customer_name,invoice_date,due_date,amount,open_amount,currency,settled_date
INV-1,C-1,Ace Tools,2026-01-05,2026-02-04,1000.00,450.00,USD,
INV-2,C-2,Bolt Works,2026-01-06,2026-02-05,600.00,600.00,USD,2026-05-01
INV-3,C-3,Yen Trading,2026-01-06,2026-02-05,12345,,JPY,
INV-4,C-3,Dinar Trading,2026-01-06,2026-02-05,1.234,,KWD,
"""
PROMISE = """commitment_id,kind,customer_id,agreed_on,amount,first_due_date,currency,frequency,owner
PROM-2,promise,C-2,2026-05-02,10.00,2026-05-06,USD,once,maria
"""


class Seen:
    """What a run left: its build, what it said of its scope, and what stands in the ledger."""

    def __init__(self, book: Book) -> None:
        self.build: Path = book.settings.current_build(book.org).resolve()
        found = increment.current(book.settings, book.org)
        self.scope = found.words if found else ""
        with book.ledger.transaction(book.org, PIPELINE) as tx:
            self.source = positions.source(tx)
        self.invoices = rows(book, "select invoice_id, customer_id, currency, open_minor from ptp.invoice_position order by 1")
        self.commitments = rows(
            book, "select commitment_id, version, paid_minor, outstanding_minor, status from ptp.commitment_position order by 1, 2"
        )
        # by invoice or commitment, the transaction that wrote its row last
        of_invoices, of_commitments = (
            "select invoice_id, xmin::text from ptp.invoice_position",
            "select commitment_id, xmin::text from ptp.commitment_position",
        )
        self.written = dict(rows(book, f"{of_invoices} union all {of_commitments}"))
        self.balances = {key: balance(book, *key) for key in (("C-1", "USD"), ("C-2", "USD"), ("C-9", "USD"), ("C-1", "EUR"),
                                                              ("C-3", "JPY"), ("C-3", "KWD"))}  # fmt: skip
        self.transitions = sorted(
            rows(book, "select commitment_id, version, sequence, from_state, to_state, effective_on from ptp.transition")
        )


class Story:
    """One org from its first build on: what each run left, by name. Of two customers, any is a large share of them."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.seen: dict[str, Seen] = {}
        self.tell("first")
        book.drop("payments", NEWS, "more.csv")
        self.tell("increment")
        self.outcome = self.rebuild()
        book.drop("invoices", NEWER_INVOICES, "newer.csv")
        self.tell("newer invoices")
        book.drop("payments", PAYMENTS.replace("PAY-", "PAW-"), "small.csv")
        self.tell("another increment")
        book.drop("payments", PAYMENTS.replace("PAY-", "PAX-"), "other.csv")
        assert book.try_run("2026-05-19", stages=["feed", "raw"]).success
        self.seen["new files alone"] = Seen(book)
        self.published_alone = book.try_run("2026-05-19", stages=["published"])
        self.tell("another day", "2026-05-20")
        book.drop("commitments", PROMISE, "c.csv")
        book.drop("payments", PAYMENTS.replace("PAY-", "PAZ-"), "last.csv")
        self.tell("a promise", "2026-05-20")
        self.tell("an earlier day", "2026-01-05")
        self.tell("an earlier day made current", "2026-01-05", make_current=True)

    def tell(self, name: str, as_of: str = "2026-05-19", **config: object) -> None:
        self.book.run(as_of, **config)
        self.seen[name] = Seen(self.book)

    def rebuild(self) -> RunOutcome:
        """Everything anew, positions too: nobody knows any more which build those in the ledger are of."""
        book = self.book
        with book.ledger.transaction(book.org, PIPELINE) as tx:
            tx.execute("delete from ptp.position_source")
            tx.execute("delete from ptp.invoice_position where invoice_id = 'INV-1'")
            tx.execute("insert into ptp.invoice_position values (ptp.current_org(), 'NOBODY', 'C-1', 'USD', 1, 1)")
        outcome = run_org(book.settings, book.org, date(2026, 5, 19), full=True, ledger=book.ledger)
        assert outcome.ok, outcome.errors
        self.seen["rebuild"] = Seen(book)
        return outcome


@pytest.fixture(scope="module")
def story(settings: Settings, ledger: Ledger) -> Story:
    return Story(approved_book(settings.model_copy(update={"increment_percent": 100}), ledger))


def balance(book: Book, customer: str, currency: str) -> Any:
    with book.ledger.transaction(book.org, PIPELINE) as tx:
        found = tx.one("select ptp.customer_balance(%s, %s) as balance", [customer, currency])
    return found and found["balance"]


def rows(book: Book, sql: str) -> list[tuple[Any, ...]]:
    with book.ledger.transaction(book.org, PIPELINE) as tx:
        return [tuple(row.values()) for row in tx.all(sql)]


def test_a_small_payments_file_is_an_increment_that_equals_a_rebuild(story: Story) -> None:
    first, part, whole = (story.seen[name] for name in ("first", "increment", "rebuild"))
    assert (first.scope, part.scope, whole.scope) == ("", "Increment: 2 customers of 2.", "")
    query = story.book.query
    assert query("select count(*) from payments where payment_id in ('PAY-5', 'PAY-7')", part.build) == [(2,)]
    assert whole.build != part.build
    assert query("select digest from run_info", part.build) == query("select digest from run_info", whole.build)
    with duckdb.connect() as con:
        con.execute(f"attach '{part.build / 'ptp.duckdb'}' as a (read_only); attach '{whole.build / 'ptp.duckdb'}' as b (read_only)")
        for table in story.outcome.tables.keys() - {"run_info", "build"}:
            for left, right in (("a", "b"), ("b", "a")):
                assert con.execute(f"from {left}.{table} except all from {right}.{table}").fetchall() == [], (left, table)
    assert whole.transitions == part.transitions


def test_another_day_or_a_decision_makes_everything(story: Story) -> None:
    assert story.seen["another increment"].scope != ""
    assert story.seen["another day"].scope == ""
    assert story.seen["a promise"].scope == ""


def test_stages_run_alone_after_new_files_never_mix_with_an_increment(story: Story) -> None:
    assert story.seen["another increment"].scope != ""
    assert story.seen["new files alone"].scope == ""
    assert not story.published_alone.success
    assert any("were made before" in error for error in failure_words(story.published_alone.all_events))


def test_a_run_leaves_what_is_open_in_the_ledger_where_people_cannot_write_it(story: Story) -> None:
    book, first = story.book, story.seen["first"]
    assert first.invoices == [("INV-1", "C-1", "USD", 100_000), ("INV-2", "C-2", "USD", 60_000)]
    assert first.commitments == [("PLAN-1", 1, 55_000, 45_000, "active"), ("PROM-1", 1, 0, 60_000, "active")]
    assert [first.balances[customer, "USD"] for customer in ("C-1", "C-2", "C-9")] == [100_000, 60_000, None]
    assert first.balances["C-1", "EUR"] is None
    digest = book.query("select digest from run_info", first.build)[0][0]
    assert first.source == positions.Source(first.build.name, digest, date(2026, 5, 19))
    for statement in (
        "insert into ptp.invoice_position values (ptp.current_org(), 'X', 'C-1', 'USD', 1, 1)",
        "update ptp.invoice_position set open_minor = open_minor + 1",
        "delete from ptp.commitment_position",
        "delete from ptp.position_source",
    ):
        with pytest.raises((Refused, psycopg.Error)), book.ledger.transaction(book.org, book.people["sam"]) as tx:
            tx.execute(statement)


def test_open_amounts_are_those_last_received_and_nothing_once_settled(story: Story) -> None:
    seen = story.seen["newer invoices"]
    assert {row[0]: row[3] for row in seen.invoices} == {"INV-1": 45_000, "INV-2": 0, "INV-3": 12_345, "INV-4": 1_234}
    assert [seen.balances[key] for key in (("C-2", "USD"), ("C-3", "JPY"), ("C-3", "KWD"))] == [0, 12_345, 1_234]


def test_an_increment_writes_only_what_changed(story: Story) -> None:
    """PAY-5 pays 120.00 of the plan, and the chargeback PAY-7 asks for 100.00 more."""
    before, after = story.seen["first"].written, story.seen["increment"].written
    assert {key for key in after if after[key] != before[key]} == {"PLAN-1"}
    assert story.seen["increment"].commitments[0] == ("PLAN-1", 1, 67_000, 43_000, "active")


def test_positions_written_anew_equal_those_written_by_changes(story: Story) -> None:
    by_changes, anew = story.seen["increment"], story.seen["rebuild"]
    assert (anew.invoices, anew.commitments) == (by_changes.invoices, by_changes.commitments)


def test_a_build_for_an_earlier_day_leaves_the_positions_unless_it_is_made_current(story: Story) -> None:
    now, earlier, current = (story.seen[name] for name in ("a promise", "an earlier day", "an earlier day made current"))
    assert [row[0] for row in now.invoices] == ["INV-1", "INV-2", "INV-3", "INV-4"]
    assert (earlier.source, earlier.invoices, earlier.commitments) == (now.source, now.invoices, now.commitments)
    assert [row[0] for row in current.invoices] == ["INV-1"]
    assert current.commitments == []
