"""An org's policy: every key with its default, what makes a value silly, and how a change is applied.

Pure. Versions, effective dates and who may change it belong to the ledger; what the rules do belongs to the warehouse's SQL
and, for the approval section, to the gate in sql/ledger.
"""

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal, get_args
from zoneinfo import available_timezones

from pydantic import Field, ValidationError, field_validator

from ptp_pipeline.domain import policy_sections as sections
from ptp_pipeline.domain.calendar import calendar_code
from ptp_pipeline.domain.money import EXPONENTS, is_payable
from ptp_pipeline.domain.policy_sections import Amount as _Amount
from ptp_pipeline.domain.policy_sections import Days as _Days
from ptp_pipeline.domain.policy_sections import Percent as _Percent
from ptp_pipeline.domain.policy_sections import Section as _Section
from ptp_pipeline.errors import UsageError

Kind = Literal["promise", "repeating_promise", "plan"]
ApproverRole = Literal["supervisor", "controller", "legal"]
Situation = Literal["promise", "repeating_promise", "plan", "discount", "new_terms"]
OverpaymentRule = Literal["next", "last", "spread", "hold"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OVERPAYMENT_RULES: tuple[OverpaymentRule, ...] = get_args(OverpaymentRule)
APPROVERS: tuple[ApproverRole, ...] = get_args(ApproverRole)


class PolicyError(UsageError):
    """A key that does not exist or a value that makes no sense, in words."""


class Caps(_Section):
    """The most one role may approve; null = no limit. Amounts are major units of the commitment's own currency."""

    amount: _Amount | None = None
    days: Annotated[int, Field(ge=1, le=36500)] | None = Field(default=None, description="From agreed_on to the last due date.")
    installments: Annotated[int, Field(ge=1, le=100_000)] | None = None
    discount_percent: _Percent | None = None
    balance_percent: Annotated[Decimal, Field(gt=0, le=10_000, decimal_places=4, allow_inf_nan=False)] | None = Field(
        default=None, description="Of what the customer owes in all; needs invoices to be known."
    )
    exposure: _Amount | None = Field(
        default=None, description="Open under all commitments of the customer in one currency, this one included."
    )


def _default_caps() -> dict[ApproverRole, Caps]:
    return {"supervisor": Caps(amount=Decimal(50_000)), "controller": Caps(), "legal": Caps()}


class Approval(_Section):
    """Who must approve what. A plan always needs a person; that is not a matter of policy."""

    kinds: frozenset[Kind] = Field(default=frozenset({"plan", "repeating_promise"}), description="Kinds that always need a person.")
    promise_days: _Days | None = Field(default=7, description="A promise due later than this, or with longer grace, needs a person.")
    promise_amount: _Amount | None = Field(default=None, description="A promise beyond this needs a person.")
    caps: dict[ApproverRole, Caps] = Field(default_factory=_default_caps)
    rationale: frozenset[Situation] = Field(
        default=frozenset({"new_terms"}), description="What is sent back unless it says why: kinds, discount, new_terms."
    )
    rationale_amount: _Amount | None = Field(default=None, description="What exceeds this is sent back unless it says why.")
    business_hours: str = Field(
        default="09:00-17:00", description="When decisions are made on business days; turnaround is measured in them."
    )
    code_hours: Annotated[int, Field(ge=1, le=168)] = Field(default=24, description="How long a one-time approval code is good for.")

    @field_validator("kinds")
    @classmethod
    def _plans_need_a_person(cls, kinds: frozenset[Kind]) -> frozenset[Kind]:
        if "plan" not in kinds:
            raise ValueError("a plan always needs a supervisor; 'plan' cannot be taken out")
        return kinds

    @field_validator("business_hours")
    @classmethod
    def _hours_are_a_span(cls, text: str) -> str:
        try:
            opens, closes = (dt.time.fromisoformat(part.strip()) for part in text.split("-"))
        except ValueError:
            raise ValueError("it is not a span of hours; write 09:00-17:00") from None
        if opens >= closes or opens.tzinfo or closes.tzinfo:
            raise ValueError("business hours open before they close, in the org's own time zone")
        return f"{opens:%H:%M}-{closes:%H:%M}"

    @property
    def office_hours(self) -> tuple[dt.time, dt.time]:
        """When the office opens and closes."""
        opens, closes = self.business_hours.split("-")
        return dt.time.fromisoformat(opens), dt.time.fromisoformat(closes)


class Policy(_Section):
    """The rules of one org on one day."""

    currency: str = Field(default="USD", description="Currency of rows that name none. ISO 4217.")
    timezone: str = Field(default="UTC", description="Whose midnight ends the org's day. IANA name.")
    calendar: str = Field(default="weekends", description="Closed days: none, weekends, or a country or region such as US or DE-BY.")
    business_day_rule: Literal["none", "following", "preceding", "modified_following"] = "following"
    grace_days: _Days = Field(default=0, description="Calendar days after the due date before an installment is broken.")
    tolerance_amount: _Amount | dict[Kind, _Amount] = Field(
        default=Decimal(0), description="Shortfall forgiven per installment; one or one per kind."
    )
    tolerance_percent: _Percent | dict[Kind, _Percent] = Field(
        default=Decimal(0), description="The same as a percentage; the larger of the two counts."
    )
    overpayment_rule: OverpaymentRule = Field(
        default="next", description="Where surplus money goes unless a commitment says so itself: next, last, spread or hold."
    )
    exact_amount_window_days: _Days = 7
    due_soon_days: _Days = 3
    default_after_broken: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=2, description="Broken installments after which a plan is defaulted."
    )
    automatic_promises: bool = True
    over_promising: Literal["refuse", "allow"] = Field(
        default="refuse", description="Whether commitments may promise more on invoices than is open on them."
    )
    collectors_see: Literal["all", "own"] = Field(
        default="all", description="`own`: in the ledger a collector sees and changes only commitments they own."
    )
    approval: Approval = Approval()
    alert_recipients: tuple[str, ...] = Field(default=(), description="Who gets the morning mail and alerts.")
    ladder: sections.Ladder = Field(default=sections.Ladder(), description="Steps of the prevention ladder.")
    alerts: sections.Alerts = Field(default=sections.Alerts(), description="When which alert on a plan is raised.")
    risk_weights: sections.RiskWeights = Field(default=sections.RiskWeights(), description="Weights of the risk score.")
    tiers: sections.Tiers = Field(default=sections.Tiers(), description="Risk tiers of plans.")
    terms_library: sections.TermsLibrary = Field(default=sections.TermsLibrary(), description="Templates of plan terms by tier.")
    promise_actions: sections.PromiseActions = Field(default=sections.PromiseActions(), description="What a promise event starts.")
    feed_mappings: dict[sections.Feed, sections.FeedFormat] = Field(
        default_factory=dict, description="How the org's CSV columns are called, by feed."
    )

    @field_validator("currency")
    @classmethod
    def _currency_exists(cls, code: str) -> str:
        code = code.strip().upper()
        if code not in EXPONENTS or not is_payable(code):
            raise ValueError(_nearest(code, EXPONENTS, "not an ISO 4217 currency"))
        return code

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, name: str) -> str:
        if name not in _timezones():
            raise ValueError(_nearest(name, _timezones(), "not an IANA time zone"))
        return name

    @field_validator("calendar")
    @classmethod
    def _calendar_exists(cls, code: str) -> str:
        return calendar_code(code) or "none"

    @field_validator("overpayment_rule", mode="before")
    @classmethod
    def _rule_exists(cls, rule: Any) -> Any:
        return overpayment_rule(rule)

    @field_validator("alert_recipients", mode="before")
    @classmethod
    def _addresses(cls, value: Any) -> Any:
        addresses = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else list(value)
        for address in addresses:
            if not is_mail_address(str(address)):
                raise ValueError(f"{address!r} is not a mail address")
        return tuple(dict.fromkeys(addresses))

    def tolerance(self, kind: Kind) -> tuple[Decimal, Decimal]:
        """Forgiven shortfall of one kind: (amount in major units, percent)."""
        zero = Decimal(0)
        amount, percent = self.tolerance_amount, self.tolerance_percent
        return (
            amount.get(kind, zero) if isinstance(amount, dict) else amount,
            percent.get(kind, zero) if isinstance(percent, dict) else percent,
        )

    def feed_format(self, feed: str) -> sections.FeedFormat | None:
        """How the org's files of a feed differ from the standard; None when they do not."""
        return next((entry for name, entry in self.feed_mappings.items() if name == feed), None)

    def as_json(self) -> dict[str, Any]:
        """Plain values, amounts as text, sets in order: what is stored and shown."""
        plain = self.model_dump(mode="json")
        plain["feed_mappings"] = {feed: f.model_dump(mode="json", exclude_none=True) for feed, f in self.feed_mappings.items()}
        for key in ("kinds", "rationale"):
            plain["approval"][key] = sorted(plain["approval"][key])
        return plain


