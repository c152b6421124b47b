"""The parts of a policy that have keys of their own: ladder, alerts, risk weights, tiers, terms library, promise actions, feed mappings.

Pure. What a part means to the figures belongs to the warehouse's SQL, how a file is read to feeds; who must approve what is in `policy`.
"""

import codecs
import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Days = Annotated[int, Field(ge=0, le=365)]
Amount = Annotated[Decimal, Field(ge=0, le=10**12, max_digits=18, decimal_places=3, allow_inf_nan=False)]
Percent = Annotated[Decimal, Field(ge=0, le=100, decimal_places=4, allow_inf_nan=False)]
Feed = Literal["invoices", "payments", "commitments", "installments", "contacts"]
Owner = Literal["collector", "supervisor", "controller", "legal"]

ISO_DATE = "%Y-%m-%d"
DELIMITERS = {",": ",", ";": ";", "|": "|", "\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
DATE_WORDS = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "YY": "%y"}


class Section(BaseModel):
    """A part of a policy: only known keys, and a changed one is a new one."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Stage(Section):
    """When a step of the ladder begins and who acts."""

    after_business_days: Annotated[int, Field(ge=0, le=60)] = Field(description="Business days after the due date; 0 is the day itself.")
    owner: Owner = Field(description="Role that acts.")


class Ladder(Section):
    """The prevention ladder, from reminders to a decision on what becomes of the debt."""

    reminder_days: tuple[Annotated[int, Field(ge=1, le=90)], ...] = Field(default=(3, 1), description="Days before the due date.")
    stage_1: Stage = Stage(after_business_days=0, owner="collector")
    stage_2: Stage = Stage(after_business_days=1, owner="supervisor")
    stage_3: Stage = Stage(after_business_days=3, owner="controller")
    blockers: tuple[str, ...] = Field(default=("po", "approval", "dispute", "cash_timing"), description="Why a payer does not confirm.")
    dispositions: tuple[str, ...] = Field(default=("pay", "plan", "offset", "legal"), description="How stage 3 may end.")

    @field_validator("reminder_days")
    @classmethod
    def _earliest_first(cls, days: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(days), reverse=True))

    @field_validator("blockers", "dispositions")
    @classmethod
    def _words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if not words or any(not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", word) for word in words):
            raise ValueError("it should be one or more words of lower-case letters, digits and _")
        return tuple(dict.fromkeys(words))

    @model_validator(mode="after")
    def _stages_follow_each_other(self) -> Self:
        if not self.stage_1.after_business_days < self.stage_2.after_business_days < self.stage_3.after_business_days:
            raise ValueError("each stage begins later than the one before it")
        return self


class Alerts(Section):
    """When an installment of a plan is looked at before and after it is due."""

    checkpoint_days: Annotated[int, Field(ge=1, le=90)] = Field(default=7, description="Days before due of the pre-due checkpoint.")
    checkpoint_risk: Annotated[int, Field(ge=0, le=100)] = Field(default=40, description="Least risk score for it.")
    reminder_days: Annotated[int, Field(ge=1, le=90)] = Field(default=3, description="Days before due: reminder, confirmation asked.")
    confirmation_days: Days = Field(default=1, description="Days before due: without a confirmation, stage 1.")
    missed_for_stage_3: Annotated[int, Field(ge=1, le=1000)] = Field(default=2, description="Missed installments.")
    balance_for_stage_3: Amount | None = Field(default=None, description="Remaining balance that counts as high.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.checkpoint_days > self.reminder_days > self.confirmation_days:
            raise ValueError("checkpoint_days, reminder_days and confirmation_days come in this order, the earliest first")
        return self


class RiskWeights(Section):
    """What share of the risk score each part has, in percent."""

    missed_commitments: Percent = Decimal(25)
    responsiveness_decay: Percent = Decimal(20)
    open_disputes: Percent = Decimal(20)
    commitment_confidence: Percent = Decimal(20)
    amount_concentration: Percent = Decimal(15)

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        total = sum((getattr(self, name) for name in type(self).model_fields), Decimal(0))
        if total != 100:  # noqa: PLR2004 - percent
            raise ValueError(f"the weights add up to {total}, not to 100; change them together")
        return self


class Tier(Section):
    """Who deals with the plans of a tier, and how."""

    owner: Owner
    action: Annotated[str, Field(min_length=1, max_length=200)]


class Tiers(Section):
    """Risk tiers of plans: A has one signal and no misses, D no viable recommitment and a material balance."""

    A: Tier = Tier(owner="collector", action="Confirm the next payment.")
    B: Tier = Tier(owner="collector", action="Agree how the missed payment is made up.")
    C: Tier = Tier(owner="supervisor", action="Renegotiate the plan.")
    D: Tier = Tier(owner="controller", action="Decide: pay, plan, offset or legal.")
    material_balance: Amount | None = Field(default=None, description="Remaining balance that counts as material.")


class Template(Section):
    """What is offered to a customer of a tier."""

    days: Annotated[int, Field(ge=1, le=3650)] = Field(description="Longest plan.")
    down_payment_percent: Percent = Field(description="Least down payment.")
    grace_days: Days = Field(description="Grace per installment.")


class TermsLibrary(Section):
    """Plan templates by tier."""

    A: Template = Template(days=180, down_payment_percent=Decimal(0), grace_days=5)
    B: Template = Template(days=120, down_payment_percent=Decimal(10), grace_days=3)
    C: Template = Template(days=90, down_payment_percent=Decimal(25), grace_days=0)
    D: Template = Template(days=30, down_payment_percent=Decimal(50), grace_days=0)


class Action(Section):
    """One step that an event starts."""

    do: Literal["message", "task", "escalate"]
    to: Literal["customer", "owner", "supervisor", "controller", "legal"] = "owner"
    after_days: Days = 0
    note: Annotated[str, Field(max_length=500)] = ""

    @model_validator(mode="after")
    def _customers_get_messages(self) -> Self:
        if self.to == "customer" and self.do != "message":
            raise ValueError("a customer can be sent a message, nothing else")
        return self


class PromiseActions(Section):
    """What each event of a promise starts; nothing when empty."""

    overpayment: tuple[Action, ...] = ()
    underpayment: tuple[Action, ...] = ()
    full_payment: tuple[Action, ...] = ()
    nsf: tuple[Action, ...] = ()
    broken: tuple[Action, ...] = ()


class FeedFormat(Section):
    """How one feed's files differ from the standard, as people write it. What is not said follows the standard."""

    columns: dict[str, str] = Field(default_factory=dict)
    date_format: str | None = None
    decimal: Literal[".", ","] | None = None
    delimiter: str | None = None
    encoding: str | None = None
    rounding: Literal["refuse", "round"] = "refuse"

    @field_validator("date_format", "decimal", "delimiter", "encoding", mode="before")
    @classmethod
    def _nothing_said(cls, value: Any) -> Any:
        return value or None

    @field_validator("date_format")
    @classmethod
    def _is_a_date(cls, text: str | None) -> str | None:
        if text is not None:
            code = strptime_code(text)
            if not (re.search(r"%[Yy]", code) and re.search(r"%[mbB]", code) and re.search(r"%[de]", code)):
                raise ValueError("write it like DD/MM/YYYY or %d/%m/%Y")
        return text

    @field_validator("delimiter")
    @classmethod
    def _is_a_delimiter(cls, text: str | None) -> str | None:
        if text is not None and text.lower() not in DELIMITERS:
            raise ValueError("it can be comma, semicolon, tab or pipe")
        return text

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, name: str | None) -> str | None:
        try:
            codec = codecs.lookup(name) if name else None
        except LookupError:
            codec = None
        if name and (codec is None or not getattr(codec, "_is_text_encoding", True)):
            raise ValueError("it is not known; examples: utf-8, windows-1252, iso-8859-15, utf-16")
        return name


def strptime_code(text: str) -> str:
    """`DD/MM/YYYY` as `%d/%m/%Y`; what is written with % already stays."""
    if "%" not in text:
        for word, directive in DATE_WORDS.items():
            text = text.replace(word, directive)
    return text
