"""A build made from another one and some customers' rows equals the build made whole: same digest, same tables, same reports."""

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from zipfile import ZipFile

import duckdb
import pytest

from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse import expectations
from ptp_pipeline.warehouse import publish as publishing
from ptp_pipeline.warehouse.models import Warehouse, stage_models
from ptp_pipeline.warehouse.publish import Build, publish, publish_delta, write_new_transitions
from tests.integration.publish.published_books import warehouse, write_customers
from tests.unit.matching.books import Book

ORG = "acme"


def settings_in(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, duckdb_threads=2)


def book() -> Book:
    """Three customers, two of them of the collector ann, every kind of row."""
    book = Book(as_of=date(2026, 5, 1))
    book.commit("A-1", "01-10", ("02-01", 30000), ("03-01", 30000), ("04-01", 30000), customer="KA", invoices=["INV-A"], rule="hold")
    book.commit("A-2", "01-10", ("02-10", 5000), customer="KA", currency="JPY")
    book.commit("B-1", "01-10", ("02-01", 20000), ("03-01", 20000), customer="KB")
    book.commit("B-1", "02-15", ("04-15", 40000), customer="KB")
    book.commit("C-1", "01-10", ("02-01", 1000), ("06-01", 1000), customer="KC")
    book.pay("P-A1", "02-01", 40000, "KA", commitment_id="A-1")
    book.pay("P-A2", "02-12", 5000, "KA", currency="JPY")
    book.pay("P-B1", "01-20", 25000, "KB")
    book.chargeback("X-B1", "P-B1", "02-20", 12000, "KB")
    book.pay("P-C1", "02-01", 1000, "KC")
    book.pay("P-D1", "02-01", 700, "KD")
    return book


def later_book() -> Book:
    """The same and what came since: for KA, KB and KE, who is new."""
    more = book()
    more.pay("P-A3", "03-01", 25000, "KA", commitment_id="A-1")
    more.reverse("V-A1", "P-A1", "03-05", 1000, "KA")
    more.pay("P-B2", "04-01", 9000, "KB")
    more.pay("P-E1", "04-02", 100, "KE")
    return more


CHANGED = ("KA", "KB", "KE")


def made_whole(settings: Settings, of: Book, run_id: str, *, validate: bool = False) -> Build:
    shutil.rmtree(settings.warehouse(ORG), ignore_errors=True)
    warehouse(settings, ORG, of)
    at = datetime(2026, 5, 1, 7, tzinfo=UTC)
    return publish(settings, ORG, of.as_of, run_id, at, ledger_position=7, policy_version=1, validate=validate)


def made_from(
    settings: Settings, base: Build, of: Book, customers: tuple[str, ...], run_id: str = "delta", *, validate: bool = False
) -> Build:
    elsewhere = Settings(home=settings.home / "delta", duckdb_threads=2)
    shutil.rmtree(elsewhere.warehouse(ORG), ignore_errors=True)
    delta = warehouse(elsewhere, ORG, of, customers)
    return publish_delta(
        settings, ORG, of.as_of, run_id, datetime(2026, 5, 1, 7, tzinfo=UTC), ledger_position=7, policy_version=1,
        base=base.build_id, customers=write_customers(settings.home / "customers.parquet", customers), delta=delta, validate=validate,
    )  # fmt: skip


