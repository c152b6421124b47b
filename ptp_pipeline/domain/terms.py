"""The terms of a commitment: what they may be, what policy says about them, and the words for both.

Pure. How terms become dated installments is sql/warehouse/core; that no other terms get into the ledger is sql/ledger,
which repeats these rules as constraints. Money is integer minor units.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ptp_pipeline.domain.money import MAX_MINOR, exponent, format_amount, is_payable, to_decimal, to_minor
from ptp_pipeline.domain.policy import APPROVERS, Caps, Kind, OverpaymentRule, Policy, overpayment_rule
from ptp_pipeline.errors import UsageError

Frequency = Literal["once", "weekly", "biweekly", "semimonthly", "monthly", "quarterly", "custom"]
FREQUENCIES: tuple[Frequency, ...] = get_args(Frequency)
MAX_INSTALLMENTS = 100_000
FIRST_DATE, LAST_DATE = dt.date(1990, 1, 1), dt.date(2200, 1, 1)
_SHORTEST_PLAN_DAYS = 7
_STEP_DAYS = {"weekly": 7, "biweekly": 14}
_STEP_MONTHS = {"once": 0, "monthly": 1, "quarterly": 3}
KIND_WORDS: dict[str, str] = {"promise": "Promise", "repeating_promise": "Repeating promise", "plan": "Plan"}


class BadTerms(UsageError):
    """Terms that cannot be; every reason in words."""


class CustomInstallment(BaseModel):
    """One listed installment of a custom schedule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sequence: int = Field(ge=1)
    due_date: dt.date
    amount_minor: int = Field(gt=0, le=MAX_MINOR)
    grace_days: int | None = Field(default=None, ge=0, le=365)


