"""Small books for the matching tests: facts in, the tables of the stages upstream of matching out.

No rule of matching belongs here; `oracle.py` has them in Python, sql/warehouse/matching in SQL.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

from ptp_pipeline.warehouse.allocation import PYTHON_STEPS
from ptp_pipeline.warehouse.models import MODELS, create_table, stage_models

CHECKS = MODELS / "checks"
EXPONENTS = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}
OVERPAYMENT_RULES = ("next", "last", "spread", "hold")


def day(text: str) -> date:
    """`03-15` of the year every book plays in."""
    return date.fromisoformat(f"2026-{text}")


@dataclass(frozen=True)
class Installment:
    sequence: int
    due_date: date
    amount_minor: int
    is_down_payment: bool = False
    grace_days: int = 0
    nominal_due_date: date | None = None


@dataclass(frozen=True)
class Version:
    commitment_id: str
    version: int
    kind: str
    customer_id: str
    currency: str
    agreed_on: date
    installments: Sequence[Installment]
    invoice_ids: Sequence[str]
    decision: str | None = "approve"
    cancelled_on: date | None = None
    overpayment_rule: str = "next"
    effective_to: date | None = None

    def is_in_force(self, on: date) -> bool:
        return self.agreed_on <= on and (self.effective_to is None or on < self.effective_to)


@dataclass(frozen=True)
class Payment:
    payment_id: str
    customer_id: str
    received_date: date
    amount_minor: int
    currency: str = "USD"
    kind: str = "payment"
    reverses_payment_id: str | None = None
    invoice_id: str | None = None
    commitment_id: str | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Decision:
    """One row of a person's decision where a payment belongs."""

    payment_id: str
    commitment_id: str | None
    part: int = 1
    amount_minor: int | None = None


