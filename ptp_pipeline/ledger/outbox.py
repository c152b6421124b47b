"""Mail waiting to be sent. What it says is composed elsewhere, how it travels is `notify`'s business.

The send key makes a message one message: a second one under the same key is not taken.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from ptp_pipeline.domain.messages import Attachment, Message
from ptp_pipeline.ledger import audit
from ptp_pipeline.ledger.connection import Transaction


@dataclass(frozen=True)
class OutboxRow:
    """A claimed message. `attempts` are the tries before this one; `first_tried_at` is when the first began."""

    message_id: int
    message: Message
    attempts: int
    created_at: dt.datetime
    first_tried_at: dt.datetime


@dataclass(frozen=True)
class MessageStatus:
    """A message without its text: queued, sent or failed."""

    message_id: int
    kind: str
    business_date: dt.date
    send_key: str
    recipients: list[str]
    subject: str
    status: str
    attempts: int
    queued_at: dt.datetime
    sent_at: dt.datetime | None
    last_error: str


def enqueue(tx: Transaction, message: Message) -> bool:
    """Put a message in the outbox. False when its send key is known: then nothing changes."""
    row = tx.one(
        "insert into ptp.outbox (org_id, kind, business_date, send_key, recipients, subject, html, body_text)"
        " values (ptp.current_org(), %s, %s, %s, %s, %s, %s, %s) on conflict (org_id, send_key) do nothing returning message_id",
        [message.kind, message.business_date, message.send_key, list(message.recipients), message.subject, message.html, message.text],
    )
    if row is None:
        return False
    for position, attachment in enumerate(message.attachments):
        tx.execute(
            "insert into ptp.outbox_attachment (org_id, message_id, position, name, content_type, content)"
            " values (ptp.current_org(), %s, %s, %s, %s, %s)",
            [row["message_id"], position, attachment.name, attachment.content_type, attachment.content],
        )
    audit.record(tx, "mail.queued", "message", message.send_key, after={"kind": message.kind, "recipients": len(message.recipients)})
    return True


_DUE = "org_id = ptp.current_org() and status = 'queued' and due_at <= %(now)s and (claimed_until is null or claimed_until <= %(now)s)"


def count_due(tx: Transaction, now: dt.datetime) -> int:
    """How many messages wait to be sent now."""
    row = tx.one(f"select count(*) as due from ptp.outbox where {_DUE}", {"now": now})
    return int(row["due"]) if row else 0


def claim_due(tx: Transaction, now: dt.datetime, limit: int, lease_minutes: int = 15) -> list[OutboxRow]:
    """Claim messages for this mailer, which nobody else gets until the lease ends. Claiming counts as a try."""
    # Materialized: as a plain subselect it is evaluated again per row, and the limit with it.
    rows = tx.all(
        f"with due as materialized (select message_id from ptp.outbox where {_DUE}"
        "   order by due_at, message_id limit %(limit)s for update skip locked)"
        " update ptp.outbox set attempts = attempts + 1, claimed_until = %(until)s, first_tried_at = coalesce(first_tried_at, %(now)s)"
        " where org_id = ptp.current_org() and message_id in (select message_id from due)"
        " returning message_id, kind, business_date, send_key, recipients, subject, html, body_text, attempts, queued_at, first_tried_at",
        {"now": now, "until": now + dt.timedelta(minutes=lease_minutes), "limit": limit},
    )
    return [_row(tx, row) for row in sorted(rows, key=lambda row: int(row["message_id"]))]


def _row(tx: Transaction, row: dict[str, Any]) -> OutboxRow:
    attachments = tx.all(
        "select name, content_type, content from ptp.outbox_attachment"
        " where org_id = ptp.current_org() and message_id = %s order by position",
        [row["message_id"]],
    )
    message = Message(
        kind=row["kind"],
        business_date=row["business_date"],
        send_key=row["send_key"],
        recipients=tuple(row["recipients"]),
        subject=row["subject"],
        html=row["html"],
        text=row["body_text"],
        attachments=tuple(Attachment(**attachment) for attachment in attachments),
    )
    return OutboxRow(row["message_id"], message, row["attempts"] - 1, row["queued_at"], row["first_tried_at"])


def mark_sent(tx: Transaction, message_id: int, now: dt.datetime, provider_id: str) -> None:
    """The provider has it. Does nothing when another mailer said so first."""
    _finish(tx, message_id, now, "sent", provider_id=provider_id)


def mark_failed(tx: Transaction, message_id: int, now: dt.datetime, error: str, retry_at: dt.datetime | None) -> None:
    """It did not go; again at `retry_at`, or never. Does nothing when another mailer sent it."""
    _finish(tx, message_id, now, "retry" if retry_at else "failed", error=error, retry_at=retry_at)


def _finish(
    tx: Transaction,
    message_id: int,
    now: dt.datetime,
    outcome: str,
    provider_id: str = "",
    error: str = "",
    retry_at: dt.datetime | None = None,
) -> None:
    row = tx.one(
        "update ptp.outbox set status = %s, claimed_until = null, sent_at = %s, last_error = %s, due_at = coalesce(%s, due_at)"
        " where org_id = ptp.current_org() and message_id = %s and status = 'queued' returning send_key, attempts",
        ["queued" if outcome == "retry" else outcome, now if outcome == "sent" else None, error, retry_at, message_id],
    )
    if row is None:
        return
    tx.execute(
        "insert into ptp.outbox_attempt (org_id, message_id, attempt, finished_at, outcome, provider_id, error)"
        " values (ptp.current_org(), %s, %s, %s, %s, %s, %s) on conflict do nothing",
        [message_id, row["attempts"], now, outcome, provider_id, error],
    )
    audit.record(tx, f"mail.{outcome}", "message", row["send_key"], error, after={"attempt": row["attempts"], "provider_id": provider_id})


def list_messages(tx: Transaction, limit: int = 100) -> list[MessageStatus]:
    """The newest messages, newest first."""
    rows = tx.all(
        f"select {', '.join(MessageStatus.__dataclass_fields__)} from ptp.outbox"
        " where org_id = ptp.current_org() order by message_id desc limit %s",
        [limit],
    )
    return [MessageStatus(**row) for row in rows]
