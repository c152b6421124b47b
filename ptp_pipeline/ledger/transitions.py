"""State changes that runs found, appended once each. Finding them is the warehouse's business."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptp_pipeline.ledger import audit
from ptp_pipeline.ledger.connection import Transaction

if TYPE_CHECKING:
    import polars as pl

_COLUMNS = ("commitment_id", "version", "sequence", "from_state", "to_state", "effective_on", "cause", "figures")
_BATCH = 200_000
_OFFERED = """
create temp table offered (
  commitment_id text, version int, sequence int, from_state text, to_state text, effective_on date, cause text, figures text
) on commit drop
"""


def append(tx: Transaction, rows: Sequence[Mapping[str, Any]] | Path, run_id: str) -> int:
    """Append transitions (rows, or a Parquet file of them) that are not known yet; returns how many were new.

    `sequence` 0 is the commitment itself. One audit event per call that added any: a run's transitions are one act. They are copied into
    a temporary table and inserted from there at once: a first run over a big book has millions.
    """
    tx.execute(_OFFERED)
    copy = f"copy offered ({', '.join(_COLUMNS)}) from stdin (format csv)"
    with tx.connection.cursor() as cursor, cursor.copy(copy.encode()) as target:
        for frame in _frames(rows):
            # Texts are quoted and NULL is not: an empty text stays one.
            target.write(frame.write_csv(include_header=False, quote_style="non_numeric").encode())
    appended = tx.execute(
        f"insert into ptp.transition (org_id, {', '.join(_COLUMNS)}, run_id)"
        " select ptp.current_org(), commitment_id, version, sequence, coalesce(from_state, ''), to_state, effective_on, cause,"
        " figures::jsonb, %s from offered on conflict do nothing",
        [run_id],
    ).rowcount
    tx.execute("drop table offered")
    if appended:
        audit.record(tx, "transition.appended", "run", run_id, after={"transitions": appended})
    return appended


def _frames(rows: Sequence[Mapping[str, Any]] | Path) -> Iterator["pl.DataFrame"]:
    import polars as pl

    if isinstance(rows, Path):
        yield from pl.read_parquet(rows, columns=list(_COLUMNS)).select(_COLUMNS).iter_slices(_BATCH)
    elif rows:
        yield pl.DataFrame({name: [row.get(name) for row in rows] for name in _COLUMNS[:-1]}, strict=False).with_columns(
            figures=pl.Series([_figures(row.get("figures")) for row in rows], dtype=pl.String)
        )


def _figures(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value or {}, default=str)
