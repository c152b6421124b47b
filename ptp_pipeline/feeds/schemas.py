"""The five feeds: every column once, with its type, its rules and its description. Validation and documentation both come from here.

How bytes become texts is `dialect`, how texts become a checked frame is `read`. Rules that need other rows or the ledger are not here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ptp_pipeline.domain.money import EXPONENTS, MAX_MINOR, is_payable
from ptp_pipeline.domain.policy import OVERPAYMENT_RULES
from ptp_pipeline.domain.policy_sections import ISO_DATE
from ptp_pipeline.domain.terms import FIRST_DATE, FREQUENCIES, LAST_DATE
from ptp_pipeline.feeds.mapping import Dialect

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl

Type = Literal["id", "line", "text", "date", "instant", "amount", "currency", "choice", "boolean", "integer", "ids"]
TYPED = "typed "  # prefix of the parsed column beside its text; a space cannot occur in a feed's column name
MAX_LENGTH = {"id": 100, "line": 500, "text": 10_000, "ids": 10_000}
_DUCKDB_TYPES = {"date": "DATE", "instant": "TIMESTAMP", "boolean": "BOOLEAN", "integer": "INTEGER", "ids": "VARCHAR[]"}
TRUE, FALSE = ("true", "yes", "y", "t", "1"), ("false", "no", "n", "f", "0")
FIRST, LAST = FIRST_DATE, LAST_DATE


@dataclass(frozen=True)
class Column:
    """One column of a feed. `default` is what an empty cell means; None leaves it empty."""

    name: str
    type: Type
    description: str
    is_required: bool = False
    choices: tuple[str, ...] = ()
    default: str | None = None
    least: int = 1
    most: int = MAX_MINOR
    has_currency: bool = True

    @property
    def stored_as(self) -> str:
        """Its name in the feed tables: money is kept in minor units there."""
        return f"{self.name}_minor" if self.type == "amount" and self.has_currency else self.name

    @property
    def duckdb_type(self) -> str:
        if self.type == "amount":
            return "BIGINT" if self.has_currency else "VARCHAR"
        return _DUCKDB_TYPES.get(self.type, "VARCHAR")


@dataclass(frozen=True)
class RowRule:
    """A rule over several columns of one row. `broken` gives an expression that is true where it is broken."""

    name: str
    column: str
    broken: Callable[[], "pl.Expr"]


@dataclass(frozen=True)
class Feed:
    """One kind of file."""

    name: str
    description: str
    columns: tuple[Column, ...]
    row_rules: tuple[RowRule, ...] = ()
    is_compared: bool = False  # rows carry a content_hash, by which later ones of the same id are told to be repeats

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        return MappingProxyType({column.name: column for column in self.columns})

    @property
    def required(self) -> tuple[str, ...]:
        """Columns the header must have. A payment without an id gets one, even in a file that has no such column."""
        return tuple(column.name for column in self.columns if column.is_required)


def _is_reversal_of_nothing() -> "pl.Expr":
    import polars as pl

    return (pl.col("typed kind") == "reversal") & pl.col("reverses_payment_id").is_null()


_CUSTOMER = Column("customer_id", "id", "The customer, as the ERP names it.", is_required=True)
_CURRENCY = Column("currency", "currency", "ISO 4217 code; empty means the org's currency.")
_INVOICE = Column("invoice_id", "id", "The invoice this money is for, if the payer said so.")
_OWNER = Column("owner", "line", "The collector responsible.")
_GRACE = Column(
    "grace_days", "integer", "Calendar days after the due date before it is broken; empty means the org's policy.", least=0, most=365
)

INVOICES = Feed(
    "invoices",
    "Open and settled invoices. A later file updates an invoice by its invoice_id; earlier rows are kept as history.",
    (
        Column("invoice_id", "id", "The invoice number.", is_required=True),
        _CUSTOMER,
        Column("customer_name", "line", "The customer's name, for people.", is_required=True),
        Column("invoice_date", "date", "Date of the invoice.", is_required=True),
        Column("due_date", "date", "Date it falls due by its own terms.", is_required=True),
        Column("amount", "amount", "What was invoiced, tax included.", is_required=True),
        Column("open_amount", "amount", "What is still open; empty if not known.", least=0),
        _CURRENCY,
        Column("customer_email", "line", "Where reminders go."),
        Column("segment", "line", "The customer's segment."),
        _OWNER,
        Column("disputed", "boolean", "Whether the customer disputes it.", default="false"),
        Column("deduction_count", "integer", "Open deductions on it.", default="0", least=0, most=1_000_000),
        Column("settled_date", "date", "Date it was settled; empty while open."),
    ),
    is_compared=True,
)
PAYMENTS = Feed(
    "payments",
    "Money received, and money going back. Amounts are positive; the kind gives the sign.",
    (
        Column(
            "payment_id", "id", "The bank's or ERP's id. Without one the row gets an id from its content and its occurrence in the file."
        ),
        _CUSTOMER,
        Column("received_date", "date", "Value date: the business day the money arrived or left.", is_required=True),
        Column("amount", "amount", "Amount, positive.", is_required=True),
        _CURRENCY,
        Column("kind", "choice", "What happened.", choices=("payment", "reversal", "chargeback", "refund"), default="payment"),
        Column("reverses_payment_id", "id", "The payment it takes back; a reversal must name one."),
        _INVOICE,
        Column("commitment_id", "id", "The commitment this money is for, if the payer said so."),
        Column("reference", "line", "Remittance text. Commitment and invoice ids in it are recognised."),
        Column("method", "line", "How it was paid."),
    ),
    (RowRule("reverses_payment_id_missing", "reverses_payment_id", _is_reversal_of_nothing),),
)
COMMITMENTS = Feed(
    "commitments",
    "Promises, repeating promises and plans agreed elsewhere. They go through the same approval as those logged by hand.",
    (
        Column("commitment_id", "id", "Your id for it; the same id twice is the same commitment.", is_required=True),
        Column(
            "kind",
            "choice",
            "promise: one amount on one date. repeating_promise: one each period until the debt is settled. plan: a total in installments.",
            is_required=True,
            choices=("promise", "repeating_promise", "plan"),
        ),
        _CUSTOMER,
        Column("agreed_on", "date", "Business date the customer committed; money received before it does not count.", is_required=True),
        Column("amount", "amount", "The amount promised, the total of a plan, or what is promised each period.", is_required=True),
        Column("first_due_date", "date", "Date of the first (or only) installment, before the business-day rule.", is_required=True),
        _CURRENCY,
        Column("invoice_ids", "ids", "Invoices it covers, separated by semicolons."),
        Column("frequency", "choice", "How installments follow each other.", choices=FREQUENCIES, default="once"),
        Column("installment_count", "integer", "Number of installments.", most=100_000),
        Column("down_payment", "amount", "Due on agreed_on, before the installments.", default="0", least=0),
        Column("discount", "amount", "Settlement discount, taken off the total.", default="0", least=0),
        _GRACE,
        _OWNER,
        Column("channel", "line", "How it was agreed: call, email, portal, legal."),
        Column("contact_name", "line", "Who committed."),
        Column("contact_email", "line", "Where to reach them."),
        Column("confidence", "integer", "How sure the collector is, 0 to 100.", least=0, most=100),
        Column("confidence_reason", "text", "Why."),
        Column("note", "text", "Anything worth keeping."),
        Column("evidence_link", "line", "Where the evidence is."),
        Column(
            "overpayment_rule",
            "choice",
            "Where surplus money goes; empty means the org's policy on the day it is logged.",
            choices=OVERPAYMENT_RULES,
        ),
    ),
)
INSTALLMENTS = Feed(
    "installments",
    "Explicit schedules of plans whose frequency is `custom`: one row per installment. Amounts are in the plan's currency.",
    (
        Column("commitment_id", "id", "The plan, as in the commitments feed.", is_required=True),
        Column("sequence", "integer", "1, 2, 3 … in order of due date.", is_required=True, most=100_000),
        Column("due_date", "date", "Date it is due, before the business-day rule.", is_required=True),
        Column(
            "amount",
            "amount",
            "Its amount; all of them add up to the plan's amount less its discount.",
            is_required=True,
            has_currency=False,
        ),
        _GRACE,
    ),
)
CONTACTS = Feed(
    "contacts",
    "Touches with the customer, in and out.",
    (
        Column("contact_id", "id", "Your id for it.", is_required=True),
        _CUSTOMER,
        Column(
            "at",
            "instant",
            "When: YYYY-MM-DD, or YYYY-MM-DDTHH:MM[:SS] with Z, an offset such as +02:00, or the org's own time.",
            is_required=True,
        ),
        Column("channel", "line", "call, email, portal, letter …", is_required=True),
        Column("direction", "choice", "Who reached out to whom.", is_required=True, choices=("in", "out")),
        Column("outcome", "line", "What came of it."),
        Column("commitment_id", "id", "The commitment it was about."),
        _OWNER,
        Column("note", "text", "Anything worth keeping."),
    ),
    is_compared=True,
)
FEEDS: Mapping[str, Feed] = MappingProxyType({feed.name: feed for feed in (INVOICES, PAYMENTS, COMMITMENTS, INSTALLMENTS, CONTACTS)})

# rule: what the row's owner reads. {column}, {value} and {expected} are filled in.
RULES: Mapping[str, str] = MappingProxyType(
    {
        "field_count": "The row has not as many fields as the header. A separator inside a text must be quoted; torn files end like this.",
        "quoting": "A quote on this line is never closed, or closed in the middle of a field. Write quotes inside a text twice.",
        "required": "{column} is empty; every row needs one.",
        "characters": "{column} holds control characters or damaged text.",
        "too_long": "{column} is longer than {expected} characters.",
        "date": '{column} "{value}" is not an existing date written {expected}.',
        "date_range": "{column} {value} lies outside {expected}.",
        "instant": '{column} "{value}" is not a time written {expected}.',
        "amount_format": '{column} "{value}" is not an amount written {expected}.',
        "amount_precision": "{column} {value} is finer than the smallest unit of its currency.",
        "amount_too_large": "{column} {value} is larger than any amount this system keeps.",
        "amount_negative": "{column} {value} is negative; amounts are positive, the kind of the row gives the sign.",
        "amount_zero": "{column} is zero.",
        "currency": '"{value}" is not an ISO 4217 currency customers can pay in.',
        "choice": '{column} "{value}" is not one of {expected}.',
        "boolean": '{column} "{value}" is neither true nor false.',
        "integer": '{column} "{value}" is not a whole number from {expected}.',
        "reverses_payment_id_missing": "A reversal must say which payment it takes back: reverses_payment_id is empty.",
    }
)
# Rules found where rows meet other rows or the ledger; their messages are written there.
LATER_RULES: Mapping[str, str] = MappingProxyType(
    {
        "payment_id_conflict": "The payment_id came before with other content; the first one counts.",
        "contact_id_conflict": "The contact_id came before with other content; the first one counts.",
        "commitment_id_conflict": "The commitment_id exists with other terms; terms change by renegotiation, not by a file.",
        "duplicate_commitment": "Another commitment has the same customer, invoices, amount and first due date.",
        "over_promised": "The commitment promises more on its invoices than is left of what was open on them; policy may allow it.",
        "waiting_for_installments": "A custom plan waits for its rows of the installments feed; it is taken as soon as they come.",
        "installments_sum": "The installments of a custom plan do not add up to what is to be paid.",
        "installment_amount": "An installment's amount does not fit its plan's currency.",
        "installment_conflict": "The same installment of a plan came before with another date or amount.",
        "commitment_unknown": "No commitment takes this installment: there is none of that id, or it is not custom.",
        "repeating_total": "A repeating promise needs an installment_count, or invoices whose open amount is the debt to settle.",
        "terms": "The terms contradict each other.",
    }
)


def _typed(name: str) -> "pl.Expr":
    import polars as pl

    return pl.col(TYPED + name)


def expected(column: Column, rule: str, dialect: Dialect) -> str:  # noqa: PLR0911 - one answer per rule
    """What a rule's message says would have been right."""
    match rule:
        case "too_long":
            return f"{MAX_LENGTH[column.type]:,}"
        case "date":
            words = dialect.mapping.date_words
            return f"{words}; other formats need date_format in the org's feed mapping" if words == "YYYY-MM-DD" else words
        case "date_range":
            return f"{FIRST} to {LAST}"
        case "instant":
            return "YYYY-MM-DD or YYYY-MM-DDTHH:MM[:SS], optionally with Z or an offset such as +02:00"
        case "amount_format":
            return {
                None: "like 1234.56; other decimal signs and thousands separators need decimal in the org's feed mapping",
                ",": "like 1.234,56",
                ".": "like 1,234.56",
            }[dialect.mapping.decimal]
        case "choice":
            return ", ".join(column.choices)
        case "integer":
            return f"{column.least} to {column.most}"
        case _:
            return ""


