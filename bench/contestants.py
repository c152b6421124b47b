"""Those who compete, each in a process of its own, so that peak memory and time are its own: `python -m bench.contestants NAME FOLDER`.

The last line printed is one JSON object: seconds of the measured part, peak memory, and a digest of what came out, taken afterwards.
"""

import json
import resource
import shutil
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import baselines, books, org
from bench.books import Book
from ptp_pipeline.settings import Settings

if TYPE_CHECKING:
    import duckdb

    from ptp_pipeline.warehouse.models import Warehouse

FAST_PATH = "applied"  # the model of sql/warehouse/matching that is the fast path
STAGE = "matching"
_TYPED = {
    "payments": {
        "payment_id": "VARCHAR",
        "customer_id": "VARCHAR",
        "received_date": "DATE",
        "amount": "DECIMAL(18, 2)",
        "currency": "VARCHAR",
        "kind": "VARCHAR",
        "reverses_payment_id": "VARCHAR",
        "invoice_id": "VARCHAR",
        "commitment_id": "VARCHAR",
        "reference": "VARCHAR",
    },
    "installments": {"commitment_id": "VARCHAR", "sequence": "INTEGER", "due_date": "DATE", "amount": "DECIMAL(18, 2)"},
}


def peak_mb() -> float:
    """Most memory this process ever held. ru_maxrss would start with what the parent held when it forked."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 / (1024 if sys.platform == "darwin" else 1)


def measured(work: Callable[[], Any]) -> dict[str, Any]:
    """Run and measure."""
    cpu, started = time.process_time(), time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu, "peak_mb": peak_mb()}


def floor(book: Book, options: Namespace) -> dict[str, Any]:
    """DuckDB loads the two CSV files, typed, into memory: what nobody who starts from these files can do without."""
    import duckdb

    con = duckdb.connect(":memory:", config={"threads": options.threads, "preserve_insertion_order": False})

    def load() -> None:
        for table, columns in _TYPED.items():
            source = f"read_csv('{book.folder / table}.csv', header = true, auto_detect = false, columns = {columns})"
            con.execute(f"create table {table} as from {source}")

    found = measured(load)
    found["rows"] = con.execute("select count(*) from payments").fetchall()[0][0]
    return found


def _warehouse(book: Book, options: Namespace) -> "Warehouse":
    import duckdb  # noqa: F401 - importing is not measured

    from ptp_pipeline.warehouse.models import Warehouse

    return Warehouse(books.settings(book, options.threads, options.memory_limit), books.SHUFFLED if options.shuffled else books.ORG)


def _python_steps() -> Mapping[str, Callable[["duckdb.DuckDBPyConnection"], None]]:
    from ptp_pipeline.warehouse.allocation import PYTHON_STEPS

    return PYTHON_STEPS


def fast_inputs(book: Book, options: Namespace) -> dict[str, Any]:
    """Not a contestant: writes the tables the fast path reads as Parquet."""
    from ptp_pipeline.warehouse.models import STAGES, create_table, stage_models

    folder = book.folder / "fast"
    folder.mkdir(exist_ok=True)
    (wanted,) = (model.references for model in stage_models(STAGE) if model.table == FAST_PATH)
    with _warehouse(book, options).connect(STAGES[: STAGES.index(STAGE)]) as con:
        con.execute(f"create schema {STAGE}")
        for model in stage_models(STAGE):
            if model.table == FAST_PATH:
                break
            create_table(con, model)
            if step := _python_steps().get(model.table):
                step(con)
        for name in wanted:
            con.execute(f"copy {name} to '{folder / name}.parquet' (format parquet, compression zstd)")
    return {}


def fast(book: Book, options: Namespace) -> dict[str, Any]:
    """The allocation statement alone: reads what it needs as Parquet, writes what it found as Parquet."""
    from ptp_pipeline.warehouse.models import connect, create_table, stage_models

    (model,) = (model for model in stage_models(STAGE) if model.table == FAST_PATH)
    target = book.folder / "fast.parquet"
    con = connect(books.settings(book, options.threads, options.memory_limit), book.folder / "spill")

    def allocate() -> None:
        for name in sorted(model.references):
            con.execute(f"create schema if not exists {name.split('.')[0]}")
            con.execute(f"create view {name} as from read_parquet('{book.folder / 'fast' / name}.parquet')")
        con.execute(f"create schema if not exists {STAGE}")
        create_table(con, model)
        con.execute(f"copy {model.name} to '{target}' (format parquet, compression zstd)")

    return measured(allocate) | {"allocated": con.execute(f"select count(*), sum(amount_minor)::bigint from '{target}'").fetchall()[0]}


def matching(book: Book, options: Namespace) -> dict[str, Any]:
    """The matching stage as a run does it, from Parquet to Parquet."""
    warehouse = _warehouse(book, options)
    found = measured(lambda: warehouse.run_stage(STAGE, _python_steps()))
    with warehouse.connect() as con:
        allocated = _allocated(con, f"{STAGE}.allocations", "amount_minor")
    return found | {"allocated": allocated, "digest": content_digest(sorted(warehouse.stage_dir(STAGE).glob("*.parquet")))}


def content_digest(tables: Iterable[Path]) -> str:
    """A digest of rows, whatever their order; equal for equal content under one version of DuckDB."""
    import hashlib

    import duckdb

    digests = {}
    with duckdb.connect(":memory:") as con:
        for path in tables:
            rows = f"read_parquet('{path}') as t"
            digests[path.stem] = con.execute(f"select count(*), sum(hash(t)::hugeint)::varchar from {rows}").fetchall()[0]
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:16]


def _allocated(con: "duckdb.DuckDBPyConnection", source: str, minor: str) -> tuple[Any, ...]:
    """Rows, money and a digest of an allocation, comparable between contestants: to the cent, payment and installment."""
    found: tuple[Any, ...] = con.execute(f"""
        select count(*), sum(minor)::bigint, sum(hash(payment_id, commitment_id, sequence, minor)::hugeint)::varchar
        from (select payment_id, commitment_id, sequence::integer as sequence, ({minor})::bigint as minor from {source})
    """).fetchall()[0]
    return found


def _allocated_in(path: Path, minor: str) -> tuple[Any, ...]:
    import duckdb

    with duckdb.connect(":memory:") as con:
        return _allocated(con, f"read_csv('{path}', all_varchar = true)" if path.suffix == ".csv" else f"read_parquet('{path}')", minor)


def write_matching(book: Book, options: Namespace) -> dict[str, Any]:
    """The tables that matching made, written again from memory as a stage's Parquet. Needs them."""
    warehouse = _warehouse(book, options)
    fresh = warehouse.fresh_dir("written")
    parts = []
    for path in warehouse.stage_dir(STAGE).glob("*.parquet"):
        with warehouse.connect([]) as con:
            con.execute(f"create schema {STAGE}; create table {STAGE}.{path.stem} as from '{path}'")
            parts.append(measured(partial(warehouse.write_tables, STAGE, con, [path.stem], fresh)))
    shutil.rmtree(fresh)
    return _together(parts)


