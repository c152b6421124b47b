"""The daily mail: what broke today, what is still broken, what falls due next; by owner, read from the published file.

It repeats what the pipeline decided and decides nothing: no verdict, no date rule and no tolerance lives here.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptp_pipeline.domain import money
from ptp_pipeline.domain.export import guard
from ptp_pipeline.domain.messages import Attachment, Message
from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.notify.render import clean, count, format_date, format_money, render
from ptp_pipeline.settings import Settings

if TYPE_CHECKING:
    from ptp_pipeline.domain.policy import Policy

BROKEN_PROMISES = "broken_promises"
NO_OWNER = "No owner"
# Mail clients cut long mails off without a word; past this a list says how many more there are.
LINES_PER_LIST = 40

_BROKEN = """
select
    owner, customer_id, customer_name, commitment_id, version, sequence, kind, due_date, broken_on, broken_since, days_late, currency,
    amount, paid_amount, outstanding_amount, invoice_ids, reason, is_paused
from broken_promises
order by broken_on, customer_id, commitment_id, version, sequence
"""

_DUE = """
select
    c.owner, c.customer_id, c.customer_name, i.commitment_id, i.version, i.sequence, c.kind, i.due_date, i.deadline, c.currency,
    i.outstanding_amount, c.invoice_ids, c.is_paused
from installments as i
join commitments as c using (commitment_id, version)
where i.status in ('due_soon', 'due_today', 'in_grace') and i.due_date <= $until and i.outstanding_amount > 0
order by i.due_date, c.customer_id, i.commitment_id, i.version, i.sequence
"""

_WHO = ("owner", "customer_id", "customer_name", "commitment_id", "version", "sequence", "kind")
_WHEN = ("due_date", "broken_on", "broken_since", "broke_today", "days_late")
_WHAT = ("currency", "amount", "paid_amount", "outstanding_amount", "invoice_ids", "reason", "is_paused")
_KINDS = {"promise": "promise", "repeating_promise": "repeating promise", "plan": "plan"}


@dataclass(frozen=True)
class Line:
    """One installment as the mail shows it."""

    owner: str
    customer_id: str
    customer_name: str
    commitment_id: str
    what: str
    invoices: str
    due_date: date
    remark: str
    outstanding: Decimal
    currency: str


@dataclass(frozen=True)
class Total:
    """How many installments, and what has not arrived per currency."""

    count: int
    amounts: tuple[tuple[str, Decimal], ...]


@dataclass(frozen=True)
class Section:
    """One list of one owner."""

    title: str
    remark_title: str
    shown: tuple[Line, ...]
    total: Total
    is_attached: bool

    @property
    def hidden(self) -> int:
        return self.total.count - len(self.shown)


@dataclass(frozen=True)
class Group:
    """One owner's part of the mail."""

    owner: str
    sections: tuple[Section, ...]


def compose_broken_promises(settings: Settings, org: str, policy: "Policy", as_of: date) -> Message:
    """The mail of one org and day. Raises WorkFailed when the published figures are missing or of another day."""
    until = as_of + timedelta(days=policy.due_soon_days)
    built_at, broken, due = _read(settings.current_build(org) / "ptp.duckdb", org, as_of, until)
    everything = len(broken) + len(due)
    if not policy.automatic_promises:
        broken, due = ([row for row in rows if row["kind"] == "plan"] for rows in (broken, due))
    titles = ("Broke today", "Broken before, still open", f"Due by {format_date(until)}")
    lists = (
        [_broken_line(row) for row in broken if row["broken_since"] == as_of],
        [_broken_line(row) for row in broken if row["broken_since"] != as_of],
        [_due_line(row, as_of) for row in due],
    )
    headline = _headline(len(lists[0]), len(lists[1])) + ("" if policy.automatic_promises else " (plans only)")
    html, text = render(
        BROKEN_PROMISES,
        {
            "org": org,
            "as_of": as_of,
            "built_at": built_at,
            "headline": headline,
            "due_soon_days": policy.due_soon_days,
            "summary": [(title, _total(lines)) for title, lines in zip(titles, lists, strict=True) if lines],
            "groups": _groups(titles, lists),
            "has_attachment": bool(broken),
            "has_promises": policy.automatic_promises,
            "left_out": everything - len(broken) - len(due),
        },
    )
    attachment = Attachment(f"broken-promises-{org}-{as_of}.csv", "text/csv", _csv(broken, as_of))
    return Message(
        kind=BROKEN_PROMISES,
        business_date=as_of,
        send_key=f"{org}:{BROKEN_PROMISES}:{as_of}",
        recipients=tuple(policy.alert_recipients),
        subject=f"[{org}] {headline}, {format_date(as_of)}",
        html=html,
        text=text,
        attachments=(attachment,) if broken else (),
    )