# --- what a block of rows looks like: most rules hold for all of it at a glance ---

_ISO = r"^\d{4}-\d{2}-\d{2}$"
_FEW = 64  # distinct texts of a column that are worth reading once instead of row by row


@dataclass(frozen=True)
class Seen:
    """What is known of a block's texts before they are parsed.

    `is_plain`: see dialect.Records. `values`: the distinct texts of columns that have few. `alike`: date and amount columns all of
    whose texts have the simplest form. `digits`: decimals of the block's currency, if it has one; None when there are several.
    """

    is_plain: bool = False
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    alike: frozenset[str] = frozenset()
    digits: int | None = None


def look(feed: Feed, dialect: Dialect, texts: "pl.DataFrame", *, is_plain: bool) -> Seen:
    """Look at a block's texts, all columns at once."""
    import polars as pl

    few = [column.name for column in feed.columns if column.type in ("choice", "currency", "boolean")]
    distinct = texts.select(pl.col(name).drop_nulls().unique(maintain_order=True).head(_FEW + 1).implode() for name in few)
    values = {name: tuple(distinct[name][0].to_list()) for name in few}
    values = {name: texts for name, texts in values.items() if len(texts) <= _FEW}
    exponents = {EXPONENTS.get(text.upper(), -1) if is_payable(text.upper()) else -1 for text in values.get("currency", ("",))}
    digits = exponents.pop() if len(exponents) == 1 else -1
    forms = {column.name: form for column in feed.columns if (form := _simplest(column, dialect, digits))}
    alike = texts.select(pl.col(name).str.contains(form).all() for name, form in forms.items())
    return Seen(is_plain, values, frozenset(name for name in forms if alike[name][0]), digits if digits >= 0 else None)


