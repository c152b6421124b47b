"""Putting a finished run in place: a versioned folder with a DuckDB file, Parquet, CSV and XLSX, then the `current` link.

What the tables say is decided in sql/warehouse/published. Here they are only written, in their order, and put in place so that a
reader never sees half a build and a crash leaves nothing but a folder the next build removes.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ptp_pipeline import __version__
from ptp_pipeline.domain.export import guard_sql
from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.expectations import Validation
from ptp_pipeline.warehouse.expectations import validate as validate_tables
from ptp_pipeline.warehouse.models import Model, Warehouse, connect, sql_text, stage_models, table_stats

if TYPE_CHECKING:
    import duckdb

# The oldest format written as fast as the newest; DuckDB 1.5 opens it.
STORAGE_VERSION = "v1.5.0"
DATABASE = "ptp.duckdb"
MANIFEST = "build.json"
SPREADSHEETS = ("plan_status", "scorecard_customer", "scorecard_owner")
# A sheet of this many rows takes about a minute to write and nobody reads it; the CSV has them all.
SPREADSHEET_ROWS = 50_000
RUN_INFO = {
    "org_id": "the org",
    "as_of": "business date all tables answer for",
    "built_at": "when the build was made (UTC)",
    "run_id": "run that made it",
    "ledger_position": "how far the ledger was when the run read it",
    "policy_version": "version of the org's policy the run used",
    "version": "version of ptp that made it",
    "digest": "sha256 over the contents of all other tables: equal for equal tables",
}


@dataclass(frozen=True)
class Build:
    """One published build."""

    path: Path
    build_id: str
    org: str
    as_of: date
    built_at: datetime
    run_id: str
    digest: str
    tables: dict[str, int]
    is_current: bool
    validation: Validation | None
    notes: list[str] = field(default_factory=list)


def publish(
    settings: Settings,
    org: str,
    as_of: date,
    run_id: str,
    built_at: datetime,
    *,
    ledger_position: int,
    policy_version: int,
    make_current: bool = False,
    validate: bool = True,
) -> Build:
    """Write the org's published stage as a new build. Only the holder of the org's run lock may call it.

    The build becomes current unless a build for a later date is; `make_current` moves the link even then. One that does not meet
    its expectations is kept, with the Data Docs that say why, and never becomes current. Running it again makes another build with
    the same tables. Raises WorkFailed when the stage was made for another date or not at all.
    """
    root = settings.published(org)
    root.mkdir(parents=True, exist_ok=True)
    for leftover in root.glob(".build-*"):
        shutil.rmtree(leftover)
    fresh = root / f".build-{os.getpid()}-{run_id[:8]}"
    fresh.mkdir()
    warehouse = Warehouse(settings, org)
    _refuse_other_date(warehouse, org, as_of)
    build_id = _free_name(root, f"{as_of}-{re.sub(r'[^A-Za-z0-9]', '', run_id)[:8] or 'run'}")
    built_at = built_at.astimezone(UTC).replace(tzinfo=None) if built_at.tzinfo else built_at
    info = {
        "org_id": org,
        "as_of": as_of,
        "built_at": built_at,
        "run_id": run_id,
        "ledger_position": ledger_position,
        "policy_version": policy_version,
        "version": __version__,
    }
    tables, digest, notes = _write(settings, warehouse, fresh, info)
    validation = validate_tables(fresh / "tables", fresh / "data_docs") if validate else None
    is_current = (validation is None or validation.passed) and (make_current or as_of >= (current_as_of(settings, org) or as_of))
    build = Build(root / build_id, build_id, org, as_of, built_at, run_id, digest, tables, is_current, validation, notes)
    manifest = {**asdict(build), "path": build_id}
    del manifest["is_current"]
    (fresh / MANIFEST).write_text(json.dumps(manifest, default=str, indent=2) + "\n", encoding="utf-8")
    fresh.rename(build.path)
    if is_current:
        _point_current_at(root, build_id)
    _remove_old(root, settings.keep_builds, build_id)
    return build


def content_digest(con: "duckdb.DuckDBPyConnection", tables: Mapping[str, str]) -> str:
    """sha256 over the contents of tables (name → how it is called in `con`), independent of the order of rows and of files.

    Every row becomes text, every text a 128-bit hash, and a table the count and the exclusive or of its hashes; published rows are
    unique, so none cancels another.
    """
    lines = []
    for name, relation in sorted(tables.items()):
        columns = table_stats(con, relation).columns
        row = ", ".join(f"""coalesce("{column}"::varchar, chr(0))""" for column, _ in columns)
        count, mixed = con.execute(
            f"select count(*), coalesce(bit_xor(md5_number(concat_ws(chr(31), {row}))), 0)::varchar from {relation}"
        ).fetchall()[0]
        lines.append(f"{name} {' '.join(f'{column}:{kind}' for column, kind in columns)} {count} {mixed}")
    return sha256("\n".join(lines).encode()).hexdigest()


def order_of(model: Model) -> str:
    """The order in which a published table is written: the `order by` its statement ends with."""
    return model.sql.rsplit("\norder by ", 1)[1].strip()


def _write(settings: Settings, warehouse: Warehouse, fresh: Path, info: Mapping[str, object]) -> tuple[dict[str, int], str, list[str]]:
    """All files of a build into the folder. Returns rows per table, digest and notes."""
    models = [m for m in stage_models("published") if m.is_kept]
    stage = warehouse.stage_dir("published")
    (fresh / "tables").mkdir()
    (fresh / "reports").mkdir()
    con = connect(settings, warehouse.root / "spill")
    try:
        # Here the order of rows is part of the result.
        con.execute("set preserve_insertion_order = true; set timezone = 'UTC'")
        con.execute(f"attach {sql_text(fresh / DATABASE)} as built (storage_version '{STORAGE_VERSION}')")
        for model in models:
            made = sql_text(f"{stage / model.table}.parquet")
            con.execute(f"create table built.{model.table} as select * from read_parquet({made}) order by {order_of(model)}")
            _comment(con, f"built.{model.table}", f"{model.description} Grain: {model.grain}.", model.columns)
        digest = content_digest(con, {m.table: f"built.{m.table}" for m in models})
        _write_run_info(con, {**info, "digest": digest})
        names = [*(m.table for m in models), "run_info"]
        tables = {}
        for name in names:
            stats = table_stats(con, f"built.{name}")
            tables[name] = stats.rows
            con.execute(f"copy built.{name} to {sql_text(fresh / 'tables' / f'{name}.parquet')} (format parquet, compression zstd)")
            text = [column for column, kind in stats.columns if kind == "VARCHAR"]
            guarded = ", ".join(f'{guard_sql(_quoted(c))} as "{c}"' for c in text)
            replaced = f" replace ({guarded})" if guarded else ""
            con.execute(
                f"copy (select *{replaced} from built.{name}) to {sql_text(fresh / 'reports' / f'{name}.csv')} (format csv, header)"
            )
        notes = [note for name in SPREADSHEETS if (note := _write_spreadsheet(con, name, tables[name], fresh, info["as_of"]))]
        con.execute("detach built")
    finally:
        con.close()
    return tables, digest, notes


def _quoted(column: str) -> str:
    return f'"{column}"'


def _write_run_info(con: "duckdb.DuckDBPyConnection", info: Mapping[str, object]) -> None:
    con.execute(
        "create table built.run_info (org_id varchar, as_of date, built_at timestamp, run_id varchar, ledger_position bigint,"
        " policy_version integer, version varchar, digest varchar)"
    )
    con.execute(f"insert into built.run_info values ({', '.join('?' * len(RUN_INFO))})", [info[name] for name in RUN_INFO])
    _comment(con, "built.run_info", "What this build answers for. Grain: one row.", RUN_INFO)


def _comment(con: "duckdb.DuckDBPyConnection", table: str, description: str, columns: Mapping[str, str]) -> None:
    """Keep the data dictionary inside the file, where every client shows it."""
    con.execute(f"comment on table {table} is {sql_text(description)}")
    for column, meaning in columns.items():
        con.execute(f'comment on column {table}."{column}" is {sql_text(meaning)}')


def _write_spreadsheet(con: "duckdb.DuckDBPyConnection", table: str, rows: int, fresh: Path, as_of: object) -> str:
    """One table as XLSX. Returns what to tell people when it was left out."""
    if rows > SPREADSHEET_ROWS:
        return f"{table}.xlsx was left out: {rows:,} rows are more than the {SPREADSHEET_ROWS:,} a sheet is made for; see {table}.csv."
    import polars as pl
    from xlsxwriter import Workbook

    frame = con.sql(f"select * from built.{table}").pl()
    amounts = [name for name, kind in frame.schema.items() if kind == pl.Decimal(18, 3)]
    # A cell that starts with = is text here, never a formula; a fixed date of creation keeps equal builds equal.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "remove_timezone": True}
    with Workbook(fresh / "reports" / f"{table}.xlsx", options) as workbook:
        workbook.set_properties({"title": table, "created": datetime.combine(date.fromisoformat(str(as_of)), datetime.min.time())})
        frame.write_excel(
            workbook,
            worksheet=table,
            autofit=True,
            freeze_panes=(1, 0),
            column_formats=dict.fromkeys(amounts, "#,##0.00#"),
            dtype_formats={pl.Date: "yyyy-mm-dd", pl.Datetime: "yyyy-mm-dd hh:mm"},
        )
    return ""


def _refuse_other_date(warehouse: Warehouse, org: str, as_of: date) -> None:
    """A stage made for another date must not be published under this one."""
    params = warehouse.stage_dir("ledger") / "params.parquet"
    made = {path.stem for path in warehouse.stage_dir("published").glob("*.parquet")}
    missing = [m.table for m in stage_models("published") if m.is_kept and m.table not in made]
    again = f"Run `ptp run --org {org} --as-of {as_of}`."
    if missing or not params.exists():
        raise WorkFailed(f"There is nothing to publish for {org}: the run made no {', '.join(missing) or 'parameters'}.", again)
    con = connect(warehouse.settings)
    try:
        (made_for,) = con.execute(f"select as_of from read_parquet({sql_text(params)})").fetchall()[0]
    finally:
        con.close()
    if made_for != as_of:
        raise WorkFailed(f"The tables of {org} answer for {made_for}, not for {as_of}: another run came between.", again)


def _free_name(root: Path, name: str) -> str:
    """The name, or the name with a number: a process that has a removed build open would get its old tables under the same path."""
    taken = {path.name for path in root.iterdir()}
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def current_as_of(settings: Settings, org: str) -> date | None:
    """The business date of the org's current build; None before the first."""
    manifest = settings.current_build(org) / MANIFEST
    return date.fromisoformat(json.loads(manifest.read_text(encoding="utf-8"))["as_of"]) if manifest.exists() else None


def _point_current_at(root: Path, build_id: str) -> None:
    """Move the link in one step; readers see the old build or the new one."""
    link = root / ".current"
    link.unlink(missing_ok=True)
    link.symlink_to(build_id, target_is_directory=True)
    link.replace(root / "current")


def _remove_old(root: Path, keep: int, newest: str) -> None:
    """Remove builds beyond the limit, oldest first, but never the current one nor the one just made."""
    spared = {newest, (root / "current").resolve().name}
    builds = [
        (json.loads(manifest.read_text(encoding="utf-8"))["built_at"], manifest.parent) for manifest in root.glob(f"[0-9]*/{MANIFEST}")
    ]
    for _, path in sorted(builds, reverse=True)[keep:]:
        if path.name not in spared:
            doomed = root / f".build-old-{path.name}"
            path.rename(doomed)
            shutil.rmtree(doomed)
