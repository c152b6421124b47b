"""Terms in words before anybody decides on them: the schedule they make, what policy says, and what stands out. For every shell."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from ptp_pipeline.domain.money import format_amount, format_plain
from ptp_pipeline.domain.text import visible

if TYPE_CHECKING:
    from ptp_pipeline.domain.policy import Policy
    from ptp_pipeline.domain.terms import Terms
    from ptp_pipeline.ledger.approvals import Schedule, Turnaround
    from ptp_pipeline.ledger.commitments import PendingItem
    from ptp_pipeline.settings import Settings
    from ptp_pipeline.warehouse.schedule import ScheduledInstallment

_TERMS = ("agreed_on", "frequency", "installment_count", "first_due_date")
SCHEDULE = ["#", "due", "amount", ""]  # columns of `schedule_rows`
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
    words = [format_amount(terms.total_minor or 0, currency)]
    if terms.discount_minor:
        words[0] += f" less {format_amount(terms.discount_minor, currency)} discount"
    if terms.kind == "repeating_promise":
        words.append(f"{format_amount(terms.amount_minor, currency)} {terms.frequency}")
    if terms.down_payment_minor:
        words.append(f"{format_amount(terms.down_payment_minor, currency)} down")
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
        [i.sequence, i.due_date, format_amount(i.amount_minor, currency), "down payment" if i.is_down_payment else ""] for i in schedule
    ]
    if len(rows) <= _LINES:
        return rows
    return [*rows[: _LINES - 2], ["…", f"{len(rows) - _LINES + 1} more", "", ""], rows[-1]]


def schedule_document(schedule: "Sequence[ScheduledInstallment]", currency: str) -> list[dict[str, Any]]:
    """The schedule for --json."""
    return [
        {
            "sequence": i.sequence,
            "due_date": i.due_date,
            "amount": format_plain(i.amount_minor, currency),
            "is_down_payment": i.is_down_payment,
        }
        for i in schedule
    ]


@dataclass(frozen=True)
class Exposure:
    """Of one customer in one currency, minor units: approved and open, waiting (with the terms in question), and what is left of the
    supervisor's cap; NULL when there is no cap.
    """

    used: int
    in_process: int
    cap: int | None
    available: int | None


@dataclass(frozen=True)
class Preview:
    """What an approver is shown of one pending version; `lines` is everything but schedule and guardrails, in words."""

    schedule: "list[ScheduledInstallment]"
    changes: list[str]
    exposure: Exposure
    waiting_hours: float
    lines: list[str]


def previews(settings: "Settings", pending: "Sequence[PendingItem]", policy: "Policy") -> list[Preview]:
    """Of each pending version."""
    from ptp_pipeline.domain.calendar import business_time
    from ptp_pipeline.domain.terms import changes, schedule_changes

    now, shown = datetime.now(UTC), []
    replaced = [item.in_force or item.before for item in pending]
    earlier = iter(schedules(settings, [terms for terms in replaced if terms], policy))
    for item, schedule, old in zip(pending, schedules(settings, pending, policy), replaced, strict=True):
        told = [*changes(old, item.terms), *schedule_changes(_due(next(earlier)), _due(schedule), item.terms.currency)] if old else []
        exposure = _exposure(item, policy)
        waited = business_time(item.logged_at, now, policy.calendar, policy.timezone, policy.approval.office_hours)
        hours = round(waited.total_seconds() / 3600, 1)
        rationale = item.reason or (item.note if item.version == 1 else "")
        lines = [
            f"{terms_in_words(item.terms)}; agreed on {item.terms.agreed_on}, logged by {visible(item.logged_by)}",
            f"Waiting for {hours:g} business hours",
            *([f"Why: {visible(rationale)}"] if rationale else []),
            *changes_in_words(told, in_force=item.in_force is not None, replaces=item.replaces),
            exposure_in_words(item.customer_id, exposure, item.terms.currency),
        ]
        if (balance := item.standing.balance_minor) is not None:
            lines.append(f"The customer owes {format_amount(balance, item.terms.currency)} in all.")
        shown.append(Preview(schedule, told, exposure, hours, lines))
    return shown


def changes_in_words(told: "Sequence[str]", *, in_force: bool, replaces: int | None) -> list[str]:
    """What new terms change, as their author is told it and then their approver: against the terms in force, and beside these the version
    that never was decided on.
    """
    lines = [f"Changes {'the terms in force' if in_force else 'the version before'}: {'; '.join(told)}"] if told else []
    if in_force and replaces and not told:
        lines = ["Changes nothing of the terms in force"]
    return [*lines, f"Takes the place of version {replaces}, which nobody has decided on"] if replaces else lines


def changes_of(settings: "Settings", before: "Terms", after: "Terms", policy: "Policy") -> tuple[list[str], list[str]]:
    """What new terms change, and what becomes of the schedule."""
    from ptp_pipeline.domain.terms import changes, schedule_changes

    was, now = schedules(settings, [before, after], policy)
    return changes(before, after), schedule_changes(_due(was), _due(now), after.currency)


def to_approve(settings: "Settings", items: "Sequence[PendingItem]", policy: "Policy") -> "dict[tuple[str, int], Schedule]":
    """The schedules an approval of these items is an approval of."""
    from ptp_pipeline.warehouse.schedule import lines

    return {(i.commitment_id, i.version): lines(made) for i, made in zip(items, schedules(settings, items, policy), strict=True)}


def _due(schedule: "Sequence[ScheduledInstallment]") -> list[tuple[date, int]]:
    return [(line.due_date, line.amount_minor) for line in schedule]


def _exposure(item: "PendingItem", policy: "Policy") -> Exposure:
    from ptp_pipeline.domain.money import exponent

    caps, standing = policy.approval.caps.get("supervisor"), item.standing
    used = standing.used_minor + standing.own_minor
    in_process = standing.in_process_minor + max(item.terms.payable_minor - standing.own_minor, 0)
    cap = None if caps is None or caps.exposure is None else int(caps.exposure.scaleb(exponent(item.terms.currency)))
    return Exposure(used, in_process, cap, None if cap is None else cap - used - in_process)


def exposure_in_words(customer_id: str, exposure: Exposure, currency: str) -> str:
    """`Exposure of C-1: 500.00 USD available, 100.00 USD in process, 400.00 USD used; a supervisor's cap is 1,000.00 USD`."""
    used, waiting = (format_amount(amount, currency) for amount in (exposure.used, exposure.in_process))
    if exposure.cap is None or exposure.available is None:
        return f"Exposure of {visible(customer_id)}: {waiting} in process, {used} used; there is no cap"
    available, cap = format_amount(exposure.available, currency), format_amount(exposure.cap, currency)
    return f"Exposure of {visible(customer_id)}: {available} available, {waiting} in process, {used} used; a supervisor's cap is {cap}"


def exposure_document(exposure: Exposure, currency: str) -> dict[str, str | None]:
    """The exposure for --json."""
    return {name: None if amount is None else format_plain(amount, currency) for name, amount in vars(exposure).items()}


def turnaround_in_words(turnaround: "Turnaround") -> str:
    """How fast decisions were, against the target of one business day."""
    if turnaround.median_hours is None:
        return "No decisions by people in the last 30 days."
    decisions = "1 decision" if turnaround.decisions == 1 else f"{turnaround.decisions} decisions"
    return (
        f"Turnaround of {decisions} in the last 30 days: median {turnaround.median_hours:g} business hours,"
        f" {turnaround.late} took longer than a business day ({turnaround.day_hours:g} hours)."
    )


def preview_pending(settings: "Settings", pending: "Sequence[PendingItem]", policy: "Policy") -> list[str]:
    """One Markdown section per pending version: terms, changes, exposure, schedule, guardrails."""
    sections = []
    for item, preview in zip(pending, previews(settings, pending, policy), strict=True):
        terms = item.terms
        lines = [
            f"### {_markdown(item.commitment_id)} version {item.version}: {terms.kind.replace('_', ' ')} of {_markdown(item.customer_id)}",
            *(f"{_markdown(line)}  " for line in preview.lines),
            *(f"- **{_markdown(rule)}**" for rule in item.guardrails),
            "",
            "| # | due | amount | |",
            "|--:|---|--:|---|",
            *("| " + " | ".join(visible(cell) for cell in row) + " |" for row in schedule_rows(preview.schedule, terms.currency)),
        ]
        sections.append("\n".join(lines))
    return sections


def _markdown(text: str) -> str:
    """Names come from customers' files; they must not write Markdown of their own."""
    return "".join("\\" + char if char in "\\`*_{}[]()#+!|<>~" else char for char in visible(text))


