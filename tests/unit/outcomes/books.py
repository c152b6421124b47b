"""A small book for tests: commitments and payments in, the tables upstream of outcomes out, in a DuckDB in memory.

Money is spread over installments by the plainest possible replay of rule `next`. Nothing of what is tested is used here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import duckdb

from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.models import connect, create_table, stage_models

UPSTREAM = """
create schema ledger; create schema core; create schema matching; create schema raw;
create table ledger.params (org_id varchar, as_of date, currency varchar, timezone varchar, business_day_rule varchar, grace_days integer,
    exact_amount_window_days integer, due_soon_days integer, default_after_broken integer, ledger_position bigint, policy_version integer);
create table ledger.kind_policy (kind varchar, tolerance_amount decimal(18, 3), tolerance_percent decimal(9, 4));
create table ledger.currencies (currency varchar, exponent integer);
create table ledger.commitments (commitment_id varchar, kind varchar, customer_id varchar, currency varchar, owner varchar, channel varchar,
    contact_name varchar, contact_email varchar, confidence integer, confidence_reason varchar, note varchar, evidence_link varchar,
    logged_by varchar, logged_at timestamptz, source varchar, file_sha256 varchar, line_number integer);
create table ledger.versions (commitment_id varchar, version integer, agreed_on date, amount_minor bigint, total_minor bigint,
    discount_minor bigint, down_payment_minor bigint, frequency varchar, installment_count integer, first_due_date date,
    grace_days integer, overpayment_rule varchar, invoice_ids varchar[],
    custom_schedule struct(sequence integer, due_date date, amount_minor bigint, grace_days integer)[], terms_digest varchar,
    logged_by varchar, logged_at timestamptz, decision varchar, decided_by varchar, decided_role varchar, decided_at timestamptz,
    decision_reason varchar, cancelled_on date, cancel_reason varchar, is_paused boolean);
create table core.versions (commitment_id varchar, version integer, kind varchar, customer_id varchar, currency varchar, owner varchar,
    agreed_on date, amount_minor bigint, total_minor bigint, discount_minor bigint, invoice_ids varchar[], is_paused boolean,
    effective_from date, effective_to date, end_kind varchar);
create table core.installments (commitment_id varchar, version integer, sequence integer, is_down_payment boolean,
    nominal_due_date date, due_date date, grace_days integer, amount_minor bigint);
create table core.commitment_invoices (commitment_id varchar, version integer, invoice_id varchar);
create table core.invoices (invoice_id varchar, customer_id varchar, customer_name varchar, invoice_date date, due_date date,
    amount_minor bigint, open_amount_minor bigint, currency varchar, customer_email varchar, segment varchar, owner varchar,
    disputed boolean, deduction_count integer, settled_date date, file_sha256 varchar, file_sequence bigint, line_number integer);
create table core.customers (customer_id varchar, customer_name varchar, customer_email varchar, segment varchar, owner varchar);
create table matching.payments (payment_id varchar, customer_id varchar, currency varchar, kind varchar, received_date date,
    amount_minor bigint, reversed_minor bigint, allocated_minor bigint, unapplied_minor bigint, match_status varchar,
    matched_by varchar, target_commitment_id varchar, reason varchar, reference varchar, method varchar, invoice_id varchar,
    commitment_id varchar, reverses_payment_id varchar, file_sha256 varchar, line_number integer);
create table matching.allocations (payment_id varchar, commitment_id varchar, version integer, sequence integer, amount_minor bigint,
    received_date date, matched_by varchar, explanation varchar);
create table matching.allocation_history (commitment_id varchar, version integer, sequence integer, payment_id varchar,
    received_date date, amount_minor bigint, valid_from date, valid_to date);
create table raw.quarantine (feed varchar, file_name varchar, file_sha256 varchar, line_number integer, column_name varchar,
    value varchar, rule varchar, message varchar);
create table raw.files (file_sha256 varchar, file_sequence bigint, feed varchar, file_name varchar, received_at timestamp,
    rows_in bigint, rows_loaded bigint, rows_quarantined bigint, rows_duplicate bigint);