def is_mail_address(text: str) -> bool:
    """Whether this looks like one address and nothing else."""
    local, at, host = text.rpartition("@")
    return bool(local and at and host) and not any(c.isspace() or c in "<>,;" for c in text)


def overpayment_rule(rule: Any) -> Any:
    """The rule if there is one of that name. Raises ValueError in words otherwise."""
    if rule not in OVERPAYMENT_RULES:
        raise ValueError(f"there is no overpayment rule {rule!r}; use next, last, spread or hold")
    return rule


def load(stored: Mapping[str, Any]) -> Policy:
    """A policy from what is stored or given. Raises PolicyError naming every wrong key and value."""
    try:
        return Policy.model_validate(stored)
    except ValidationError as error:
        said = dict.fromkeys(_in_words(problem) for problem in error.errors() if not _is_other_branch(problem))
        raise PolicyError("; ".join(said), "`ptp org list --json` shows every key and its value.") from None


def change(policy: Policy, changes: Mapping[str, Any]) -> Policy:
    """The policy with changes applied. Keys may be dotted (`approval.promise_days`); texts that hold JSON are read as such."""
    plain = policy.as_json()
    for key, value in changes.items():
        *path, last = key.split(".")
        target = plain
        for i, part in enumerate(path):
            if i == 0 and part not in Policy.model_fields:
                raise PolicyError(_unknown_key(part, Policy.model_fields))
            if not isinstance(target.get(part), dict):
                # a per-kind tolerance starts from the one number that held for all kinds
                target[part] = dict.fromkeys(KINDS, target[part]) if part.startswith("tolerance_") else {}
            target = target[part]
        target[last] = _read(value)
    return load(plain)


