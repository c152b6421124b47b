"""Builds on disk: what a reader of any kind finds, and what happens on the second build, a late one and a crash."""

import csv
import json
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from zipfile import ZipFile

import duckdb
import pytest

from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.settings import SQL, Settings
from ptp_pipeline.warehouse import publish as publishing
from ptp_pipeline.warehouse.dictionary import types_of
from ptp_pipeline.warehouse.expectations import EXPECTATIONS, Failure, unmet, validate
from ptp_pipeline.warehouse.models import Warehouse
from ptp_pipeline.warehouse.publish import Build, publish
from tests.integration.publish.published_books import warehouse
from tests.unit.matching.books import Book

ORG = "acme"
EARLIER, AS_OF, LATER = date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)


@pytest.fixture(scope="module", autouse=True)
def _clean() -> Iterator[None]:
    yield
    for as_of in (AS_OF, EARLIER, LATER):
        shutil.rmtree(prepared(as_of).parents[1], ignore_errors=True)


@pytest.fixture
def small(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, duckdb_threads=2, keep_builds=2)


def book(as_of: date = AS_OF) -> Book:
    book = Book(as_of=as_of)
    book.commit("=PLAN(1)", "01-10", ("01-15", 30000), ("02-15", 30000), invoices=["INV-1"])
    book.pay("P-1", "01-15", 30000, commitment_id="=PLAN(1)")
    book.reverse("V-1", "P-1", "02-01", 30000)
    book.pay("P-2", "02-02", 123, customer="K9")
    book.commit("WAITS", "01-10", ("05-01", 100), ("06-01", 100), customer="K2", decision=None)
    return book


@cache
def prepared(as_of: date) -> Path:
    """A warehouse as a run for that date would leave it, made once: most tests are about what comes after."""
    settings = Settings(home=Path(tempfile.mkdtemp(prefix="ptp-")), duckdb_threads=2)
    return warehouse(settings, ORG, book(as_of)).root


def run(settings: Settings, as_of: date) -> None:
    shutil.rmtree(settings.warehouse(ORG), ignore_errors=True)
    shutil.copytree(prepared(as_of), settings.warehouse(ORG))


def build(settings: Settings, as_of: date = AS_OF, run_id: str = "0a1b2c3d-4e5f", hour: int = 7, **more: bool) -> Build:
    run(settings, as_of)
    more.setdefault("validate", False)
    return publish(settings, ORG, as_of, run_id, datetime(2026, 3, 1, hour, tzinfo=UTC), ledger_position=7, policy_version=1, **more)


def current(settings: Settings) -> str:
    return settings.current_build(ORG).resolve().name


def test_the_sentences_of_a_build_are_there_for_every_reader(small: Settings) -> None:
    """The views hold no macro and no name of the connection that made them: the file is read on its own, or attached under any name."""
    made = build(small)
    with duckdb.connect() as con:
        con.execute(f"attach '{made.path / 'ptp.duckdb'}' as anything (read_only)")
        for table, column in (("payments", "reason"), ("installments", "reason"), ("transitions", "cause")):
            assert con.execute(f"select count(*) from anything.{table} where coalesce({column}, '') = ''").fetchall() == [(0,)]
        stored = con.execute("select count(*) from duckdb_columns() where schema_name = 'stored' and column_name = 'reason'").fetchall()
    assert stored == [(0,)]


def test_long_tables_are_in_the_duckdb_file_only_and_the_build_says_so(small: Settings) -> None:
    made = build(small.model_copy(update={"table_file_rows": 1}))
    assert not (made.path / "tables" / "installments.parquet").exists()
    assert not (made.path / "reports" / "installments.csv").exists()
    assert (made.path / "reports" / "plan_status.csv").exists()
    (note,) = made.notes
    assert note.startswith("Tables of more than 1 rows are in ptp.duckdb only: ")
    assert "installments" in note
    with duckdb.connect(str(made.path / "ptp.duckdb"), read_only=True) as con:
        assert con.execute("select count(*) from installments").fetchall() == [(2,)]


def test_a_long_table_with_sentences_is_written_as_csv_in_its_order(small: Settings) -> None:
    made = build(small)
    target, rows = small.home / "payments.csv", 300_000
    with duckdb.connect() as con:
        con.execute(f"attach '{made.path / 'ptp.duckdb'}' as built")
        longer = (
            f"select * replace (r as line_number) from built.stored.payments, range({rows}) as t (r) where payment_id = 'P-1' order by r"
        )
        con.execute(f"create or replace table built.stored.payments as {longer}")
        con.execute(publishing._copy_statement(con, "payments", target, ""))
    with target.open(encoding="utf-8") as file:
        assert [int(row["line_number"]) for row in csv.DictReader(file)] == list(range(rows))


