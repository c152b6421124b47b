"""Small books for the matching tests: facts in, the tables of the stages upstream of matching out.

No rule of matching belongs here; `oracle.py` has them in Python, sql/warehouse/matching in SQL.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb

from ptp_pipeline.warehouse.allocation import PYTHON_STEPS
from ptp_pipeline.warehouse.models import MODELS, create_table, stage_models

CHECKS = MODELS / "checks"
EXPONENTS = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}


def day(text: str) -> date:
    """`03-15` of the year every book plays in."""
    return date.fromisoformat(f"2026-{text}")


@dataclass(frozen=True)
class Installment:
    sequence: int
    due_date: date
    amount_minor: int
    is_down_payment: bool = False


@dataclass
class Version:
    commitment_id: str
    version: int
    kind: str
    customer_id: str
    currency: str
    agreed_on: date
    installments: list[Installment]
    invoice_ids: list[str]
    decision: str | None = "approve"
    cancelled_on: date | None = None
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


@dataclass
class Book:
    as_of: date = date(2026, 6, 30)
    window_days: int = 7
    versions: list[Version] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    overrides: dict[str, str | None] = field(default_factory=dict)
    invoiced_customers: list[str] = field(default_factory=list)

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
                Installment(n, day(due), amount, is_down_payment=down_payment and n == 1) for n, (due, amount) in enumerate(dues, 1)
            ],
            invoice_ids=list(invoices),
            decision=decision,
            cancelled_on=day(cancelled_on) if cancelled_on else None,
        )
        self.versions.append(version)
        return version

    def pay(self, payment_id: str, received: str, amount_minor: int, customer: str = "K1", **columns: Any) -> None:
        self.payments.append(Payment(payment_id, customer, day(received), amount_minor, **columns))

    def reverse(
        self, payment_id: str, reverses: str | None, received: str, amount_minor: int, customer: str = "K1", **columns: Any
    ) -> None:
        self.pay(payment_id, received, amount_minor, customer, kind="reversal", reverses_payment_id=reverses, **columns)

    def approved(self) -> list[Version]:
        """Versions as core.versions has them: approved, agreed by as_of, with the day on which they stop being in force."""
        versions = [v for v in self.versions if v.decision == "approve" and v.agreed_on <= self.as_of]
        for version in versions:
            later = [v.agreed_on for v in versions if v.commitment_id == version.commitment_id and v.version > version.version]
            ends = [*later, *([version.cancelled_on] if version.cancelled_on and version.cancelled_on <= self.as_of else [])]
            version.effective_to = max(version.agreed_on, min(ends)) if ends else None
        return versions

    def load(self, con: duckdb.DuckDBPyConnection, seed: int = 0) -> None:
        """Create the tables matching reads, their rows shuffled by `seed`."""
        for schema in ("ledger", "raw", "core", "matching"):
            con.execute(f"create schema {schema}")
        approved = self.approved()
        first = {v.commitment_id: v for v in reversed(self.versions)}
        tables: dict[str, list[tuple[Any, ...]]] = {
            "ledger.params(as_of date, exact_amount_window_days int)": [(self.as_of, self.window_days)],
            "ledger.currencies(currency varchar, exponent int)": list(EXPONENTS.items()),
            "ledger.commitments(commitment_id varchar, kind varchar, customer_id varchar, currency varchar)": [
                (v.commitment_id, v.kind, v.customer_id, v.currency) for v in first.values()
            ],
            "ledger.versions(commitment_id varchar, version int, agreed_on date, decision varchar, cancelled_on date)": [
                (v.commitment_id, v.version, v.agreed_on, v.decision, v.cancelled_on) for v in self.versions
            ],
            "ledger.overrides(payment_id varchar, commitment_id varchar, decided_by varchar, reason varchar)": [
                (payment, commitment, "ann", "told by phone") for payment, commitment in self.overrides.items()
            ],
            "core.customers(customer_id varchar)": [(c,) for c in self.invoiced_customers],
            "core.invoices(customer_id varchar)": [(c,) for c in self.invoiced_customers],
            "core.versions(commitment_id varchar, version int, kind varchar, customer_id varchar, currency varchar,"
            " effective_from date, effective_to date)": [
                (v.commitment_id, v.version, v.kind, v.customer_id, v.currency, v.agreed_on, v.effective_to) for v in approved
            ],
            "core.installments(commitment_id varchar, version int, sequence int, is_down_payment bool, due_date date,"
            " amount_minor bigint)": [
                (v.commitment_id, v.version, i.sequence, i.is_down_payment, i.due_date, i.amount_minor)
                for v in approved
                for i in v.installments
            ],
            "core.commitment_invoices(commitment_id varchar, version int, invoice_id varchar)": [
                (v.commitment_id, v.version, invoice) for v in approved for invoice in v.invoice_ids
            ],
            "raw.payments(payment_id varchar, customer_id varchar, received_date date, amount_minor bigint, currency varchar, kind varchar,"
            " reverses_payment_id varchar, invoice_id varchar, commitment_id varchar, reference varchar, method varchar,"
            " file_sha256 varchar, line_number int)": [
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
        for table, rows in tables.items():
            con.execute(f"create table {table}")
            if rows:
                shuffled = random.Random(seed).sample(rows, len(rows))
                marks = ",".join([f"({','.join('?' * len(rows[0]))})"] * len(rows))
                con.execute(f"insert into {table.split('(')[0]} values {marks}", [value for row in shuffled for value in row])


@dataclass
class Matched:
    """The stage's tables, in the order in which the statements wrote them."""

    payments: list[dict[str, Any]]
    allocations: list[dict[str, Any]]
    allocation_history: list[dict[str, Any]]
    violations: dict[str, list[Any]]

    def payment(self, payment_id: str) -> dict[str, Any]:
        (row,) = (p for p in self.payments if p["payment_id"] == payment_id)
        return row

    def applied(self) -> list[tuple[str, str, int, int, int]]:
        return [(a["payment_id"], a["commitment_id"], a["version"], a["sequence"], a["amount_minor"]) for a in self.allocations]


def match(book: Book, seed: int = 0, threads: int = 1) -> Matched:
    """Run sql/warehouse/matching and its checks over a book."""
    with duckdb.connect(":memory:", config={"threads": threads, "preserve_insertion_order": False}) as con:
        book.load(con, seed)
        for model in stage_models("matching"):
            create_table(con, model)
            if step := PYTHON_STEPS.get(model.table):
                step(con)
        return Matched(
            **{table: rows(con, f"matching.{table}") for table in ("payments", "allocations", "allocation_history")},
            violations={path.stem: con.execute(path.read_text()).fetchall() for path in sorted(CHECKS.glob("matching_*.sql"))},
        )


def rows(con: duckdb.DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    names = [column[0] for column in con.execute(f"describe {table}").fetchall()]
    return [dict(zip(names, row, strict=True)) for row in con.execute(f"select * from {table}").fetchall()]
