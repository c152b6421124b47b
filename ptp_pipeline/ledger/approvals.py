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
    if problem := _problem(items, decision, reason):
        raise problem
    rows = tx.all(
        "select commitment_id, version, decision, reason, terms_digest, decided_by, decided_role, decided_at"
        " from ptp.decide(%s, %s::jsonb, %s, %s, %s)",
        [proof(tx), _as_json(items), decision, reason, channel],
    )
    return [Decision(**row) for row in rows]


def _problem(items: Sequence[Item], decision: str, reason: str) -> UsageError | None:
    if decision not in DECISIONS:
        return UsageError(f"There is no decision {decision!r}.", f"Decisions: {', '.join(DECISIONS)}.")
    if not reason.strip():
        return UsageError("A decision needs a reason.", "Add --reason.")
    if not items:
        return UsageError("There is nothing to decide on.", "Name the commitments.")
    return None


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
    """Decide with a one-time code, which is used up by being presented, whatever comes of it. A refused try is recorded.

    A slip of the pen (no reason, no items) is turned down before the code is presented, except from Dagster: there the code
    stands in the run's config for others to read, so it must be worthless afterwards.
    """
    problem = _problem(items, decision, reason)
    if problem and origin != "dagster":
        raise problem
    who = Actor(user_name, "none", "code", origin, present_code(ledger, org, user_name, code, origin))
    try:
        with ledger.transaction(org, who) as tx:
            return decide(tx, items, decision, reason, origin)
    except Refused as refusal:
        with ledger.transaction(org, who) as tx:
            audit.record(tx, "code.refused", "user", user_name, refusal.message)
        raise


def present_code(ledger: Ledger, org: str, user_name: str, code: str, origin: str) -> str:
    """Use up a code, in a transaction of its own; returns a proof good for a minute and the code's items. Raises Refused."""
    with ledger.door(org, Actor(name=user_name, role="none", auth="code", origin=origin)) as tx:
        row = tx.one("select proof, refusal from ptp.redeem_code(%s, %s)", [user_name[:128], code.strip().upper().replace("-", "")]) or {}
    if row.get("proof") is None:
        raise Refused(row.get("refusal") or "This approval code is not valid.", "Ask for a new code after signing in.")
    return str(row["proof"])


def _as_json(items: Sequence[Item]) -> str:
    return json.dumps([{"commitment_id": commitment_id, "version": version} for commitment_id, version in dict.fromkeys(items)])
