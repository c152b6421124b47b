"""Running sql/warehouse: one file is one statement is one table; a stage is a folder run in dependency order.

A run works in an in-memory DuckDB that may spill to disk; tables pass from stage to stage as Parquet, because loading
a `.duckdb` file costs several times as much and would lock readers out. Rules live in the SQL, not here.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.settings import SQL, Settings
from ptp_pipeline.warehouse.sentences import sentences_of

if TYPE_CHECKING:
    import duckdb

STAGES = ("feed", "ledger", "raw", "core", "matching", "outcomes", "published")
MODELS = SQL / "warehouse"
_REFERENCE = re.compile(r"\b(" + "|".join(STAGES) + r")\.([a-z_][a-z0-9_]*)")
_COMMENT = re.compile(r"--[^\n]*")


@dataclass(frozen=True)
class Model:
    """One SQL file: its header is the data dictionary's source, its text the table's definition."""

    stage: str
    table: str
    grain: str
    description: str
    columns: Mapping[str, str]
    is_kept: bool
    is_view: bool
    after: str
    sql: str
    scope: str = ""
    sentences: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.stage}.{self.table}"

    @cached_property
    def references(self) -> frozenset[str]:
        """Names (`stage.table`) of the tables this one reads, and of the one whose Python step makes what it reads."""
        read = {f"{s}.{t}" for s, t in _REFERENCE.findall(_COMMENT.sub("", self.sql))}
        return frozenset(read | {f"{self.stage}.{table.strip()}" for table in self.after.split(",") if table})


@dataclass(frozen=True)
class TableStats:
    """What a stage made: number of rows and (column, DuckDB type) pairs."""

    rows: int
    columns: tuple[tuple[str, str], ...]


class ModelError(Exception):
    """A model's header and its statement disagree, or a stage refers to a table that does not exist."""


def parse_model(path: Path) -> Model:
    """Read one model file. Raises ModelError when the header lacks its grain or columns."""
    header: dict[str, str] = {}
    columns: dict[str, str] = {}
    section = ""
    text = path.read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        body = line[2:]
        if section == "columns" and (column := re.match(r"^ {2,}(\w+): (.*)$", body)):
            columns[column[1]] = column[2].strip()
        elif section == "columns" and columns and body.startswith("    "):
            columns[next(reversed(columns))] += " " + body.strip()
        elif key := re.match(r"^ (grain|description|scope|columns|keep|as|after|check|message): ?(.*)$", body):
            section = key[1]
            header[section] = key[2].strip()
        elif section:
            header[section] = f"{header[section]} {body.strip()}".strip()
    if "grain" not in header or not columns:
        raise ModelError(f"{path.name}: the header needs `-- grain:` and `-- columns:`")
    return Model(
        stage=path.parent.name,
        table=path.stem,
        grain=header["grain"],
        description=header.get("description", ""),
        columns=columns,
        is_kept=header.get("keep", "yes") != "no",
        is_view=header.get("as", "table") == "view",
        after=header.get("after", ""),
        sql=text,
        scope=header.get("scope", ""),
        sentences=sentences_of(path.stem) if path.parent.name == "published" else {},
    )


@lru_cache
def stage_models(stage: str) -> tuple[Model, ...]:
    """The models of a stage, every one after those it reads."""
    models = {m.name: m for m in map(parse_model, sorted((MODELS / stage).glob("*.sql")))}
    order = TopologicalSorter({name: sorted(m.references & models.keys()) for name, m in models.items()})
    return tuple(models[name] for name in order.static_order())


def kept_views(stage: str) -> tuple[Model, ...]:
    """Models of a stage that are no tables of their own: whoever reads the stage gets them as views."""
    return tuple(m for m in stage_models(stage) if m.is_view and m.is_kept)


@lru_cache
def _done_with(stage: str) -> Mapping[str, tuple[str, ...]]:
    """Tables of a stage that are not kept, by the model after which nothing reads them. A large book must not hold all at once."""
    models = stage_models(stage)
    order = {model.name: place for place, model in enumerate(models)}
    last = {model.name: len(models) if model.is_kept else order[model.name] for model in models}
    for model in reversed(models):
        until = last[model.name] if model.is_view else order[model.name]
        for name in model.references & last.keys():
            last[name] = max(last[name], until)
    return {reader.name: tuple(m.name for m in models if not m.is_view and last[m.name] == place) for place, reader in enumerate(models)}


@lru_cache
def _read_by_views(stage: str) -> frozenset[str]:
    """The other stages that must be there for a stage's views."""
    return frozenset(name.split(".")[0] for model in kept_views(stage) for name in model.references) - {stage}