def test_a_build_from_another_one_equals_the_build_made_whole(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    base = made_whole(settings, book(), "base")
    delta = made_from(settings, base, later_book(), CHANGED)
    whole = made_whole(settings, later_book(), "whole")
    assert (delta.digest, delta.tables) == (whole.digest, whole.tables)
    assert base.digest != whole.digest
    with duckdb.connect() as con:
        con.execute(f"attach '{delta.path / 'ptp.duckdb'}' as a (read_only)")
        con.execute(f"attach '{whole.path / 'ptp.duckdb'}' as b (read_only)")
        for table in whole.tables.keys() - {"run_info"}:
            for one, other in (("a", "b"), ("b", "a")):
                assert con.execute(f"from {one}.{table} except all from {other}.{table}").fetchall() == [], table
        comments = (
            "select table_name, column_name, comment from duckdb_columns() where database_name = ? and schema_name = 'main' order by all"
        )
        assert con.execute(comments, ["a"]).fetchall() == con.execute(comments, ["b"]).fetchall()
    for path in {*(whole.path / "reports").glob("*.csv")} - {whole.path / "reports" / "run_info.csv"}:
        one, other = (delta.path / "reports" / path.name).read_text().splitlines(), path.read_text().splitlines()
        assert sorted(one) == sorted(other), path.name
        # What people read is in the same order, too.
        assert one == other or path.stem not in publishing.REPORTS, path.name
    for path in (whole.path / "reports").glob("*.xlsx"):
        with ZipFile(path) as other, ZipFile(delta.path / "reports" / path.name) as one:
            for part in ("xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"):
                assert one.read(part) == other.read(part), path.name
    for name in {path.name for path in (whole.path / "tables").glob("*.parquet")} - {"run_info.parquet"}:
        both = [f"from read_parquet('{build.path / 'tables' / name}')" for build in (delta, whole)]
        for one, other in (both, reversed(both)):
            assert duckdb.sql(f"{one} except all {other}").fetchall() == [], name


def test_files_of_tables_that_did_not_change_are_those_of_the_base_and_all_others_are_new(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    base = made_whole(settings, book(), "base")
    delta = made_from(settings, base, later_book(), CHANGED)

    def digests(build: Build) -> dict[str, object]:
        return dict(json.loads((build.path / "build.json").read_text())["table_digests"])

    before, after = digests(base), digests(delta)
    changed = {table for table in after if after[table] != before[table]}
    assert {"payments", "unmatched_payments", "allocations"} <= changed
    assert {"decisions", "quarantine"} <= after.keys() - changed
    for path in [*base.path.glob("tables/*.parquet"), *base.path.glob("reports/*.csv")]:
        is_new = path.stem in changed or path.stem == "run_info"
        assert path.samefile(delta.path / path.relative_to(base.path)) == (not is_new), path.name
    # A file that the base does not have is written.
    few = made_whole(settings.model_copy(update={"table_file_rows": 0}), book(), "few")
    more = made_from(settings, few, later_book(), CHANGED, "more")
    assert "files" not in changed
    assert not (few.path / "tables" / "files.parquet").exists()
    assert {path.name for path in (more.path / "tables").iterdir()} == {path.name for path in (delta.path / "tables").iterdir()}


def test_suggestions_of_a_part_lead_to_everybody_by_amount_name_and_id_and_know_what_is_paid_there(tmp_path: Path) -> None:
    def street() -> Book:
        book = Book(as_of=date(2026, 5, 1), names={"KX": "Alder Foods", "KY": "Birch Sons", "KZ": "Cedar Tools"})
        book.commit("X-1001", "01-10", ("03-01", 30000), ("04-20", 44000), customer="KX")
        book.commit("Y-2005", "01-10", ("03-20", 1000), ("04-25", 52000), customer="KY")
        # Two installments of one amount, the first of them paid.
        book.commit("Z-3006", "01-10", ("04-20", 7700), ("04-23", 7700), customer="KZ")
        book.pay("P-Z", "04-20", 7700, "KZ")
        book.pay("P-Y", "03-20", 1000, "KY")
        return book

    after = street()
    after.pay("P-1", "04-20", 7700, "KE")
    after.pay("P-2", "04-20", 111, "KE", reference="ALDER FOODS")
    after.pay("P-3", "04-25", 222, "KE", reference="Y-2O05")
    settings = settings_in(tmp_path)
    delta = made_from(settings, made_whole(settings, street(), "base"), after, ("KE",))
    with duckdb.connect(str(delta.path / "ptp.duckdb"), read_only=True) as con:
        found = con.execute("select payment_id, commitment_id, sequence from suggestions where rank = 1 order by all").fetchall()
    assert found == [("P-1", "Z-3006", 2), ("P-2", "X-1001", 2), ("P-3", "Y-2005", 2)]
    whole = made_whole(settings, after, "whole")
    assert (delta.digest, delta.tables) == (whole.digest, whole.tables)


def test_builds_can_be_made_from_builds_made_from_builds(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    first = made_whole(settings, book(), "first")
    second = made_from(settings, first, later_book(), CHANGED, "second")
    back = made_from(settings, second, book(), CHANGED, "third")
    assert back.digest == first.digest != second.digest


def test_rows_of_other_customers_are_not_touched_even_when_the_delta_would_have_them_otherwise(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    base = made_whole(settings, book(), "base")
    only_a = made_from(settings, base, later_book(), ("KA",))
    with duckdb.connect(str(only_a.path / "ptp.duckdb"), read_only=True) as con:
        payments = [row[0] for row in con.execute("select payment_id from payments order by 1").fetchall()]
    assert {"P-A3", "V-A1", "P-C1"} <= set(payments)
    assert not {"P-B2", "P-E1"} & set(payments)


def test_new_rows_must_meet_the_expectations_that_the_data_docs_of_the_whole_build_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    base = made_whole(settings, book(), "base", validate=True)
    page = Path("data_docs", "index.html")
    good = made_from(settings, base, later_book(), CHANGED, validate=True)
    assert good.is_current
    assert good.validation is not None
    assert base.validation is not None
    assert (good.validation.failures, good.validation.expectation_count) == ([], base.validation.expectation_count)
    assert (good.path / page).samefile(base.path / page)
    monkeypatch.setitem(
        expectations.EXPECTATIONS, "payments", [("ExpectColumnValuesToBeBetween", {"column": "amount", "min_value": 2, "max_value": None})]
    )
    bad = made_from(settings, base, later_book(), CHANGED, "bad", validate=True)  # P-E1 is of 1.00
    assert bad.validation is not None
    assert ("payments", "expect_column_values_to_be_between", "amount") in {
        (f.table, f.expectation, f.column) for f in bad.validation.failures
    }
    assert not bad.is_current
    assert (bad.path / page).exists()
    assert not (bad.path / page).samefile(base.path / page)


def test_every_published_table_says_how_it_is_cut_and_has_the_column() -> None:
    for model in stage_models("published"):
        if model.is_kept:
            assert model.scope in ("customer_id", "whole"), model.name
            assert model.scope == "whole" or "customer_id" in model.columns, model.name


def test_a_base_of_another_version_does_not_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(tmp_path)
    base = made_whole(settings, book(), "base")
    monkeypatch.setattr(publishing, "__version__", "0.0.0")
    with pytest.raises(WorkFailed, match="made by another version or is gone"):
        made_from(settings, base, later_book(), CHANGED)


def offered(settings: Settings, build: Build, known: str, digest: str) -> set[tuple[object, ...]]:
    path = settings.home / "transitions.csv"
    with duckdb.connect() as con:
        con.execute(f"attach '{build.path / 'ptp.duckdb'}' as built (read_only)")
        write_new_transitions(con, path, settings, build.org, known, digest)
        # What makes a transition new is its key: a figure that changed since does not.
        columns = ["commitment_id", "version", "sequence", "from_state", "to_state", "effective_on", "cause", "figures"]
        con.execute(f"create view found as from read_csv('{path}', auto_detect = false, columns = {dict.fromkeys(columns, 'varchar')})")
        assert con.execute("from found where cause is null or figures is null").fetchall() == []
        found = con.execute(f"select {', '.join(columns[:6])} from found").fetchall()
    assert len(found) == len(set(found))
    return set(found)


def test_only_transitions_that_the_recorded_build_did_not_have_are_offered(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    base = made_whole(settings, book(), "base")
    everything = offered(settings, base, "", "")
    assert everything
    whole = made_whole(settings, later_book(), "whole")
    new = offered(settings, whole, base.build_id, base.digest)
    assert new == offered(settings, whole, "", "") - everything
    assert {row[0] for row in new} == {"A-1"}
    again = made_whole(settings, later_book(), "again")
    assert offered(settings, again, whole.build_id, whole.digest) == set()


def test_everything_is_offered_when_the_recorded_build_is_gone_or_is_another_one(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    base = made_whole(settings, book(), "base")
    whole = made_whole(settings, later_book(), "whole")
    everything = offered(settings, whole, "", "")
    assert offered(settings, whole, base.build_id, "some other digest") == everything
    assert offered(settings, whole, "2020-01-01-gone", base.digest) == everything
    with duckdb.connect(str(base.path / "ptp.duckdb")) as con:  # stands for any damage that shows only when it is read
        con.execute("drop view transitions")
    assert offered(settings, whole, base.build_id, base.digest) == everything
    assert not list(Warehouse(settings, ORG).root.glob(".transitions-*"))
