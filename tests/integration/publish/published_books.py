"""A book of facts taken through matching, outcomes and publishing, in memory or as an org's warehouse on disk.

The facts are those of the matching tests; here are only the columns that matching does not read.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.allocation import PYTHON_STEPS
from ptp_pipeline.warehouse.models import Warehouse, connect, create_table, stage_models
from tests.unit.matching.books import Book

# Columns that later stages read, with the values every book has in them.
REST = {
    "ledger.params": "'acme' as org_id, 'USD' as currency, 'UTC' as timezone, 3 as due_soon_days, 2 as default_after_broken,"
    " 7::bigint as ledger_position, 1 as policy_version",
    "ledger.commitments": "'ann' as owner, 'call' as channel, 'Pat' as contact_name, 'pat@example.com' as contact_email, 80 as confidence",
    "ledger.versions": "0::bigint as amount_minor, 0::bigint as total_minor, 0::bigint as discount_minor, 0::bigint as down_payment_minor,"
    " 'custom' as frequency, agreed_on as first_due_date, null::varchar as overpayment_rule, []::varchar[] as invoice_ids,"
    " 'ann' as logged_by,"
    " timestamptz '2026-01-01 09:00Z' as logged_at, 'sam' as decided_by, 'supervisor' as decided_role,"
    " timestamptz '2026-01-01 10:00Z' as decided_at, 'fine' as decision_reason, null::varchar as cancel_reason, false as is_paused",
    "core.customers": "customer_id || '@example.com' as customer_email, 'retail' as segment, 'ann' as owner",
    "core.invoices": "'Name' as customer_name, date '2026-01-01' as invoice_date, date '2026-02-01' as due_date,"
    " 100::bigint as amount_minor,"
    " null::bigint as open_amount_minor, 'USD' as currency, null::varchar as customer_email, 'retail' as segment, 'ann' as owner,"
    " false as disputed, 0 as deduction_count, null::date as settled_date, 'f00d' as file_sha256, 1 as line_number",
    "core.versions": "'ann' as owner, 0::bigint as amount_minor, 0::bigint as total_minor, 0::bigint as discount_minor,"
    " 0::bigint as down_payment_minor, 'custom' as frequency, []::varchar[] as invoice_ids, false as is_paused,"
    " false as is_closed, case when effective_to is not null then 'superseded' end as end_kind",
}
OTHERS = """
create table ledger.kind_policy as select unnest(['promise', 'repeating_promise', 'plan']) as kind, 0::decimal(18, 3) as tolerance_amount,
    0::decimal(9, 4) as tolerance_percent;
create table raw.files as select 'f00d' as file_sha256, 1::bigint as file_sequence, 'payments' as feed, 'p.csv' as file_name,
    timestamp '2026-01-01 08:00:00' as received_at, 9::bigint as rows_in, 9::bigint as rows_loaded, 0::bigint as rows_quarantined,
    0::bigint as rows_duplicate, null::varchar as duplicate_of;
create table raw.quarantine as select 'payments' as feed, 'p.csv' as file_name, 'f00d' as file_sha256, 3 as line_number,
    'amount' as column_name, '=1+1' as value, 'amount_format' as rule, 'It is not an amount.' as message;
"""
# On disk, raw.payments is a view of what the feed stage has, less the rows that were left out.
FED = """
create schema feed;
create table feed.payments as
select payment_id, false as is_generated_id, customer_id, received_date, amount_minor, currency, kind, reverses_payment_id, invoice_id,
    commitment_id, reference, method, line_number, file_sha256, 1::bigint as file_sequence
from raw.payments;
drop table raw.payments;
create table raw.payment_rows as select 1::bigint as file_sequence, 1 as line_number, 'loaded' as outcome limit 0;
"""


def load(book: Book, con: duckdb.DuckDBPyConnection) -> None:
    """The tables upstream of matching, with all columns that anybody reads."""
    book.load(con)
    for table, columns in REST.items():
        con.execute(f"create or replace table {table} as select *, {columns} from {table}")
    con.execute(OTHERS)


def make(con: duckdb.DuckDBPyConnection, stages: Iterable[str]) -> None:
    for stage in stages:
        con.execute(f"create schema if not exists {stage}")
        for model in stage_models(stage):
            create_table(con, model)
            if step := PYTHON_STEPS.get(model.table) if stage == "matching" else None:
                step(con)


def published(book: Book) -> duckdb.DuckDBPyConnection:
    """All stages in memory."""
    con = connect(Settings(duckdb_threads=2))
    con.execute("set timezone = 'UTC'")
    load(book, con)
    make(con, ("matching", "outcomes", "published"))
    return con


def warehouse(settings: Settings, org: str, book: Book, customers: Iterable[str] | None = None) -> Warehouse:
    """The same as an org's warehouse on disk, up to outcomes; of `customers` only when they are named."""
    place = Warehouse(settings, org)
    place.root.mkdir(parents=True, exist_ok=True)
    con = connect(settings)
    con.execute("set timezone = 'UTC'")
    load(book, con)
    if customers is not None:
        _keep_only(con, sorted(customers))
    make(con, ("matching", "outcomes"))
    con.execute(FED)
    for stage in ("feed", "raw", "ledger", "core", "matching", "outcomes"):
        tables = con.execute("select table_name from duckdb_tables() where schema_name = ?", [stage]).fetchall()
        place.replace_stage(stage, con, [name for (name,) in tables])
    con.close()
    return place


def _keep_only(con: duckdb.DuckDBPyConnection, customers: list[str]) -> None:
    con.execute("create temp table theirs as select unnest(?::varchar[]) as customer_id", [customers])
    commitments = "select commitment_id from ledger.commitments where customer_id in (from theirs)"
    by_commitment = ("ledger.versions", "core.versions", "core.installments", "core.commitment_invoices")
    for table in by_commitment:
        con.execute(f"delete from {table} where commitment_id not in ({commitments})")
    con.execute(
        "delete from ledger.overrides where payment_id not in (select payment_id from raw.payments where customer_id in (from theirs))"
    )
    for table in ("ledger.commitments", "core.customers", "core.invoices", "raw.payments"):
        con.execute(f"delete from {table} where customer_id not in (from theirs)")


def write_customers(path: Path, customers: Iterable[str]) -> Path:
    with duckdb.connect() as con:
        con.execute("create table t as select unnest(?::varchar[]) as customer_id", [sorted(customers)])
        con.execute(f"copy t to '{path}' (format parquet)")
    return path


def rows_of(con: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    cursor = con.execute(query)
    names = [c[0] for c in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