def totals(pending: "Sequence[PendingItem]") -> list[list[Any]]:
    """Kind, currency, count and amount of what waits."""
    groups: Mapping[tuple[str, str], list[int]] = defaultdict(list)
    for item in pending:
        groups[item.terms.kind.replace("_", " "), item.terms.currency].append(item.terms.total_minor or 0)
    return [[kind, len(amounts), format_amount(sum(amounts), currency)] for (kind, currency), amounts in sorted(groups.items())]


def outliers(pending: "Sequence[PendingItem]", policy: "Policy") -> list[tuple["PendingItem", str]]:
    """What somebody who approves many at once should look at: far above the usual amount, beyond a supervisor's caps, discounted, or new
    terms of what is in force.
    """
    from ptp_pipeline.domain.terms import caps_exceeded

    usual: dict[tuple[str, str], float] = {}
    for key in {(i.terms.kind, i.terms.currency) for i in pending}:
        usual[key] = median(i.terms.total_minor or 0 for i in pending if (i.terms.kind, i.terms.currency) == key)
    found = []
    for item in pending:
        terms = item.terms
        if (terms.total_minor or 0) > _FAR_ABOVE * usual[terms.kind, terms.currency]:
            found.append((item, f"more than {_FAR_ABOVE} times the usual amount"))
        elif beyond := caps_exceeded(terms, policy.approval.caps.get("supervisor"), item.standing):
            found.append((item, beyond[0]))
        elif terms.discount_minor:
            found.append((item, f"discount of {100 * terms.discount_minor / (terms.total_minor or 1):.1f} %"))
        elif item.in_force:
            found.append((item, "changes terms in force"))
    return found
