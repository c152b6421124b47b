"""Published builds, as the ledger remembers them: what a run made of which state of the ledger."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ptp_pipeline.ledger import audit
from ptp_pipeline.ledger.connection import Transaction


@dataclass(frozen=True)
class BuildRow:
    """One published build."""

    build_id: str
    as_of: dt.date
    run_id: str
    digest: str
    ledger_position: int
    counts: dict[str, int]
    recorded_at: dt.datetime


def record(
    tx: Transaction, build_id: str, as_of: dt.date, run_id: str, digest: str, counts: Mapping[str, Any], ledger_position: int
) -> None:
    """Remember a build. The same build again changes nothing: a repaired run may get here twice."""
    from psycopg.types.json import Jsonb

    inserted = tx.execute(
        "insert into ptp.build (org_id, build_id, as_of, run_id, digest, counts, ledger_position)"
        " values (ptp.current_org(), %s, %s, %s, %s, %s, %s) on conflict (org_id, build_id) do nothing",
        [build_id, as_of, run_id, digest, Jsonb(dict(counts)), ledger_position],
    )
    if inserted.rowcount:
        audit.record(
            tx,
            "build.recorded",
            "build",
            build_id,
            after={"as_of": as_of.isoformat(), "digest": digest, "ledger_position": ledger_position},
        )


def latest(tx: Transaction) -> BuildRow | None:
    """The build recorded last."""
    row = tx.one(
        "select build_id, as_of, run_id, digest, ledger_position, counts, recorded_at from ptp.build where org_id = ptp.current_org()"
        " order by recorded_at desc, build_id desc limit 1"
    )
    return BuildRow(**row) if row else None


def changes_between(tx: Transaction, position: int, now: int) -> list[tuple[str, str]]:
    """Acts after one position of the ledger, up to another, that change what a run reads: action, and of a file its feed."""
    rows = tx.all(
        "select action, case when action = 'file.accepted' then coalesce(after ->> 'feed', '') else '' end as feed from ptp.audit_event"
        " where org_id = ptp.current_org() and changes_inputs and seq > %s and seq <= %s order by seq",
        [position, now],
    )
    return [(row["action"], row["feed"]) for row in rows]
