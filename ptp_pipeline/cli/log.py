"""`ptp log`: writing down what a customer committed to, a payment that came, a talk with a customer."""

import csv
import hashlib
import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import typer

from ptp_pipeline import previews
from ptp_pipeline.cli import output, published
from ptp_pipeline.cli.frame import (
    Json,
    Org,
    Token,
    Yes,
    command,
    confirm,
    is_terminal,
    launcher,
    new_group,
    open_ledger,
    parse_date,
    parse_money,
    person,
    require_org,
    settings,
)
from ptp_pipeline.errors import Refused, UsageError

if TYPE_CHECKING:
    from ptp_pipeline.domain.policy import Policy
    from ptp_pipeline.domain.policy_sections import FeedFormat
    from ptp_pipeline.domain.terms import Terms
    from ptp_pipeline.ledger.commitments import Logged
    from ptp_pipeline.ledger.connection import Actor, Ledger
    from ptp_pipeline.ledger.files import ReceivedFile

Customer = Annotated[str, typer.Option(metavar="ID", help="The customer, as the invoices name it.")]
Amount = Annotated[str, typer.Option(metavar="AMOUNT", help="Like 1234.56.")]
Invoices = Annotated[
    list[str] | None, typer.Option("--invoice", metavar="ID", show_default=False, help="An invoice it covers; repeat for more.")
]
Currency = Annotated[str, typer.Option(metavar="CODE", help="Default: the org's.")]
AgreedOn = Annotated[str, typer.Option(metavar="DATE", help="Day the customer committed; default today. Earlier money does not count.")]
GraceDays = Annotated[int | None, typer.Option(min=0, show_default=False, help="Days of grace; default the org's.")]
SurplusRule = Annotated[
    str, typer.Option("--overpayment-rule", metavar="RULE", help="Where surplus money goes: next, last, spread or hold; default the org's.")
]
NewId = Annotated[str, typer.Option("--id", metavar="ID", help="Id of the new commitment; made when left out.")]
Owner = Annotated[str, typer.Option(metavar="USER", help="Collector responsible; default yourself.")]
Channel = Annotated[str, typer.Option(help="How they committed: call, email, portal, legal.")]
ContactName = Annotated[str, typer.Option(metavar="NAME", help="Who committed.")]
ContactEmail = Annotated[str, typer.Option(metavar="ADDRESS")]
Confidence = Annotated[int | None, typer.Option(min=0, max=100, show_default=False, help="How sure you are, 0 to 100.")]
ConfidenceReason = Annotated[str, typer.Option(metavar="TEXT")]
Note = Annotated[str, typer.Option(metavar="TEXT")]
Evidence = Annotated[str, typer.Option(metavar="LINK", help="Where the mail or recording is.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = new_group("Write down a promise, a plan, a payment or a contact.")
    command(
        group,
        "log promise --org acme --customer C-1001 --amount 500 --due 2026-07-15 --invoice INV-7",
        "log promise --org acme --customer C-1001 --amount 200 --due 2026-07-15 --every monthly --invoice INV-7",
    )(promise)
    command(
        group,
        "log plan --org acme --customer C-1001 --amount 1200 --count 6 --frequency monthly --first-due 2026-07-01 --down-payment 200",
        "log plan --org acme --customer C-1001 --amount 900 --installment 2026-07-01=400 --installment 2026-08-15=500",
    )(plan)
    command(
        group,
        "log payment --org acme --commitment P-77 --yes",
        "log payment --org acme --customer C-1001 --amount 500 --received 2026-07-14 --reference 'check 4411'",
    )(payment)
    command(group, "log contact --org acme --customer C-1001 --channel call --outcome 'will pay Friday'")(contact)
    app.add_typer(group, name="log")


def promise(
    *,
    org: Org,
    customer: Customer,
    amount: Amount,
    due: Annotated[str, typer.Option(metavar="DATE", help="When it will be paid; the first time for a repeating promise.")],
    invoice: Invoices = None,
    every: Annotated[
        str, typer.Option(metavar="FREQUENCY", help="Makes it a repeating promise: weekly, biweekly, semimonthly, monthly, …")
    ] = "",
    count: Annotated[
        int | None, typer.Option(min=1, show_default=False, help="How often it repeats; default until the invoices are settled.")
    ] = None,
    discount: Annotated[str, typer.Option(metavar="AMOUNT", help="Part of the amount that is waived.")] = "0",
    currency: Currency = "",
    agreed_on: AgreedOn = "",
    grace_days: GraceDays = None,
    overpayment_rule: SurplusRule = "",
    commitment_id: NewId = "",
    owner: Owner = "",
    channel: Channel = "",
    contact_name: ContactName = "",
    contact_email: ContactEmail = "",
    confidence: Confidence = None,
    confidence_reason: ConfidenceReason = "",
    note: Note = "",
    evidence_link: Evidence = "",
    token: Token = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Log a promise: an amount by a date, or the same amount every period until the debt is settled."""
    from ptp_pipeline.domain.terms import make_terms

    if count is not None and not every:
        raise UsageError("--count goes with --every; a promise is paid once.", "Several installments make a plan: see ptp log plan --help.")
    who = begin(org, token)
    policy = who.policy
    code = (currency or policy.currency).upper()
    amount_minor = parse_money(amount, code, "--amount")
    terms: dict[str, Any] = {"kind": "promise", "discount_minor": parse_money(discount, code, "--discount")}
    if every:
        debt = None if count else _open_amount(org, invoice or [], code)
        terms |= {"kind": "repeating_promise", "frequency": every, "installment_count": count, "total_minor": debt}
    terms |= {
        "currency": code,
        "agreed_on": business_day(agreed_on, "--agreed-on", policy),
        "amount_minor": amount_minor,
        "first_due_date": parse_date(due, "--due"),
        "grace_days": grace_days,
        "invoice_ids": tuple(invoice or ()),
        "overpayment_rule": overpayment_rule or policy.overpayment_rule,
    }
    _log(
        who,
        make_terms(**terms),
        as_json=as_json,
        yes=yes,
        customer_id=customer,
        commitment_id=commitment_id or None,
        owner=owner or who.actor.name,
        channel=channel,
        contact_name=contact_name,
        contact_email=contact_email,
        confidence=confidence,
        confidence_reason=confidence_reason,
        note=note,
        evidence_link=evidence_link,
    )


def plan(
    *,
    org: Org,
    customer: Customer,
    amount: Amount,
    count: Annotated[int | None, typer.Option(min=1, show_default=False, help="Number of installments after the down payment.")] = None,
    frequency: Annotated[str, typer.Option(help="weekly, biweekly, semimonthly, monthly or quarterly.")] = "monthly",
    first_due: Annotated[str, typer.Option(metavar="DATE", help="Due date of the first installment.")] = "",
    installment: Annotated[
        list[str] | None, typer.Option(metavar="DATE=AMOUNT", show_default=False, help="An installment of your own schedule; repeat.")
    ] = None,
    down_payment: Annotated[str, typer.Option(metavar="AMOUNT", help="Due on the day of the agreement.")] = "0",
    discount: Annotated[str, typer.Option(metavar="AMOUNT", help="Part of the amount that is waived.")] = "0",
    invoice: Invoices = None,
    currency: Currency = "",
    agreed_on: AgreedOn = "",
    grace_days: GraceDays = None,
    overpayment_rule: SurplusRule = "",
    commitment_id: NewId = "",
    owner: Owner = "",
    channel: Channel = "",
    contact_name: ContactName = "",
    contact_email: ContactEmail = "",
    confidence: Confidence = None,
    confidence_reason: ConfidenceReason = "",
    note: Note = "",
    evidence_link: Evidence = "",
    token: Token = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Log a payment plan. It becomes active when a supervisor approves it."""
    from ptp_pipeline.domain.terms import make_terms

    who = begin(org, token)
    policy = who.policy
    code = (currency or policy.currency).upper()
    terms = {
        "kind": "plan",
        "currency": code,
        "agreed_on": business_day(agreed_on, "--agreed-on", policy),
        "invoice_ids": tuple(invoice or ()),
        "overpayment_rule": overpayment_rule or policy.overpayment_rule,
        "grace_days": grace_days,
        **_plan_terms(
            code,
            amount=amount,
            count=count,
            frequency=frequency,
            first_due=first_due,
            installments=installment,
            down_payment=down_payment,
            discount=discount,
        ),
    }
    _log(
        who,
        make_terms(**terms),
        as_json=as_json,
        yes=yes,
        customer_id=customer,
        commitment_id=commitment_id or None,
        owner=owner or who.actor.name,
        channel=channel,
        contact_name=contact_name,
        contact_email=contact_email,
        confidence=confidence,
        confidence_reason=confidence_reason,
        note=note,
        evidence_link=evidence_link,
    )


def _plan_terms(
    currency: str,
    *,
    amount: str,
    count: int | None,
    frequency: str,
    first_due: str,
    installments: list[str] | None,
    down_payment: str,
    discount: str,
) -> dict[str, Any]:
    """The numbers and dates of a plan from its options. Raises UsageError when they do not fit together."""
    common: dict[str, Any] = {
        "amount_minor": parse_money(amount, currency, "--amount"),
        "discount_minor": parse_money(discount, currency, "--discount"),
        "down_payment_minor": parse_money(down_payment, currency, "--down-payment"),
    }
    if installments:
        if count is not None or first_due:
            raise UsageError("--installment lists the whole schedule; --count and --first-due do not go with it.", "Use one or the other.")
        return {**common, "frequency": "custom", "custom_schedule": listed_installments(installments, currency)}
    if count is None or not first_due:
        raise UsageError("A plan needs --count and --first-due, or its installments listed with --installment.", "See ptp log plan --help.")
    once = count == 1 and common["down_payment_minor"] == 0
    return {
        **common,
        "frequency": "once" if once else frequency,
        "installment_count": count,
        "first_due_date": parse_date(first_due, "--first-due"),
    }


def listed_installments(installments: list[str], currency: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for text in installments:
        day, equals, amount = text.partition("=")
        if not equals:
            raise UsageError(f"--installment {text!r} is not DATE=AMOUNT.", "Write for example 2026-07-01=400.")
        lines.append({"due_date": parse_date(day, "--installment"), "amount_minor": parse_money(amount, currency, "--installment")})
    lines.sort(key=lambda line: line["due_date"])
    return [{"sequence": position, **line} for position, line in enumerate(lines, 1)]


@dataclass(frozen=True)
class Session:
    """A person at work in an org, under its policy of today."""

    ledger: "Ledger"
    actor: "Actor"
    org: str
    policy: "Policy"


def begin(org: str, token: str) -> Session:
    """Raises UsageError without a token, Refused when it is not valid."""
    from ptp_pipeline.ledger import policies

    ledger = open_ledger()
    require_org(ledger, org)
    actor = person(ledger, org, token)
    with ledger.transaction(org, actor) as tx:
        return Session(ledger, actor, org, policies.current(tx))


def business_day(text: str, option: str, policy: "Policy") -> date:
    """The given day, or today where the org is. Raises UsageError for a day to come: nothing has happened on it yet."""
    today = datetime.now(ZoneInfo(policy.timezone)).date()
    if not text:
        return today
    day = parse_date(text, option)
    if day > today:
        raise UsageError(f"{option} {day} has not come yet: it is {today} in {policy.timezone}.", "Give today or a past day.")
    return day


def _open_amount(org: str, invoice_ids: list[str], currency: str) -> int:
    """What is open on these invoices: the debt a repeating promise settles."""
    from ptp_pipeline.domain.money import to_minor

    if not invoice_ids:
        raise UsageError("A repeating promise needs --count, or --invoice so that the debt to settle is known.", "Add one of them.")
    with published.open_build(settings(), org) as build:
        rows = build.rows(
            "select invoice_id, open_amount, amount, currency from invoices where list_contains($ids, invoice_id)", {"ids": invoice_ids}
        )
    known = {row["invoice_id"]: row for row in rows}
    for invoice_id in invoice_ids:
        if invoice_id not in known:
            raise UsageError(f"Invoice {invoice_id!r} is not known, so the debt to settle is not either.", "Give --count instead.")
        if known[invoice_id]["currency"] != currency:
            raise UsageError(f"Invoice {invoice_id!r} is in {known[invoice_id]['currency']}, the promise in {currency}.", "Use --currency.")
    return sum(to_minor(row["amount"] if row["open_amount"] is None else row["open_amount"], currency) for row in rows)


def show_terms(who: Session, terms: "Terms", headline: str, customer_id: str, *, rationale: str, is_new_terms: bool = False) -> None:
    """Terms, schedule and guardrails, before they are confirmed."""
    print(f"{headline}: {previews.terms_in_words(terms)}")
    (schedule,) = previews.schedules(settings(), [terms], who.policy)
    output.table(previews.SCHEDULE, previews.schedule_rows(schedule, terms.currency))
    for rule in _rules(who, terms, customer_id, rationale, is_new_terms=is_new_terms):
        print(f"! {rule}")


def _rules(who: Session, terms: "Terms", customer_id: str, rationale: str, *, is_new_terms: bool = False) -> list[str]:
    """What policy will say, beforehand. Of new terms the standing still counts the old ones: the gate then says it exactly."""
    from ptp_pipeline.domain.terms import guardrails, nudges, rationale_missing
    from ptp_pipeline.ledger import commitments, policies

    with who.ledger.transaction(who.org, who.actor) as tx:
        standing = commitments.customer_standing(tx, customer_id, terms.currency)
        by_others = policies.by_others(tx, who.actor.name)
    rules = guardrails(terms, who.policy, standing, is_new_terms=is_new_terms, by_others=by_others)
    if rules and (missing := rationale_missing(terms, who.policy, rationale, is_new_terms=is_new_terms)):
        rules.append(f"{missing}: it would be sent back")
    return [*rules, *nudges(terms)]


def print_logged(logged: "Logged", org: str) -> None:
    """What became of terms just logged, and what comes next."""
    print(f"Logged {logged.commitment_id}, version {logged.version}: {logged.status.replace('_', ' ')}.")
    if logged.status == "pending_approval":
        print(_who_decides(logged, org))
    elif logged.status == "draft":
        print(f"Sent back by policy. {logged.rule_message}")
        print(f"Say why: {launcher()} change renegotiate {logged.commitment_id} --org {org} --reason TEXT")


def _who_decides(logged: "Logged", org: str) -> str:
    """The next step of what waits: the role its guardrails name is the one to ask."""
    if "nobody may approve this" in logged.rule_message:
        other = f"{launcher()} change renegotiate {logged.commitment_id} --org {org} --reason TEXT"
        return f"Nobody may approve it as it is. Other terms: {other}"
    role = next((r for r in ("legal", "controller") if f"{r.capitalize()} approval required" in logged.rule_message), "supervisor")
    decides = "Legal decides" if role == "legal" else f"A {role} decides"
    return f"{decides}: {launcher()} approve {logged.commitment_id} --org {org} --reason TEXT"


def _log(who: Session, terms: "Terms", *, yes: bool, as_json: bool, **commitment: Any) -> None:
    from ptp_pipeline.domain.terms import NewCommitment
    from ptp_pipeline.ledger import commitments

    new = NewCommitment(terms=terms, **commitment)
    if not as_json:
        headline = f"{terms.kind.replace('_', ' ').capitalize()} of {new.customer_id}"
        show_terms(who, terms, headline, new.customer_id, rationale=new.note)
    confirm("Log it?", yes=yes or as_json)
    rules = _rules(who, terms, new.customer_id, new.note) if as_json else []
    with who.ledger.transaction(who.org, who.actor) as tx:
        logged = commitments.log(tx, new, source="cli")
    if as_json:
        output.print_json(
            {
                "commitment_id": logged.commitment_id,
                "version": logged.version,
                "status": logged.status,
                "rule": logged.rule_message,
                "guardrails": rules,
                "schedule": previews.schedule_document(previews.schedules(settings(), [terms], who.policy)[0], terms.currency),
            }
        )
        return
    print_logged(logged, who.org)


def payment(
    *,
    org: Org,
    commitment: Annotated[str, typer.Option(metavar="ID", help="The commitment it pays; customer and amount are taken from it.")] = "",
    customer: Annotated[str, typer.Option(metavar="ID", help="Who paid; not needed with --commitment.")] = "",
    amount: Annotated[str, typer.Option(metavar="AMOUNT", help="Default with --commitment: what is due next.")] = "",
    received: Annotated[str, typer.Option(metavar="DATE", help="Day the money came; default today.")] = "",
    invoice: Annotated[str, typer.Option(metavar="ID", help="The invoice it pays.")] = "",
    currency: Currency = "",
    reference: Annotated[str, typer.Option(metavar="TEXT", help="Reference text; makes two equal payments of one day different.")] = "",
    method: Annotated[str, typer.Option(metavar="TEXT", help="check, card, transfer …")] = "",
    payment_id: Annotated[str, typer.Option("--id", metavar="ID", help="Id of the payment; made from its content when left out.")] = "",
    token: Token = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Log a payment that came. It goes to the inbox like any payments file and counts from the next run on.

    The very same payment a second time is refused; one that really came twice needs a --reference or --id of its own.
    """
    who = begin(org, token)
    policy = who.policy
    promised = _promised(org, commitment) if commitment else {}
    customer = customer or promised.get("customer_id", "")
    code = (currency or promised.get("currency", "") or policy.currency).upper()
    if not customer:
        raise UsageError("Who paid is missing.", "Add --customer ID or --commitment ID.")
    if not amount and promised.get("amount"):
        if is_terminal() and not yes and not as_json:
            amount = str(typer.prompt("Amount", default=promised["amount"]))
        else:
            amount = promised["amount"]
    if not amount:
        raise UsageError("The amount is missing.", "Add --amount AMOUNT.")
    row: dict[str, Any] = {
        "payment_id": payment_id,
        "customer_id": customer,
        "received_date": business_day(received, "--received", policy),
        "amount": parse_money(amount, code, "--amount"),
        "currency": code,
        "kind": "payment",
        "invoice_id": invoice,
        "commitment_id": commitment,
        "reference": reference,
        "method": method,
    }
    said = f"{output.minor_money(row['amount'], code)} from {customer} on {row['received_date']}"
    if not as_json:
        print(f"Payment of {said}" + (f" for {commitment}" if commitment else ""))
    confirm("Log it?", yes=yes or as_json)
    _drop(who, "payments", row, said, as_json=as_json)


def _promised(org: str, commitment: str) -> dict[str, Any]:
    """Customer, currency and the amount due next of a published commitment."""
    with published.open_build(settings(), org) as build:
        rows = build.rows(
            "select c.customer_id, c.currency, i.outstanding_amount as amount from commitments as c left join installments as i"
            " on i.commitment_id = c.commitment_id and i.version = c.version and i.outstanding_amount > 0"
            " where c.commitment_id = $id and c.is_current order by i.sequence limit 1",
            {"id": commitment},
        )
    if not rows:
        raise UsageError(f"There is no published commitment {commitment!r}.", "Give --customer and --amount, or run first.")
    from ptp_pipeline.domain.money import exponent

    row = rows[0]
    return {**row, "amount": "" if row["amount"] is None else f"{row['amount']:.{exponent(row['currency'])}f}"}


def contact(
    *,
    org: Org,
    customer: Customer,
    channel: Annotated[str, typer.Option(help="call, email, portal, letter …")] = "call",
    direction: Annotated[str, typer.Option(help="out: we reached them; in: they reached us.")] = "out",
    outcome: Annotated[str, typer.Option(metavar="TEXT")] = "",
    commitment: Annotated[str, typer.Option(metavar="ID", help="The commitment it was about.")] = "",
    at: Annotated[str, typer.Option(metavar="DATETIME", help="When, like 2026-07-14T15:30 in the org's time zone; default now.")] = "",
    note: Note = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Log a talk or message with a customer. It counts from the next run on."""
    who = begin(org, token)
    policy = who.policy
    row = {
        "contact_id": f"contact-{uuid4().hex[:12]}",
        "customer_id": customer,
        "at": _instant(at, policy.timezone),
        "channel": channel,
        "direction": direction,
        "outcome": outcome,
        "commitment_id": commitment,
        "owner": who.actor.name,
        "note": note,
    }
    _drop(who, "contacts", row, f"{channel} with {customer}", as_json=as_json)


def _instant(text: str, timezone: str) -> str:
    """An ISO instant with its offset, so that no mapping can read it otherwise."""
    if not text:
        return datetime.now(UTC).isoformat(timespec="seconds")
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--at {text!r} is not a date and time.", "Write it like 2026-07-14T15:30.") from None
    return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(timezone))).isoformat(timespec="seconds")


def _drop(who: Session, feed: str, row: Mapping[str, Any], said: str, *, as_json: bool) -> None:
    """Put one row into the org's inbox as a file of the org's own dialect; it appears there whole or not at all.

    Raises Refused when the same row was put there before: intake would reject the file as the same file sent twice.
    """
    from ptp_pipeline.ledger import audit, files

    content = as_csv(row, who.policy.feed_format(feed))
    folder = settings().inbox(who.org, feed)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{feed}-{who.actor.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}.csv"
    draft = folder / f".{target.name}.part"
    draft.write_bytes(content)
    try:
        with who.ledger.transaction(who.org, who.actor) as tx:
            audit.record(tx, f"{feed.removesuffix('s')}.logged", feed.removesuffix("s"), target.name, said)
            # after the audit event, which only one transaction of an org writes at a time: of two at once, the second one looks last
            if earlier := _logged_before(folder, feed, content, files.accepted(tx)):
                raise Refused(f"This was logged already: {said}, in {earlier}.", "If it came twice, add --reference TEXT or --id ID.")
            draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    if as_json:
        output.print_json({"org": who.org, "feed": feed, "file": target})
    else:
        print(f"Logged: {said}. It lies in {target} and counts from the next run on: {launcher()} run --org {who.org}")


def _logged_before(folder: Path, feed: str, content: bytes, accepted: "list[ReceivedFile]") -> str:
    """Name of the file of this feed, waiting or accepted, that has these very bytes; empty when there is none."""
    digest = hashlib.sha256(content).hexdigest()
    known = [f"{f.file_name}, received {f.received_at:%Y-%m-%d}" for f in accepted if (f.feed, f.content_sha256) == (feed, digest)]
    for path in folder.glob("*.csv"):
        with suppress(OSError):  # taken in just now, or not ours to read
            if path.stat().st_size == len(content) and path.read_bytes() == content:
                known.append(f"{path.name}, which waits in the inbox")
    return known[0] if known else ""


def as_csv(row: Mapping[str, Any], mapping: "FeedFormat | None") -> bytes:
    """One row under its header, as the org's own files are written. Amounts come in minor units beside their currency."""
    from ptp_pipeline.domain.money import format_plain
    from ptp_pipeline.feeds.mapping import FeedMapping

    dialect = FeedMapping.of(mapping)
    theirs = {ours: name for name, ours in dialect.columns.items()}
    cells = {}
    for name, value in row.items():
        text = format_plain(value, row["currency"]).replace(".", dialect.decimal or ".") if name == "amount" else value
        cells[theirs.get(name, name)] = text.strftime(dialect.date_format) if isinstance(text, date) else text
    made = io.StringIO(newline="")
    writer = csv.writer(made, delimiter=dialect.delimiter or ",", lineterminator="\n")
    writer.writerow(cells.keys())
    writer.writerow(cells.values())
    return made.getvalue().encode(dialect.encoding or "utf-8")
