"""How a message travels: Resend or a folder, and the loop that empties the outbox. What it says is decided elsewhere.

Sending and marking cannot be one transaction, so a mail may be tried twice; it is never received twice, because each try
carries the send key: Resend answers a known key with the first mail, and the folder writes the same file.
"""

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from ptp_pipeline.domain.messages import Message
from ptp_pipeline.ledger import outbox
from ptp_pipeline.ledger.connection import Actor, Ledger
from ptp_pipeline.ledger.outbox import OutboxRow
from ptp_pipeline.settings import Settings

MAILER = Actor(name="mailer", role="pipeline", auth="pipeline", origin="mailer")
RETRY_MINUTES = (1, 5, 15, 60, 240, 240, 240, 240)
# Resend forgets a key after 24 hours; a mail whose fate is unknown must not be tried after that.
RESEND_REMEMBERS = timedelta(hours=23)
_RATE_LIMITED = 429
_CONFLICT = 409
_SERVER_ERRORS = 500
_MAX_ERROR = 500


@dataclass(frozen=True)
class Sent:
    """Accepted: `receipt` is the provider's id or the file's name."""

    receipt: str


@dataclass(frozen=True)
class NotSent:
    """Not accepted, in words. Worth trying again or not; `wait` when the provider named a time."""

    error: str
    is_permanent: bool
    wait: timedelta | datetime | None = None
    is_rate_limit: bool = False


@dataclass(frozen=True)
class DeliveryReport:
    """What one pass over the outbox did. `problems` says for each mail not sent why, and what happens to it."""

    sent: int = 0
    failed: int = 0
    retried: int = 0
    problems: tuple[str, ...] = ()


class Mailer(Protocol):
    """Sends one message; never raises for what the provider or the message did wrong."""

    remembers: timedelta | None
    """How long a second try with the same key is still the same mail; None = for ever."""

    def send(self, message: Message) -> Sent | NotSent: ...


class ResendMailer:
    """Through Resend's API. The SDK keeps its configuration in module globals; it is set before each send."""

    remembers: timedelta | None = RESEND_REMEMBERS

    def __init__(self, api_key: str, url: str, sender: str, timeout_seconds: float) -> None:
        # A key file's trailing newline would make requests quote the whole header, key included, in its error.
        self._api_key = api_key.strip()
        self._url = url.rstrip("/")
        self._sender = sender
        self._timeout = timeout_seconds

    def send(self, message: Message) -> Sent | NotSent:
        import resend
        from resend.exceptions import NoContentError, ResendError

        if not message.recipients:
            return NotSent("It has no recipients. Set alert_recipients in the org's policy.", is_permanent=True)
        resend.api_key = self._api_key
        resend.api_url = self._url
        resend.default_http_client = resend.RequestsClient(timeout=self._timeout)  # type: ignore[arg-type]  # requests takes fractions
        try:
            answer = resend.Emails.send(self._parameters(message), {"idempotency_key": message.send_key})
        except ResendError as error:
            return self._judge(error)
        except NoContentError:
            return NotSent("Resend gave an empty answer.", is_permanent=False)
        receipt = answer.get("id")
        return Sent(str(receipt)) if receipt else NotSent("Resend's answer had no id.", is_permanent=False)

    def _parameters(self, message: Message) -> Any:
        parameters: dict[str, Any] = {
            "from": self._sender,
            "to": list(message.recipients),
            "subject": message.subject,
            "html": message.html,
            "text": message.text,
        }
        if message.attachments:
            parameters["attachments"] = [
                {"filename": a.name, "content": base64.b64encode(a.content).decode("ascii"), "content_type": a.content_type}
                for a in message.attachments
            ]
        return parameters

    def _judge(self, error: Any) -> NotSent:
        """The SDK reports timeouts and refused connections as code 500, type HttpClientError."""
        code = int(error.code) if str(error.code).isdigit() else _SERVER_ERRORS
        words = self._redact(f"Resend said {code} {error.error_type}: {error.message}")
        if error.error_type == "HttpClientError":
            words = self._redact(f"Resend could not be reached: {error.message}")
        if code == _RATE_LIMITED:
            return NotSent(words, is_permanent=False, wait=_retry_after(error.headers), is_rate_limit=True)
        # 409 is another mailer sending this very mail now, unless the key is known with other content: that never changes.
        if code == _CONFLICT:
            return NotSent(words, is_permanent=error.error_type == "invalid_idempotent_request")
        return NotSent(words, is_permanent=code < _SERVER_ERRORS)

    def _redact(self, words: str) -> str:
        for form in (self._api_key, repr(self._api_key)[1:-1]):
            if form:
                words = words.replace(form, "***")
        return " ".join(words.split())[:_MAX_ERROR]


class FolderMailer:
    """Into a folder of .eml files, named by send key: writing twice leaves one file, the same to the byte."""

    remembers: timedelta | None = None

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    def send(self, message: Message) -> Sent | NotSent:
        try:
            content = as_eml(message, self._sender)
        except (ValueError, UnicodeError) as error:
            return NotSent(f"It cannot be written as a mail: {error}"[:_MAX_ERROR], is_permanent=True)
        target = self._folder / f"{file_stem(message.send_key)}.eml"
        try:
            _write(target, content)
        except OSError as error:
            return NotSent(f"{target.name} could not be written: {error.strerror or error}", is_permanent=False)
        return Sent(target.name)


