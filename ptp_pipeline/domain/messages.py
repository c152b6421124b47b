"""A message as a value: what is sent, to whom, and the key that makes it one message however often it is tried.

What composes messages lives in `notify`, what keeps them until they are sent in `ledger.outbox`. No I/O here.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Attachment:
    """One file of a message, held as bytes."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Message:
    """One mail. `send_key` names the occasion (org, kind, day or run): the same key is the same mail, sent once."""

    kind: str
    business_date: date
    send_key: str
    recipients: tuple[str, ...]
    subject: str
    html: str
    text: str
    attachments: tuple[Attachment, ...] = ()
