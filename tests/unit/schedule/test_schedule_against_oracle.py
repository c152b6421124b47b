"""Any terms at all: the statement in sql/warehouse/core equals a loop over datetime that a reader can check by eye."""

import calendar
import datetime as dt
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ptp_pipeline.domain.calendar import holidays_between, weekend_days
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.schedule import ScheduledInstallment, preview

DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Rules:
    calendar: str
    business_day_rule: str
    grace_days: int


def month_end(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def add_months(anchor: dt.date, months: int) -> dt.date:
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    return dt.date(year, month + 1, min(anchor.day, month_end(year, month + 1)))


def semimonthly(anchor: dt.date, count: int) -> list[dt.date]:
    end = month_end(anchor.year, anchor.month)
    if anchor.day in (15, end):
        days = (15, 31)
    else:
        low = anchor.day if anchor.day <= 15 else anchor.day - 15
        days = (low, low + 15)
    found: list[dt.date] = []
    year, month = anchor.year, anchor.month
    while len(found) < count:
        for day in days:
            date = dt.date(year, month, min(day, month_end(year, month)))
            if date >= anchor and len(found) < count:
                found.append(date)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return found


def nominal_dates(frequency: str, anchor: dt.date, count: int) -> list[dt.date]:
    match frequency:
        case "once":
            return [anchor]
        case "weekly":
            return [anchor + 7 * k * DAY for k in range(count)]
        case "biweekly":
            return [anchor + 14 * k * DAY for k in range(count)]
        case "semimonthly":
            return semimonthly(anchor, count)
        case "monthly":
            return [add_months(anchor, k) for k in range(count)]
        case _:
            return [add_months(anchor, 3 * k) for k in range(count)]


def move(date: dt.date, agreed_on: dt.date, rules: Rules) -> dt.date:
    weekend = weekend_days(rules.calendar)
    closed = {day for day, _ in holidays_between(rules.calendar, date - 40 * DAY, date + 40 * DAY)}

    def walk(step: dt.timedelta) -> dt.date:
        at = date
        while at.isoweekday() in weekend or at in closed:
            at += step
        return at

    following, preceding = walk(DAY), walk(-DAY)
    moved = {
        "none": date,
        "following": following,
        "preceding": preceding,
        "modified_following": following if following.month == date.month else preceding,
    }[rules.business_day_rule]
    return following if moved < agreed_on <= date else moved


def oracle(terms: dict[str, Any], rules: Rules) -> list[ScheduledInstallment]:
    lines: list[tuple[dt.date, int, int | None, bool]] = []
    grace = terms["grace_days"]
    if terms["frequency"] == "custom":
        lines = [(x["due_date"], x["amount_minor"], x["grace_days"], False) for x in terms["custom_schedule"]]
    else:
        if terms["down_payment_minor"]:
            lines.append((terms["agreed_on"], terms["down_payment_minor"], grace, True))
        left = terms["total_minor"] - terms["discount_minor"] - terms["down_payment_minor"]
        if terms["kind"] == "repeating_promise":
            shares = []
            while left > terms["amount_minor"]:
                shares.append(terms["amount_minor"])
                left -= terms["amount_minor"]
            shares.append(left)
        else:
            n = terms["installment_count"]
            shares = [left // n] * (n - 1) + [left - left // n * (n - 1)]
        dates = nominal_dates(terms["frequency"], terms["first_due_date"], len(shares))
        lines += [(date, share, grace, False) for date, share in zip(dates, shares, strict=True)]
    return [
        ScheduledInstallment(
            commitment_id=terms["commitment_id"],
            version=1,
            sequence=i,
            is_down_payment=is_down_payment,
            nominal_due_date=date,
            due_date=move(date, terms["agreed_on"], rules),
            grace_days=next(g for g in (own, grace, rules.grace_days) if g is not None),
            amount_minor=amount,
        )
        for i, (date, amount, own, is_down_payment) in enumerate(lines, 1)
    ]


MONEY = st.integers(1, 10**12)
DATES = st.dates(dt.date(1999, 1, 1), dt.date(2060, 12, 31))
GRACE = st.none() | st.integers(0, 30)
PERIODIC = st.sampled_from(["weekly", "biweekly", "semimonthly", "monthly", "quarterly"])


@st.composite
def anchors(draw: st.DrawFn, agreed_on: dt.date) -> dt.date:
    """Any date, but more often those where month arithmetic goes wrong."""
    date = agreed_on + draw(st.integers(0, 120)) * DAY
    day = draw(st.sampled_from([None, None, 15, 30, 31]))
    if day is None:
        return date
    snapped = date.replace(day=min(day, month_end(date.year, date.month)))
    return snapped if snapped >= agreed_on else date


@st.composite
def terms(draw: st.DrawFn) -> dict[str, Any]:
    """Terms the ledger would accept."""
    kind = draw(st.sampled_from(["promise", "repeating_promise", "plan", "plan", "custom"]))
    agreed_on = draw(DATES)
    made: dict[str, Any] = {
        "kind": "plan" if kind == "custom" else kind,
        "agreed_on": agreed_on,
        "first_due_date": draw(anchors(agreed_on)),
        "grace_days": draw(GRACE),
        "discount_minor": 0,
        "down_payment_minor": 0,
        "installment_count": 1,
        "frequency": "once",
        "custom_schedule": [],
        "amount_minor": draw(MONEY),
    }
    if kind == "repeating_promise":
        total = made["amount_minor"] * draw(st.integers(0, 20)) + draw(st.integers(1, made["amount_minor"]))
        return made | {"frequency": draw(PERIODIC), "total_minor": total, "installment_count": None}
    if kind == "custom":
        parts = draw(st.lists(st.tuples(st.integers(0, 400), MONEY, GRACE), min_size=1, max_size=8))
        made["custom_schedule"] = [
            {"sequence": i, "due_date": agreed_on + gap * DAY, "amount_minor": amount, "grace_days": grace}
            for i, (gap, amount, grace) in enumerate(sorted(parts, key=lambda p: p[0]), 1)
        ]
        made |= {"frequency": "custom", "discount_minor": draw(st.integers(0, 500))}
        made["amount_minor"] = sum(amount for _, amount, _ in parts) + made["discount_minor"]
    if kind == "plan":
        made |= {"frequency": draw(PERIODIC), "installment_count": draw(st.integers(1, 40))}
        made |= {"discount_minor": draw(st.integers(0, 10**6)), "down_payment_minor": draw(st.integers(0, 10**6))}
        made["amount_minor"] += made["discount_minor"] + made["down_payment_minor"] + made["installment_count"]
    if kind == "promise":
        made["discount_minor"] = draw(st.integers(0, made["amount_minor"] - 1))
    return made | {"total_minor": made["amount_minor"]}


RULES = st.builds(
    Rules,
    calendar=st.sampled_from(["", "weekends", "US", "GB", "DE-BY", "JP", "IR", "ECB"]),
    business_day_rule=st.sampled_from(["none", "following", "preceding", "modified_following"]),
    grace_days=st.integers(0, 10),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(terms(), min_size=1, max_size=12), RULES)
def test_any_schedule_equals_the_plain_loop(many: list[dict[str, Any]], rules: Rules) -> None:
    named = [{**one, "commitment_id": f"C{i}"} for i, one in enumerate(many)]
    made = preview(Settings(), named, rules)
    assert made == [line for one in named for line in oracle(one, rules)]
    for one in named:
        mine = [line for line in made if line.commitment_id == one["commitment_id"]]
        assert sum(line.amount_minor for line in mine) == one["total_minor"] - one["discount_minor"]
        assert [line.sequence for line in mine] == list(range(1, len(mine) + 1))
        assert [line.due_date for line in mine] == sorted(line.due_date for line in mine)
        assert all(line.due_date >= one["agreed_on"] for line in mine)
