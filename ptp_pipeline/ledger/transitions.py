"""State changes that runs found, appended once each. Finding them is the warehouse's business."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptp_pipeline.ledger import audit
from ptp_pipeline.ledger.connection import Transaction

_COLUMNS = ("commitment_id", "version", "sequence", "from_state", "to_state", "effective_on", "cause", "figures")
_BATCH = 50_000


def append(tx: Transaction, rows: Sequence[Mapping[str, Any]] | Path, run_id: str) -> int:
    """Append transitions (rows, or a Parquet file of them) that are not known yet; returns how many were new.

    `sequence` 0 is the commitment itself. One audit event per call that added any: a run's transitions are one act.
    """
    appended = 0
    for batch in _batches(rows):
        appended += tx.execute(
            f"insert into ptp.transition (org_id, {', '.join(_COLUMNS)}, run_id) select ptp.current_org(), r.*, %s"
            " from unnest(%s::text[], %s::int[], %s::int[], %s::text[], %s::text[], %s::date[], %s::text[], %s::jsonb[]) as r"
            " on conflict do nothing",
            [run_id, *(batch[name] for name in _COLUMNS)],
        ).rowcount
    if appended:
        audit.record(tx, "transition.appended", "run", run_id, after={"transitions": appended})
    return appended


def _batches(rows: Sequence[Mapping[str, Any]] | Path) -> Any:
    if isinstance(rows, Path):
        import polars as pl

        for frame in pl.read_parquet(rows, columns=list(_COLUMNS)).iter_slices(_BATCH):
            yield _filled({name: frame[name].to_list() for name in _COLUMNS})
        return
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        yield _filled({name: [row.get(name) for row in batch] for name in _COLUMNS})


def _filled(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    figures = [f if isinstance(f, str) else json.dumps(f or {}, default=str) for f in columns["figures"]]
    return {**columns, "from_state": [state or "" for state in columns["from_state"]], "figures": figures}
