"""Decisions on terms. The gate itself is in sql/ledger (ptp.decide and the trigger behind it); here is only how to reach it."""

import datetime as dt
import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger import audit
from ptp_pipeline.ledger.connection import Actor, Ledger, Transaction
from ptp_pipeline.ledger.users import proof

DECISIONS = ("approve", "reject", "send_back")
_CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_MAX_HOURS = 168

Item = tuple[str, int]


@dataclass(frozen=True)
class Decision:
    """One decision as the ledger keeps it, with the digest of the terms it was made on."""

    commitment_id: str
    version: int
    decision: str
    reason: str
    terms_digest: str
    decided_by: str
    decided_role: str
    decided_at: dt.datetime


def decide(tx: Transaction, items: Sequence[Item], decision: str, reason: str, channel: str) -> list[Decision]:
    """Decide on versions as the person who signed in: all of them or, when a rule says no to one, none."""
    return _decide(tx, proof(tx), items, decision, reason, channel)


def _decide(tx: Transaction, with_proof: str | None, items: Sequence[Item], decision: str, reason: str, channel: str) -> list[Decision]:
    if decision not in DECISIONS:
        raise UsageError(f"There is no decision {decision!r}.", f"Decisions: {', '.join(DECISIONS)}.")
    if not reason.strip():
        raise UsageError("A decision needs a reason.", "Add --reason.")
    if not items:
        raise UsageError("There is nothing to decide on.", "Name the commitments.")
    rows = tx.all(
        "select commitment_id, version, decision, reason, terms_digest, decided_by, decided_role, decided_at"
        " from ptp.decide(%s, %s::jsonb, %s, %s, %s)",
        [with_proof, _as_json(items), decision, reason, channel],
    )
    return [Decision(**row) for row in rows]


def issue_code(tx: Transaction, items: Sequence[Item], hours: int = 24) -> str:
    """A one-time code with which the person who signed in can decide on exactly these versions, shown this once."""
    if not 1 <= hours <= _MAX_HOURS:
        raise UsageError(f"A code cannot be good for {hours} hours.", f"Use 1 to {_MAX_HOURS}.")
    letters = "".join(secrets.choice(_CODE_LETTERS) for _ in range(16))
    until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    tx.execute(
        "select ptp.issue_code(%s, %s::jsonb, %s, %s)", [proof(tx), _as_json(items), hashlib.sha256(letters.encode()).hexdigest(), until]
    )
    return "-".join(letters[i : i + 4] for i in range(0, 16, 4))


def decide_with_code(
    ledger: Ledger, org: str, user_name: str, code: str, items: Sequence[Item], decision: str, reason: str, origin: str
) -> list[Decision]:
    """Decide with a one-time code, which is used up only if the decision stands. A refused try is recorded."""
    actor = Actor(name=user_name, role="none", auth="code", origin=origin)
    letters = code.strip().upper().replace("-", "")
    try:
        with ledger.transaction(org, actor) as tx:
            row = tx.one("select ptp.redeem_code(%s, %s) as proof", [user_name, letters])
            return _decide(tx, row["proof"] if row else None, items, decision, reason, origin)
    except Refused as refusal:
        with ledger.transaction(org, Actor(name="unknown", role="none", auth="code", origin=origin)) as tx:
            audit.record(tx, "code.refused", "user", user_name[:128], refusal.message)
        raise


def _as_json(items: Sequence[Item]) -> str:
    return json.dumps([{"commitment_id": commitment_id, "version": version} for commitment_id, version in dict.fromkeys(items)])
