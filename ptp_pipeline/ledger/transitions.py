"""State changes that runs found, appended once each. Finding them is the warehouse's business."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptp_pipeline.ledger import audit
from ptp_pipeline.ledger.connection import Transaction

_KEY = ("commitment_id", "version", "effective_on", "sequence", "to_state")
COLUMNS = ("commitment_id", "version", "sequence", "from_state", "to_state", "effective_on", "cause", "figures")
_CHUNK = 1 << 20
_OFFERED = """
create temp table offered (
  commitment_id text, version int, sequence int, from_state text, to_state text, effective_on date, cause text, figures text
) on commit drop
"""
_APPEND = f"""
insert into ptp.transition (org_id, {", ".join(COLUMNS)}, run_id)
select (select ptp.current_org()), commitment_id, version, sequence, coalesce(from_state, ''), to_state, effective_on, cause,
       figures::jsonb, %s
from offered o
"""
# What is known is looked up first: `on conflict do nothing` over rows that are nearly all new takes as long again as inserting them.
_UNKNOWN = f"""
where not exists (
  select from ptp.transition t
  where t.org_id = (select ptp.current_org()) and {" and ".join(f"t.{name} = o.{name}" for name in _KEY)}
    and t.from_state = coalesce(o.from_state, ''))
"""


def append(tx: Transaction, rows: Sequence[Mapping[str, Any]] | Path, run_id: str) -> int:
    """Append transitions (rows, or a CSV file of `COLUMNS` without a header) that are not known yet; returns how many were new.

    `sequence` 0 is the commitment itself. They are copied into a temporary table and inserted from there at once: a first run over a big
    book has millions. Fastest in the order of the table's key. Nothing is locked: `note` is for the end of the transaction.
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
    found = tx.one("select exists (select from ptp.transition where org_id = (select ptp.current_org())) as is_any")
    appended = tx.execute(_APPEND + (_UNKNOWN if found and found["is_any"] else ""), [run_id]).rowcount
    tx.execute("drop table offered")
    return appended


def note(tx: Transaction, run_id: str, appended: int) -> None:
    """Tell the audit trail, if any were new: a run's transitions are one act. From here on other acts of the org wait for this one."""
    if appended:
        audit.record(tx, "transition.appended", "run", run_id, after={"transitions": appended})


def _figures(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value or {}, default=str)
