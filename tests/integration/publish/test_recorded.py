"""What a run found reaches the ledger once, also when the run was killed after its build was in place."""

from pathlib import Path

import pytest

from ptp_pipeline.ledger import transitions
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.settings import Settings
from tests.integration.pipeline_book import Book, approved_book, new_book

KEY = "commitment_id, version, sequence, from_state, to_state, effective_on"


def recorded(book: Book) -> list[tuple[object, ...]]:
    with book.ledger.transaction(book.org, book.people["sam"]) as tx:
        return sorted(tuple(row.values()) for row in tx.all(f"select {KEY} from ptp.transition"))


def test_transitions_of_a_run_killed_before_it_recorded_them_are_appended_by_the_next(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = new_book(settings, ledger)
    book.run("2026-03-31")
    book.approve_all("sam")
    before = recorded(book)

    def killed(*_: object) -> int:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(transitions, "append", killed)
        assert not book.try_run("2026-05-19").success
    assert book.query("select as_of::varchar from run_info") == [("2026-05-19",)]
    assert recorded(book) == before
    book.run("2026-05-19")
    found = sorted(book.query(f"select {KEY} from transitions"))
    assert recorded(book) == found != before


def test_a_run_offers_the_ledger_only_what_the_last_recorded_build_did_not_have(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = approved_book(settings, ledger)
    book.run("2026-04-20")
    before = recorded(book)
    append, offered = transitions.append, []

    def counted(tx: object, rows: Path, run_id: str) -> int:
        offered.append(len(rows.read_text().splitlines()))
        return append(tx, rows, run_id)

    monkeypatch.setattr(transitions, "append", counted)
    book.run("2026-04-20")
    book.run("2026-05-19")
    assert offered == [0, len(recorded(book)) - len(before)]
    assert offered[1] > 0
