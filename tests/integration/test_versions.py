"""One plan through approval, a change of policy, new terms, and its closing; and what a run says when somebody changed the ledger."""

import datetime as dt

import psycopg
import pytest

from ptp_pipeline.ledger import commitments, policies
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.run import failure_words
from ptp_pipeline.settings import Settings
from tests.integration.pipeline_book import OPERATOR, Book, approved_book

DUE = (
    "select version, sequence, due_date::varchar, paid_amount::integer, status from installments where commitment_id = 'PLAN-1'"
    " order by all"
)
LIFE = "select version, status, closed_on::varchar, closure_reason, is_current from commitments where commitment_id = 'PLAN-1' order by 1"


@pytest.fixture
def book(settings: Settings, ledger: Ledger) -> Book:
    """PLAN-1: 4 times 250.00 from 16 March, of which 550.00 had come by 20 April; the third installment falls on Saturday 16 May."""
    return approved_book(settings, ledger)


def test_a_plan_through_policy_new_terms_and_closing(book: Book) -> None:
    with book.ledger.operator(OPERATOR, book.org) as tx:
        policies.change(tx, {"business_day_rule": "preceding"}, "the bank changed its rule", dt.date(2026, 4, 1))
    first = [(1, 1, "2026-03-16", 250, "kept"), (1, 2, "2026-04-16", 250, "kept")]
    open_then = [(1, 3, "2026-05-18", 50, "scheduled"), (1, 4, "2026-06-16", 0, "scheduled")]
    assert book.query(DUE, book.run("2026-04-20")) == [*first, *open_then]

    with book.ledger.transaction(book.org, book.people["maria"]) as tx:
        old = commitments.terms_of(commitments.newest(tx, "PLAN-1"))
        fewer = {"amount_minor": 45_000, "total_minor": None, "installment_count": 3, "agreed_on": dt.date(2026, 4, 21)}
        new = type(old)(**{**old.model_dump(), **fewer, "first_due_date": dt.date(2026, 5, 16)})
        commitments.renegotiate(tx, "PLAN-1", new, "lost a customer")
    assert book.query(LIFE, book.run("2026-05-01")) == [
        (1, "active", None, None, True),
        (2, "pending_approval", None, None, False),
    ]

    book.approve_all("sam")
    waited = book.run("2026-05-01")
    assert book.query(LIFE, waited) == [(1, "superseded", None, None, False), (2, "active", None, None, True)]
    assert book.query(DUE, waited) == [
        *first,
        (1, 3, "2026-05-18", 50, "superseded"),
        (1, 4, "2026-06-16", 0, "superseded"),
        (2, 1, "2026-05-15", 0, "scheduled"),
        (2, 2, "2026-06-16", 0, "scheduled"),
        (2, 3, "2026-07-16", 0, "scheduled"),
    ]

    broken = "select sequence from broken_promises where commitment_id = 'PLAN-1'"
    assert book.query(broken, book.run("2026-05-20")) == [(1,)]
    with book.ledger.transaction(book.org, book.people["sam"]) as tx:
        commitments.close(tx, "PLAN-1", dt.date(2026, 6, 1), "written off by the board")
    assert book.query(broken, book.run("2026-05-31")) == [(1,)]
    closed = book.run("2026-07-31", make_current=True)
    assert book.query(broken, closed) == []
    assert book.query(LIFE, closed)[1] == (2, "closed", "2026-06-01", "written off by the board", True)
    assert [row[4] for row in book.query(DUE, closed) if row[0] == 2] == ["broken", "cancelled", "cancelled"]
    assert book.query("select cause from transitions where to_state = 'closed'", closed) == [
        ("The commitment was closed: what remains is not chased any more.",)
    ]


def test_a_cent_changed_behind_the_ledgers_back_stops_the_run_and_names_the_plan(book: Book) -> None:
    with psycopg.connect(**book.ledger._admin) as con:
        con.execute("set session_replication_role = replica")
        con.execute("update ptp.commitment_version set discount_minor = 1 where org_id = %s and commitment_id = 'PLAN-1'", [book.org])
    result = book.try_run("2026-04-20")
    assert not result.success
    said = str(failure_words(result.all_events))
    assert (
        "The terms and the schedule of a version must be, to the cent and the day, those that were approved. (1 rows: commitment_id PLAN-1"
        in said
    )
