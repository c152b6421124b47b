"""Published builds, as the ledger remembers them: what a run made of which state of the ledger."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    evidence: dict[str, Any]


def record(
    tx: Transaction,
    build_id: str,
    as_of: dt.date,
    run_id: str,
    digest: str,
    counts: Mapping[str, Any],
    ledger_position: int,
    evidence: Mapping[str, Any],
) -> None:
    """Remember a build. The same build again changes nothing: a repaired run may get here twice.

    `evidence` is what shows a later change: head of the audit chain, digests of matches and verdict changes, sha256 of the file. The
    database puts it in the audit trail.
    """
    from psycopg.types.json import Jsonb

    tx.execute(
        "insert into ptp.build (org_id, build_id, as_of, run_id, digest, counts, ledger_position, evidence)"
        " values (ptp.current_org(), %s, %s, %s, %s, %s, %s, %s) on conflict (org_id, build_id) do nothing",
        [build_id, as_of, run_id, digest, Jsonb(dict(counts)), ledger_position, Jsonb(dict(evidence))],
    )


def latest(tx: Transaction, before: str | None = None) -> BuildRow | None:
    """The build recorded last, or the one recorded last before another."""
    row = tx.one(
        "select build_id, as_of, run_id, digest, ledger_position, counts, recorded_at, evidence from ptp.build"
        " where org_id = ptp.current_org() and (%(id)s::text is null or recorded_at <"
        "   (select b.recorded_at from ptp.build b where b.org_id = ptp.current_org() and b.build_id = %(id)s))"
        " order by recorded_at desc, build_id desc limit 1",
        {"id": before},
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