def write_published(book: Book, options: Namespace) -> dict[str, Any]:
    """The tables of the org's current build, written again from memory as a DuckDB file like its own. Needs a run."""
    from ptp_pipeline.warehouse.models import connect
    from ptp_pipeline.warehouse.publish import DATABASE, STORAGE_VERSION

    settings = _run_settings(book, options)
    target = book.folder / "written.duckdb"
    parts = []
    with connect(settings, book.folder / "spill") as con:
        con.execute(f"attach '{settings.current_build(org.ORG).resolve() / DATABASE}' as build (read_only)")
        con.execute(f"attach '{target}' as written (storage_version '{STORAGE_VERSION}')")
        tables = con.execute("select schema_name || '.' || table_name from duckdb_tables() where database_name = 'build'").fetchall()
        for number, (table,) in enumerate(tables):
            con.execute(f"create or replace temp table held as from build.{table}")
            parts.append(measured(partial(con.execute, f"create table written.t{number} as from held")))
        parts.append(measured(partial(con.execute, "detach written")))
    target.unlink()
    return _together(parts)


def _together(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: sum(part[name] for part in parts) for name in ("seconds", "cpu_seconds")} | {"peak_mb": peak_mb()}


def loop(book: Book, options: Namespace) -> dict[str, Any]:
    """csv and Decimal in plain Python."""
    del options
    target = book.folder / "loop.csv"
    return measured(lambda: baselines.loop(book, target)) | {"allocated": _allocated_in(target, "(amount::decimal(18, 2) * 100)")}


def pandas(book: Book, options: Namespace) -> dict[str, Any]:
    """Cumulated sums and merges in pandas."""
    import pandas as pd  # noqa: F401 - importing is not measured

    del options
    target = book.folder / "pandas.parquet"
    return measured(lambda: baselines.pandas(book, target)) | {"allocated": _allocated_in(target, "amount")}