def test_a_build_holds_the_same_tables_as_duckdb_parquet_and_csv(small: Settings) -> None:
    made = build(small)
    with duckdb.connect(str(made.path / "ptp.duckdb"), read_only=True) as con:
        for table, rows in made.tables.items():
            assert con.execute(f"select count(*) from {table}").fetchall() == [(rows,)]
            parquet = made.path / "tables" / f"{table}.parquet"
            assert con.execute(f"select * from {table} except all select * from read_parquet('{parquet}')").fetchall() == []
            with (made.path / "reports" / f"{table}.csv").open(encoding="utf-8", newline="") as file:
                assert sum(1 for _ in csv.reader(file)) == rows + 1
        info = con.execute("select org_id, as_of, ledger_position, digest from run_info").fetchall()
        assert info == [(ORG, AS_OF, 7, made.digest)]
        comment = con.execute(
            "select comment from duckdb_columns() where table_name = 'installments' and column_name = 'verdict'"
        ).fetchall()
        assert "partially_kept" in comment[0][0]
    assert json.loads((made.path / "build.json").read_text())["digest"] == made.digest
    assert set(types_of(made.path / "ptp.duckdb")) == set(made.tables)


def test_text_that_would_start_a_formula_is_guarded_in_csv_and_plain_text_in_xlsx(small: Settings) -> None:
    made = build(small)
    with (made.path / "reports" / "plan_status.csv").open(encoding="utf-8", newline="") as file:
        assert [row["commitment_id"] for row in csv.DictReader(file)] == ["'=PLAN(1)", "WAITS"]
    for name in ("plan_status", "scorecard_customer", "scorecard_owner"):
        with ZipFile(made.path / "reports" / f"{name}.xlsx") as sheet:
            assert b"<f>" not in sheet.read("xl/worksheets/sheet1.xml")


def test_the_same_facts_give_the_same_digest_whatever_was_run_between(small: Settings) -> None:
    first = build(small)
    later = build(small, as_of=LATER)
    again = build(small, hour=9, run_id="another-run")
    assert first.digest == again.digest != later.digest
    assert first.tables == again.tables


def test_equal_builds_have_byte_for_byte_equal_csv_and_xlsx_files(small: Settings) -> None:
    first, second = build(small), build(small)
    names = sorted(path.name for path in (first.path / "reports").iterdir() if path.stem != "run_info")
    assert [(first.path / "reports" / n).read_bytes() for n in names] == [(second.path / "reports" / n).read_bytes() for n in names]


def test_running_again_makes_another_build_under_another_name(small: Settings) -> None:
    assert [build(small).build_id, build(small).build_id] == ["2026-03-01-0a1b2c3d", "2026-03-01-0a1b2c3d-2"]
    assert current(small) == "2026-03-01-0a1b2c3d-2"


def test_a_build_for_an_earlier_day_becomes_current_only_when_asked(small: Settings) -> None:
    today = build(small)
    earlier = build(small, as_of=EARLIER, run_id="earlier")
    assert not earlier.is_current
    assert current(small) == today.build_id
    asked = build(small, as_of=EARLIER, run_id="asked", make_current=True)
    assert current(small) == asked.build_id


def test_old_builds_are_removed_but_never_the_current_one(small: Settings) -> None:
    today = build(small, hour=1)
    for hour in (2, 3, 4):
        build(small, as_of=EARLIER, run_id=f"run{hour}", hour=hour)
    names = sorted(path.name for path in small.published(ORG).iterdir())
    assert names == ["2026-02-01-run3", "2026-02-01-run4", today.build_id, "current"]


def test_a_reader_keeps_its_build_while_newer_ones_come_and_old_ones_go(small: Settings) -> None:
    build(small, hour=1)
    with duckdb.connect(str(small.current_build(ORG).resolve() / "ptp.duckdb"), read_only=True) as reader:
        for hour in (2, 3, 4):
            build(small, hour=hour)
        assert reader.execute("select hour(built_at) from run_info").fetchall() == [(1,)]


def test_a_crash_while_writing_leaves_the_old_build_current_and_nothing_half_made(small: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    good = build(small)

    def crash(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(publishing, "_write_spreadsheet", crash)
        with pytest.raises(KeyboardInterrupt):
            build(small)
    assert current(small) == good.build_id
    assert [path.name for path in small.published(ORG).glob("[0-9]*")] == [good.build_id]
    after = build(small)
    assert sorted(path.name for path in small.published(ORG).iterdir()) == sorted([good.build_id, after.build_id, "current"])


def test_tables_made_for_another_day_are_not_published(small: Settings) -> None:
    run(small, AS_OF)
    with pytest.raises(WorkFailed, match="answer for 2026-03-01, not for 2026-03-02"):
        publish(small, ORG, date(2026, 3, 2), "run", datetime(2026, 3, 2, tzinfo=UTC), ledger_position=1, policy_version=1)
    with pytest.raises(WorkFailed, match="nothing to publish for other"):
        publish(small, "other", AS_OF, "run", datetime(2026, 3, 2, tzinfo=UTC), ledger_position=1, policy_version=1)


def test_a_table_too_long_for_a_sheet_is_left_to_its_csv_and_the_build_says_so(small: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "SPREADSHEET_ROWS", 1)
    made = build(small)
    (note,) = made.notes
    assert note.startswith("plan_status.xlsx was left out: more than 1 rows.")
    assert "ptp export --table plan_status --format xlsx" in note
    assert not (made.path / "reports" / "plan_status.xlsx").exists()


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Build]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), duckdb_threads=2)
    return settings, build(settings, validate=True)