def _read(path: Path, org: str, as_of: date, until: date) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    """When the file was built, what is broken in it and what falls due."""
    import duckdb

    again = f"Run `ptp run --org {org} --as-of {as_of}` and send again."
    if not path.exists():
        raise WorkFailed(f"Nothing has been published for {org} yet, so there is nothing to mail.", again)
    # `current` may be moved to a newer build at any moment; both queries must see one.
    try:
        with duckdb.connect(str(path.resolve()), read_only=True) as con:
            info = _rows(con, "select as_of, built_at from run_info", {})[0]
            if info["as_of"] != as_of:
                raise WorkFailed(
                    f"The mail for {format_date(as_of)} was not written: "
                    f"the published figures of {org} are as of {format_date(info['as_of'])}.",
                    again,
                )
            return f"{info['built_at']:%Y-%m-%d %H:%M} UTC", _rows(con, _BROKEN, {}), _rows(con, _DUE, {"until": until})
    except duckdb.Error as error:
        raise WorkFailed(f"The published file of {org} cannot be read: {error}", again) from error


def _rows(con: Any, sql: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    relation = con.execute(sql, params)
    names = [column[0] for column in relation.description]
    return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]


def _broken_line(row: Mapping[str, Any]) -> Line:
    paid = format_money(row["paid_amount"], row["currency"]) if row["paid_amount"] else ""
    remark = clean(row["reason"] or "") or (f"Only {paid} arrived." if paid else "Nothing arrived.")
    return _line(row, remark)


def _due_line(row: Mapping[str, Any], as_of: date) -> Line:
    days = (row["due_date"] - as_of).days
    if days > 0:
        return _line(row, "Due tomorrow." if days == 1 else f"Due in {count(days, 'day')}.")
    if days == 0:
        return _line(row, "Due today.")
    return _line(row, f"In grace until {format_date(row['deadline'])}.")


def _line(row: Mapping[str, Any], remark: str) -> Line:
    kind = _KINDS[row["kind"]]
    return Line(
        owner=clean(row["owner"] or ""),
        customer_id=clean(row["customer_id"]),
        customer_name=clean(row["customer_name"] or row["customer_id"]),
        commitment_id=clean(row["commitment_id"]),
        what=kind if row["kind"] == "promise" else f"{kind}, installment {row['sequence']}",
        invoices=clean((row["invoice_ids"] or "").replace(";", ", ")),
        due_date=row["due_date"],
        remark=f"{remark} Chasing is paused." if row["is_paused"] else remark,
        outstanding=row["outstanding_amount"],
        currency=row["currency"],
    )


def _headline(today: int, before: int) -> str:
    if today:
        return f"{count(today, 'installment')} broke today" + (f", {before:,} still open from before" if before else "")
    return f"Nothing broke today, {before:,} still open from before" if before else "Nothing broke"


def _total(lines: Sequence[Line]) -> Total:
    amounts: dict[str, Decimal] = {}
    for line in lines:
        amounts[line.currency] = amounts.get(line.currency, Decimal(0)) + line.outstanding
    return Total(len(lines), tuple(sorted(amounts.items())))


def _groups(titles: Sequence[str], lists: Sequence[Sequence[Line]]) -> list[Group]:
    """Owners by name, those without one last."""
    owners = sorted({line.owner for lines in lists for line in lines}, key=lambda owner: (not owner, owner.casefold(), owner))
    return [Group(owner or NO_OWNER, tuple(_sections(titles, lists, owner))) for owner in owners]


def _sections(titles: Sequence[str], lists: Sequence[Sequence[Line]], owner: str) -> Iterable[Section]:
    for position, (title, lines) in enumerate(zip(titles, lists, strict=True)):
        mine = [line for line in lines if line.owner == owner]
        if mine:
            is_broken = position < len(titles) - 1
            yield Section(title, "Why" if is_broken else "When", tuple(mine[:LINES_PER_LIST]), _total(mine), is_attached=is_broken)


def _csv(broken: Sequence[Mapping[str, Any]], as_of: date) -> bytes:
    """Every broken installment. Starts with a byte order mark: without it Excel reads names in the local code page."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, (*_WHO, *_WHEN, *_WHAT), lineterminator="\r\n")
    writer.writeheader()
    for row in broken:
        cells = {**row, "broke_today": row["broken_since"] == as_of}
        writer.writerow({name: _cell(value, row["currency"]) for name, value in cells.items()})
    return buffer.getvalue().encode("utf-8-sig")


def _cell(value: Any, currency: str) -> str:
    """Text guarded, amounts with their currency's decimals and nothing else, for a spreadsheet to read."""
    if isinstance(value, Decimal):
        return money.format_plain(money.to_minor(value, currency), currency)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return guard(value) if isinstance(value, str) else "" if value is None else str(value)