insert into ledger.currencies values ('USD', 2), ('EUR', 2), ('JPY', 0), ('KWD', 3);
"""


def day(text: str | date) -> date:
    return text if isinstance(text, date) else date.fromisoformat(text)


@dataclass(frozen=True)
class Installment:
    """One line of a schedule: due date, amount in minor units, days of grace."""

    due_date: date
    amount: int
    grace_days: int = 0


@dataclass
class Version:
    """Terms of a commitment. `ended` is (kind, date) of its cancellation; supersession follows from the next version."""

    commitment_id: str
    version: int
    kind: str
    customer_id: str
    currency: str
    owner: str
    agreed_on: date
    installments: list[Installment]
    decision: str | None = "approve"
    cancelled_on: date | None = None
    discount: int = 0
    is_paused: bool = False
    invoice_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Payment:
    """Money to one commitment, or to nothing; `bounced_on` is the date of the reversal that took all of it back."""

    payment_id: str
    commitment_id: str | None
    received_date: date
    amount: int
    bounced_on: date | None
    customer_id: str
    currency: str


@dataclass
class Book:
    """Facts, whatever their date. `at(as_of)` gives the upstream tables as of a date."""

    grace_days: int = 0
    tolerance_amount: str = "0"
    tolerance_percent: str = "0"
    due_soon_days: int = 3
    default_after_broken: int = 2
    versions: list[Version] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)

    def commits(
        self,
        commitment_id: str,
        *installments: tuple[str | date, int],
        kind: str = "plan",
        customer: str = "C-1",
        currency: str = "USD",
        owner: str = "ann",
        agreed_on: str | date = "2026-01-01",
        **more: Any,
    ) -> "Book":
        """Adds the next version of a commitment, approved unless said otherwise."""
        number = 1 + sum(v.commitment_id == commitment_id for v in self.versions)
        lines = [Installment(day(due), amount, self.grace_days) for due, amount in installments]
        self.versions.append(Version(commitment_id, number, kind, customer, currency, owner, day(agreed_on), lines, **more))
        return self

    def pays(
        self,
        commitment_id: str | None,
        received: str | date,
        amount: int,
        bounced_on: str | date | None = None,
        *,
        customer: str = "C-1",
        currency: str = "USD",
    ) -> "Book":
        number = f"P{len(self.payments) + 1:03d}"
        self.payments.append(
            Payment(number, commitment_id, day(received), amount, day(bounced_on) if bounced_on else None, customer, currency)
        )
        return self

    def known_versions(self, as_of: date) -> list[tuple[Version, date | None, str | None]]:
        """Approved versions agreed by as_of, with the date and kind of their end."""
        known = [v for v in self.versions if v.decision == "approve" and v.agreed_on <= as_of]
        result = []
        for v in known:
            ends = [(n.agreed_on, "superseded") for n in known if n.commitment_id == v.commitment_id and n.version > v.version]
            if v.cancelled_on and v.cancelled_on <= as_of:
                ends.append((v.cancelled_on, "cancelled"))
            end = min(ends, default=(None, None))
            result.append((v, end[0], end[1]))
        return result

    def allocate(self, v: Version, ended_on: date | None, known_on: date, as_of: date) -> list[tuple[Payment, int, int]]:
        """(payment, sequence, amount) of rule `next`, when reversals dated after `known_on` have not happened."""
        order = sorted(range(len(v.installments)), key=lambda n: (v.installments[n].due_date, n))
        missing = {n: v.installments[n].amount for n in order}
        rows = []
        for payment in sorted(self.payments, key=lambda p: (p.received_date, p.payment_id)):
            in_force = v.agreed_on <= payment.received_date and (ended_on is None or payment.received_date < ended_on)
            bounced = payment.bounced_on is not None and payment.bounced_on <= known_on
            if payment.commitment_id != v.commitment_id or payment.received_date > as_of or not in_force or bounced:
                continue
            left = payment.amount
            for n in order:
                part = min(left, missing[n])
                if part:
                    rows.append((payment, n + 1, part))
                    missing[n] -= part
                    left -= part
        return rows

    def at(self, as_of: str | date, settings: Settings | None = None) -> duckdb.DuckDBPyConnection:
        """The tables upstream of outcomes, as of a date."""
        as_of = day(as_of)
        con = connect(settings or Settings(duckdb_threads=2))
        con.execute(UPSTREAM)
        insert(con, "ledger.params", [("acme", as_of, "USD", "UTC", "none", self.grace_days, 7, self.due_soon_days,
                                       self.default_after_broken, 1, 1)])  # fmt: skip
        insert(con, "ledger.kind_policy",
               [(kind, self.tolerance_amount, self.tolerance_percent) for kind in ("promise", "repeating_promise", "plan")])  # fmt: skip
        self._write_commitments(con)
        self._write_versions(con, as_of)
        self._write_payments(con, as_of)
        customers = sorted({v.customer_id for v in self.versions} | {p.customer_id for p in self.payments})
        insert(con, "core.customers", [(c, f"Customer {c}", f"{c.lower()}@example.com", "retail", "ann") for c in customers])
        return con

    def _write_commitments(self, con: duckdb.DuckDBPyConnection) -> None:
        firsts = {v.commitment_id: v for v in reversed(self.versions)}
        at = datetime(2026, 1, 1, 9)  # noqa: DTZ001
        insert(
            con,
            "ledger.commitments",
            [
                (
                    c,
                    v.kind,
                    v.customer_id,
                    v.currency,
                    v.owner,
                    "call",
                    "Pat",
                    "pat@example.com",
                    80,
                    None,
                    None,
                    None,
                    v.owner,
                    at,
                    "cli",
                    None,
                    None,
                )
                for c, v in firsts.items()
            ],
        )
        insert(
            con,
            "ledger.versions",
            [
                (v.commitment_id, v.version, v.agreed_on, total(v), total(v) + v.discount, v.discount, 0, "custom", len(v.installments),
                 v.installments[0].due_date, None, "next", list(v.invoice_ids), None, "digest", v.owner, at, v.decision,
                 "sam" if v.decision else None, "supervisor" if v.decision else None, at if v.decision else None, "fine",
                 v.cancelled_on, None, v.is_paused)
                for v in self.versions
            ],
        )  # fmt: skip

    def _write_versions(self, con: duckdb.DuckDBPyConnection, as_of: date) -> None:
        known = self.known_versions(as_of)
        insert(
            con,
            "core.versions",
            [
                (v.commitment_id, v.version, v.kind, v.customer_id, v.currency, v.owner, v.agreed_on, total(v), total(v) + v.discount,
                 v.discount, list(v.invoice_ids), v.is_paused, v.agreed_on, ended_on, end_kind)
                for v, ended_on, end_kind in known
            ],
        )  # fmt: skip
        insert(
            con,
            "core.installments",
            [
                (v.commitment_id, v.version, n, False, i.due_date, i.due_date, i.grace_days, i.amount)
                for v, _, _ in known
                for n, i in enumerate(v.installments, 1)
            ],
        )
        covered = [(v.commitment_id, v.version, invoice) for v, _, _ in known for invoice in v.invoice_ids]
        insert(con, "core.commitment_invoices", covered)
        insert(
            con,
            "core.invoices",
            [
                (
                    invoice,
                    v.customer_id,
                    "Name",
                    v.agreed_on,
                    v.agreed_on,
                    total(v),
                    None,
                    v.currency,
                    None,
                    "retail",
                    "ann",
                    False,
                    0,
                    None,
                    "f" * 64,
                    1,
                    2,
                )
                for invoice, v in {invoice: v for v, _, _ in known for invoice in v.invoice_ids}.items()
            ],
        )

    def _write_payments(self, con: duckdb.DuckDBPyConnection, as_of: date) -> None:
        allocated: dict[str, int] = {}
        for v, ended_on, _ in self.known_versions(as_of):
            turns = sorted(
                {p.bounced_on for p in self.payments if p.bounced_on and p.bounced_on <= as_of and p.commitment_id == v.commitment_id}
            )
            for start, end in zip([None, *turns], [*turns, None], strict=True):
                known_on = end - timedelta(days=1) if end else as_of
                rows = self.allocate(v, ended_on, known_on, as_of)
                insert(
                    con,
                    "matching.allocation_history",
                    [(v.commitment_id, v.version, n, p.payment_id, p.received_date, part, start, end) for p, n, part in rows],
                )
                if end is None:
                    explained = [
                        (p.payment_id, v.commitment_id, v.version, n, part, p.received_date, "commitment_id", "It names it.")
                        for p, n, part in rows
                    ]
                    insert(con, "matching.allocations", explained)
                    for p, _, part in rows:
                        allocated[p.payment_id] = allocated.get(p.payment_id, 0) + part
        rows = []
        for p in self.payments:
            if p.received_date > as_of:
                continue
            back = p.amount if p.bounced_on and p.bounced_on <= as_of else 0
            used = allocated.get(p.payment_id, 0)
            left = p.amount - back - used
            status = "reversed" if back else "matched" if not left else "partially_matched" if used else "unmatched"
            rows.append((p.payment_id, p.customer_id, p.currency, "payment", p.received_date, p.amount, back, used, left, status,
                         "commitment_id" if used else None, p.commitment_id, "As the row says.", None, "transfer", None,
                         p.commitment_id, None, "e" * 64, 2))  # fmt: skip
        insert(con, "matching.payments", rows)

    def outcomes(self, as_of: str | date, stages: Iterable[str] = ("outcomes",)) -> duckdb.DuckDBPyConnection:
        """The book with the stages made."""
        return self.make(self.at(as_of), stages)

    @staticmethod
    def make(con: duckdb.DuckDBPyConnection, stages: Iterable[str]) -> duckdb.DuckDBPyConnection:
        for stage in stages:
            con.execute(f"create schema {stage}")
            for model in stage_models(stage):
                create_table(con, model)
        return con


def total(v: Version) -> int:
    return sum(i.amount for i in v.installments)


def insert(con: duckdb.DuckDBPyConnection, table: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        marks = ", ".join(f"({', '.join('?' * len(row))})" for row in rows)
        con.execute(f"insert into {table} values {marks}", [value for row in rows for value in row])


def rows_of(con: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    cursor = con.execute(query)
    names = [c[0] for c in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
