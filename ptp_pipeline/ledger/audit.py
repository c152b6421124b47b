"""The audit trail: one chained event per act. Chaining, stamping and refusing rewrites is done by sql/ledger.

Who acts comes from the proof shown in the transaction, or is the pipeline or the operator; a service only says what was done, to
what, and why. Sign-ins, users, policies, decisions, overrides and events of commitments are recorded by sql/ledger itself.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from ptp_pipeline.ledger.connection import Transaction


@dataclass(frozen=True)
class AuditEvent:
    """One act. `before` and `after` hold what changed."""

    seq: int
    at: dt.datetime
    actor: str
    role: str
    auth: str
    origin: str
    place: str
    run: str | None
    action: str
    object_type: str
    object_id: str
    reason: str
    before: Any
    after: Any
    hash: str


@dataclass(frozen=True)
class Verification:
    """The state of an org's chain: events checked, its head, and the first event that does not fit (None = all do)."""

    events: int
    head: str
    first_bad_seq: int | None


def record(tx: Transaction, action: str, object_type: str, object_id: str, reason: str = "", before: Any = None, after: Any = None) -> None:
    """Append one event of this transaction."""
    record_many(tx, action, object_type, [(object_id, after)], reason, before)


def record_many(
    tx: Transaction, action: str, object_type: str, objects: list[tuple[str, Any]], reason: str = "", before: Any = None
) -> None:
    """Append one event per (object id, after), in order, in one statement."""
    from psycopg.types.json import Jsonb

    tx.execute(
        "select ptp.note(%s, %s, %s::text[], %s, %s::jsonb, %s::jsonb[])",
        [
            action,
            object_type,
            [object_id for object_id, _ in objects],
            reason,
            None if before is None else Jsonb(before),
            [None if after is None else Jsonb(after) for _, after in objects],
        ],
    )


def show(
    tx: Transaction,
    *,
    object_id: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    limit: int = 100,
) -> list[AuditEvent]:
    """The newest events that fit every filter given, oldest first. `action` may end in `.` to mean all of its kind."""
    rows = tx.all(
        "select seq, at, actor, role, auth, origin, place, run, action, object_type, object_id, reason, before, after, hash"
        " from ptp.audit_event"
        " where (%(id)s::text is null or object_id = %(id)s"
        "        or after @> jsonb_build_object('items', jsonb_build_array(jsonb_build_object('commitment_id', %(id)s::text))))"
        " and (%(actor)s::text is null or actor = %(actor)s)"
        " and (%(action)s::text is null or action = %(action)s or (right(%(action)s, 1) = '.' and starts_with(action, %(action)s)))"
        " and (%(since)s::timestamptz is null or at >= %(since)s) and (%(until)s::timestamptz is null or at < %(until)s)"
        " order by seq desc limit %(limit)s",
        {"id": object_id, "actor": actor, "action": action, "since": since, "until": until, "limit": limit},
    )
    return [AuditEvent(**row) for row in reversed(rows)]


def verify(tx: Transaction) -> Verification:
    """Recompute the whole chain. A changed, removed or inserted event shows as the first bad one."""
    row = tx.one(
        "select count(*) as events, min(seq) filter (where is_bad) as first_bad_seq,"
        " coalesce((select hash from ptp.audit_event order by seq desc limit 1), '') as head"
        " from (select e.seq, e.hash <> ptp.audit_hash(e) or e.seq <> row_number() over (order by e.seq)"
        "         or e.prev_hash <> coalesce(lag(e.hash) over (order by e.seq), repeat('0', 64)) as is_bad"
        " from ptp.audit_event e) as checked"
    )
    return Verification(**(row or {}))
