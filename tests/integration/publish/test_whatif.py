"""What would have become of a payment otherwise: small books in a warehouse on disk, one fact changed."""

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.models import Warehouse
from ptp_pipeline.warehouse.whatif import Alternative, Place, alternatives
from tests.integration.publish.published_books import warehouse
from tests.unit.matching.books import Book, day

ORG = "acme"
Asked = dict[str, Alternative]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, duckdb_threads=2, duckdb_memory_limit="1GB")


@pytest.fixture
def ask(settings: Settings) -> Any:
    def run(book: Book, payment_id: str) -> Asked:
        """The alternatives to a payment of a book, by the fact that is changed."""
        warehouse(settings, ORG, book)
        found = alternatives(settings, ORG, payment_id, book.as_of)
        return {a.change.becomes or a.change.fact: a for a in found}

    return run


def places(found: list[Place]) -> list[tuple[str, int, int]]:
    return [(p.commitment_id, p.sequence, p.amount_minor) for p in found]


def two_plans(**columns: Any) -> Book:
    book = Book(window_days=7)
    book.commit("C-1", "01-01", ("02-01", 100), ("03-01", 100), ("04-01", 100))
    book.commit("C-2", "01-01", ("02-01", 80), ("03-01", 50))
    book.commit("OF-OTHERS", "01-01", ("02-01", 50), customer="K2")
    book.pay("OTHERS", "01-30", 50, customer="K2")
    book.pay("P", "03-02", 50, **columns)
    return book


@pytest.mark.parametrize("named", [{"commitment_id": "C-1"}, {"reference": "for c-1, thank you"}, {"invoice_id": "INV-1"}])
def test_without_what_the_row_names_it_would_have_gone_by_exact_amount(ask: Any, named: dict[str, str]) -> None:
    book = Book()
    book.commit("C-1", "01-01", ("02-01", 100), ("03-01", 100), invoices=["INV-1"])
    book.commit("C-2", "01-01", ("02-01", 80), ("03-01", 50))
    book.pay("P", "03-02", 50, **named)
    (fact,) = named
    otherwise = ask(book, "P")[fact]
    assert places(otherwise.now) == places(otherwise.lost()) == [("C-1", 1, 50)]
    assert places(otherwise.otherwise) == places(otherwise.gained()) == [("C-2", 1, 50)]
    assert otherwise.otherwise[0].matched_by == "exact_amount"


def test_without_being_exactly_an_amount_the_oldest_due_would_have_been_paid(ask: Any) -> None:
    otherwise = ask(two_plans(), "P")["exact_amount"]
    assert places(otherwise.lost()) == [("C-2", 1, 50)]
    assert places(otherwise.gained()) == [("C-1", 1, 50)]
    assert otherwise.otherwise[0].matched_by == "oldest_due"


def test_without_the_decision_of_a_person_the_named_commitment_would_have_got_it(ask: Any) -> None:
    book = two_plans(commitment_id="C-1")
    book.split("P", ("C-2", 30), (None, 20))
    otherwise = ask(book, "P")["override"]
    assert places(otherwise.now) == [("C-2", 1, 30)]
    assert places(otherwise.otherwise) == [("C-1", 1, 50)]
    assert otherwise.otherwise[0].matched_by == "commitment_id"


def test_money_set_aside_by_hand_has_an_alternative_too(ask: Any) -> None:
    book = two_plans()
    book.assign("P", None)
    found = ask(book, "P")
    assert found.keys() == {"override"}
    assert (found["override"].now, places(found["override"].otherwise)) == ((), [("C-2", 1, 50)])


def test_with_another_rule_the_surplus_would_have_gone_elsewhere(ask: Any) -> None:
    book = Book()
    book.commit("C-1", "01-01", ("02-01", 100), ("07-01", 100), ("08-01", 100))
    book.commit("C-2", "01-01", ("02-01", 80))
    book.pay("P", "02-01", 140, commitment_id="C-1")
    found = ask(book, "P")
    assert found.keys() == {"commitment_id", "last", "spread", "hold"}
    assert places(found["last"].lost()) == [("C-1", 2, 40)]
    assert places(found["last"].gained()) == [("C-1", 3, 40)]
    assert places(found["spread"].gained()) == [("C-1", 3, 20)]
    assert (places(found["hold"].lost()), found["hold"].gained()) == ([("C-1", 2, 40)], [])


def test_credit_held_reaches_the_same_installment_on_a_later_day(ask: Any) -> None:
    book = Book()
    book.commit("C-1", "01-01", ("02-01", 100), ("03-01", 100))
    book.pay("P", "02-01", 140)
    hold = ask(book, "P")["hold"]
    assert places(hold.gained()) == places(hold.lost()) == [("C-1", 2, 40)]
    assert [p.applied_on for p in (*hold.lost(), *hold.gained())] == [day("02-01"), day("03-01")]


def test_money_of_others_and_what_went_back_count_as_they_are(ask: Any) -> None:
    book = two_plans(commitment_id="C-1")
    book.pay("EARLIER", "02-20", 100, commitment_id="C-1")
    book.reverse("R", "P", "03-10", 20)
    otherwise = ask(book, "P")
    assert places(otherwise["commitment_id"].now) == [("C-1", 2, 30)]
    assert places(otherwise["commitment_id"].otherwise) == [("C-2", 1, 30)]
    assert otherwise["last"].now == otherwise["last"].otherwise


def test_tables_that_are_gone_or_of_another_day_are_said_in_words(ask: Any, settings: Settings) -> None:
    ask(two_plans(), "P")
    with pytest.raises(WorkFailed, match="another day"):
        alternatives(settings, ORG, "P", date(2026, 7, 1))
    with pytest.raises(WorkFailed, match="do not have P-404"):
        alternatives(settings, ORG, "P-404", Book().as_of)
    shutil.rmtree(Warehouse(settings, ORG).stage_dir("core"))
    with pytest.raises(WorkFailed, match="not there any more"):
        alternatives(settings, ORG, "P", Book().as_of)
    with pytest.raises(WorkFailed, match="not there any more"):
        alternatives(settings, "nobody", "P", Book().as_of)
    assert not Warehouse(settings, "nobody").root.exists()
