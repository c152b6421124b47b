"""`ptp email`: the day's broken-promise mail, to look at or to send."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ptp_pipeline.cli import output, published
from ptp_pipeline.cli.frame import Json, Org, command, launcher, new_group, open_ledger, operator, parse_date, require_org, settings
from ptp_pipeline.errors import UsageError, WorkFailed

if TYPE_CHECKING:
    from ptp_pipeline.domain.messages import Message
    from ptp_pipeline.ledger.connection import Ledger

Day = Annotated[str, typer.Option("--day", metavar="DATE", help="Default: the day of the published figures.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = new_group("The daily broken-promise mail.")
    command(group, "email preview --org acme", "email preview --org acme --out mail.html")(preview)
    command(group, "email send --org acme")(send)
    app.add_typer(group, name="email")


def preview(
    *,
    org: Org,
    day: Day = "",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the HTML here instead of showing the text.")] = None,
    as_json: Json = False,
) -> None:
    """Show the mail of the day without sending it."""
    ledger = open_ledger()
    message = compose(ledger, org, day)
    if out:
        out.write_text(message.html, encoding="utf-8")
    if as_json:
        output.print_json(
            {
                "subject": message.subject,
                "recipients": message.recipients,
                "send_key": message.send_key,
                "text": message.text,
                "attachments": [a.name for a in message.attachments],
                "html_file": out,
            }
        )
        return
    print(f"To: {', '.join(message.recipients) or '(nobody yet)'}\nSubject: {message.subject}\n")
    print(f"Written to {out}." if out else message.text)


def send(*, org: Org, day: Day = "", as_json: Json = False) -> None:
    """Send the mail of the day, once: sending it again does nothing."""
    from ptp_pipeline.ledger import outbox
    from ptp_pipeline.notify.mailer import deliver_due

    ledger = open_ledger()
    message = compose(ledger, org, day)
    if not message.recipients:
        step = f"{launcher()} org set {org} alert_recipients=you@example.com --reason 'first recipients'"
        raise UsageError(f"The mail of {org} has no recipients.", f"Name them: {step}")
    with ledger.transaction(org, operator()) as tx:
        is_new = outbox.enqueue(tx, message)
    report = deliver_due(settings(), ledger, org, datetime.now(UTC))
    if as_json:
        output.print_json(
            {"send_key": message.send_key, "newly_queued": is_new, "sent": report.sent, "retried": report.retried, "failed": report.failed}
        )
    elif not is_new and not report.sent:
        print(f"The mail of {message.business_date} was queued before; nothing is sent twice.")
    else:
        where = "" if settings().resend_api_key else f" See {settings().outbox}."
        print(f"Sent {report.sent}, to be tried again {report.retried}, failed {report.failed}.{where}")
    if report.failed or report.retried:
        raise WorkFailed("; ".join(report.problems) or "Some mail could not be sent.", "It stays in the outbox and is tried again.")


def compose(ledger: "Ledger", org: str, day: str) -> "Message":
    """The mail of a day from the published figures."""
    from ptp_pipeline.ledger import policies
    from ptp_pipeline.notify.daily import compose_broken_promises

    require_org(ledger, org)
    with ledger.transaction(org, operator()) as tx:
        policy = policies.current(tx)
    return compose_broken_promises(settings(), org, policy, parse_date(day, "--day") if day else _published_day(org))


def _published_day(org: str) -> date:
    with published.open_build(settings(), org) as build:
        return build.as_of