def value_of(policy: Policy, key: str) -> Any:
    """What a key, dotted or not, says; one tolerance for all kinds is that of each."""
    found: Any = policy.as_json()
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else found
    return found


def differences(before: Policy, after: Policy) -> dict[str, tuple[Any, Any]]:
    """What changed, by dotted key: (before, after)."""
    old, new = _leaves(before.as_json()), _leaves(after.as_json())
    return {key: (old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}


def leaves(policy: Policy) -> dict[str, Any]:
    """Every key with its value, sections as dotted keys."""
    return _leaves(policy.as_json())


def _leaves(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in plain.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def _read(value: Any) -> Any:
    if isinstance(value, str) and (value.strip()[:1] in ("{", "[") or value.strip() == "null"):
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise PolicyError(f"{value!r} is not JSON: {error.msg} at character {error.pos + 1}.") from None
    if isinstance(value, dt.date | Decimal):
        return str(value)
    return value


@cache
def _timezones() -> set[str]:
    """Asked for with every policy that is loaded, and each answer of zoneinfo's walks 600 files."""
    return available_timezones()


def _nearest(wrong: str, right: Any, what: str) -> str:
    by_lower = {name.lower(): name for name in right}
    close = get_close_matches(wrong.lower(), by_lower, n=1, cutoff=0.5)
    return f"{wrong!r} is {what}" + (f"; did you mean {by_lower[close[0]]!r}?" if close else "")


def _unknown_key(key: str, known: Any) -> str:
    close = get_close_matches(key, list(known), n=1, cutoff=0.0)
    return f"There is no policy key {key!r}; the nearest is {close[0]!r}." if close else f"There is no policy key {key!r}."


def _is_other_branch(problem: Any) -> bool:
    """A tolerance is one number or one per kind; only what is wrong with the form that was written is worth saying."""
    path = [str(part) for part in problem["loc"]]
    is_per_kind = any(part.startswith("dict[") for part in path)
    return path[0].startswith("tolerance_") and (
        (is_per_kind and problem["type"] == "dict_type") or (not is_per_kind and isinstance(problem["input"], dict))
    )


def _fields_at(path: list[str]) -> Any:
    """The keys there are where a path ends; names of roles, kinds and feeds on the way lead into one and the same section."""
    fields = Policy.model_fields
    for part in path:
        if part in fields and (inner := _section_in(fields[part].annotation)):
            fields = inner.model_fields
    return fields


def _section_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, _Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_in(part))), None)


def _in_words(problem: Any) -> str:
    # the branches of a tolerance, and the word for a key, are pydantic's names and no part of the policy
    branches = ("constrained-", "decimal", "dict[", "[") if str(problem["loc"][0]).startswith("tolerance_") else ("[",)
    path = [str(part) for part in problem["loc"] if not str(part).startswith(branches)]
    name = ".".join(path)
    if problem["type"] == "extra_forbidden":
        return _unknown_key(path[-1], _fields_at(path[:-1]))
    said = str(problem["msg"]).removeprefix("Value error, ").replace("Input should", "it should")
    given = "" if isinstance(problem["input"], dict | _Section) else f" = {problem['input']!r}"
    return f"{name}{given}: {said[:1].lower()}{said[1:]}"