@lru_cache
def _reads(stage: str) -> tuple[str, ...]:
    """The other stages whose tables a stage's models read."""
    return tuple(sorted({name.split(".")[0] for model in stage_models(stage) for name in model.references} - {stage}))


def sql_text(value: object) -> str:
    """A value as a text literal: statements that take no parameters (views, copy, attach, comments) still get paths safely."""
    return "'" + str(value).replace("'", "''") + "'"


def connect(settings: Settings, spill: Path | None = None) -> "duckdb.DuckDBPyConnection":
    """An in-memory DuckDB: UTC, bounded memory, never loading extensions from the network."""
    import duckdb

    con = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": settings.duckdb_memory_limit,
            "threads": settings.duckdb_threads,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": False,
        },
    )
    if spill is not None:
        con.execute(f"set temp_directory = {sql_text(spill)}")
    return con


# Ids and sentences differ row by row: a dictionary of them is made for nothing, and the later encodings are shorter and faster.
_PARQUET = "format parquet, parquet_version v2, compression zstd, dictionary_size_limit 2000"
_STAMP = "stamp.json"

PythonStep = Callable[["duckdb.DuckDBPyConnection"], None]


class Warehouse:
    """One org's derived tables: `<home>/warehouse/<org>/<stage>/<table>.parquet`; with `place`, the stages of a folder in there."""

    def __init__(self, settings: Settings, org: str, place: str = "") -> None:
        self.settings = settings
        self.root = settings.warehouse(org) / place

    def stage_dir(self, stage: str) -> Path:
        return self.root / stage

    def connect(self, stages: Iterable[str] = STAGES) -> "duckdb.DuckDBPyConnection":
        """A DuckDB with one view per table of the given stages."""
        self.root.mkdir(parents=True, exist_ok=True)
        con = connect(self.settings, self.root / "spill")
        wanted = set(stages)
        while more := {read for stage in wanted for read in _read_by_views(stage)} - wanted:
            wanted |= more
        for stage in sorted(wanted, key=STAGES.index):
            con.execute(f"create schema if not exists {stage}")
            for table, source in sorted(self._tables(stage).items()):
                con.execute(f"create view {stage}.{table} as select * from {source}")
            if self.stage_dir(stage).exists():
                for model in kept_views(stage):
                    create_table(con, model)
        return con

    def _tables(self, stage: str) -> dict[str, str]:
        """What each table of a stage is read from: `<table>.parquet`, or a folder of `file_sequence=N/*.parquet`."""
        found = {}
        for path in self.stage_dir(stage).glob("*"):
            if path.suffix == ".parquet":
                found[path.stem] = f"read_parquet({sql_text(path)})"
            elif path.is_dir():
                files = sql_text(path / "*" / "*.parquet")
                found[path.name] = f"read_parquet({files}, hive_partitioning = true, hive_types = {{'file_sequence': bigint}})"
        return found

    def open_for(self, stage: str) -> "duckdb.DuckDBPyConnection":
        """A DuckDB with the tables a stage is made from. Raises WorkFailed when some of them were made from others that are gone."""
        upstream = STAGES[: STAGES.index(stage)]
        self._refuse_stale(upstream)
        return self.connect(upstream)

    def run_stage(
        self,
        stage: str,
        python_steps: Mapping[str, PythonStep] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> dict[str, TableStats]:
        """Build every table of a stage and put them in place at once.

        `python_steps` maps a model's name to a function run right after that model was made: for the few algorithms
        that need rounds of statements. Either all tables of the stage are replaced or none.
        """
        con = self.open_for(stage)
        try:
            con.execute(f"create schema {stage}")
            for model in stage_models(stage):
                if progress:
                    progress(model.name)
                create_table(con, model)
                if step := (python_steps or {}).get(model.table):
                    step(con)
                for table in _done_with(stage)[model.name]:
                    con.execute(f"drop table {table}")
            kept = [m.table for m in stage_models(stage) if m.is_kept and not m.is_view]
            views = {m.table: table_stats(con, m.name) for m in kept_views(stage)}
            return {**self.replace_stage(stage, con, kept), **views}
        finally:
            con.close()

    def replace_stage(self, stage: str, con: "duckdb.DuckDBPyConnection", tables: Iterable[str]) -> dict[str, TableStats]:
        """Write tables `<stage>.<table>` of `con` as Parquet and swap the whole stage in."""
        fresh = self.fresh_dir(stage)
        stats = self.write_tables(stage, con, tables, fresh)
        self.swap_in(stage, fresh)
        return stats

    def write_tables(self, stage: str, con: "duckdb.DuckDBPyConnection", tables: Iterable[str], fresh: Path) -> dict[str, TableStats]:
        """Write tables `<stage>.<table>` of `con` as Parquet into a folder."""
        stats = {}
        for table in sorted(tables):
            stats[table] = table_stats(con, f"{stage}.{table}")
            con.execute(f"copy {stage}.{table} to {sql_text(fresh / f'{table}.parquet')} ({_PARQUET})")
        return stats

    def fresh_dir(self, stage: str) -> Path:
        """An empty folder to write a stage's tables to, for `swap_in`."""
        fresh = self.root / f".{stage}-{uuid4().hex[:8]}"
        fresh.mkdir(parents=True)
        return fresh

    def stats(self, stage: str) -> dict[str, TableStats]:
        """Rows and columns of the tables a stage has now."""
        con = self.connect([stage])
        try:
            tables = list(self._tables(stage))
            views = [model.table for model in kept_views(stage) if tables]
            return {table: table_stats(con, f"{stage}.{table}") for table in sorted([*tables, *views])}
        finally:
            con.close()

    def params(self) -> dict[str, Any]:
        """What the current ledger snapshot answers for: the one row of ledger.params."""
        con = self.connect(["ledger"])
        try:
            names = [column for column, _ in columns_of(con, "ledger.params")]
            return dict(zip(names, con.execute("from ledger.params").fetchall()[0], strict=True))
        finally:
            con.close()

    def swap_in(self, stage: str, fresh: Path) -> None:
        """Make the folder `fresh` the stage. A crash half-way leaves the stage missing, and the next run makes it."""
        made_from = {u: self._stamp(u)["id"] for u in _reads(stage)}
        (fresh / _STAMP).write_text(json.dumps({"id": uuid4().hex, "made_from": made_from}), encoding="utf-8")
        old = self.stage_dir(stage)
        if old.exists():
            doomed = self.root / f".{stage}-old-{uuid4().hex[:8]}"
            old.rename(doomed)
            fresh.rename(old)
            shutil.rmtree(doomed, ignore_errors=True)
        else:
            fresh.rename(old)

    def stamp(self, stage: str) -> str:
        """What tells one making of a stage from another; empty when there is none."""
        return str(self._stamp(stage)["id"])

    def _stamp(self, stage: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.stage_dir(stage) / _STAMP).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"id": "", "made_from": {}}
        return found

    def _refuse_stale(self, stages: Iterable[str]) -> None:
        """Stages can be run one by one from the UI; mixing two snapshots would publish one day's verdicts under another's date."""
        for stage in stages:
            for upstream, stamp in self._stamp(stage)["made_from"].items():
                if self._stamp(upstream)["id"] != stamp:
                    raise WorkFailed(
                        f"The {stage} tables were made before the {upstream} tables they are read with.",
                        f"Materialize {stage} and everything after it, or run the whole job.",
                    )

    def sweep(self) -> None:
        """Remove what crashed runs left behind. Only the holder of the org's run lock may call it."""
        for leftover in self.root.glob(".*-*"):
            shutil.rmtree(leftover, ignore_errors=True)


