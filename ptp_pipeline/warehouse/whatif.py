"""What would have become of a payment if one fact about it were different: sql/warehouse/matching, run again on one customer's book.

No rule of matching is here, only which fact is changed. The customer's part of the facts is taken from the warehouse of the last run and
matched once as it is; each alternative is a small in-memory database of its own, so they run side by side.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse import increment
from ptp_pipeline.warehouse.allocation import PYTHON_STEPS
from ptp_pipeline.warehouse.models import Model, Warehouse, sql_text, stage_models

if TYPE_CHECKING:
    import duckdb

RULES = ("next", "last", "spread", "hold")
# A payment over more versions than this is told about the first of them: each costs three runs.
_MOST_VERSIONS = 2
_UPSTREAM = ("ledger", "raw", "core")
# The catalogs: views of the whole book are in the first; `part` and one for each alternative beside it.
_WAREHOUSE = "memory"
# The customer's part of each table; what is not named here is small and taken whole. Commitments of others matter where this customer's
# payments, or decisions on them, name one.
_THEIRS = {
    "raw.payments": "customer_id = $customer",
    "ledger.overrides": "payment_id in (select payment_id from raw.payments)",
    "ledger.commitments": "customer_id = $customer or commitment_id in (select commitment_id from raw.payments)"
    " or commitment_id in (select commitment_id from ledger.overrides)",
    "ledger.versions": "commitment_id in (select commitment_id from ledger.commitments)",
    "raw.invoices": "customer_id = $customer",
    "core.customers": "customer_id = $customer",
    "core.invoices": "customer_id = $customer",
    "core.versions": "customer_id = $customer",
    "core.installments": "commitment_id in (select commitment_id from core.versions)",
    "core.commitment_invoices": "commitment_id in (select commitment_id from core.versions)",
}
# How each way of routing a payment loses what it goes by. Being exactly the amount of an installment is not a fact of its own, so there the
# finding is taken away instead, right after it was made.
_WITHOUT = {
    "override": "delete from ledger.overrides where payment_id = $payment",
    "commitment_id": "update raw.payments set commitment_id = null where payment_id = $payment",
    "invoice_id": "update raw.payments set invoice_id = null where payment_id = $payment",
    "reference": "update raw.payments set reference = null where payment_id = $payment",
    "exact_amount": "delete from matching.exact_amounts"
    " where receipt_key in (select receipt_key from matching.receipts where payment_id = $payment)",
}
_OTHER_RULE = "update core.versions set overpayment_rule = $rule where commitment_id = $commitment and version = $version"
_PLACES = """
select a.commitment_id, a.version, a.sequence, d.due_date, a.amount_minor, a.received_date, a.applied_on, a.matched_by
from matching.allocations as a
left join core.installments as d on a.commitment_id = d.commitment_id and a.version = d.version and a.sequence = d.sequence
where a.payment_id = $payment
order by a.applied_on, d.due_date, a.commitment_id, a.version, a.sequence
"""


@dataclass(frozen=True)
class Place:
    """Where a part of a payment is applied. `due_date` is NULL of an installment a chargeback added."""

    commitment_id: str
    version: int
    sequence: int
    due_date: date | None
    amount_minor: int
    received_date: date
    applied_on: date
    matched_by: str


@dataclass(frozen=True)
class Change:
    """One fact that is changed: the evidence a payment was routed by is taken away, or a version has another overpayment rule."""

    fact: str
    commitment_id: str = ""
    version: int = 0
    was: str = ""
    becomes: str = ""


@dataclass(frozen=True)
class Alternative:
    """What became of the payment, and what would have."""

    change: Change
    now: tuple[Place, ...]
    otherwise: tuple[Place, ...]

    def gained(self) -> list[Place]:
        return _more(self.otherwise, self.now)

    def lost(self) -> list[Place]:
        return _more(self.now, self.otherwise)


def alternatives(settings: Settings, org: str, payment_id: str, as_of: date) -> list[Alternative]:
    """What the last run of the org would have done with a payment had one fact been different.

    Raises WorkFailed when the tables of that run are gone, answer for another date, or are being replaced.
    """
    import duckdb

    whole, part = Warehouse(settings, org), increment.warehouse(settings, org)
    if not all(part.stage_dir(stage).is_dir() for stage in (*_UPSTREAM, "matching")):
        raise WorkFailed("The tables of the last run are not there any more.")
    try:
        with part.open_for("outcomes") as con:
            _require_day(con, as_of)
            if customer := _customer(con, payment_id):
                return _asked(con, payment_id, customer, _UPSTREAM, settings.duckdb_threads)
        # An increment makes core for its customers only; the facts of the others are those of the whole book.
        with whole.connect(increment.CUT) as con:
            _require_day(con, as_of)
            if customer := _customer(con, payment_id):
                return _asked(con, payment_id, customer, ("ledger", "raw"), settings.duckdb_threads)
    except duckdb.Error as error:  # a run replaces the tables while we read them
        raise WorkFailed(f"The tables of the last run could not be read: {str(error).splitlines()[0]}") from error
    raise WorkFailed(f"The tables of the last run do not have {payment_id}.")


def _require_day(con: "duckdb.DuckDBPyConnection", as_of: date) -> None:
    if con.execute("select as_of from ledger.params").fetchall() != [(as_of,)]:
        raise WorkFailed(f"The tables of the last run answer for another day than {as_of}.")


def _customer(con: "duckdb.DuckDBPyConnection", payment_id: str) -> str | None:
    found = con.execute("select customer_id from raw.payments where payment_id = $payment", {"payment": payment_id}).fetchone()
    return found[0] if found else None


def _asked(con: "duckdb.DuckDBPyConnection", payment_id: str, customer: str, stages: tuple[str, ...], threads: int) -> list[Alternative]:
    """Match the customer's part of `stages` as it is, and once for each change. Stages before matching that are not there are made."""
    con.execute("attach ':memory:' as part; use part")
    for stage in _UPSTREAM:
        con.execute(f"create schema {stage}")
    for table in _facts(stages):
        where = _THEIRS.get(table, "true").replace("$customer", sql_text(customer))
        con.execute(f"create table {table} as select * from {_WAREHOUSE}.{table} where {where}")
    for stage in (stage for stage in _UPSTREAM if stage not in stages):
        _run(con, stage_models(stage))
    con.execute("create schema matching")
    _run(con, _models("payments"))
    now = _places(con, payment_id)
    changes = _changes(con, payment_id, now)
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        results = list(pool.map(lambda one: _places_otherwise(con, payment_id, *one), enumerate(changes)))
    return [Alternative(change, now, otherwise) for change, otherwise in zip(changes, results, strict=True)]