def _simplest(column: Column, dialect: Dialect, digits: int) -> str:
    """The form nearly all texts of a column have, as a regular expression; empty when there is none to look for."""
    if column.type == "date" and dialect.mapping.date_format == ISO_DATE:
        return _ISO
    if column.type == "amount" and column.has_currency and digits >= 0 and dialect.mapping.decimal != ",":
        fraction = rf"(?:\.[0-9]{{1,{digits}}})?" if digits else ""
        return rf"^[0-9]{{1,{len(str(MAX_MINOR)) - digits - 1}}}{fraction}$"
    return ""


# --- parsing: text columns to typed ones, null where the text is none ---


def parse(feed: Feed, dialect: Dialect, seen: Seen = Seen()) -> list["pl.Expr"]:
    """The typed columns beside the texts (defaults filled in), in one go; amounts need the currency's and come in a second."""
    return [_seen_once(column, dialect, seen).alias(TYPED + column.name) for column in feed.columns if column.type != "amount"]


def parse_amounts(feed: Feed, dialect: Dialect, seen: Seen = Seen()) -> list["pl.Expr"]:
    """The amounts, once currencies are typed."""
    return [_amount(column, dialect, seen).alias(TYPED + column.name) for column in feed.columns if column.type == "amount"]


def _seen_once(column: Column, dialect: Dialect, seen: Seen) -> "pl.Expr":
    """A column parsed; one of few distinct texts by parsing those."""
    import polars as pl

    if column.name not in seen.values:
        return _parsed(column, dialect, seen)
    once = _parsed_values(column, dialect, seen)
    text = pl.col(column.name)
    if all(before == after for before, after in once.items()):
        return text
    return text.replace_strict(once, return_dtype=pl.Boolean if column.type == "boolean" else pl.String)


