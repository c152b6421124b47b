"""`ptp show` of payments and commitments: the whole story, in words and as JSON. The book is published straight from a warehouse."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ptp_pipeline.cli.app import app
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.publish import publish
from tests.integration.cli.conftest import Answer
from tests.integration.publish.published_books import warehouse
from tests.unit.matching.books import Book

ORG = "acme"
GOLDEN = Path(__file__).parent / "golden"


def told_book() -> Book:
    """Renegotiated terms, a late payment, a chargeback, a decision of a person, a reversal, and money nobody can place."""
    book = Book(names={"K1": "Alder Foods"})
    book.commit("C-7", "01-01", ("02-01", 50000), ("03-16", 50000), ("05-01", 50000), grace_days=2)
    book.commit("C-7", "04-10", ("05-01", 30000), ("08-01", 65000), rule="last")
    book.commit("C-8", "01-01", ("02-01", 40000), ("03-01", 40000))
    book.pay("P-1", "01-20", 60000, commitment_id="C-7")
    book.pay("P-2", "03-20", 40000, commitment_id="C-7")
    book.pay("P-3", "02-21", 40000)
    book.pay("P-4", "05-01", 45000, commitment_id="C-7")
    book.pay("P-5", "03-21", 7000)
    book.assign("P-5", "C-8")
    book.reverse("R-5", "P-5", "03-22", 2000)
    book.pay("P-6", "06-21", 9000, customer="K3", commitment_id="C-8")
    book.chargeback("CB-1", "P-1", "05-02", 10000)
    return book


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("show")
    settings, book = Settings(home=made, duckdb_threads=2), told_book()
    warehouse(settings, ORG, book)
    publish(settings, ORG, book.as_of, "run1", datetime(2026, 6, 30, 9, tzinfo=UTC), ledger_position=7, policy_version=1, validate=False)
    return made


@pytest.fixture
def show(home: Path) -> Any:
    def run(*words: str) -> Answer:
        result = CliRunner().invoke(app, ["show", *words, "--org", ORG], env={"PTP_HOME": str(home), "COLUMNS": "120"})
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.mark.parametrize(("object_id", "golden"), [("P-1", "show_payment.txt"), ("C-7", "show_commitment.txt")])
def test_the_story_reads_as_written_down(show: Any, object_id: str, golden: str) -> None:
    answer = show(object_id)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == (GOLDEN / golden).read_text(encoding="utf-8")
    assert max(map(len, answer.out.splitlines())) <= 100


def test_a_payment_as_json_has_what_the_words_say(show: Any) -> None:
    found = show("P-5", "--json").document
    assert (found["payment"]["file_name"], found["payment"]["line_number"]) == ("p.csv", 6)
    assert [(d["commitment_id"], d["decided_by"], d["reason"]) for d in found["decisions"]] == [("C-8", "ann", "told by phone")]
    assert [(a["commitment_id"], a["laid_out_as"], a["timing"]) for a in found["allocations"]] == [("C-8", "past_due", "late")]
    assert [(r["returned_by"], r["amount"]) for r in found["returns"]] == [("R-5", "20.00")]
    decided = found["otherwise"][0]
    assert (decided["fact"], decided["would_change"]) == ("override", False)
    assert decided["text"] == "Without the decision by hand, nothing would change: by oldest due it would have gone to the same place."
    (rules,) = found["otherwise"][1:]
    assert (rules["was"], rules["becomes"], rules["would_change"]) == ("next", ["last", "spread", "hold"], False)
    assert rules["text"] == "With rule last, spread or hold instead of next on C-8, nothing would change."


def test_the_rule_that_is_asked_about_is_that_of_the_version_it_paid(show: Any) -> None:
    found = show("P-4", "--json").document
    by_rule = {rule: one for one in found["otherwise"] for rule in one["becomes"]}
    assert by_rule.keys() == {"next", "spread", "hold"}
    assert all((one["commitment_id"], one["version"], one["was"]) == ("C-7", 2, "last") for one in by_rule.values())
    assert by_rule["hold"]["text"] == (
        "With rule hold instead of last on C-7 (version 2), 150.00 USD would have stayed unapplied instead of going to installment 2 of C-7"
        " (version 2) (due 1 Aug 2026)."
    )


def test_a_payment_that_named_what_cannot_take_it(show: Any) -> None:
    answer = show("P-6")
    assert "Applied 0.00 USD, not applied 90.00 USD" in answer.out
    assert "Commitment C-8 belongs to another customer." in answer.out
    assert "Without the commitment named on the row, nothing would change." in answer.out


def test_money_going_back_shows_what_it_did_and_asks_for_no_alternative(show: Any) -> None:
    found = show("CB-1", "--json").document
    assert [(c["charged_payment_id"], c["version"], c["sequence"]) for c in found["chargebacks"]] == [("P-1", 2, 2)]
    assert found["otherwise"] == []
    assert "would have happened" not in show("CB-1").out
    assert "20.00 USD of P-5 went back on 22 Mar 2026 by reversal R-5." in show("R-5").out


def test_a_commitment_as_json_keeps_versions_schedule_and_money_apart(show: Any) -> None:
    found = show("C-7", "--json").document
    assert [(v["version"], v["overpayment_rule"], v["approved_by"]) for v in found["versions"]] == [(1, "next", "sam"), (2, "last", "sam")]
    recovered = found["installments"][1]
    assert (recovered["first_verdict"], recovered["status"], recovered["paid_late"]) == ("partially_kept", "recovered", "400.00")
    assert {a["laid_out_as"] for a in found["allocations"]} == {"next", "past_due", "due_that_day", "last"}


def test_an_unknown_id_is_answered_with_those_close_to_it(show: Any) -> None:
    answer = show("p-11")
    assert answer.code == 2
    assert "Close to it: P-1" in answer.err
    assert "Close to it" not in show("nothing-like-it").err


def test_without_the_tables_of_the_run_only_the_alternatives_are_missing(home: Path, show: Any, tmp_path: Path) -> None:
    stage = home / "warehouse" / ORG / "core"
    shutil.move(stage, tmp_path / "core")
    try:
        answer = show("P-1")
        assert answer.code == 0
        assert "Where it went" in answer.out
        assert "That cannot be said now. The tables of the last run are not there any more." in answer.out
        assert show("P-1", "--json").document["otherwise_problem"]
    finally:
        shutil.move(tmp_path / "core", stage)