@dataclass
class Book:
    as_of: date = date(2026, 6, 30)
    window_days: int = 7
    versions: list[Version] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    invoiced_customers: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def commit(
        self,
        commitment_id: str,
        agreed_on: str,
        *dues: tuple[str, int],
        customer: str = "K1",
        currency: str = "USD",
        kind: str = "",
        invoices: Iterable[str] = (),
        decision: str | None = "approve",
        cancelled_on: str | None = None,
        down_payment: bool = False,
        rule: str = "next",
        grace_days: int = 0,
    ) -> Version:
        """A further version of a commitment; `dues` are (date, minor units) pairs."""
        version = Version(
            commitment_id=commitment_id,
            version=1 + sum(v.commitment_id == commitment_id for v in self.versions),
            kind=kind or ("plan" if len(dues) > 1 else "promise"),
            customer_id=customer,
            currency=currency,
            agreed_on=day(agreed_on),
            installments=[
                Installment(n, day(due), amount, is_down_payment=down_payment and n == 1, grace_days=grace_days)
                for n, (due, amount) in enumerate(dues, 1)
            ],
            invoice_ids=list(invoices),
            decision=decision,
            cancelled_on=day(cancelled_on) if cancelled_on else None,
            overpayment_rule=rule,
        )
        self.versions.append(version)
        return version

    def pay(self, payment_id: str, received: str, amount_minor: int, customer: str = "K1", **columns: Any) -> None:
        self.payments.append(Payment(payment_id, customer, day(received), amount_minor, **columns))

    def reverse(self, payment_id: str, named: str | None, received: str, amount_minor: int, customer: str = "K1", **columns: Any) -> None:
        self.pay(payment_id, received, amount_minor, customer, kind="reversal", reverses_payment_id=named, **columns)

    def chargeback(
        self, payment_id: str, named: str | None, received: str, amount_minor: int, customer: str = "K1", **columns: Any
    ) -> None:
        self.pay(payment_id, received, amount_minor, customer, kind="chargeback", reverses_payment_id=named, **columns)

    def refund(self, payment_id: str, named: str | None, received: str, amount_minor: int, customer: str = "K1", **columns: Any) -> None:
        self.pay(payment_id, received, amount_minor, customer, kind="refund", reverses_payment_id=named, **columns)

    def assign(self, payment_id: str, commitment_id: str | None) -> None:
        """A person says where all of a payment belongs; nothing to set it aside."""
        self.decisions.append(Decision(payment_id, commitment_id))

    def split(self, payment_id: str, *parts: tuple[str | None, int]) -> None:
        """A person cuts a payment into parts, each for a commitment or set aside."""
        self.decisions += [Decision(payment_id, commitment, n, amount) for n, (commitment, amount) in enumerate(parts, 1)]

    def customers(self) -> list[str]:
        """Everybody who was invoiced, committed or paid."""
        return sorted({*self.invoiced_customers, *(v.customer_id for v in self.versions), *(p.customer_id for p in self.payments)})

    def approved(self) -> list[Version]:
        """Versions as core.versions has them: approved, agreed by as_of, with the day on which they stop being in force."""
        versions = [v for v in self.versions if v.decision == "approve" and v.agreed_on <= self.as_of]
        ended = []
        for version in versions:
            later = [v.agreed_on for v in versions if v.commitment_id == version.commitment_id and v.version > version.version]
            ends = [*later, *([version.cancelled_on] if version.cancelled_on and version.cancelled_on <= self.as_of else [])]
            ended.append(replace(version, effective_to=max(version.agreed_on, min(ends)) if ends else None))
        return ended

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Rows of each table of SCHEMA."""
        approved = self.approved()
        first = {v.commitment_id: v for v in reversed(self.versions)}
        decided_at = datetime(2026, 6, 1, 9, tzinfo=UTC)
        return {
            "ledger.params": [(self.as_of, self.window_days, "following", 0)],
            "ledger.currencies": list(EXPONENTS.items()),
            "ledger.commitments": [(v.commitment_id, v.kind, v.customer_id, v.currency) for v in first.values()],
            "ledger.versions": [(v.commitment_id, v.version, v.agreed_on, v.decision, v.cancelled_on) for v in self.versions],
            "ledger.overrides": [
                (d.payment_id, d.part, d.commitment_id, d.amount_minor, "ann", decided_at, "told by phone") for d in self.decisions
            ],
            "core.customers": [(customer, self.names.get(customer, customer)) for customer in self.customers()],
            "core.invoices": [(f"of-{customer}", customer) for customer in self.invoiced_customers],
            "core.versions": [
                (
                    v.commitment_id,
                    v.version,
                    v.kind,
                    v.customer_id,
                    v.currency,
                    v.agreed_on,
                    v.overpayment_rule,
                    v.agreed_on,
                    v.effective_to,
                )
                for v in approved
            ],
            "core.installments": [
                (
                    v.commitment_id,
                    v.version,
                    i.sequence,
                    i.is_down_payment,
                    i.nominal_due_date or i.due_date,
                    i.due_date,
                    i.grace_days,
                    i.amount_minor,
                )
                for v in approved
                for i in v.installments
            ],
            "core.commitment_invoices": [(v.commitment_id, v.version, invoice) for v in approved for invoice in v.invoice_ids],
            "raw.payments": [
                (
                    p.payment_id,
                    p.customer_id,
                    p.received_date,
                    p.amount_minor,
                    p.currency,
                    p.kind,
                    p.reverses_payment_id,
                    p.invoice_id,
                    p.commitment_id,
                    p.reference,
                    "wire",
                    "f00d",
                    line,
                )
                for line, p in enumerate(self.payments, 2)
            ],
        }

    def load(self, con: duckdb.DuckDBPyConnection, seed: int = 0) -> None:
        """Create the tables matching reads, their rows shuffled by `seed`. Through Arrow: parameters cost more than the matching."""
        for schema in ("ledger", "raw", "core", "matching"):
            con.execute(f"create schema {schema}")
        for name, rows in self.tables().items():
            schema = arrow_schema(name)
            shuffled = random.Random(seed).sample(rows, len(rows))
            columns = zip(*shuffled, strict=True) if rows else [()] * len(schema)
            data = pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
            con.register("data", data)
            con.execute(f"create table {name} as from data")
            con.unregister("data")


SCHEMA = {
    "ledger.params": "as_of date, exact_amount_window_days int, business_day_rule text, grace_days int",
    "ledger.currencies": "currency text, exponent int",
    "ledger.commitments": "commitment_id text, kind text, customer_id text, currency text",
    "ledger.versions": "commitment_id text, version int, agreed_on date, decision text, cancelled_on date",
    "ledger.overrides": "payment_id text, part int, commitment_id text, amount_minor big, decided_by text, decided_at time, reason text",
    "core.customers": "customer_id text, customer_name text",
    "core.invoices": "invoice_id text, customer_id text",
    "core.versions": "commitment_id text, version int, kind text, customer_id text, currency text, agreed_on date, overpayment_rule text,"
    " effective_from date, effective_to date",
    "core.installments": "commitment_id text, version int, sequence int, is_down_payment bool, nominal_due_date date, due_date date,"
    " grace_days int, amount_minor big",
    "core.commitment_invoices": "commitment_id text, version int, invoice_id text",
    "raw.payments": "payment_id text, customer_id text, received_date date, amount_minor big, currency text, kind text,"
    " reverses_payment_id text, invoice_id text, commitment_id text, reference text, method text, file_sha256 text, line_number int",
}
ARROW = {
    "text": pa.string(),
    "date": pa.date32(),
    "int": pa.int32(),
    "big": pa.int64(),
    "bool": pa.bool_(),
    "time": pa.timestamp("us", "UTC"),
}
ORDER = {
    "payments": "payment_id",
    "allocations": "payment_id, commitment_id, version, sequence, applied_on, amount_minor",
    "allocation_history": "commitment_id, version, sequence, received_date, payment_id, valid_from nulls first, applied_on, amount_minor",
    "debits": "commitment_id, version, sequence, payment_id, valid_from nulls first",
    "returns": "payment_id, returned_by",
    "decisions": "payment_id, part",
}
KEPT = tuple(ORDER)


@cache
def arrow_schema(table: str) -> pa.Schema:
    return pa.schema([(column.split()[0], ARROW[column.split()[1]]) for column in SCHEMA[table].split(",")])


@dataclass
class Matched:
    """The stage's tables, in the order of ORDER: the statements promise none."""

    payments: list[dict[str, Any]]
    allocations: list[dict[str, Any]]
    allocation_history: list[dict[str, Any]]
    debits: list[dict[str, Any]]
    returns: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    violations: dict[str, list[Any]]

    def payment(self, payment_id: str) -> dict[str, Any]:
        (row,) = (p for p in self.payments if p["payment_id"] == payment_id)
        return row

    def applied(self) -> list[tuple[str, str, int, int, int]]:
        return [(a["payment_id"], a["commitment_id"], a["version"], a["sequence"], a["amount_minor"]) for a in self.allocations]


def match(book: Book, seed: int = 0, threads: int = 1, memory_limit: str = "1GB") -> Matched:
    """Run sql/warehouse/matching and its checks over a book."""
    config = {"threads": threads, "memory_limit": memory_limit, "preserve_insertion_order": False}
    with duckdb.connect(":memory:", config=config) as con:
        con.execute("set timezone = 'UTC'")
        book.load(con, seed)
        for model in stage_models("matching"):
            if model.table.startswith("suggestion"):  # they only read what is here, and have tests of their own
                continue
            create_table(con, model)
            if step := PYTHON_STEPS.get(model.table):
                step(con)
        return Matched(
            **{table: rows(con, f"matching.{table}", order) for table, order in ORDER.items()},
            violations={path.stem: con.execute(path.read_text()).fetchall() for path in sorted(CHECKS.glob("matching_*.sql"))},
        )


def rows(con: duckdb.DuckDBPyConnection, table: str, order: str = "all") -> list[dict[str, Any]]:
    found = con.execute(f"from {table} order by {order}")
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