def set_up_run(book: Book, options: Namespace) -> dict[str, Any]:
    """Not a contestant: makes the org of the whole run."""
    org.set_up(book, _run_settings(book, options))
    return {}


def drop_increment(book: Book, options: Namespace) -> dict[str, Any]:
    """Not a contestant: drops the small file."""
    org.drop(book.increment, _run_settings(book, options), "payments")
    return {}


def _run_settings(book: Book, options: Namespace) -> Settings:
    return Settings(home=org.home_of(book), duckdb_threads=options.threads, duckdb_memory_limit=options.memory_limit)


def after_run(book: Book, options: Namespace) -> dict[str, Any]:
    """Not a contestant: seconds of each step of a finished run, and what it published."""
    from ptp_pipeline.instance import instance
    from ptp_pipeline.ledger.connection import Ledger
    from ptp_pipeline.warehouse.increment import SCOPE

    settings = _run_settings(book, options)
    with instance(settings, Ledger(settings)) as dagster:
        steps = dagster.get_run_step_stats(options.run_id)
    in_order = sorted(steps, key=lambda step: step.start_time or 0)
    seconds = {step.step_key: round((step.end_time or 0) - (step.start_time or 0), 2) for step in in_order}
    build = settings.current_build(org.ORG).resolve()
    scope = json.loads((settings.warehouse(org.ORG) / SCOPE).read_text(encoding="utf-8"))["words"]
    return {"stages": seconds, "scope": scope, "allocated": _published(build / "ptp.duckdb"), "published_mb": _size_mb(build)}


def _published(database: Path) -> tuple[Any, ...]:
    """What a build says was allocated. Its DuckDB file has every table; a long one has no Parquet file."""
    import duckdb

    with duckdb.connect(database, read_only=True) as con:
        return _allocated(con, "allocations", "amount * 100")


def _size_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def profile(book: Book, options: Namespace) -> dict[str, Any]:
    """Not a contestant: seconds per model of a stage, of writing it and of its checks; the slow ones first. Needs the stages before it."""
    from ptp_pipeline.warehouse import checks
    from ptp_pipeline.warehouse.models import Warehouse

    marks: list[tuple[str, float]] = []

    class Watched(Warehouse):
        def replace_stage(self, stage: str, *rest: Any) -> Any:
            marks.append((f"(counting and writing {stage})", time.perf_counter()))
            return super().replace_stage(stage, *rest)

    warehouse = Watched(_warehouse(book, options).settings, books.ORG)
    steps = _python_steps() if options.stage == STAGE else None
    found = measured(lambda: warehouse.run_stage(options.stage, steps, lambda name: marks.append((name, time.perf_counter()))))
    ended = time.perf_counter()
    seconds = {name: until - at for (name, at), (_, until) in pairwise([*marks, ("", ended)])}
    with warehouse.connect() as con:
        for check in checks.stage_checks(options.stage):
            started = time.perf_counter()
            con.execute(f"create or replace temp table offending as {check.sql}")
            seconds[f"(check {check.name})"] = time.perf_counter() - started
    return found | {"models": dict(sorted(seconds.items(), key=lambda item: -item[1]))}


def explain(book: Book, options: Namespace) -> dict[str, Any]:
    """Not a contestant: EXPLAIN ANALYZE of one model of a stage, printed before the figures."""
    from ptp_pipeline.warehouse.models import STAGES, create_table, stage_models

    with _warehouse(book, options).connect(STAGES[: STAGES.index(options.stage)]) as con:
        con.execute(f"create schema {options.stage}")
        for model in stage_models(options.stage):
            if model.table == options.model:
                print(con.execute(f"explain analyze {model.sql}").fetchall()[0][1])
                break
            create_table(con, model)
            if options.stage == STAGE and (step := _python_steps().get(model.table)):
                step(con)
    return {}


CONTESTANTS = {
    f.__name__: f
    for f in (
        floor,
        fast_inputs,
        fast,
        matching,
        write_matching,
        write_published,
        loop,
        pandas,
        set_up_run,
        drop_increment,
        after_run,
        profile,
        explain,
    )
}


def main() -> None:
    """Run one and print its figures."""
    parser = ArgumentParser(prog="python -m bench.contestants", description=__doc__)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit", default="3GB")
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--stage", default=STAGE)
    parser.add_argument("--model", default=FAST_PATH)
    parser.add_argument("--run-id", default="")
    options = parser.parse_args()
    print(json.dumps(CONTESTANTS[options.name](books.open_book(options.folder), options)))


if __name__ == "__main__":
    main()
