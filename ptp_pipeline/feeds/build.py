"""The feed stage: all accepted rows of all accepted files, as typed Parquet. Nothing is deduplicated here; sql/warehouse/raw does that.

A file is read under the policy of the day it was received: a sender who changes format in June does not change what May's files say.
"""

import datetime as dt
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ptp_pipeline.domain.policy import Policy
from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.feeds import cache, schemas
from ptp_pipeline.feeds.cache import CachedFile
from ptp_pipeline.feeds.dialect import UnreadableFile
from ptp_pipeline.feeds.mapping import Dialect, FeedMapping
from ptp_pipeline.ledger import files, policies
from ptp_pipeline.ledger.connection import Actor, Ledger, Transaction
from ptp_pipeline.ledger.files import ReceivedFile
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.models import Warehouse

if TYPE_CHECKING:
    import duckdb

READER = Actor(name="pipeline", role="pipeline", auth="pipeline", origin="feeds")
QUARANTINE_COLUMNS = {
    "feed": "VARCHAR",
    "file_name": "VARCHAR",
    "file_sha256": "VARCHAR",
    "line_number": "INTEGER",
    "column_name": "VARCHAR",
    "value": "VARCHAR",
    "rule": "VARCHAR",
    "message": "VARCHAR",
}
LINE_COLUMNS = {"feed": "VARCHAR", "file_sha256": "VARCHAR", "line_number": "INTEGER", "outcome": "VARCHAR", "commitment_id": "VARCHAR"}
FEED_TABLES = MappingProxyType(
    {
        **{feed.name: f"All accepted rows of the {feed.name} feed. {feed.description}" for feed in schemas.FEEDS.values()},
        "files": "Accepted files in the order they were accepted, with their row counts.",
        "quarantine": "One row per broken rule of a line: file, line, column, value, rule and what is wrong in words.",
        "commitment_lines": "What became of each line of the commitments and installments feeds that was not quarantined.",
        "commitment_quarantine": "Lines of those two feeds that were not taken because of other rows or of what the ledger holds.",
    }
)


def dialect_of(policy: Policy, feed: str) -> Dialect:
    """How an org's files of a feed are read under a policy."""
    return Dialect(FeedMapping.of(policy.feed_format(feed)), policy.currency, policy.timezone)


def write_feed_stage(
    settings: Settings, ledger: Ledger, org: str, actor: Actor = READER, progress: Callable[[str], None] | None = None
) -> dict[str, int]:
    """Make the org's feed stage equal to its accepted files; returns rows by table. Call `commitments.register` afterwards."""
    with ledger.transaction(org, actor) as tx:
        accepted = files.accepted(tx)
        dialects = _dialects(tx, accepted)
    read: list[tuple[ReceivedFile, CachedFile]] = []
    for file, dialect in zip(accepted, dialects, strict=True):
        if progress:
            progress(f"reading {file.feed}/{file.file_name}")
        try:
            read.append((file, cache.cached(settings, org, file.content_sha256, file.feed, dialect)))
        except UnreadableFile as error:
            raise WorkFailed(
                f"{file.file_name}, accepted on {file.received_at:%Y-%m-%d}, cannot be read under the mapping of that day. {error.message}",
                "Correct feed_mappings with `ptp org set`, effective from that day.",
            ) from None
    warehouse = Warehouse(settings, org)
    fresh = warehouse.fresh_dir("feed")
    con = warehouse.connect([])
    try:
        con.execute("create schema feed")
        _files(con, read)
        _quarantine(con, [cached for _, cached in read if cached.rows_quarantined])
        _empty(con, "commitment_lines", LINE_COLUMNS)
        _empty(con, "commitment_quarantine", QUARANTINE_COLUMNS)
        for feed in schemas.FEEDS.values():
            if not _link_rows(fresh / feed.name, [(file, cached) for file, cached in read if file.feed == feed.name]):
                _empty(con, feed.name, table_columns(feed))
        warehouse.write_tables("feed", con, [name for name in FEED_TABLES if not (fresh / name).exists()], fresh)
        warehouse.swap_in("feed", fresh)
    finally:
        con.close()
    cache.prune(settings, org, {cached.folder for _, cached in read})
    return {table: stats.rows for table, stats in warehouse.stats("feed").items()}


