"""People's decisions on payments: sent to a commitment, split by hand, set aside, and such a decision taken back.

The newest one of a payment counts. Here they are only written down, under the name of the person acting; what they do to the money
is decided by matching, in the warehouse. The ledger knows no payments: whether the amounts of a split add up to the payment's is
checked where payments are known, by the command line beforehand and by every run.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger.connection import Transaction

MAX_PARTS = 20


@dataclass(frozen=True)
class Part:
    """A part of a payment and where it goes; None sets it aside."""

    commitment_id: str | None
    amount_minor: int


@dataclass(frozen=True)
class DecidedPart:
    """One part of a decision in effect. Without an amount it is the whole payment."""

    payment_id: str
    part: int
    commitment_id: str | None
    amount_minor: int | None
    decided_by: str
    decided_at: dt.datetime
    reason: str


def set_target(tx: Transaction, payment_id: str, commitment_id: str | None, reason: str) -> None:
    """Send a payment to a commitment; None sets it aside, so that it is matched to nothing."""
    _begin(tx, reason)
    _require_commitments(tx, [commitment_id])
    tx.execute(
        "insert into ptp.payment_override (org_id, payment_id, commitment_id, reason) values (ptp.current_org(), %s, %s, %s)",
        [payment_id, commitment_id, reason],
    )


def split(tx: Transaction, payment_id: str, parts: Sequence[Part], reason: str) -> None:
    """Send parts of a payment to commitments, or set some of them aside. Raises UsageError for parts that are none."""
    if not 2 <= len(parts) <= MAX_PARTS:  # noqa: PLR2004 - one part is no split
        raise UsageError(f"A split has 2 to {MAX_PARTS} parts, not {len(parts)}.", "One part is the whole payment: assign it.")
    if any(part.amount_minor <= 0 for part in parts):
        raise UsageError("Every part of a split needs an amount above zero.", "Leave out what gets nothing.")
    _begin(tx, reason)
    _require_commitments(tx, [part.commitment_id for part in parts])
    tx.execute(
        "insert into ptp.payment_override (org_id, payment_id, kind, part_commitment_ids, part_amounts_minor, reason)"
        " values (ptp.current_org(), %s, 'split', %s::text[], %s::bigint[], %s)",
        [payment_id, [part.commitment_id for part in parts], [part.amount_minor for part in parts], reason],
    )


def undo(tx: Transaction, payment_id: str, reason: str) -> None:
    """Take the decision on a payment back: the rules of matching hold for it again. Refused when there is none."""
    _begin(tx, reason)
    tx.execute(
        "insert into ptp.payment_override (org_id, payment_id, kind, reason) values (ptp.current_org(), %s, 'undo', %s)",
        [payment_id, reason],
    )


def in_effect(tx: Transaction, payment_ids: Sequence[str] | None = None) -> list[DecidedPart]:
    """The decisions that count now, part by part, by payment; of these payments only, if some are named."""
    rows = tx.all(
        "select payment_id, part, commitment_id, amount_minor, decided_by, decided_at, reason from ptp.payment_override_part"
        " where org_id = ptp.current_org() and (%(ids)s::text[] is null or payment_id = any (%(ids)s::text[]))"
        ' order by payment_id collate "C", part',
        {"ids": None if payment_ids is None else list(payment_ids)},
    )
    return [DecidedPart(**row) for row in rows]


def _begin(tx: Transaction, reason: str) -> None:
    if not reason.strip():
        raise UsageError("This needs a reason.", "Add --reason.")
    tx.execute("select ptp.lock_org()")


def _require_commitments(tx: Transaction, commitment_ids: Sequence[str | None]) -> None:
    named = sorted({name for name in commitment_ids if name is not None})
    known = {
        row["commitment_id"]
        for row in tx.all(
            "select commitment_id from ptp.commitment where org_id = ptp.current_org() and commitment_id = any (%s::text[])", [named]
        )
    }
    if missing := [name for name in named if name not in known]:
        raise Refused(f"There is no commitment {missing[0]}.", "`ptp status` shows those there are.")
