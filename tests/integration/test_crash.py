"""A run killed with -9 anywhere, then run again, publishes the same tables; what was dropped is neither lost nor taken twice."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.settings import CHECKOUT, Settings
from tests.integration.pipeline_book import Book, new_book

# Dies right before the n-th rename or link of a run: the moments at which files, claims, stages and builds change hands.
KILLED_RUN = """
import os, signal, sys
from datetime import date
from pathlib import Path
home, org, as_of, left = Path(sys.argv[1]), sys.argv[2], date.fromisoformat(sys.argv[3]), int(sys.argv[4])
def watch(event, args):
    global left
    if event in ("os.rename", "os.symlink", "shutil.rmtree") and str(home) in str(args[0]) + str(args[1]):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
from ptp_pipeline.run import run_org
from ptp_pipeline.settings import Settings
sys.addaudithook(watch)
outcome = run_org(Settings(home=home, settle_seconds=0), org, as_of)
sys.exit(0 if outcome.ok else 1)
"""
FIRST_RUN, LATER_RUN = (2, 5, 8, 11), (7, 16, 23)


def killed_run(home: Path, org: str, as_of: str, at: int) -> int:
    """Exit code of a run that kills itself at its n-th rename; 0 when it had fewer."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_RUN, str(home), org, as_of, str(at)], cwd=CHECKOUT, check=False, capture_output=True
    )
    return done.returncode


@pytest.fixture
def calm(settings: Settings, ledger: Ledger) -> Book:
    """The same book without any crash."""
    book = new_book(settings, ledger)
    book.run("2026-03-31")
    book.approve_all("sam")
    book.run("2026-05-19")
    return book


def test_a_run_killed_anywhere_and_run_again_publishes_the_same_tables(settings: Settings, ledger: Ledger, calm: Book) -> None:
    book = new_book(settings, ledger)
    codes = [killed_run(settings.home, book.org, "2026-03-31", at) for at in FIRST_RUN]
    assert codes == [-signal.SIGKILL] * len(FIRST_RUN)
    book.run("2026-03-31")
    book.approve_all("sam")
    codes = [killed_run(settings.home, book.org, "2026-05-19", at) for at in LATER_RUN]
    assert codes == [-signal.SIGKILL] * len(LATER_RUN)
    book.run("2026-05-19")
    assert book.facts() == calm.facts()
    assert [row["status"] for row in _files(book)] == ["accepted"] * 3


def _files(book: Book) -> list[dict[str, str]]:
    with book.ledger.transaction(book.org, book.people["sam"]) as tx:
        return tx.all("select feed, status from ptp.received_file")