def table_columns(feed: schemas.Feed) -> dict[str, str]:
    """Columns and DuckDB types of a feed's table, in order."""
    columns = {column.stored_as: column.duckdb_type for column in feed.columns}
    if feed.name == "payments":
        columns = {"payment_id": "VARCHAR", "is_generated_id": "BOOLEAN", **columns}
    if feed.is_compared:
        columns["content_hash"] = "VARCHAR"
    return {**columns, "line_number": "INTEGER", "file_sha256": "VARCHAR", "file_sequence": "BIGINT"}


def _dialects(tx: Transaction, accepted: Sequence[ReceivedFile]) -> list[Dialect]:
    policy_of_day: dict[dt.date, Policy] = {}
    dialect_of_day: dict[tuple[dt.date, str], Dialect] = {}

    def policy(day: dt.date) -> Policy:
        if day not in policy_of_day:
            policy_of_day[day] = policies.current(tx, day)
        return policy_of_day[day]

    found = []
    for file in accepted:
        zone = ZoneInfo(policy(file.received_at.astimezone(dt.UTC).date()).timezone)
        day = file.received_at.astimezone(zone).date()
        if (day, file.feed) not in dialect_of_day:
            dialect_of_day[day, file.feed] = dialect_of(policy(day), file.feed)
        found.append(dialect_of_day[day, file.feed])
    return found


def _files(con: "duckdb.DuckDBPyConnection", read: Sequence[tuple[ReceivedFile, CachedFile]]) -> None:
    import polars as pl

    columns: dict[str, Any] = {
        "file_sha256": pl.String,
        "file_sequence": pl.Int64,
        "feed": pl.String,
        "file_name": pl.String,
        "received_at": pl.Datetime("us"),
        "rows_in": pl.Int64,
        "rows_quarantined": pl.Int64,
        "has_repeated_ids": pl.Boolean,
    }
    rows = [
        (
            file.content_sha256,
            file.file_sequence,
            file.feed,
            file.file_name,
            file.received_at.astimezone(dt.UTC).replace(tzinfo=None),
            cached.rows_in,
            cached.rows_quarantined,
            cached.has_repeated_ids,
        )
        for file, cached in read
    ]
    con.register("read_files", pl.DataFrame(rows, schema=columns, orient="row").to_arrow())
    con.execute("create table feed.files as select * from read_files")
    con.unregister("read_files")


def _link_rows(folder: Path, read: Sequence[tuple[ReceivedFile, CachedFile]]) -> bool:
    """Make a feed's table of its files' cached rows, without writing them again; False when there are none.

    `file_sequence=7/00000.parquet`: the place in the order of acceptance is not in the cached rows, and a query for some files opens no
    others.
    """
    for file, cached in read:
        for rows in cached.rows:
            target = folder / f"file_sequence={file.file_sequence}" / rows.name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(rows, target)
            except OSError:  # a file system without hard links
                shutil.copyfile(rows, target)
    return folder.exists()


def _quarantine(con: "duckdb.DuckDBPyConnection", cached: Sequence[CachedFile]) -> None:
    """The feed of a row is that of its folder: the same bytes may have been accepted in two feeds."""
    if not cached:
        _empty(con, "quarantine", QUARANTINE_COLUMNS)
        return
    con.execute(
        "create view feed.quarantine as select f.feed, f.file_name, r.file_sha256, r.line_number, r.column_name, r.value, r.rule, r.message"
        f" from read_parquet({_paths(file.quarantine for file in cached)}, filename = true) as r"
        " join feed.files as f on f.file_sha256 = r.file_sha256 and f.feed = split_part(parse_filename(parse_dirpath(r.filename)), '-', 1)"
    )


def _empty(con: "duckdb.DuckDBPyConnection", table: str, columns: dict[str, str]) -> None:
    typed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())  # quoted: `at` is a keyword
    con.execute(f"create table feed.{table} ({typed})")


def _paths(paths: Any) -> str:
    return "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths) + "]"
