"""`ptp change`: new terms for a commitment, ending or closing it, pausing the chase.

History stays; new terms need their own approval.
"""

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ptp_pipeline import previews
from ptp_pipeline.cli import output
from ptp_pipeline.cli.frame import (
    Json,
    Org,
    Reason,
    Token,
    Yes,
    command,
    confirm,
    launcher,
    new_group,
    parse_date,
    parse_money,
    settings,
)
from ptp_pipeline.cli.log import begin, business_day, listed_installments, print_logged, show_terms
from ptp_pipeline.errors import UsageError

if TYPE_CHECKING:
    from ptp_pipeline.domain.terms import Terms

CommitmentId = Annotated[str, typer.Argument(metavar="ID", help="The commitment.")]
EffectiveOn = Annotated[str, typer.Option("--on", metavar="DATE", help="First day it holds; default today.")]
NewAmount = Annotated[str, typer.Option(metavar="AMOUNT", help="Left out: as before.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = new_group("Change a commitment: new terms, withdraw, cancel, close, pause, resume.")
    command(
        group,
        "change renegotiate PL-7 --org acme --amount 800 --count 4 --first-due 2026-08-01 --reason 'lost a customer, smaller steps'",
        "change renegotiate PR-3 --org acme --due 2026-07-31 --reason 'invoice arrived late'",
        "change renegotiate PL-8 --org acme --reason 'covers the invoices of May'",
    )(renegotiate)
    command(group, "change withdraw PL-7 --org acme --reason 'logged for the wrong customer'")(withdraw)
    command(group, "change cancel PL-7 --org acme --reason 'paid by credit note'")(cancel)
    command(group, "change close PL-7 --org acme --reason 'rest written off'")(close)
    command(group, "change pause PL-7 --org acme --reason 'dispute being looked at'")(pause)
    command(group, "change resume PL-7 --org acme --reason 'dispute settled'")(resume)
    app.add_typer(group, name="change")


def renegotiate(
    *,
    commitment_id: CommitmentId,
    org: Org,
    reason: Reason,
    amount: NewAmount = "",
    due: Annotated[str, typer.Option("--due", "--first-due", metavar="DATE", help="Due date, the first one of several.")] = "",
    count: Annotated[int | None, typer.Option(min=1, show_default=False, help="Number of installments after the down payment.")] = None,
    frequency: Annotated[str, typer.Option(help="weekly, biweekly, semimonthly, monthly or quarterly.")] = "",
    installment: Annotated[
        list[str] | None, typer.Option(metavar="DATE=AMOUNT", show_default=False, help="An installment of your own schedule; repeat.")
    ] = None,
    down_payment: NewAmount = "",
    discount: NewAmount = "",
    grace_days: Annotated[int | None, typer.Option(min=0, show_default=False)] = None,
    overpayment_rule: Annotated[
        str, typer.Option(metavar="RULE", help="Where surplus money goes: next, last, spread or hold. Left out: as before.")
    ] = "",
    agreed_on: Annotated[str, typer.Option(metavar="DATE", help="Day the customer agreed to the new terms; default today.")] = "",
    token: Token = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Log new terms. The old ones stay in force until these are approved; what was paid stays where it is.

    What was sent back or turned down may come again with the same terms: then --reason is the answer.
    """
    from ptp_pipeline.domain.terms import make_terms
    from ptp_pipeline.ledger import commitments

    who = begin(org, token)
    with who.ledger.transaction(org, who.actor) as tx:
        newest, in_force = commitments.replaced(tx, commitment_id)
    before = commitments.terms_of(newest)
    changes: dict[str, Any] = {"down_payment_minor": down_payment, "discount_minor": discount, "amount_minor": amount}
    options = {"down_payment_minor": "--down-payment", "discount_minor": "--discount", "amount_minor": "--amount"}
    changes = {name: parse_money(text, before.currency, options[name]) for name, text in changes.items() if text}
    changes |= {} if grace_days is None else {"grace_days": grace_days}
    changes |= {"overpayment_rule": overpayment_rule} if overpayment_rule else {}
    if installment:
        if count or due or frequency:
            raise UsageError(
                "--installment lists the whole schedule; --count, --due and --frequency do not go with it.", "Use one or the other."
            )
        lines = listed_installments(installment, before.currency)
        changes |= {
            "frequency": "custom",
            "custom_schedule": lines,
            "installment_count": len(lines),
            "first_due_date": lines[0]["due_date"],
        }
    elif count or due or frequency:
        changes |= {"custom_schedule": ()} | ({"installment_count": count} if count else {})
        changes |= {"first_due_date": parse_date(due, "--due")} if due else {}
        changes |= (
            {"frequency": frequency} if frequency else {"frequency": "monthly"} if before.frequency in ("custom", "once") and count else {}
        )
    if not changes and newest["decision"] not in ("reject", "send_back"):
        waits = newest["status"] == "pending_approval"
        step = "Give what is to change: --amount, --due, --count, --frequency, --discount, …"
        raise UsageError(
            f"A reason alone makes no new version: version {newest['version']} of {commitment_id} {'waits with' if waits else 'has'} these"
            " terms.",
            f"{step} It can be decided on as it is: {launcher()} approve {commitment_id} --org {org} --reason TEXT" if waits else step,
        )
    terms = make_terms(**_merged(before, {**changes, "agreed_on": business_day(agreed_on, "--agreed-on", who.policy)}))
    of_terms, of_schedule = previews.changes_of(settings(), in_force or before, terms, who.policy)
    replaces = newest["version"] if newest["decision"] is None else None
    if not as_json:
        show_terms(who, terms, f"New terms of {commitment_id}", newest["customer_id"], rationale=reason, is_new_terms=True)
        for told in previews.changes_in_words([*of_terms, *of_schedule], in_force=in_force is not None, replaces=replaces):
            output.paragraph(told)
    confirm("Log them?", yes=yes or as_json)
    with who.ledger.transaction(org, who.actor) as tx:
        logged = commitments.renegotiate(tx, commitment_id, terms, reason)
    if as_json:
        document = {"commitment_id": commitment_id, "version": logged.version, "status": logged.status}
        output.print_json({**document, "rule": logged.rule_message, "changes": [*of_terms, *of_schedule], "replaces_version": replaces})
        return
    print_logged(logged, org)


def _merged(before: "Terms", changes: dict[str, Any]) -> dict[str, Any]:
    """The old terms with the changes; what follows from others is worked out anew."""
    merged = {**before.model_dump(), **changes}
    if before.kind != "repeating_promise" or "installment_count" in changes:
        merged["total_minor"] = None
    else:
        merged["installment_count"] = None
    if before.kind == "plan" and merged["frequency"] == "once" and merged["installment_count"] not in (None, 1):
        merged["frequency"] = "monthly"
    return merged


def cancel(
    *, commitment_id: CommitmentId, org: Org, reason: Reason, on: EffectiveOn = "", token: Token = "", as_json: Json = False
) -> None:
    """End a commitment from a day on; what was due before is still judged. One that was never approved is withdrawn."""
    _event(verb="cancel", done="cancelled", commitment_id=commitment_id, org=org, reason=reason, on=on, token=token, as_json=as_json)


def withdraw(
    *, commitment_id: CommitmentId, org: Org, reason: Reason, on: EffectiveOn = "", token: Token = "", as_json: Json = False
) -> None:
    """Take back what was never approved: who logged or owns it, or a supervisor."""
    _event(verb="withdraw", done="withdrawn", commitment_id=commitment_id, org=org, reason=reason, on=on, token=token, as_json=as_json)


def close(*, commitment_id: CommitmentId, org: Org, reason: Reason, on: EffectiveOn = "", token: Token = "", as_json: Json = False) -> None:
    """Close what is in force though not all is paid: written off, settled otherwise. What is paid in full closes by itself."""
    _event(verb="close", done="closed", commitment_id=commitment_id, org=org, reason=reason, on=on, token=token, as_json=as_json)


def pause(*, commitment_id: CommitmentId, org: Org, reason: Reason, on: EffectiveOn = "", token: Token = "", as_json: Json = False) -> None:
    """Stop reminding the customer. Verdicts go on."""
    _event(verb="pause", done="paused", commitment_id=commitment_id, org=org, reason=reason, on=on, token=token, as_json=as_json)


def resume(
    *, commitment_id: CommitmentId, org: Org, reason: Reason, on: EffectiveOn = "", token: Token = "", as_json: Json = False
) -> None:
    """Remind the customer again."""
    _event(verb="resume", done="resumed", commitment_id=commitment_id, org=org, reason=reason, on=on, token=token, as_json=as_json)


def _event(*, verb: str, done: str, commitment_id: str, org: str, reason: str, on: str, token: str, as_json: bool) -> None:
    from ptp_pipeline.ledger import commitments

    who = begin(org, token)
    day: date = parse_date(on, "--on") if on else business_day("", "--on", who.policy)
    with who.ledger.transaction(org, who.actor) as tx:
        getattr(commitments, verb)(tx, commitment_id, day, reason)
    if as_json:
        output.print_json({"commitment_id": commitment_id, "done": done, "effective_on": day})
    else:
        print(f"{commitment_id} is {done} from {day}. Published figures change with the next run: {launcher()} run --org {org}")
