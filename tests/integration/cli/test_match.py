"""`ptp match` over a small book that was run: deciding, splitting, undoing, suggestions, and what the next run makes of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from ptp_pipeline.cli.app import app
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse import publish
from tests.integration.cli.conftest import PASSWORD, Answer
from tests.integration.pipeline_book import Book as PipelineBook

AS_OF = "2026-06-30"
FILES = {
    "commitments/june.csv": "commitment_id,kind,customer_id,agreed_on,amount,first_due_date,invoice_ids,frequency,installment_count,owner\n"
    "P-1,promise,C-1,2026-06-01,100.00,2026-06-05,INV-1,,,mia\n"
    "P-2,promise,C-1,2026-06-01,40.00,2026-06-05,INV-2,,,mia\n"
    "P-3,promise,C-3,2026-06-01,75.50,2026-06-05,INV-3004,,,mia\n"
    "P-4,promise,C-4,2026-06-01,60.00,2026-06-08,INV-4,,,mia\n"
    "P-5,promise,C-4,2026-06-01,33.00,2026-06-08,INV-5,,,mia\n",
    "payments/june.csv": "payment_id,customer_id,received_date,amount,commitment_id,reference,kind,reverses_payment_id\n"
    "PAY-1,C-1,2026-06-04,140.00,P-1,,payment,\n"
    "PAY-2,C-9,2026-06-05,75.50,,invoice INV-30O4,payment,\n"
    "PAY-3,C-4,2026-06-08,93.00,P-4,,payment,\n"
    "PAY-4,C-8,2026-06-09,5.00,,a surprise,payment,\n"
    "REV-1,C-8,2026-06-10,1.00,,,reversal,PAY-4\n",
}


class Book:
    """An org with a small book, approved and run once; what a test decides is undone."""

    def __init__(self, home: Path) -> None:
        self.org = f"org{uuid4().hex[:10]}"
        self.environment = {"PTP_HOME": str(home), "PTP_ORG": self.org, "PTP_SETTLE_SECONDS": "0", "PTP_TOKEN": ""}
        self.tokens: dict[str, str] = {}

    def ptp(self, *words: str, who: str = "") -> Answer:
        result = CliRunner().invoke(app, list(words), env={**self.environment, "PTP_TOKEN": self.tokens.get(who, "")})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    def hire(self, name: str, role: str) -> None:
        result = CliRunner().invoke(
            app, ["user", "add", name, "--role", role, "--password-stdin"], input=f"{PASSWORD}\n", env=self.environment
        )
        assert result.exit_code == 0, result.output
        self.tokens[name] = self.ptp("user", "token", name, "--json").document["token"]

    def run(self) -> None:
        answer = self.ptp("run", "--as-of", AS_OF)
        assert answer.code == 0, answer.out + answer.err

    def payment(self, payment_id: str) -> dict[str, Any]:
        return dict(self.ptp("show", payment_id, "--json").document["payment"])

    def paid(self, payment_id: str) -> list[tuple[str, str]]:
        return [(a["commitment_id"], a["amount"]) for a in self.ptp("show", payment_id, "--json").document["allocations"]]


@pytest.fixture(scope="module")
def made(home: Path, ledger: Ledger, settings: Settings) -> Book:
    book = Book(home)
    assert book.ptp("org", "add", book.org, "calendar=none").code == 0
    for name, text in FILES.items():
        (settings.inbox(book.org) / name).write_text(text, encoding="utf-8")
    for name, role in {"mia": "collector", "sue": "supervisor", "ann": "analyst"}.items():
        book.hire(name, role)
    PipelineBook(settings, ledger, book.org).take_in()
    book.ptp("approve", "--pending", "--reason", "review", "--yes", who="sue")
    book.run()
    return book


@pytest.fixture
def book(made: Book, settings: Settings) -> Any:
    """The book with nothing decided: afterwards decisions are undone and the link goes back to the earlier build: no run needed."""
    build = settings.current_build(made.org).resolve()
    yield made
    for payment_id in {d["payment_id"] for d in made.ptp("match", "list", "--json").document["decisions"]}:
        assert made.ptp("match", "undo", payment_id, "--reason", "end of the test", who="mia").code == 0
    publish._point_current_at(build.parent, build.name)


Decide = Callable[..., Answer]


@pytest.fixture
def decide(book: Book) -> Decide:
    def act(*words: str, who: str = "mia") -> Answer:
        return book.ptp("match", *words, "--reason", "phoned the customer", who=who)

    return act


def test_a_split_is_followed_by_the_next_run_and_undone_by_the_one_after(book: Book, decide: Decide) -> None:
    assert (book.paid("PAY-1"), book.payment("PAY-1")["unapplied_amount"]) == ([("P-1", "100.00")], "40.00")
    answer = decide("split", "PAY-1", "P-1=100.00", "P-2=30", "aside=10.00")
    assert answer.code == 0, answer.err
    assert "100.00 USD to P-1, 30.00 USD to P-2, 10.00 USD set aside" in answer.out
    assert "ptp run" in answer.out
    waiting = book.ptp("match", "list", "--json").document["decisions"]
    assert [(d["payment_id"], d["part"], d["commitment_id"], d["state"]) for d in waiting] == [
        ("PAY-1", 1, "P-1", "next run"), ("PAY-1", 2, "P-2", "next run"), ("PAY-1", 3, None, "next run"),
    ]  # fmt: skip
    book.run()
    assert book.paid("PAY-1") == [("P-1", "100.00"), ("P-2", "30.00")]
    assert {d["state"] for d in book.ptp("match", "list", "--json").document["decisions"]} == {"applied"}
    assert decide("undo", "PAY-1").code == 0
    book.run()
    assert book.paid("PAY-1") == [("P-1", "100.00")]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (("P-1=100", "P-2=30"), "add up to 130.00 USD, but PAY-1 is 140.00 USD: 10.00 USD are missing"),
        (("P-1=100", "P-2=40.01"), "add up to 140.01 USD, but PAY-1 is 140.00 USD: 0.01 USD too much"),
        (("P-1=100", "P-1=40"), "named twice"),
        (("P-1=140",), "2 to 20 parts"),
        (("P-1=140", "P-2=0"), "above zero"),
        (("P-1=100", "P-2"), "not a part"),
        (("P-1=100", "P-2=forty"), "not an amount"),
        (("P-1=100", "P-2=40.001"), "finer than"),
    ],
)
def test_a_split_that_does_not_fit_is_wrong_usage_and_says_why(book: Book, decide: Decide, parts: tuple[str, ...], words: str) -> None:
    answer = decide("split", "PAY-1", *parts)
    assert answer.code == 2
    assert words in answer.err
    assert book.ptp("match", "list", "--json").document["decisions"] == []


def test_who_and_what_is_refused(book: Book, decide: Decide) -> None:
    assert decide("assign", "PAY-1", "P-404").code == 3
    assert decide("assign", "PAY-404", "P-1").code == 2
    assert decide("aside", "REV-1").code == 3
    assert decide("undo", "PAY-1").code == 3
    assert decide("split", "PAY-1", "P-1=100", "P-3=40").code == 3
    analyst = decide("assign", "PAY-1", "P-2", who="ann")
    assert analyst.code == 3
    assert "ann is an analyst" in analyst.err
    assert decide("assign", "PAY-1", "P-2", who="").code == 2
    assert book.ptp("match", "assign", "PAY-1", "P-2", "--reason", " ", who="mia").code == 2


def test_a_stale_decision_is_said_in_words_wherever_one_looks(book: Book, decide: Decide) -> None:
    warned = decide("assign", "PAY-4", "P-1")
    assert "! P-1 is of customer C-1 in USD, the payment of C-8" in warned.out
    assert decide("aside", "PAY-1").code == 0
    book.run()
    (stale,) = book.ptp("match", "list", "--stale", "--json").document["decisions"]
    assert (stale["payment_id"], stale["state"]) == ("PAY-4", "stale")
    assert "belongs to another customer, C-1" in stale["problem"]
    listed = book.ptp("match", "list").out
    assert [line.split()[0] for line in listed.splitlines() if " stale " in line] == ["PAY-4"]
    status = book.ptp("status")
    assert "! Decisions on 1 payments do not work out" in status.out
    assert "match list --stale" in status.out
    assert book.ptp("status", "--json").document["counts"]["stale_decisions"] == 1


def test_suggestions_are_shown_best_first_with_their_reasons(book: Book) -> None:
    found = book.ptp("match", "suggest", "--json").document["suggestions"]
    best = {row["payment_id"]: row for row in found if row["rank"] == 1}
    assert best.keys() == {"PAY-1", "PAY-2", "PAY-3"}
    assert (best["PAY-1"]["commitment_id"], best["PAY-1"]["amount"], best["PAY-1"]["is_acceptable"]) == ("P-2", "40.00", True)
    assert "equals installment 1 due 5 Jun 2026" in best["PAY-1"]["reasons"]
    assert (best["PAY-2"]["commitment_id"], best["PAY-2"]["is_acceptable"]) == ("P-3", False)
    assert "'INV-30O4' is close to invoice INV-3004" in best["PAY-2"]["reasons"]
    one = book.ptp("match", "suggest", "PAY-2")
    assert "correct the customer at the source" in one.out
    assert "Nothing to suggest." in book.ptp("match", "suggest", "PAY-4").out
    assert book.ptp("match", "suggest", "PAY-404").code == 2


def test_accepting_moves_what_is_left_and_leaves_what_has_its_place(book: Book) -> None:
    answer = book.ptp("match", "accept", "PAY-1", who="mia")
    assert answer.code == 0, answer.err
    assert "PAY-1: 100.00 USD to P-1, 40.00 USD to P-2." in answer.out
    book.run()
    assert book.paid("PAY-1") == [("P-1", "100.00"), ("P-2", "40.00")]
    event = book.ptp("audit", "show", "--json").document[-1]
    (split,) = [e for e in book.ptp("audit", "show", "--json").document if e["action"] == "override.split" and "Suggested" in e["reason"]][
        -1:
    ]
    assert event["seq"] >= split["seq"]
    assert split["reason"].startswith("Suggested with score ")
    assert "of the same customer" in split["reason"]


def test_what_is_not_acceptable_is_refused_with_what_to_correct(book: Book) -> None:
    answer = book.ptp("match", "accept", "PAY-2", who="mia")
    assert answer.code == 3
    assert "It is of customer C-3, the payment of C-9" in answer.err
    assert book.ptp("match", "accept", "PAY-1", "--rank", "3", who="mia").code == 2
    assert book.ptp("match", "accept", "PAY-4", who="mia").code == 2


def test_accepting_many_shows_them_asks_and_leaves_what_is_not_clear_and_a_rebuild_gives_the_same(book: Book, settings: Settings) -> None:
    words = ("match", "accept", "--all", "--min-score", "60")
    assert book.ptp(*words, who="mia").code == 2  # no reason
    assert book.ptp("match", "accept", "PAY-1", "--all", "--reason", "r", who="mia").code == 2
    unasked = book.ptp(*words, "--reason", "weekly review", who="mia")
    assert unasked.code == 2
    assert "--yes" in unasked.err
    assert "PAY-1" in unasked.out
    assert "PAY-2" in unasked.out  # left, with what to correct
    assert book.ptp("match", "list", "--json").document["decisions"] == []
    answer = book.ptp(*words, "--reason", "weekly review", "--yes", "--json", who="mia")
    assert answer.code == 0, answer.err
    assert [(a["payment_id"], a["commitment_id"]) for a in answer.document["accepted"]] == [("PAY-1", "P-2"), ("PAY-3", "P-5")]
    assert all(a["reason"].startswith("weekly review (Suggested with score ") for a in answer.document["accepted"])
    assert [row["payment_id"] for row in answer.document["left"]] == ["PAY-2"]
    again = book.ptp(*words, "--reason", "weekly review", "--yes", "--json", who="mia")
    assert again.code == 3  # somebody decided on all of them
    book.run()
    assert book.paid("PAY-3") == [("P-4", "60.00"), ("P-5", "33.00")]
    assert {row["payment_id"] for row in book.ptp("match", "suggest", "--json").document["suggestions"]} == {"PAY-2"}
    before = json.loads((settings.current_build(book.org) / "build.json").read_text())["digest"]
    rebuilt = book.ptp("rebuild", "--as-of", AS_OF, "--json")
    assert rebuilt.code == 0, rebuilt.err
    assert json.loads((Path(rebuilt.document["build"]) / "build.json").read_text())["digest"] == before
    assert book.paid("PAY-3") == [("P-4", "60.00"), ("P-5", "33.00")]


def test_a_build_made_before_there_were_decisions_still_opens(book: Book, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from ptp_pipeline.cli import published

    monkeypatch.setattr(published.Build, "tables", lambda _: [])
    assert book.ptp("status").code == 0
    assert book.ptp("match", "list").code == 0
    answer = book.ptp("match", "suggest")
    assert answer.code == 1
    assert "ptp run" in answer.err
