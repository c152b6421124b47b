"""A small book for tests: commitments and payments in, the tables upstream of outcomes out, in a DuckDB in memory.

Money is spread over installments by the plainest possible replay, one commitment at a time (`replay`); what was known on each day is
that replay without what came later. Nothing of what is tested is used here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import duckdb

from ptp_pipeline.domain.money import round_ratio
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
    effective_from date, effective_to date, end_kind varchar, overpayment_rule varchar, down_payment_minor bigint, frequency varchar,
    is_closed boolean);
create table core.installments (commitment_id varchar, version integer, sequence integer, is_down_payment boolean,
    nominal_due_date date, due_date date, grace_days integer, amount_minor bigint);
create table core.commitment_invoices (commitment_id varchar, version integer, invoice_id varchar);
create table core.invoices (invoice_id varchar, customer_id varchar, customer_name varchar, invoice_date date, due_date date,
    amount_minor bigint, open_amount_minor bigint, currency varchar, customer_email varchar, segment varchar, owner varchar,
    disputed boolean, deduction_count integer, settled_date date, file_sha256 varchar, file_sequence bigint, line_number integer);
create table core.customers (customer_id varchar, customer_name varchar, customer_email varchar, segment varchar, owner varchar);
create table matching.payments (payment_id varchar, customer_id varchar, currency varchar, kind varchar, received_date date,
    amount_minor bigint, reversed_minor bigint, charged_back_minor bigint, allocated_minor bigint, unapplied_minor bigint,
    match_status varchar, matched_by varchar, matched_on varchar, target_commitment_id varchar, elsewhere_minor bigint, problem varchar,
    note varchar, reference varchar, method varchar, invoice_id varchar, commitment_id varchar, reverses_payment_id varchar,
    file_sha256 varchar, line_number integer);
create table matching.allocations (payment_id varchar, commitment_id varchar, version integer, sequence integer, amount_minor bigint,
    received_date date, applied_on date, matched_by varchar, matched_on varchar, is_elsewhere boolean);
create table matching.allocation_history (commitment_id varchar, version integer, sequence integer, payment_id varchar,
    received_date date, applied_on date, amount_minor bigint, valid_from date, valid_to date);
create table matching.debits (commitment_id varchar, version integer, sequence integer, payment_id varchar, amount_minor bigint,
    debited_on date, due_date date, nominal_due_date date, grace_days integer, is_added boolean, valid_from date, valid_to date);
create table matching.returns (payment_id varchar, returned_by varchar, amount_minor bigint, returned_on date);
create table matching.decisions (payment_id varchar, part integer, commitment_id varchar, amount_minor bigint, decided_by varchar,
    decided_at timestamptz, reason varchar, is_stale boolean, problem varchar);
create table matching.suggestions (payment_id varchar, rank integer, commitment_id varchar, version integer, sequence integer,
    score integer, reasons varchar, amount_minor bigint, customer_id varchar, is_acceptable boolean, correction varchar, note varchar);
create table raw.quarantine (feed varchar, file_name varchar, file_sha256 varchar, line_number integer, column_name varchar,
    value varchar, rule varchar, message varchar);
create table raw.payments (payment_id varchar, customer_id varchar, received_date date, amount_minor bigint, currency varchar, kind varchar,
    reverses_payment_id varchar, invoice_id varchar, commitment_id varchar, reference varchar, method varchar, file_sha256 varchar,
    line_number integer);
create table raw.files (file_sha256 varchar, file_sequence bigint, feed varchar, file_name varchar, received_at timestamp,
    rows_in bigint, rows_loaded bigint, rows_quarantined bigint, rows_duplicate bigint, duplicate_of varchar);
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
    rule: str = "next"
    is_paused: bool = False
    is_closed: bool = False
    invoice_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Payment:
    """Money to one commitment, or to nothing.

    `bounced_on` is the date of the reversal that took all of it back, `charged_back` date and amount of a chargeback.
    """

    payment_id: str
    commitment_id: str | None
    received_date: date
    amount: int
    bounced_on: date | None
    customer_id: str
    currency: str
    charged_back: tuple[date, int] | None = None


@dataclass(frozen=True)
class Part:
    """Part of a payment applied to an installment on a day."""

    payment: Payment
    version: int
    sequence: int
    amount: int
    applied_on: date


@dataclass(frozen=True)
class Debit:
    """What a chargeback added to an installment, or added as one."""

    payment: Payment
    version: int
    sequence: int
    amount: int
    debited_on: date
    due_date: date
    grace_days: int
    is_added: bool


@dataclass
class Line:
    """What can be paid: an installment, or a debit, which stands right after its installment."""

    due_date: date
    sequence: int
    is_debit: bool
    left: int


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
        charged_back: tuple[str | date, int] | None = None,
    ) -> "Book":
        number = f"P{len(self.payments) + 1:03d}"
        bounced = day(bounced_on) if bounced_on else None
        back = (day(charged_back[0]), charged_back[1]) if charged_back else None
        self.payments.append(Payment(number, commitment_id, day(received), amount, bounced, customer, currency, back))
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

    def replay(self, commitment_id: str, known_on: date, as_of: date) -> tuple[list[Part], list[Debit]]:
        """What the money of a commitment paid, day by day, if nothing after `known_on` is known."""
        return Replay(self, commitment_id, known_on, as_of).run()

    def known_intervals(self, commitment_id: str, as_of: date) -> list[tuple[Part | Debit, date | None, date | None]]:
        """Every part and debit that was ever known, with the first day on which it was (None = since it happened) and the first day
        on which it no longer was (None = it still is)."""
        dates = {as_of, *(v.agreed_on for v in self.versions), *(i.due_date for v in self.versions for i in v.installments)}
        for p in self.payments:
            dates |= {p.received_date, p.bounced_on or as_of, p.charged_back[0] if p.charged_back else as_of}
        open_since: dict[Part | Debit, date] = {}
        found: list[tuple[Part | Debit, date | None, date | None]] = []
        for today in sorted(d for d in dates if d <= as_of):
            parts, debits = self.replay(commitment_id, today, as_of)
            known = {*parts, *debits}
            assert len(known) == len(parts) + len(debits)
            found += [(row, since_it_happened(row, start), today) for row, start in open_since.items() if row not in known]
            open_since = {row: open_since.get(row, today) for row in known}
        return found + [(row, since_it_happened(row, start), None) for row, start in open_since.items()]

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
                 v.installments[0].due_date, None, v.rule, list(v.invoice_ids), None, "digest", v.owner, at, v.decision,
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
                 v.discount, list(v.invoice_ids), v.is_paused, v.agreed_on, ended_on, end_kind, v.rule, 0, "custom",
                 v.is_closed and end_kind == "cancelled")
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
        for commitment_id in sorted({v.commitment_id for v in self.versions}):
            for row, start, end in self.known_intervals(commitment_id, as_of):
                key, p = (commitment_id, row.version, row.sequence), row.payment
                if isinstance(row, Debit):
                    insert(con, "matching.debits", [(*key, f"{p.payment_id}-C", row.amount, row.debited_on, row.due_date, row.due_date,
                                                     row.grace_days, row.is_added, start, end)])  # fmt: skip
                    continue
                insert(con, "matching.allocation_history",
                       [(*key, p.payment_id, p.received_date, row.applied_on, row.amount, start, end)])  # fmt: skip
                if end is None:
                    insert(con, "matching.allocations", [(p.payment_id, *key, row.amount, p.received_date, row.applied_on, "commitment_id",
                                                          commitment_id, False)])  # fmt: skip
                    allocated[p.payment_id] = allocated.get(p.payment_id, 0) + row.amount
        rows = []
        for p in self.payments:
            if p.received_date > as_of:
                continue
            used = allocated.get(p.payment_id, 0)
            bounced = p.bounced_on is not None and p.bounced_on <= as_of
            # what a chargeback is covered with goes back too; here all that is not used counts as gone once there was one
            back = p.amount if bounced else p.amount - used if p.charged_back and p.charged_back[0] <= as_of else 0
            left = p.amount - back - used
            status = "reversed" if back == p.amount else "matched" if not left else "partially_matched" if used else "unmatched"
            rows.append((p.payment_id, p.customer_id, p.currency, "payment", p.received_date, p.amount, back, 0, used, left, status,
                         "commitment_id" if used else None, p.commitment_id, p.commitment_id, 0, None, None, None, "transfer", None,
                         p.commitment_id, None, "e" * 64, 2))  # fmt: skip
            if p.charged_back and p.charged_back[0] <= as_of:
                rows.append((f"{p.payment_id}-C", p.customer_id, p.currency, "chargeback", p.charged_back[0], p.charged_back[1],
                             p.charged_back[1], 0, 0, 0, "chargeback", None, None, None, 0, None, None, None, "transfer", None, None,
                             p.payment_id, "e" * 64, 3))  # fmt: skip
        insert(con, "matching.payments", rows)
        shared = "payment_id, customer_id, received_date, amount_minor, currency, kind, reverses_payment_id, commitment_id"
        con.execute(f"insert into raw.payments by name select {shared} from matching.payments")

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


@dataclass
class Replay:
    """The money of one commitment by rule, a day at a time: slow and obvious."""

    book: Book
    commitment_id: str
    known_on: date
    as_of: date

    def run(self) -> tuple[list[Part], list[Debit]]:
        self.parts: list[Part] = []
        self.debits: list[Debit] = []
        self.added: set[tuple[int, int]] = set()
        known = [(v, end) for v, end, _ in self.book.known_versions(self.as_of) if v.commitment_id == self.commitment_id]
        self.lines = {v.version: [Line(i.due_date, n, False, i.amount) for n, i in enumerate(v.installments, 1)] for v, _ in known}
        payments = [p for p in self.book.payments if p.commitment_id == self.commitment_id and p.received_date <= self.known_on]
        payments.sort(key=lambda p: (p.received_date, p.payment_id))
        self.left = {p: 0 if p.bounced_on and p.bounced_on <= self.known_on else p.amount for p in payments}
        dates = {p.received_date for p in payments} | {v.agreed_on for v, _ in known}
        dates |= {line.due_date for lines in self.lines.values() for line in lines}
        dates |= {p.charged_back[0] for p in payments if p.charged_back}
        for today in sorted(d for d in dates if d <= self.known_on):
            for v in [v for v, end in known if v.agreed_on <= today and (end is None or today < end)]:
                self.day(v, today, is_successor=any(o.version < v.version for o, _ in known))
        return self.parts, self.debits

    def day(self, v: Version, today: date, *, is_successor: bool) -> None:
        was_asked = [p for p in self.left if p.received_date < today and self.had_a_version(p)]
        begins = is_successor and v.agreed_on == today
        if begins or (v.rule == "hold" and any(line.due_date == today for line in self.lines[v.version])):
            self.apply(v, was_asked, today)
        for p in [p for p in self.left if p.received_date == today]:
            self.apply(v, [p], today)
        for p in [p for p in self.left if p.charged_back and p.charged_back[0] == today]:
            self.charge_back(v, p, today)

    def had_a_version(self, p: Payment) -> bool:
        return any(
            v.commitment_id == self.commitment_id and v.agreed_on <= p.received_date and (end is None or p.received_date < end)
            for v, end, _ in self.book.known_versions(self.as_of)
        )

    def apply(self, v: Version, money: list[Payment], today: date) -> None:
        total_left = sum(self.left[p] for p in money)
        takes: list[tuple[Line, int]] = []
        lines = sorted(self.lines[v.version], key=lambda line: (line.due_date, line.sequence, line.is_debit))
        now, later = [line for line in lines if line.due_date <= today], [line for line in lines if line.due_date > today]
        order = {"next": now + later, "last": now + later[::-1], "hold": now, "spread": now}[v.rule]
        for line in order:
            take = min(total_left, line.left)
            takes.append((line, take))
            total_left -= take
            line.left -= take
        if v.rule == "spread":
            shares = dict.fromkeys(range(len(later)), 0)
            while total_left and (hungry := [n for n in shares if later[n].left]):
                share = round_ratio(total_left, len(hungry))
                rest = total_left - share * (len(hungry) - 1)
                for n in hungry:
                    take = max(0, min(rest if n == hungry[-1] else share, later[n].left, total_left))
                    shares[n] += take
                    later[n].left -= take
                    total_left -= take
            takes += [(later[n], take) for n, take in shares.items()]
        purse = list(money)
        for line, amount in takes:
            wanted = amount
            while wanted:
                p = purse[0]
                part = min(wanted, self.left[p])
                if part:
                    self.pay(p, v.version, line.sequence, part, today)
                    wanted -= part
                if not self.left[p]:
                    purse.pop(0)

    def pay(self, p: Payment, version: int, sequence: int, amount: int, today: date) -> None:
        """One row per payment, installment and day, as the money of an installment and of its debits goes to the same one."""
        self.left[p] -= amount
        for n, part in enumerate(self.parts):
            if (part.payment, part.version, part.sequence, part.applied_on) == (p, version, sequence, today):
                self.parts[n] = replace(part, amount=part.amount + amount)
                return
        self.parts.append(Part(p, version, sequence, amount, today))

    def charge_back(self, v: Version, p: Payment, today: date) -> None:
        """The payment's own unapplied money covers it first, then the commitment's credit; the rest is owed again."""
        assert p.charged_back
        bounced = p.bounced_on is not None and p.bounced_on <= self.known_on
        charge = 0 if bounced else min(p.charged_back[1], p.amount)
        own = min(charge, self.left[p])
        self.left[p] -= own
        charge = min(charge - own, sum(part.amount for part in self.parts if part.payment == p))
        for other in [o for o in self.left if o.received_date <= today and self.had_a_version(o)]:
            covered = min(charge, self.left[other])
            self.left[other] -= covered
            charge -= covered
        if not charge:
            return
        lines = sorted(self.lines[v.version], key=lambda line: (line.due_date, line.sequence, line.is_debit))
        hosts = [line for line in lines if line.due_date > today] or [line for line in lines[-1:] if line.due_date == today]
        last = max(v.installments[n - 1].due_date for n in range(1, len(v.installments) + 1))
        days = sorted({q.charged_back[0] for q in self.book.payments if q.charged_back and q.commitment_id == self.commitment_id})
        number = len(v.installments) + len([d for d in days if last < d <= today and d >= v.agreed_on])
        sequence, due = (hosts[0].sequence, hosts[0].due_date) if hosts else (number, today)
        is_added = sequence > len(v.installments)
        grace = v.installments[min(sequence, len(v.installments)) - 1].grace_days
        self.lines[v.version].append(Line(due, sequence, True, charge))
        self.debits.append(Debit(p, v.version, sequence, charge, today, due, grace, is_added))


def since_it_happened(row: Part | Debit, first_known: date) -> date | None:
    happened = row.applied_on if isinstance(row, Part) else row.debited_on
    return None if first_known == happened else first_known


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