def test_a_validated_build_meets_its_expectations_and_has_data_docs(validated: tuple[Settings, Build]) -> None:
    _, made = validated
    assert made.validation is not None
    assert (made.validation.failures, made.is_current) == ([], True)
    assert made.validation.expectation_count > 50
    assert "installments" in (made.path / "data_docs" / "index.html").read_text(encoding="utf-8")


def test_a_build_that_does_not_meet_its_expectations_is_kept_but_not_current(validated: tuple[Settings, Build]) -> None:
    settings, good = validated
    run(settings, AS_OF)
    table = Warehouse(settings, ORG).stage_dir("outcomes") / "installments.parquet"
    with duckdb.connect() as con:
        con.execute(f"create table t as select * replace (case when sequence = 1 then -1 else days_late end as days_late) from '{table}'")
        con.execute(f"copy t to '{table}' (format parquet)")
    bad = publish(settings, ORG, AS_OF, "bad", datetime(2026, 3, 2, tzinfo=UTC), ledger_position=1, policy_version=1)
    assert bad.validation is not None
    failure = next(f for f in bad.validation.failures if f.table == "installments")
    assert (failure.column, failure.unexpected_count, failure.sample) == ("days_late", 1, ["-1"])
    assert not bad.is_current
    assert current(settings) == good.build_id
    assert (bad.path / "data_docs" / "index.html").exists()


def test_a_build_that_breaks_a_check_is_not_put_in_place(small: Settings) -> None:
    good = build(small)
    run(small, AS_OF)
    table = Warehouse(small, ORG).stage_dir("outcomes") / "commitments.parquet"
    with duckdb.connect() as con:
        con.execute(f"create table t as select * replace (paid_minor + 1 as paid_minor) from '{table}'")
        con.execute(f"copy t to '{table}' (format parquet)")
    with pytest.raises(WorkFailed, match="Paid money must be the same however it is cut"):
        publish(small, ORG, AS_OF, "bad", datetime(2026, 3, 2, tzinfo=UTC), ledger_position=1, policy_version=1, validate=False)
    assert current(small) == good.build_id
    assert [path.name for path in small.published(ORG).glob("[0-9]*")] == [good.build_id]


def test_the_same_expectations_in_sql_find_the_same_rows_wanting(validated: tuple[Settings, Build], tmp_path: Path) -> None:
    copied = shutil.copy(validated[1].path / "ptp.duckdb", tmp_path / "ptp.duckdb")
    with duckdb.connect(str(copied)) as con:
        assert unmet(con, "main", EXPECTATIONS) == []
        con.execute("update stored.installments set days_late = -1, status = 'odd' where sequence = 1")
        con.execute("update stored.installments set due_date = null")
        con.execute("update commitments set currency = 'usd'; update plan_status set progress = 2")
        con.execute("insert into stored.transitions from stored.transitions; insert into run_info from run_info")
        con.execute("insert into customers from customers")

        def told(failures: list[Failure]) -> set[tuple[str, str, str]]:
            return {(found.table, found.expectation, found.column) for found in failures}

        assert told(unmet(con, "main", EXPECTATIONS)) == told(validate(con, "main").failures)
        assert len(told(unmet(con, "main", EXPECTATIONS))) == 8
        assert unmet(con, "main", {"run_info"}) == [Failure("run_info", "expect_table_row_count_to_equal", "", 1, [])]


def test_a_long_table_is_validated_on_its_first_rows_and_says_so(
    validated: tuple[Settings, Build], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptp_pipeline.warehouse.expectations.ROW_LIMIT", 1)
    with duckdb.connect(str(validated[1].path / "ptp.duckdb"), read_only=True) as con:
        result = validate(con, "main")
    assert "installments: the first 1 of 2 rows were looked at." in result.notes


@pytest.mark.parametrize("query", sorted((SQL / "analyst").glob("*.sql")), ids=lambda path: path.stem)
def test_every_query_of_the_cookbook_runs_on_a_published_file(query: Path, validated: tuple[Settings, Build]) -> None:
    with duckdb.connect(str(validated[1].path / "ptp.duckdb"), read_only=True) as con:
        con.execute(query.read_text(encoding="utf-8")).fetchall()
    assert query.read_text(encoding="utf-8").startswith("-- ")
