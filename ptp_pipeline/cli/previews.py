"""Terms in words before anybody decides on them: the schedule they make, what policy says, and what stands out."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from ptp_pipeline.cli import output

if TYPE_CHECKING:
    from ptp_pipeline.domain.policy import Policy
    from ptp_pipeline.domain.terms import Terms
    from ptp_pipeline.ledger.commitments import PendingItem
    from ptp_pipeline.settings import Settings
    from ptp_pipeline.warehouse.schedule import ScheduledInstallment

_TERMS = ("agreed_on", "frequency", "installment_count", "first_due_date")
_LINES = 6  # a schedule of more lines is shown from both ends
_FAR_ABOVE = 3  # times the median of its kind and currency


def schedules(settings: "Settings", items: "Iterable[Terms | PendingItem]", policy: "Policy") -> "list[list[ScheduledInstallment]]":
    """The schedule of each, in their order, made by the very statements a run uses."""
    from ptp_pipeline.warehouse.schedule import preview

    terms = [{**_as_mapping(item), "commitment_id": str(position), "version": 1} for position, item in enumerate(items)]
    made: dict[str, list[ScheduledInstallment]] = defaultdict(list)
    for line in preview(settings, terms, policy):
        made[line.commitment_id].append(line)
    return [made[str(position)] for position in range(len(terms))]


def _as_mapping(item: Any) -> dict[str, Any]:
    terms = getattr(item, "terms", item)
    return dict(terms.model_dump() if hasattr(terms, "model_dump") else vars(terms))


def terms_in_words(terms: "Terms") -> str:
    """`1,200.00 USD less 100.00 USD discount, 200.00 USD down, 3 monthly installments from 2026-07-01`."""
    currency = terms.currency
    words = [output.minor_money(terms.total_minor, currency)]
    if terms.discount_minor:
        words[0] += f" less {output.minor_money(terms.discount_minor, currency)} discount"
    if terms.kind == "repeating_promise":
        words.append(f"{output.minor_money(terms.amount_minor, currency)} {terms.frequency}")
    if terms.down_payment_minor:
        words.append(f"{output.minor_money(terms.down_payment_minor, currency)} down")
    count = terms.installment_count or 1
    if terms.frequency == "once":
        words.append(f"due {terms.first_due_date}")
    else:
        words.append(f"{count} {terms.frequency} installment{'s' if count > 1 else ''} from {terms.first_due_date}")
    if terms.overpayment_rule != "next":
        words.append(f"surplus: {terms.overpayment_rule}")
    return ", ".join(words)


def schedule_rows(schedule: "Sequence[ScheduledInstallment]", currency: str) -> list[list[Any]]:
    """The schedule as table rows; a long one shows its two ends."""
    rows = [
        [i.sequence, i.due_date, output.minor_money(i.amount_minor, currency), "down payment" if i.is_down_payment else ""]
        for i in schedule
    ]
    if len(rows) <= _LINES:
        return rows
    return [*rows[: _LINES - 2], ["…", f"{len(rows) - _LINES + 1} more", "", ""], rows[-1]]


def print_schedule(schedule: "Sequence[ScheduledInstallment]", currency: str) -> None:
    """The schedule on the screen."""
    output.table(["#", "due", "amount", ""], schedule_rows(schedule, currency))


def schedule_document(schedule: "Sequence[ScheduledInstallment]", currency: str) -> list[dict[str, Any]]:
    """The schedule for --json."""
    from ptp_pipeline.domain.money import format_plain

    return [
        {
            "sequence": i.sequence,
            "due_date": i.due_date,
            "amount": format_plain(i.amount_minor, currency),
            "is_down_payment": i.is_down_payment,
        }
        for i in schedule
    ]


def preview_pending(settings: "Settings", pending: "Sequence[PendingItem]", policy: "Policy") -> list[str]:
    """One Markdown section per pending version: terms, schedule, guardrails."""
    sections = []
    for item, schedule in zip(pending, schedules(settings, pending, policy), strict=True):
        terms = item.terms
        lines = [
            f"### {_markdown(item.commitment_id)} version {item.version}: {terms.kind.replace('_', ' ')} of {_markdown(item.customer_id)}",
            f"{terms_in_words(terms)}; agreed on {terms.agreed_on}, logged by {_markdown(item.logged_by)}.",
            *(f"- **{_markdown(rule)}**" for rule in item.guardrails),
            "",
            "| # | due | amount | |",
            "|--:|---|--:|---|",
            *("| " + " | ".join(output.visible(cell) for cell in row) + " |" for row in schedule_rows(schedule, terms.currency)),
        ]
        sections.append("\n".join(lines))
    return sections


def _markdown(text: str) -> str:
    """Names come from customers' files; they must not write Markdown of their own."""
    return "".join("\\" + char if char in "\\`*_{}[]()#+!|<>~" else char for char in output.visible(text))


def totals(pending: "Sequence[PendingItem]") -> list[list[Any]]:
    """Kind, currency, count and amount of what waits."""
    groups: Mapping[tuple[str, str], list[int]] = defaultdict(list)
    for item in pending:
        groups[item.terms.kind.replace("_", " "), item.terms.currency].append(item.terms.total_minor or 0)
    return [[kind, len(amounts), output.minor_money(sum(amounts), currency)] for (kind, currency), amounts in sorted(groups.items())]


def outliers(pending: "Sequence[PendingItem]") -> list[tuple["PendingItem", str]]:
    """What somebody who approves many at once should look at: far above the usual amount, or discounted."""
    usual: dict[tuple[str, str], float] = {}
    for key in {(i.terms.kind, i.terms.currency) for i in pending}:
        usual[key] = median(i.terms.total_minor or 0 for i in pending if (i.terms.kind, i.terms.currency) == key)
    found = []
    for item in pending:
        terms = item.terms
        if (terms.total_minor or 0) > _FAR_ABOVE * usual[terms.kind, terms.currency]:
            found.append((item, f"more than {_FAR_ABOVE} times the usual amount"))
        elif terms.discount_minor:
            found.append((item, f"discount of {100 * terms.discount_minor / (terms.total_minor or 1):.1f} %"))
    return found
