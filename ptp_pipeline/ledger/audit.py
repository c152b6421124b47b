"""The audit trail: one chained event per act. Chaining, stamping and refusing rewrites is done by sql/ledger.

Who acts comes from the proof shown in the transaction, or is the pipeline or the operator; a service only says what was done, to
what, and why. Sign-ins, users, policies, decisions, overrides and events of commitments are recorded by sql/ledger itself.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ptp_pipeline.errors import Refused
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
    """The state of an org's chain. `first_bad_seq` is the first event that does not fit the one before it, None when all do.

    `heads` published heads were compared with it. The first that does not fit is `misfit_build`'s, published at event `misfit_seq`;
    up to `fitting_seq` the chain is what was published.
    """

    events: int
    head: str
    first_bad_seq: int | None
    heads: int
    misfit_build: str | None
    misfit_seq: int | None
    fitting_seq: int

    @property
    def is_good(self) -> bool:
        return self.first_bad_seq is None and self.misfit_seq is None


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


@dataclass(frozen=True)
class Wanted:
    """Which events: those that fit everything given. `action` may end in `.` to mean all of its kind; `but` is one action left out."""

    object_id: str | None = None
    actor: str | None = None
    action: str | None = None
    but: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


_FIT = (
    " from ptp.audit_event"
    " where (%(object_id)s::text is null or object_id = %(object_id)s"
    "        or after @> jsonb_build_object('items', jsonb_build_array(jsonb_build_object('commitment_id', %(object_id)s::text))))"
    " and (%(actor)s::text is null or actor = %(actor)s) and action is distinct from %(but)s::text"
    " and (%(action)s::text is null or action = %(action)s or (right(%(action)s, 1) = '.' and starts_with(action, %(action)s)))"
    " and (%(since)s::timestamptz is null or at >= %(since)s) and (%(until)s::timestamptz is null or at < %(until)s)"
)


def show(tx: Transaction, *, limit: int | None = 100, **wanted: Any) -> list[AuditEvent]:
    """The newest events that are `Wanted`, oldest first."""
    rows = tx.all(
        "select seq, at, actor, role, auth, origin, place, run, action, object_type, object_id, reason, before, after, hash"
        f"{_FIT} order by seq desc limit %(limit)s",
        {**vars(Wanted(**wanted)), "limit": limit},
    )
    return [AuditEvent(**row) for row in reversed(rows)]


def count(tx: Transaction, **wanted: Any) -> int:
    """How many events are `Wanted`."""
    row = tx.one(f"select count(*) as events{_FIT}", vars(Wanted(**wanted)))
    return int(row["events"]) if row else 0


_VERIFY = """
with checked as materialized (
  select e.seq, e.hash,
         e.hash <> ptp.audit_hash(e) or e.seq <> row_number() over (order by e.seq)
         or e.prev_hash <> coalesce(lag(e.hash) over (order by e.seq), repeat('0', 64)) as is_bad
  from ptp.audit_event e where e.org_id = ptp.current_org()
),
published as (
  select build_id, audit_seq as seq, audit_hash as hash from ptp.build where org_id = ptp.current_org() and audit_seq > 0
  union
  select * from unnest(%s::text[], %s::bigint[], %s::text[])
),
compared as (select p.build_id, p.seq, c.hash is not distinct from p.hash as fits from published p left join checked c using (seq)),
misfit as (select build_id, seq from compared where not fits order by seq, build_id limit 1)
select (select count(*) from checked) as events,
       coalesce((select hash from checked order by seq desc limit 1), '') as head,
       (select min(seq) from checked where is_bad) as first_bad_seq,
       (select count(*) from compared) as heads,
       (select build_id from misfit) as misfit_build,
       (select seq from misfit) as misfit_seq,
       coalesce((select max(seq) from compared where fits and seq < coalesce((select seq from misfit), seq + 1)), 0) as fitting_seq
"""


def demand_whole_book(tx: Transaction) -> None:
    """Raises Refused for a collector who sees the own book only: of the trail they see a part."""
    row = tx.one("select own_names is null as sees_all from ptp.here()")
    if not (row and row["sees_all"]):
        raise Refused(f"{tx.actor.name} sees the own book only, and a part of the audit trail.", "Ask a supervisor or the operator.")


def verify(tx: Transaction, published: Sequence[tuple[str, int, str]] = ()) -> Verification:
    """Recompute the whole chain and compare it with the heads that builds were published with, in the ledger and (build, number, hash)
    elsewhere.

    A changed, removed or inserted event shows as the first bad one. A chain that was made anew from some event on, or whose end was cut
    off, holds in itself, and does not fit the heads.
    """
    demand_whole_book(tx)
    return Verification(**(tx.one(_VERIFY, [list(column) for column in zip(*published, strict=True)] or [[], [], []]) or {}))


def head(tx: Transaction) -> tuple[int, str]:
    """Number and hash of the newest event."""
    row = tx.one("select seq, hash from ptp.audit_event where org_id = ptp.current_org() order by seq desc limit 1")
    return (row["seq"], row["hash"]) if row else (0, "")
