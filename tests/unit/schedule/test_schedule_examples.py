"""One example per frequency and per rule, in the dates and amounts a collector would write down."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import pytest

from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.schedule import ScheduledInstallment, preview


@dataclass(frozen=True)
class Rules:
    calendar: str = ""
    business_day_rule: str = "none"
    grace_days: int = 0


def d(text: str) -> dt.date:
    """`01-31` is 31 January 2026; other years are written out."""
    return dt.date.fromisoformat(text if len(text) > 5 else f"2026-{text}")


def schedule(rules: Rules = Rules(), **terms: Any) -> list[ScheduledInstallment]:
    usual = {"kind": "plan", "agreed_on": d("01-05"), "amount_minor": 30000, "frequency": "monthly", "first_due_date": d("01-31")}
    return preview(Settings(), usual | terms, rules)


def dates(rules: Rules = Rules(), **terms: Any) -> list[str]:
    return [line.due_date.strftime("%m-%d") for line in schedule(rules, **terms)]


def amounts(**terms: Any) -> list[int]:
    return [line.amount_minor for line in schedule(**terms)]


def test_a_promise_is_one_installment() -> None:
    (line,) = schedule(kind="promise", frequency="once", installment_count=None, first_due_date=d("02-10"))
    assert (line.sequence, line.due_date, line.amount_minor, line.is_down_payment) == (1, d("02-10"), 30000, False)


def test_a_promise_with_a_discount_is_due_less_the_discount() -> None:
    assert amounts(kind="promise", frequency="once", discount_minor=1500) == [28500]


def test_weekly_falls_on_the_same_day_of_the_week() -> None:
    assert dates(frequency="weekly", installment_count=4) == ["01-31", "02-07", "02-14", "02-21"]


def test_biweekly_is_every_fourteen_days() -> None:
    assert dates(frequency="biweekly", installment_count=3) == ["01-31", "02-14", "02-28"]


def test_monthly_month_ends_clamp_and_come_back() -> None:
    assert dates(installment_count=4) == ["01-31", "02-28", "03-31", "04-30"]


def test_monthly_on_the_thirtieth_skips_only_what_february_lacks() -> None:
    assert dates(installment_count=3, first_due_date=d("01-30")) == ["01-30", "02-28", "03-30"]


def test_monthly_knows_leap_years() -> None:
    assert dates(installment_count=2, first_due_date=d("2028-01-31")) == ["01-31", "02-29"]


def test_quarterly_is_every_three_months_from_the_anchor() -> None:
    assert dates(frequency="quarterly", installment_count=4, first_due_date=d("2025-11-30")) == ["11-30", "02-28", "05-30", "08-30"]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("01-15", ["01-15", "01-31", "02-15", "02-28", "03-15"]),
        ("01-31", ["01-31", "02-15", "02-28", "03-15", "03-31"]),
        ("02-28", ["02-28", "03-15", "03-31", "04-15", "04-30"]),
        ("01-01", ["01-01", "01-16", "02-01", "02-16", "03-01"]),
        ("01-20", ["01-20", "02-05", "02-20", "03-05", "03-20"]),
        ("01-14", ["01-14", "01-29", "02-14", "02-28", "03-14"]),
        ("01-30", ["01-30", "02-15", "02-28", "03-15", "03-30"]),
    ],
)
def test_semimonthly_is_the_middle_and_the_end_or_two_days_fifteen_apart(first: str, expected: list[str]) -> None:
    assert dates(frequency="semimonthly", installment_count=5, first_due_date=d(first)) == expected


def test_a_custom_schedule_is_taken_as_listed() -> None:
    listed = [
        {"sequence": 1, "due_date": d("02-03"), "amount_minor": 10000, "grace_days": 5},
        {"sequence": 2, "due_date": d("05-20"), "amount_minor": 20000, "grace_days": None},
    ]
    lines = schedule(Rules(grace_days=2), frequency="custom", custom_schedule=listed)
    assert [(x.sequence, x.due_date, x.amount_minor, x.grace_days) for x in lines] == [
        (1, d("02-03"), 10000, 5),
        (2, d("05-20"), 20000, 2),
    ]


def test_odd_cents_are_on_the_last_installment() -> None:
    assert amounts(amount_minor=10000, installment_count=3) == [3333, 3333, 3334]


def test_a_down_payment_comes_first_on_the_day_of_the_agreement() -> None:
    first, *rest = schedule(amount_minor=10000, down_payment_minor=2500, installment_count=2)
    assert (first.sequence, first.is_down_payment, first.due_date, first.amount_minor) == (1, True, d("01-05"), 2500)
    assert [(x.sequence, x.is_down_payment, x.due_date, x.amount_minor) for x in rest] == [
        (2, False, d("01-31"), 3750),
        (3, False, d("02-28"), 3750),
    ]


def test_a_discount_comes_off_before_the_split() -> None:
    assert amounts(amount_minor=10000, discount_minor=999, down_payment_minor=1, installment_count=2) == [1, 4500, 4500]


def test_a_repeating_promise_ends_with_what_is_left_of_the_debt() -> None:
    terms = {"kind": "repeating_promise", "amount_minor": 1000, "total_minor": 2600, "frequency": "weekly"}
    assert amounts(**terms) == [1000, 1000, 600]
    assert dates(**terms) == ["01-31", "02-07", "02-14"]


def test_a_repeating_promise_that_divides_evenly_has_no_odd_tail() -> None:
    assert amounts(kind="repeating_promise", amount_minor=1000, total_minor=3000, frequency="weekly") == [1000, 1000, 1000]


def test_grace_is_the_versions_else_the_orgs() -> None:
    assert {x.grace_days for x in schedule(Rules(grace_days=4), installment_count=2)} == {4}
    assert {x.grace_days for x in schedule(Rules(grace_days=4), installment_count=2, grace_days=0)} == {0}


# 31 January 2026 is a Saturday, 1 and 2 February are Sunday and Monday; 25 December 2026 is a Friday.
@pytest.mark.parametrize(
    ("rule", "first", "due"),
    [
        ("none", "01-31", "01-31"),
        ("following", "01-31", "02-02"),
        ("preceding", "01-31", "01-30"),
        ("modified_following", "01-31", "01-30"),
        ("modified_following", "02-01", "02-02"),
        ("following", "12-25", "12-28"),
        ("following", "01-30", "01-30"),
    ],
)
def test_a_closed_due_date_moves_by_the_rule(rule: str, first: str, due: str) -> None:
    (line,) = schedule(Rules("US", rule), frequency="once", first_due_date=d(first))
    assert (line.nominal_due_date, line.due_date) == (d(first), d(due))


def test_moving_a_due_date_never_shifts_those_after_it() -> None:
    assert dates(Rules("US", "following"), installment_count=3) == ["02-02", "03-02", "03-31"]


@pytest.mark.parametrize("rule", ["preceding", "modified_following"])
def test_nothing_is_due_before_it_was_agreed(rule: str) -> None:
    lines = schedule(Rules("US", rule), agreed_on=d("01-31"), down_payment_minor=5000, installment_count=1)
    assert [x.due_date for x in lines] == [d("02-02"), d("02-02")]


def test_many_terms_come_back_in_the_order_they_were_given() -> None:
    usual = {"kind": "plan", "agreed_on": d("01-05"), "amount_minor": 200, "frequency": "weekly", "first_due_date": d("01-31")}
    lines = preview(Settings(), [usual | {"installment_count": n} for n in (2, 1, 2)], Rules())
    assert [(x.commitment_id, x.sequence) for x in lines] == [("0", 1), ("0", 2), ("1", 1), ("2", 1), ("2", 2)]


def test_no_terms_make_no_schedule() -> None:
    assert preview(Settings(), [], Rules()) == []
