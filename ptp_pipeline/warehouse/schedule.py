"""Schedule previews: what a run would make of some terms, for forms, command line and approvers.

The schedule itself is written once, in sql/warehouse/core. This module only puts terms and a calendar in front of those
same statements, in a small DuckDB of its own. No rule about dates or amounts belongs here.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ptp_pipeline.domain.calendar import holidays_between, weekend_days
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.models import connect, create_table, stage_models

_TERMS = """struct(
    commitment_id varchar, version integer, kind varchar, agreed_on date, amount_minor bigint, total_minor bigint,
    discount_minor bigint, down_payment_minor bigint, frequency varchar, installment_count integer, first_due_date date,
    grace_days integer,
    custom_schedule struct(sequence integer, due_date date, amount_minor bigint, grace_days integer)[]
)[]"""
_INPUTS = f"""
create schema core; create schema ledger; create schema raw;
create table core.versions as select unnest(null::{_TERMS}, max_depth := 2);
create table ledger.params (as_of date, business_day_rule varchar, grace_days integer);
create table ledger.holidays (date date, name varchar);
create table ledger.weekend (iso_dow integer);
create table raw.payments (received_date date);
"""


class CalendarPolicy(Protocol):
    """The part of an org's policy a schedule depends on; `domain.policy.Policy` is one."""

    @property
    def calendar(self) -> str: ...
    @property
    def business_day_rule(self) -> str: ...
    @property
    def grace_days(self) -> int: ...


@dataclass(frozen=True)
class ScheduledInstallment:
    """One line of a schedule, as in core.scheduled."""

    commitment_id: str
    version: int
    sequence: int
    is_down_payment: bool
    nominal_due_date: dt.date
    due_date: dt.date
    grace_days: int
    amount_minor: int


def preview(
    settings: Settings, terms: Mapping[str, Any] | Iterable[Mapping[str, Any]], calendar_policy: CalendarPolicy
) -> list[ScheduledInstallment]:
    """The schedules of one or many terms, ordered by (position of the terms, sequence).

    Terms are the columns of ledger.versions plus `kind`: kind, agreed_on, amount_minor, frequency and (unless custom)
    first_due_date are needed; total_minor is amount_minor when left out. Terms without a commitment_id get their position ("0", "1", …).
    """
    rows = [_row(str(i), t) for i, t in enumerate([terms] if isinstance(terms, Mapping) else terms)]
    if not rows:
        return []
    models = {model.table: model for model in stage_models("core")}
    with connect(settings) as con:
        con.execute(_INPUTS)
        con.execute(f"insert into core.versions select unnest(?::{_TERMS}, max_depth := 2)", [rows])
        con.execute(
            "insert into ledger.params values (?, ?, ?)",
            [rows[0]["agreed_on"], calendar_policy.business_day_rule, calendar_policy.grace_days],
        )
        create_table(con, models["schedule_terms"])
        create_table(con, models["calendar_range"])
        start, end = con.execute("select first_date, last_date from core.calendar_range").fetchall()[0]
        closed_days = [date for date, _ in holidays_between(calendar_policy.calendar, start, end)]
        con.execute("insert into ledger.holidays select unnest(?::date[]), ''", [closed_days])
        con.execute("insert into ledger.weekend select unnest(?::integer[])", [sorted(weekend_days(calendar_policy.calendar))])
        create_table(con, models["calendar"])
        create_table(con, models["scheduled"])
        schedule = [ScheduledInstallment(*row) for row in con.execute("from core.scheduled").fetchall()]
    position = {(row["commitment_id"], row["version"]): i for i, row in enumerate(rows)}
    return sorted(schedule, key=lambda line: (position[line.commitment_id, line.version], line.sequence))


def lines(schedule: Iterable[ScheduledInstallment]) -> list[tuple[dt.date, dt.date, int, int]]:
    """A schedule as an approver approves it: nominal due date, due date, amount and days of grace of every installment."""
    return [(line.nominal_due_date, line.due_date, line.amount_minor, line.grace_days) for line in schedule]


def _row(position: str, terms: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "commitment_id": terms.get("commitment_id") or position,
        "version": terms.get("version") or 1,
        "kind": terms["kind"],
        "agreed_on": terms["agreed_on"],
        "amount_minor": terms["amount_minor"],
        "total_minor": terms["amount_minor"] if terms.get("total_minor") is None else terms["total_minor"],
        "discount_minor": terms.get("discount_minor") or 0,
        "down_payment_minor": terms.get("down_payment_minor") or 0,
        "frequency": terms["frequency"],
        "installment_count": terms.get("installment_count"),
        "first_due_date": terms.get("first_due_date"),
        "grace_days": terms.get("grace_days"),
        "custom_schedule": [
            {key: line.get(key) for key in ("sequence", "due_date", "amount_minor", "grace_days")}
            for line in terms.get("custom_schedule") or []
        ],
    }