class Terms(BaseModel):
    """The numbers and dates of one version. `total_minor` and `installment_count` are filled in where they follow from the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    currency: str
    agreed_on: dt.date = Field(ge=FIRST_DATE, le=LAST_DATE)
    amount_minor: int = Field(gt=0, le=MAX_MINOR)
    total_minor: int | None = Field(default=None, gt=0, le=MAX_MINOR)
    discount_minor: int = Field(default=0, ge=0)
    down_payment_minor: int = Field(default=0, ge=0)
    frequency: Frequency = "once"
    installment_count: int | None = Field(default=None, ge=1, le=MAX_INSTALLMENTS)
    first_due_date: dt.date = Field(ge=FIRST_DATE, le=LAST_DATE)
    grace_days: int | None = Field(default=None, ge=0, le=365)
    overpayment_rule: OverpaymentRule = "next"
    invoice_ids: tuple[str, ...] = ()
    custom_schedule: tuple[CustomInstallment, ...] = ()

    @field_validator("currency")
    @classmethod
    def _currency_is_payable(cls, code: str) -> str:
        if not is_payable(code):
            raise ValueError(f"{code!r} is not a currency a customer can pay in")
        return code

    @field_validator("overpayment_rule", mode="before")
    @classmethod
    def _rule_exists(cls, rule: Any) -> Any:
        return overpayment_rule(rule)

    @field_validator("invoice_ids", mode="before")
    @classmethod
    def _as_a_set(cls, value: Any) -> Any:
        return tuple(sorted({str(i).strip() for i in value or () if str(i).strip()}))

    @model_validator(mode="before")
    @classmethod
    def _first_due_of_a_custom_schedule(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("custom_schedule") and not data.get("first_due_date"):
            dates = [line.due_date if isinstance(line, CustomInstallment) else line["due_date"] for line in data["custom_schedule"]]
            return {**data, "first_due_date": min(dates)}
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        self._fill_in()
        problems = [*self._amount_problems(), *self._date_problems(), *self._kind_problems(), *self._custom_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _fill_in(self) -> None:
        count, total = self.installment_count, self.total_minor
        if self.kind == "repeating_promise":
            if total is None and count is not None:
                total = self.amount_minor * count
            if total is not None:
                # a given count only says how much is promised in all; the debt decides how many periods there are
                count = -(-total // self.amount_minor)
        else:
            total = self.amount_minor if total is None else total
            if count is None and self.frequency == "custom":
                count = len(self.custom_schedule) or None
            elif count is None and self.frequency == "once":
                count = 1
        object.__setattr__(self, "total_minor", total)
        object.__setattr__(self, "installment_count", count)

    @property
    def payable_minor(self) -> int:
        """What the customer is to pay in all."""
        return (self.total_minor or 0) - self.discount_minor

    def _amount_problems(self) -> list[str]:
        if self.total_minor is None:
            return ["a repeating promise needs a count of installments, or invoices whose open amount is the debt to settle"]
        problems = []
        if self.kind != "repeating_promise" and self.total_minor != self.amount_minor:
            problems.append("the total of a promise or plan is its amount")
        if self.discount_minor >= self.total_minor:
            problems.append("the discount must be less than the amount")
        elif self.down_payment_minor >= self.payable_minor:
            problems.append("the down payment must be less than what is to be paid")
        elif self.installment_count is not None and self.payable_minor - self.down_payment_minor < self.installment_count:
            problems.append(f"{format_amount(self.payable_minor - self.down_payment_minor, self.currency)} cannot be split into "
                            f"{self.installment_count} installments of at least the smallest unit")  # fmt: skip
        return problems

    def _date_problems(self) -> list[str]:
        if self.first_due_date < self.agreed_on:
            return [f"the first due date {self.first_due_date} lies before the agreement on {self.agreed_on}"]
        if self.installment_count is None:
            return ["the number of installments is missing"] if self.total_minor is not None else []
        if self.installment_count > MAX_INSTALLMENTS:
            return [f"{self.installment_count} installments are more than {MAX_INSTALLMENTS}"]
        try:
            is_sane = last_due_date(self) <= LAST_DATE
        except (OverflowError, ValueError):
            is_sane = False
        return [] if is_sane else [f"the last installment would be due after {LAST_DATE.year}"]

    def _kind_problems(self) -> list[str]:
        problems = []
        if self.kind == "promise":
            if self.frequency != "once" or self.installment_count != 1:
                problems.append("a promise is one amount on one date; several make a plan or a repeating promise")
            if self.down_payment_minor:
                problems.append("a promise has no down payment")
        elif self.kind == "repeating_promise":
            if self.frequency in ("once", "custom"):
                problems.append("a repeating promise needs a frequency: weekly, biweekly, semimonthly, monthly or quarterly")
            if self.discount_minor or self.down_payment_minor:
                problems.append("a repeating promise has neither discount nor down payment; a plan can have both")
        elif self.frequency == "once" and self.installment_count != 1:
            problems.append("a plan of several installments needs a frequency")
        return problems

    def _custom_problems(self) -> list[str]:
        lines = self.custom_schedule
        if self.frequency != "custom":
            return ["listed installments need the frequency custom"] if lines else []
        if not lines:
            return ["a custom schedule needs its installments listed"]
        problems = []
        if self.down_payment_minor:
            problems.append("a custom schedule lists its down payment as an installment")
        if [line.sequence for line in lines] != list(range(1, len(lines) + 1)):
            problems.append("listed installments are numbered 1, 2, 3 … in order")
        if self.installment_count != len(lines):
            problems.append(f"{len(lines)} installments are listed, {self.installment_count} were agreed")
        if any(later.due_date < earlier.due_date for earlier, later in pairwise(lines)):
            problems.append("listed installments are in order of their due dates")
        if lines[0].due_date != self.first_due_date:
            problems.append(f"the first listed installment is due on {lines[0].due_date}, not on {self.first_due_date}")
        listed = sum(line.amount_minor for line in lines)
        if listed != self.payable_minor:
            problems.append(
                f"the listed installments add up to {format_amount(listed, self.currency)}, "
                f"but {format_amount(self.payable_minor, self.currency)} is to be paid"
            )
        return problems


class NewCommitment(BaseModel):
    """A commitment as a person or a file brings it. Without an id it gets one when it is logged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    terms: Terms
    customer_id: str = Field(min_length=1, max_length=128)
    commitment_id: str | None = Field(default=None, min_length=1, max_length=128)
    owner: str = ""
    channel: str = ""
    contact_name: str = ""
    contact_email: str = ""
    confidence: int | None = Field(default=None, ge=0, le=100)
    confidence_reason: str = ""
    note: str = ""
    evidence_link: str = ""
    file_sha256: str | None = None
    line_number: int | None = None