def _changes(con: "duckdb.DuckDBPyConnection", payment_id: str, now: tuple[Place, ...]) -> list[Change]:
    """What is worth asking: the evidence it was routed by, and the other rules of the versions it pays, or waits for."""
    key = {"payment": payment_id}
    ((routed_by, decided, named),) = con.execute(
        "select m.matched_by, p.payment_id in (select payment_id from ledger.overrides), list_filter(["
        "if(p.commitment_id is not null, 'commitment_id', null), if(p.invoice_id is not null, 'invoice_id', null),"
        " if(p.reference is not null, 'reference', null)], lambda name: name is not null)"
        " from matching.payments as m inner join raw.payments as p on m.payment_id = p.payment_id where m.payment_id = $payment",
        key,
    ).fetchall()
    # What names a place that cannot take it is evidence too.
    facts = {"override"} if decided else {place.matched_by for place in now} | ({routed_by} if routed_by else set(named))
    paid = list(dict.fromkeys((place.commitment_id, place.version) for place in now))
    rules = con.execute(
        "select commitment_id, version, overpayment_rule from core.versions order by 1, 2"
        if paid
        else "select v.commitment_id, v.version, v.overpayment_rule from core.versions as v inner join matching.payments as p"
        " on v.commitment_id = p.target_commitment_id and p.received_date >= v.effective_from"
        " and (v.effective_to is null or p.received_date < v.effective_to)"
    ).fetchall()
    versions = [row for row in rules if not paid or row[:2] in paid][:_MOST_VERSIONS]
    return [Change(fact) for fact in _WITHOUT if fact in facts] + [
        Change("overpayment_rule", commitment, version, rule, other)
        for commitment, version, rule in versions
        for other in RULES
        if other != rule
    ]


def _places_otherwise(con: "duckdb.DuckDBPyConnection", payment_id: str, number: int, change: Change) -> tuple[Place, ...]:
    """Where the payment goes in the customer's book with the change made: the stage's models and steps, in their own database."""
    with con.cursor() as cursor:
        cursor.execute(f"attach ':memory:' as case_{number}; use case_{number}")
        for schema in (*_UPSTREAM, "matching"):
            cursor.execute(f"create schema {schema}")
        for table in _facts(_UPSTREAM):
            cursor.execute(f"create table {table} as from part.{table}")
        if change.fact == "overpayment_rule":
            cursor.execute(_OTHER_RULE, {"rule": change.becomes, "commitment": change.commitment_id, "version": change.version})
        elif change.fact != "exact_amount":
            cursor.execute(_WITHOUT[change.fact], {"payment": payment_id})
        for model in _models("allocations"):
            _run(cursor, [model])
            if model.table == change.fact + "s":
                cursor.execute(_WITHOUT[change.fact], {"payment": payment_id})
        places = _places(cursor, payment_id)
        cursor.execute("use part")
        return places


def _places(con: "duckdb.DuckDBPyConnection", payment_id: str) -> tuple[Place, ...]:
    rows = con.execute(_PLACES, {"payment": payment_id}).fetchall()
    return tuple(Place(*row) for row in rows)


def _more(these: Sequence[Place], those: Sequence[Place]) -> list[Place]:
    """What is in these and not in those: on the same installment, on the same day, only the difference."""
    there = {_line(place): place.amount_minor for place in those}
    return [
        replace(place, amount_minor=place.amount_minor - there.get(_line(place), 0))
        for place in these
        if place.amount_minor > there.get(_line(place), 0)
    ]


def _line(place: Place) -> tuple[str, int, int, date]:
    return place.commitment_id, place.version, place.sequence, place.applied_on


def _run(con: "duckdb.DuckDBPyConnection", models: Sequence[Model]) -> None:
    for model in models:
        con.execute(f"create {'view' if model.is_view else 'table'} {model.name} as\n{model.sql}")
        if step := PYTHON_STEPS.get(model.table):
            step(con)


@lru_cache
def _models(last: str) -> tuple[Model, ...]:
    """The models of matching up to one of them, in the order they are made, without those that only suggestions need."""
    models = stage_models("matching")
    until = [model.table for model in models].index(last)
    return tuple(model for model in models[: until + 1] if not model.table.startswith("suggestion"))


@lru_cache
def _facts(stages: tuple[str, ...]) -> tuple[str, ...]:
    """Tables of these stages that later ones read, those first that others are filtered by."""
    later = [*_models("payments"), *(model for stage in _UPSTREAM if stage not in stages for model in stage_models(stage))]
    read = {name for model in later for name in model.references if name.split(".")[0] in stages}
    return (*(name for name in _THEIRS if name in read), *sorted(read - _THEIRS.keys()))
