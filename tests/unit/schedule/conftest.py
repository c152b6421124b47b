"""A ledger and raw stage in a line or two, run through the real core stage."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.models import MODELS, Warehouse

TABLES = {
    "ledger.params": """org_id varchar, as_of date, currency varchar, timezone varchar, business_day_rule varchar, grace_days integer,
        exact_amount_window_days integer, due_soon_days integer, default_after_broken integer, ledger_position bigint,
        policy_version integer""",
    "ledger.holidays": "date date, name varchar",
    "ledger.weekend": "iso_dow integer",
    "ledger.commitments": "commitment_id varchar, kind varchar, customer_id varchar, currency varchar, owner varchar",
    "ledger.versions": """commitment_id varchar, version integer, agreed_on date, amount_minor bigint, total_minor bigint,
        discount_minor bigint, down_payment_minor bigint, frequency varchar, installment_count integer, first_due_date date,
        grace_days integer, overpayment_rule varchar, invoice_ids varchar[],
        custom_schedule struct(sequence integer, due_date date, amount_minor bigint, grace_days integer)[],
        terms_digest varchar, logged_by varchar, logged_at timestamp, decision varchar, decided_by varchar, decided_role varchar,
        decided_at timestamp, decision_reason varchar, schedule varchar, approval_fits boolean, cancelled_on date, cancel_reason varchar,
        ended_by varchar, is_paused boolean""",
    "raw.invoices": """invoice_id varchar, customer_id varchar, customer_name varchar, invoice_date date, due_date date,
        amount_minor bigint, open_amount_minor bigint, currency varchar, customer_email varchar, segment varchar, owner varchar,
        disputed boolean, deduction_count integer, settled_date date, file_sha256 varchar, file_sequence bigint, line_number integer""",
    "feed.payments": """payment_id varchar, is_generated_id boolean, customer_id varchar, received_date date, amount_minor bigint,
        currency varchar, kind varchar, reverses_payment_id varchar, invoice_id varchar, commitment_id varchar, reference varchar,
        method varchar, line_number integer, file_sha256 varchar, file_sequence bigint""",
    "raw.payment_rows": "file_sequence bigint, line_number integer, outcome varchar",
}


class Book:
    """Facts of one org. Every row has usual values for what a test does not care about."""

    def __init__(self, settings: Settings) -> None:
        self.warehouse = Warehouse(settings, "acme")
        self.con = duckdb.connect(":memory:")
        self.con.execute("create schema ledger; create schema feed; create schema raw")
        for table, columns in TABLES.items():
            self.con.execute(f"create table {table} ({columns})")
        self.closed_on_weekends()

    def closed_on_weekends(self) -> None:
        self.con.execute("insert into ledger.weekend values (6), (7)")

    def add(self, table: str, **row: Any) -> None:
        marks = ", ".join("?" for _ in row)
        self.con.execute(f"insert into {table} ({', '.join(row)}) values ({marks})", list(row.values()))

    def commitment(self, commitment_id: str = "C1", kind: str = "plan", customer_id: str = "CUST", owner: str | None = "ana") -> None:
        self.add("ledger.commitments", commitment_id=commitment_id, kind=kind, customer_id=customer_id, currency="USD", owner=owner)

    def version(self, commitment_id: str = "C1", version: int = 1, agreed_on: str = "2026-01-05", **terms: Any) -> None:
        usual = {
            "amount_minor": 30000, "discount_minor": 0, "down_payment_minor": 0, "frequency": "monthly", "installment_count": 3,
            "first_due_date": "2026-01-31", "overpayment_rule": "next", "invoice_ids": [], "decision": "approve", "is_paused": False,
            "approval_fits": True,
        }  # fmt: skip
        row = {**usual, "commitment_id": commitment_id, "version": version, "agreed_on": agreed_on, **terms}
        self.add("ledger.versions", **{"total_minor": row["amount_minor"], **row})

    def invoice(self, invoice_id: str, line_number: int = 2, **columns: Any) -> None:
        usual = {
            "customer_id": "CUST", "customer_name": "Customer", "invoice_date": "2026-01-01", "due_date": "2026-01-31",
            "amount_minor": 1000, "currency": "USD", "disputed": False, "deduction_count": 0, "file_sha256": "f", "file_sequence": 1,
        }  # fmt: skip
        self.add("raw.invoices", **{**usual, "invoice_id": invoice_id, "line_number": line_number, **columns})

    def build(self, as_of: str = "2026-06-30", business_day_rule: str = "following", grace_days: int = 0) -> "Core":
        self.con.execute("delete from ledger.params")
        self.add(
            "ledger.params", org_id="acme", as_of=as_of, business_day_rule=business_day_rule, grace_days=grace_days, currency="USD"
        )  # fmt: skip
        for stage in ("ledger", "feed", "raw"):
            self.warehouse.replace_stage(stage, self.con, [t.split(".")[1] for t in TABLES if t.startswith(stage)])
        self.warehouse.run_stage("core")
        return Core(self.warehouse)


class Core:
    """The core stage as built, read back from its Parquet files."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.con = warehouse.connect(["ledger", "feed", "raw", "core"])

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.con.execute(sql).fetchall()

    def offending(self) -> dict[str, list[tuple[Any, ...]]]:
        """What each core check finds, by check file; empty when everything holds."""
        found = {path.stem: self.rows(path.read_text(encoding="utf-8")) for path in sorted((MODELS / "checks").glob("core_*.sql"))}
        return {name: rows for name, rows in found.items() if rows}


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(Settings(home=tmp_path, duckdb_threads=2, duckdb_memory_limit="1GB"))
