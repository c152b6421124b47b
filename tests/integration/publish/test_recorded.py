"""What a run found reaches the ledger once, also when the run was killed after its build was in place."""

from pathlib import Path
from threading import Event
from types import ModuleType

import pytest

from ptp_pipeline.ledger import builds, transitions
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse import publish
from tests.integration.pipeline_book import Book, approved_book, new_book

KEY = "commitment_id, version, sequence, from_state, to_state, effective_on"


def recorded(book: Book) -> list[tuple[object, ...]]:
    with book.ledger.transaction(book.org, book.people["sam"]) as tx:
        return sorted(tuple(row.values()) for row in tx.all(f"select {KEY} from ptp.transition"))


@pytest.mark.parametrize(("part", "step", "current"), [(transitions, "append", "2026-03-31"), (builds, "record", "2026-05-19")])
def test_transitions_of_a_run_killed_before_it_recorded_them_are_appended_by_the_next(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, part: ModuleType, step: str, current: str
) -> None:
    book = new_book(settings, ledger)
    book.run("2026-03-31")
    book.approve_all("sam")
    before = recorded(book)

    def killed(*_: object) -> int:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(part, step, killed)
        assert not book.try_run("2026-05-19").success
    # Nothing becomes current whose transitions could not be appended.
    assert book.query("select as_of::varchar from run_info") == [(current,)]
    assert recorded(book) == before
    book.run("2026-05-19")
    found = sorted(book.query(f"select {KEY} from transitions"))
    assert recorded(book) == found != before


def test_a_run_that_fails_with_its_transitions_appended_leaves_none_and_kept_nobody_waiting(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = approved_book(settings, ledger)
    append, is_appended, may_act = transitions.append, Event(), Event()

    def told(*given: object) -> int:
        appended = append(*given)
        is_appended.set()
        return appended

    def failing(*_: object, **__: object) -> None:
        assert is_appended.wait(60)
        with book.ledger.transaction(book.org, book.people["sam"]) as tx:
            tx.execute("set local lock_timeout = '5s'")
            tx.execute("select ptp.lock_org()")
            may_act.set()
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(transitions, "append", told)
        patched.setattr(publish, "place", failing)
        assert not book.try_run("2026-05-19").success
    assert may_act.is_set()
    assert recorded(book) == []
    book.run("2026-05-19")
    assert recorded(book) == sorted(book.query(f"select {KEY} from transitions")) != []


def test_a_build_for_an_earlier_day_offers_the_ledger_nothing(settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    book = approved_book(settings, ledger)
    book.run("2026-05-19")
    before = recorded(book)
    monkeypatch.setattr(transitions, "append", None)
    book.run("2026-04-20")
    assert recorded(book) == before


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
