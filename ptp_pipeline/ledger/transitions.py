"""State changes that runs found, appended once each. Finding them is the warehouse's business."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptp_pipeline.ledger import audit
from ptp_pipeline.ledger.connection import Transaction

_KEY = ("commitment_id", "version", "sequence", "effective_on", "to_state", "from_state")
COLUMNS = ("commitment_id", "version", "sequence", "from_state", "to_state", "effective_on", "cause", "figures")
_CHUNK = 1 << 20
_OFFERED = """
create temp table offered (
  commitment_id text, version int, sequence int, from_state text, to_state text, effective_on date, cause text, figures text
) on commit drop
"""
# What is known is looked up first: `on conflict do nothing` over rows that are nearly all new takes as long again as inserting them.
_APPEND = f"""
insert into ptp.transition (org_id, {", ".join(COLUMNS)}, run_id)
select (select ptp.current_org()), commitment_id, version, sequence, coalesce(from_state, ''), to_state, effective_on, cause,
       figures::jsonb, %s
from offered o
where not exists (
  select from ptp.transition t
  where t.org_id = (select ptp.current_org()) and {" and ".join(f"t.{name} = o.{name}" for name in _KEY[:-1])}
    and t.from_state = coalesce(o.from_state, ''))
"""


def append(tx: Transaction, rows: Sequence[Mapping[str, Any]] | Path, run_id: str) -> int:
    """Append transitions (rows, or a CSV file of `COLUMNS` without a header) that are not known yet; returns how many were new.

    `sequence` 0 is the commitment itself. One audit event per call that added any: a run's transitions are one act. They are copied into
    a temporary table and inserted from there at once: a first run over a big book has millions.
    """
    tx.execute(_OFFERED)
    copy = f"copy offered ({', '.join(COLUMNS)}) from stdin"
    with tx.connection.cursor() as cursor:
        if isinstance(rows, Path):
            with rows.open("rb") as file, cursor.copy(f"{copy} (format csv)".encode()) as target:
                while chunk := file.read(_CHUNK):
                    target.write(chunk)
        else:
            with cursor.copy(copy.encode()) as target:
                for row in rows:
                    target.write_row([*(row.get(name) for name in COLUMNS[:-1]), _figures(row.get("figures"))])
    tx.execute("analyze offered")
    appended = tx.execute(_APPEND, [run_id]).rowcount
    tx.execute("drop table offered")
    if appended:
        audit.record(tx, "transition.appended", "run", run_id, after={"transitions": appended})
    return appended


def _figures(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value or {}, default=str)