def create_table(con: "duckdb.DuckDBPyConnection", model: Model, relation: str = "") -> None:
    """Run one model into its table, or into `relation`. Raises ModelError when its columns are not those of its header, in that order.

    A table with sentences is kept in the schema `stored`, and `relation` is a view over it.
    """
    relation = relation or model.name
    if model.sentences:
        stored = stored_table(relation)
        con.execute(f"create schema if not exists {stored.rsplit('.', 1)[0]}")
        con.execute(f"create table {stored} as\n{model.sql}")
        names = [name for name, _ in columns_of(con, stored)]
        written = [f"({model.sentences[name]}) as {name}" if name in model.sentences else name for name in model.columns]
        written += [name for name in names if name not in model.columns]
        con.execute(f"create view {relation} as select {', '.join(written)} from {stored}")
    else:
        con.execute(f"create {'view' if model.is_view else 'table'} {relation} as\n{model.sql}")
    actual = [name for name, _ in columns_of(con, relation)]
    if actual != list(model.columns):
        raise ModelError(f"{model.name}: header says {list(model.columns)}, statement gives {actual}")


def stored_table(relation: str) -> str:
    """Where the rows of a published table with sentences are: `built.payments` → `built.stored.payments`."""
    *place, table = relation.split(".")
    return ".".join([*place[:-1], *(place[-1:] if place[-1:] != ["published"] else []), "stored", table])


def table_stats(con: "duckdb.DuckDBPyConnection", table: str) -> TableStats:
    (rows,) = con.execute(f"select count(*) from {table}").fetchall()[0]
    return TableStats(rows=rows, columns=columns_of(con, table))


def columns_of(con: "duckdb.DuckDBPyConnection", table: str) -> tuple[tuple[str, str], ...]:
    """Names and types of a table's columns, in order, without counting its rows."""
    return tuple((row[0], row[1]) for row in con.execute(f"describe {table}").fetchall())