def _parsed_values(column: Column, dialect: Dialect, seen: Seen) -> dict[str, Any]:
    import polars as pl

    texts = pl.DataFrame({column.name: seen.values[column.name]}, schema={column.name: pl.String})
    return dict(zip(texts[column.name], texts.select(_parsed(column, dialect, seen)).to_series(), strict=True))


def _parsed(column: Column, dialect: Dialect, seen: Seen) -> "pl.Expr":  # noqa: PLR0911 - one answer per type
    import polars as pl

    text = pl.col(column.name)
    match column.type:
        case "date":
            parsed = text.str.to_date(dialect.mapping.date_format, strict=False, exact=True)
            is_checked = column.name in seen.alike or dialect.mapping.date_format != ISO_DATE
            return parsed if is_checked else pl.when(text.str.contains(_ISO)).then(parsed)
        case "instant":
            return _instant(text, dialect)
        case "currency":
            return text.str.to_uppercase()
        case "choice":
            return text.str.to_lowercase().str.replace_all(r"[\s-]+", "_")
        case "boolean":
            known = {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}
            return text.str.to_lowercase().replace_strict(known, default=None, return_dtype=pl.Boolean)
        case "integer":
            return pl.when(text.str.contains(r"^[0-9]{1,9}$")).then(text).cast(pl.Int32)
        case "ids":
            each = text.fill_null("").str.split(";").list.eval(pl.element().str.strip_chars()).list.unique(maintain_order=True)
            return each.list.eval(pl.element().filter(pl.element() != ""))
        case "line":
            return text if seen.is_plain else text.str.replace_all(r"[\t\n]+", " ")
        case _:
            return text