def make_terms(**values: Any) -> Terms:
    """Terms, or BadTerms with every reason in words."""
    try:
        return Terms(**values)
    except ValidationError as error:
        said = "; ".join(in_words(error))
        raise BadTerms(f"{said[:1].upper()}{said[1:]}.") from None


def problems(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with these terms, in words; empty when nothing is."""
    try:
        Terms(**values)
    except ValidationError as error:
        return in_words(error)
    return []


def in_words(error: ValidationError) -> list[str]:
    """A validation error as short sentences."""
    said = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"]).removesuffix("_minor").replace("_", " ")
        text = str(problem["msg"]).removeprefix("Value error, ").replace("Input should", "it should")
        said.append(text if not name else f"{name}: {text[:1].lower()}{text[1:]}")
    return said


def last_due_date(terms: Terms) -> dt.date:
    """Nominal date of the last installment: long enough for a limit in days. The exact schedule is the warehouse's."""
    steps = (terms.installment_count or 1) - 1
    first = terms.first_due_date
    if terms.frequency == "custom":
        return max(line.due_date for line in terms.custom_schedule)
    if terms.frequency in _STEP_DAYS:
        return first + dt.timedelta(days=_STEP_DAYS[terms.frequency] * steps)
    if terms.frequency == "semimonthly":
        return _add_months(first, steps // 2) + dt.timedelta(days=15 * (steps % 2))
    return _add_months(first, _STEP_MONTHS[terms.frequency] * steps)


def _add_months(day: dt.date, months: int) -> dt.date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = (dt.date(year + month // 11, (month + 1) % 12 + 1, 1) - dt.timedelta(days=1)).day
    return dt.date(year, month + 1, min(day.day, last))


@dataclass(frozen=True)
class Standing:
    """What a customer has promised already under other commitments in this currency, and owes in all; minor units.

    `earlier_minor` is the part of what waits that was submitted before the terms in question: it has its place already. `own_minor` is
    what the commitment in question itself has approved and open; it counts in none of the others. `logged_on` is the day (UTC) on which
    the terms in question were logged: an agreement dated ahead of it makes no wait shorter.
    """

    used_minor: int = 0
    in_process_minor: int = 0
    earlier_minor: int = 0
    balance_minor: int | None = None
    own_minor: int = 0
    logged_on: dt.date | None = field(default=None, compare=False)


NO_STANDING = Standing()


def needs_approval(terms: Terms, policy: Policy, standing: Standing = NO_STANDING) -> bool:
    """Whether a person must approve. The gate in sql/ledger decides by the same rule."""
    return bool(_reasons_for_a_person(terms, policy, standing))


def guardrails(
    terms: Terms, policy: Policy, standing: Standing = NO_STANDING, *, is_new_terms: bool = False, by_others: Policy | None = None
) -> list[str]:
    """What policy has to say about these terms, one sentence each; empty when policy itself grants them.

    `by_others` is the policy that their author did not change: a limit one loosened oneself does not count for oneself.
    """
    reasons = ["New terms"] if is_new_terms else _reasons_for_a_person(terms, policy, standing)
    if not reasons and by_others:
        reasons = [f"{reason} by the limits its author did not change" for reason in _reasons_for_a_person(terms, by_others, standing)]
    if not reasons:
        return []
    needed = required_role(terms, policy, standing)
    exceeded = [
        f"{broken}: {needed.capitalize()} approval required" if needed else f"{broken}: nobody may approve this"
        for broken in caps_exceeded(terms, policy.approval.caps.get("supervisor"), standing)
    ]
    return exceeded or [f"{reason}: Supervisor approval required" for reason in reasons]


def required_role(terms: Terms, policy: Policy, standing: Standing = NO_STANDING) -> str | None:
    """The first role whose caps allow these terms; None when none does."""
    return next((role for role in APPROVERS if not caps_exceeded(terms, policy.approval.caps.get(role), standing)), None)


def caps_exceeded(terms: Terms, caps: Caps | None, standing: Standing = NO_STANDING) -> list[str]:
    """Every cap of a role these terms go beyond, in words."""
    word, exceeded = KIND_WORDS[terms.kind], []
    total = terms.total_minor or 0
    if caps is None:
        return [f"{word} has no approver"]
    if caps.amount is not None and to_decimal(total, terms.currency) > caps.amount:
        exceeded.append(f"{word} exceeds {limit_in_words(caps.amount, terms.currency)}")
    if caps.days is not None and (last_due_date(terms) - _counted_from(terms, standing)).days > caps.days:
        exceeded.append(f"{word} runs longer than {caps.days} days")
    if caps.installments is not None and (terms.installment_count or 1) > caps.installments:
        exceeded.append(f"{word} has more than {caps.installments} installments")
    if caps.discount_percent is not None and terms.discount_minor * 100 > caps.discount_percent * total:
        exceeded.append(f"{word} gives a discount of more than {caps.discount_percent} %")
    return exceeded + _customer_caps_exceeded(terms, caps, standing)


def _customer_caps_exceeded(terms: Terms, caps: Caps, standing: Standing) -> list[str]:
    word, total, exceeded = KIND_WORDS[terms.kind], terms.total_minor or 0, []
    if caps.balance_percent is not None:
        if standing.balance_minor is None:
            exceeded.append(f"{word} cannot be held against the customer's balance, of which nothing is known")
        elif (total + standing.used_minor + standing.earlier_minor) * 100 > (limit := caps.balance_percent * standing.balance_minor):
            others = "" if total * 100 > limit else " together with what is promised already"
            exceeded.append(f"{word} covers more than {caps.balance_percent} % of the customer's balance{others}")
    if caps.exposure is not None and _exposed(terms, standing) > caps.exposure:
        exceeded.append(f"{word} takes the customer's exposure beyond {limit_in_words(caps.exposure, terms.currency)}")
    return exceeded


def _counted_from(terms: Terms, standing: Standing) -> dt.date:
    return min(terms.agreed_on, standing.logged_on or terms.agreed_on)


def _exposed(terms: Terms, standing: Standing) -> Decimal:
    return to_decimal(standing.used_minor + standing.earlier_minor + terms.payable_minor, terms.currency)


def rationale_missing(terms: Terms, policy: Policy, rationale: str, *, is_new_terms: bool = False) -> str:
    """What policy wants to be told before anybody is asked to approve; empty when nothing is missing. The gate sends such terms back."""
    situations, limit = policy.approval.rationale, policy.approval.rationale_amount
    if rationale.strip():
        return ""
    if is_new_terms and "new_terms" in situations:
        what = "change of terms"
    elif terms.kind in situations:
        what = KIND_WORDS[terms.kind].lower()
    elif terms.discount_minor and "discount" in situations:
        what = "discount"
    elif limit is not None and to_decimal(terms.total_minor or 0, terms.currency) > limit:
        what = f"amount beyond {limit_in_words(limit, terms.currency)}"
    else:
        return ""
    return f"A rationale is missing: policy asks why for every {what}"


def limit_in_words(limit: Decimal, currency: str) -> str:
    """`50,000 USD`: a limit of policy in the commitment's own currency, which may be coarser than the limit was written."""
    said = format_amount(to_minor(limit.quantize(Decimal(1).scaleb(-exponent(currency)), ROUND_HALF_UP), currency), currency)
    return re.sub(r"\.0+ ", " ", said)


def _reasons_for_a_person(terms: Terms, policy: Policy, standing: Standing) -> list[str]:
    approval, word = policy.approval, KIND_WORDS[terms.kind]
    days, limit = (terms.first_due_date - _counted_from(terms, standing)).days, approval.promise_amount
    total = to_decimal(terms.total_minor or 0, terms.currency)
    if terms.kind == "plan" or terms.kind in approval.kinds:
        return [f"{word} terms"]
    reasons = []
    if approval.promise_days is not None and days > approval.promise_days:
        reasons.append(f"{word} is more than {approval.promise_days} days out")
    if approval.promise_days is not None and (terms.grace_days or 0) > approval.promise_days:
        reasons.append(f"{word} gives more than {approval.promise_days} days of grace")
    if limit is not None and total > limit:
        reasons.append(f"{word} exceeds {limit_in_words(limit, terms.currency)}")
    if terms.discount_minor:
        reasons.append(f"{word} gives a discount")
    caps = approval.caps.get("supervisor")
    if caps and caps.exposure is not None and _exposed(terms, standing) > caps.exposure:
        reasons.append(f"{word} takes the customer's exposure beyond {limit_in_words(caps.exposure, terms.currency)}")
    return reasons


def nudges(terms: Terms) -> list[str]:
    """Hints against known mistakes; nobody has to follow them."""
    if terms.kind == "plan" and (last_due_date(terms) - terms.agreed_on).days < _SHORTEST_PLAN_DAYS:
        return ["A plan for less than a week: a promise does that with less ado (ptp log promise)"]
    return []


# what changed -------------------------------------------------------------------------------------------------------------

_CALLED = {
    "amount_minor": "amount", "total_minor": "total", "discount_minor": "discount", "down_payment_minor": "down payment",
    "installment_count": "installments", "frequency": "frequency", "first_due_date": "first due", "grace_days": "days of grace",
    "overpayment_rule": "overpayment rule", "invoice_ids": "invoices",
}  # fmt: skip


def changes(before: Terms, after: Terms) -> list[str]:
    """What new terms change, one `name old → new` each. The listed lines of a custom schedule are told by `schedule_changes`."""
    told = []
    for name, called in _CALLED.items():
        was, now = getattr(before, name), getattr(after, name)
        if was != now and not (name == "total_minor" and after.kind != "repeating_promise"):
            told.append(f"{called} {_cell(name, was, before.currency)} → {_cell(name, now, after.currency)}")
    return told


def _cell(name: str, value: Any, currency: str) -> str:
    if name.endswith("_minor"):
        return format_amount(value, currency)
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "by policy" if value is None else str(value)


def schedule_changes(before: Sequence[tuple[dt.date, int]], after: Sequence[tuple[dt.date, int]], currency: str) -> list[str]:
    """What becomes of a schedule of (due date, amount): installments dropped, added, and those that keep their date at another amount."""
    was, now = _by_date(before), _by_date(after)
    told = []
    for due_date in sorted(was.keys() | now.keys()):
        old, new = was.get(due_date), now.get(due_date)
        if old is None and new is not None:
            told.append(f"+ {due_date} {format_amount(new, currency)}")
        elif new is None and old is not None:
            told.append(f"- {due_date} {format_amount(old, currency)}")
        elif old is not None and new is not None and old != new:
            told.append(f"~ {due_date} {format_amount(old, currency)} → {format_amount(new, currency)}")
    return told


def _by_date(schedule: Sequence[tuple[dt.date, int]]) -> dict[dt.date, int]:
    amounts: dict[dt.date, int] = {}
    for due_date, amount_minor in schedule:
        amounts[due_date] = amounts.get(due_date, 0) + amount_minor
    return amounts