def mailer_for(settings: Settings) -> Mailer:
    """Resend when there is a key, else the outbox folder."""
    key = settings.resend_api_key
    if key is not None and key.get_secret_value().strip():
        return ResendMailer(key.get_secret_value(), settings.resend_url, settings.mail_from, settings.mail_timeout_seconds)
    return FolderMailer(settings.outbox, settings.mail_from)


def deliver_due(settings: Settings, ledger: Ledger, org: str, now: datetime) -> DeliveryReport:
    """Send what is due at `now`. Safe beside any number of other mailers, and after a crash of any of them.

    One message is claimed at a time: a crash leaves one claim behind, not a batch. A rate limit ends the pass, since the
    next message would only meet it too; the rest stays due. `now` must not lie behind the times already in the outbox.
    """
    mailer = mailer_for(settings)
    sent = failed = retried = 0
    problems: list[str] = []
    while row := _claim(ledger, org, now):
        result = _send(mailer, row, now)
        retry_at = None if isinstance(result, Sent) or result.is_permanent else _retry_at(mailer, row, result, now)
        with ledger.transaction(org, MAILER) as tx:
            if isinstance(result, Sent):
                outbox.mark_sent(tx, row.message_id, now, result.receipt)
                sent += 1
                continue
            outbox.mark_failed(tx, row.message_id, now, result.error, retry_at)
        failed += retry_at is None
        retried += retry_at is not None
        fate = f"tried again from {retry_at:%Y-%m-%d %H:%M} UTC" if retry_at else "not tried again"
        problems.append(f"{row.message.send_key}: {result.error} ({fate})")
        if result.is_rate_limit:
            break
    return DeliveryReport(sent, failed, retried, tuple(problems))


def _claim(ledger: Ledger, org: str, now: datetime) -> OutboxRow | None:
    with ledger.transaction(org, MAILER) as tx:
        rows = outbox.claim_due(tx, now, 1)
        return rows[0] if rows else None


def _send(mailer: Mailer, row: OutboxRow, now: datetime) -> Sent | NotSent:
    if mailer.remembers is not None and row.attempts and now > row.first_tried_at + mailer.remembers:
        return NotSent(
            f"It was first tried at {row.first_tried_at:%Y-%m-%d %H:%M} UTC and it is not known whether it arrived; "
            "after so long a second try could arrive twice. Look for it in Resend before sending it again.",
            is_permanent=True,
        )
    return mailer.send(row.message)


def _retry_at(mailer: Mailer, row: OutboxRow, result: NotSent, now: datetime) -> datetime | None:
    """When to try again; None when tries are used up, or the provider would no longer know the first one."""
    if row.attempts >= len(RETRY_MINUTES):
        return None
    wait = result.wait or timedelta(minutes=RETRY_MINUTES[row.attempts])
    at = now + wait if isinstance(wait, timedelta) else max(wait, now + timedelta(minutes=1))
    return None if mailer.remembers is not None and at > row.first_tried_at + mailer.remembers else at


def _retry_after(headers: dict[str, str]) -> timedelta | datetime | None:
    """The Retry-After header, in seconds or as a date; None when there is none that makes sense."""
    value = {name.lower(): text for name, text in headers.items()}.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", value):
        return timedelta(seconds=max(1, int(value)))
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def as_eml(message: Message, sender: str) -> bytes:
    """The message as RFC 5322 bytes. No clock and no random boundary: the same message gives the same bytes."""
    digest = hashlib.sha256(message.send_key.encode()).hexdigest()
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    if message.recipients:
        mail["To"] = ", ".join(message.recipients)
    mail["Subject"] = message.subject
    mail["Date"] = datetime.combine(message.business_date, datetime.min.time(), UTC)
    mail["Message-ID"] = f"<{digest[:32]}@ptp.invalid>"
    mail["X-Ptp-Send-Key"] = message.send_key
    mail.set_content(message.text)
    mail.add_alternative(message.html, subtype="html")
    for attachment in message.attachments:
        main, _, sub = attachment.content_type.partition("/")
        mail.add_attachment(attachment.content, maintype=main, subtype=sub or "octet-stream", filename=attachment.name)
    for number, part in enumerate(part for part in mail.walk() if part.is_multipart()):
        part.set_boundary(f"=_{digest[:24]}_{number}")
    return mail.as_bytes()


def file_stem(send_key: str) -> str:
    """A file name for a send key; keys with unusual characters keep apart by a piece of their hash."""
    stem = re.sub(r"[^A-Za-z0-9_-]", ".", send_key)[:120]
    return stem if re.fullmatch(r"[A-Za-z0-9_:-]{1,120}", send_key) else f"{stem}.{hashlib.sha256(send_key.encode()).hexdigest()[:8]}"


def _write(target: Path, content: bytes) -> None:
    """Whole or not at all: a reader of the folder never sees half a mail."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