def _instant(text: "pl.Expr", dialect: Dialect) -> "pl.Expr":
    import polars as pl

    iso = text.str.replace(" ", "T", literal=True).str.replace(r"^(\d{4}-\d{2}-\d{2})$", "${1}T00:00:00")
    iso = iso.str.replace(r"T(\d{2}:\d{2})(Z|[+-]|$)", "T${1}:00${2}").str.replace(r"Z$", "+00:00")
    is_plain = iso.str.contains(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?$")
    is_zoned = iso.str.contains(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?[+-]\d{2}:?\d{2}$")
    local = pl.when(is_plain).then(iso).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us")
    # An hour the clock skips is read as the one after it; an hour it repeats as its first.
    here = local.dt.replace_time_zone(dialect.timezone, ambiguous="earliest", non_existent="null")
    later = local.dt.offset_by("1h").dt.replace_time_zone(dialect.timezone, ambiguous="earliest", non_existent="null")
    there = pl.when(is_zoned).then(iso).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", strict=False, time_unit="us", time_zone="UTC")
    utc = pl.coalesce(there, here.dt.convert_time_zone("UTC"), later.dt.convert_time_zone("UTC"))
    return utc.dt.replace_time_zone(None)


def _amount_text(text: "pl.Expr", dialect: Dialect) -> "pl.Expr":
    """The number written the plain way, null when it is none. The same language as domain.money.parse_amount."""
    import polars as pl

    match dialect.mapping.decimal:
        case ",":
            is_number = text.str.contains(r"^-?(?:[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+)(?:,[0-9]+)?$")
            plain = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        case ".":
            is_number = text.str.contains(r"^-?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]+)?$")
            plain = text.str.replace_all(",", "", literal=True)
        case _:
            is_number, plain = text.str.contains(r"^-?[0-9]+(?:\.[0-9]+)?$"), text
    return pl.when(is_number).then(plain)


def _amount(column: Column, dialect: Dialect, seen: Seen) -> "pl.Expr":
    """Minor units, null when it is no number, too fine or too large. A test holds it equal to domain.money.parse_amount."""
    import polars as pl

    if column.name in seen.alike and seen.digits is not None:
        text = pl.col(column.name)
        return (text.cast(pl.Decimal(38, seen.digits)).to_physical() if seen.digits else text).cast(pl.Int64)
    plain = _amount_text(pl.col(column.name), dialect)
    if not column.has_currency:  # the currency is another row's: kept as plain text until the two meet
        return plain.str.replace(r"^(-?)0+([0-9])", "${1}${2}").str.replace(r"(\.[0-9]*?)0+$", "${1}").str.strip_suffix(".")
    exponents = {code: exponent for code, exponent in EXPONENTS.items() if is_payable(code)}
    digits = _typed("currency").replace_strict(exponents, default=None, return_dtype=pl.Int64)
    factor = _typed("currency").replace_strict({c: 10**e for c, e in exponents.items()}, default=None, return_dtype=pl.Int64)
    whole = plain.str.extract(r"^-?0*([0-9]*)")
    fraction = plain.str.extract(r"\.([0-9]+)$").fill_null("").str.strip_chars_end("0")
    fits = whole.str.len_bytes().cast(pl.Int64) + digits <= len(str(MAX_MINOR))
    kept = (fraction + pl.lit("0000")).str.slice(0, digits)
    minor = pl.when(fits).then(whole + kept).str.replace("^$", "0").cast(pl.Int64)
    if dialect.mapping.rounding == "round":
        half = fraction.str.slice(digits, 1).str.contains("[5-9]")
        minor += half.cast(pl.Int64)
    else:
        minor = pl.when(fraction.str.len_bytes().cast(pl.Int64) <= digits).then(minor)
    sign = pl.when(plain.str.starts_with("-")).then(-1).otherwise(1)
    return pl.when((minor <= MAX_MINOR) & (factor > 0)).then(minor * sign)


# --- rules ---


@dataclass(frozen=True)
class Rule:
    """`broken` is true where a row breaks it. `holds` tells with less work that none of a block does; None: by looking at every row."""

    broken: "pl.Expr"
    holds: "pl.Expr | bool | None" = None


def _column_rules(column: Column, dialect: Dialect, seen: Seen) -> dict[str, Rule]:  # noqa: PLR0911 - one answer per type
    import polars as pl

    text, value = pl.col(column.name), _typed(column.name)
    unread = Rule(text.is_not_null() & value.is_null(), value.null_count() == text.null_count())
    match column.type:
        case "id" | "line" | "ids" | "text":
            shown = text if column.type == "id" else value if column.type == "line" else text.str.replace_all(r"[\n\t]", " ")
            return {
                "characters": Rule((text if column.type == "ids" else shown).str.contains("[\\p{Cc}\ufffd]"), seen.is_plain or None),
                "too_long": Rule(
                    text.str.len_chars() > MAX_LENGTH[column.type], text.str.len_bytes().max().fill_null(0) <= MAX_LENGTH[column.type]
                ),
            }
        case "date":
            is_early, is_late = value.min() < FIRST, value.max() > LAST
            in_range = Rule(~value.is_between(FIRST, LAST), ~(is_early | is_late).fill_null(value=False))
            return {"date": unread, "date_range": in_range}
        case "instant":
            return {"instant": unread, "date_range": Rule(~value.dt.date().is_between(FIRST, LAST))}
        case "currency":
            return {"currency": _one_of(column, [code for code in EXPONENTS if is_payable(code)], dialect, seen)}
        case "choice":
            return {"choice": _one_of(column, list(column.choices), dialect, seen)}
        case "boolean":
            return {"boolean": unread}
        case "integer":
            return {"integer": Rule(unread.broken | ~value.is_between(column.least, column.most))}
        case "amount":
            return _amount_rules(column, dialect, seen)


def _one_of(column: Column, allowed: list[str], dialect: Dialect, seen: Seen) -> Rule:
    holds = column.name in seen.values and set(_parsed_values(column, dialect, seen).values()) <= set(allowed)
    return Rule(~_typed(column.name).is_in(allowed), holds or None)


def _amount_rules(column: Column, dialect: Dialect, seen: Seen) -> dict[str, Rule]:
    import polars as pl

    text = pl.col(column.name)
    plain = _amount_text(text, dialect)
    is_alike = column.name in seen.alike or None  # digits of its currency and no more, no sign, not too many
    is_zero = ~plain.str.contains("[1-9]")
    rules = {
        "amount_format": Rule(text.is_not_null() & plain.is_null(), is_alike),
        "amount_negative": Rule(plain.str.starts_with("-"), is_alike),
    }
    if column.least > 0:
        rules["amount_zero"] = Rule(is_zero, is_alike and (_typed(column.name).min() > 0).fill_null(value=True))
    if not column.has_currency:
        return {**rules, "amount_too_large": Rule(plain.str.extract(r"^-?0*([0-9]*)").str.len_bytes() >= len(str(MAX_MINOR)))}
    digits = _typed("currency").replace_strict({c: e for c, e in EXPONENTS.items() if is_payable(c)}, default=None, return_dtype=pl.Int64)
    unread = _typed(column.name).is_null() & plain.is_not_null() & digits.is_not_null()
    is_fine = plain.str.extract(r"\.([0-9]+)$").fill_null("").str.strip_chars_end("0").str.len_bytes().cast(pl.Int64) > digits
    is_refused = is_fine if dialect.mapping.rounding == "refuse" else pl.lit(value=False)
    return {
        **rules,
        "amount_precision": Rule(unread & is_refused, is_alike),
        "amount_too_large": Rule(unread & ~is_refused, is_alike),
    }


def schema(feed: Feed, dialect: Dialect, checked: "pl.DataFrame | None" = None, seen: Seen = Seen()) -> "pa.DataFrameSchema":
    """The pandera schema of a feed's texts; its checks look at the typed columns beside them.

    Made for the block `checked`, a check that is known to hold for all of it says so without looking at its rows again.
    """
    import pandera.polars as pa
    import polars as pl

    rules = {(column.name, name): rule for column in feed.columns for name, rule in _column_rules(column, dialect, seen).items()}
    rules |= {(rule.column, rule.name): Rule(rule.broken()) for rule in feed.row_rules}
    held = {key for key, rule in rules.items() if rule.holds is True}
    if checked is not None:
        asked = [key for key in rules if key not in held]
        holds = [rule.holds if isinstance((rule := rules[key]).holds, pl.Expr) else ~rule.broken.any() for key in asked]
        told = checked.select(expr.alias(str(i)) for i, expr in enumerate(holds)).row(0)
        held |= {key for key, is_held in zip(asked, told, strict=True) if is_held}

    def check(key: tuple[str, str]) -> "pa.Check":
        passes = ~rules[key].broken.fill_null(value=False)

        def look_at(data: Any) -> Any:
            return True if key in held else data.lazyframe.select(passes.alias(data.key))

        return pa.Check(look_at, name=key[1], error=key[1], ignore_na=False)

    return pa.DataFrameSchema(
        {
            column.name: pa.Column(
                pl.String,
                nullable=not column.is_required,
                description=column.description,
                checks=[check(key) for key in rules if key[0] == column.name],
            )
            for column in feed.columns
        },
        name=feed.name,
        description=feed.description,
    )
