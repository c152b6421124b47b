"""An increment equals the build made whole: random books, random small files on top, every stage by its own statements."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import polars as pl
import pytest

from bench import books
from ptp_pipeline.feeds.scope import customers_of
from ptp_pipeline.ledger import snapshot
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse import increment, publish
from ptp_pipeline.warehouse.allocation import PYTHON_STEPS
from ptp_pipeline.warehouse.checks import run_stage_checks
from ptp_pipeline.warehouse.increment import State
from ptp_pipeline.warehouse.models import Warehouse, connect
from ptp_pipeline.warehouse.publish import Build
from ptp_pipeline.warehouse.whatif import Alternative, alternatives
from tests.unit.matching.books import Book, Payment
from tests.unit.matching.generators import random_book

ORG = "acme"
AT = datetime(2026, 6, 1, 9)  # noqa: DTZ001 - as the snapshot has it
NO_PLANS = """
create table plans (c bigint, commitment_id varchar, customer_id varchar, invoice_id varchar, is_big boolean, installment_count integer,
    agreed_on date, first_due_date date, total_minor bigint, overpayment_rule varchar);
create table installments (c bigint, sequence integer, due_date date, amount_minor bigint);
create table payments (line bigint, payment_id varchar, received_date date);
create macro mix(i, salt) as i;
"""


def insert(con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[dict[str, Any]], schema: dict[str, Any] | None = None) -> None:
    if rows:
        con.register("fresh", pl.DataFrame(rows, schema=schema, infer_schema_length=None).to_arrow())
        con.execute(f"insert into {table} by name select * from fresh")
        con.unregister("fresh")


def write_facts(settings: Settings, book: Book, files: Sequence[Sequence[Payment]]) -> Warehouse:
    """The stages a run starts from, as intake and the ledger would have made them: each list of payments is one file."""
    warehouse = Warehouse(settings, ORG)
    warehouse.root.mkdir(parents=True, exist_ok=True)
    con = connect(settings)
    con.execute("set timezone = 'UTC'")
    con.execute(NO_PLANS)
    books._feed_tables(con)
    books._ledger_tables(con)
    con.execute(
        "update ledger.params set as_of = $day, ledger_position = $position, exact_amount_window_days = $window",
        {"day": book.as_of, "position": len(files), "window": book.window_days},
    )
    first = {v.commitment_id: v for v in reversed(book.versions)}
    schemas = {name: snapshot._schema(name) for name in ("commitments", "versions", "overrides")}
    insert(con, "ledger.commitments", [commitment(schemas["commitments"], v) for v in first.values()], schemas["commitments"])
    insert(con, "ledger.versions", [version(schemas["versions"], v) for v in book.versions], schemas["versions"])
    decided = {"decided_by": "ann", "decided_at": AT, "reason": "told by phone"}
    insert(con, "ledger.overrides", [{**d.__dict__, **decided} for d in book.decisions], schemas["overrides"])
    invoiced = sorted({(invoice, v.customer_id, v.currency) for v in book.versions for invoice in v.invoice_ids})
    known = {invoice: (customer, currency) for invoice, customer, currency in invoiced}
    insert(con, "feed.invoices", [
        {"invoice_id": invoice, "customer_id": customer, "customer_name": f"Blue {customer} Harbor", "invoice_date": book.as_of,
         "due_date": book.as_of, "amount_minor": 100, "currency": currency, "owner": "ann", "disputed": False, "deduction_count": 0,
         "content_hash": invoice, "file_sha256": "i" * 64, "file_sequence": 1, "line_number": line}
        for line, (invoice, (customer, currency)) in enumerate(known.items(), 2)
    ])  # fmt: skip
    con.execute("delete from feed.files where feed = 'payments'")
    con.execute("update feed.files set rows_in = ?", [len(known)])
    for sequence, payments in enumerate(files, 2):
        insert(con, "feed.files", [
            {"file_sha256": f"{sequence:064}", "file_sequence": sequence, "feed": "payments", "file_name": f"p{sequence}.csv",
             "received_at": AT, "rows_in": len(payments), "rows_quarantined": 0, "has_repeated_ids": True}
        ])  # fmt: skip
        schema = {**dict.fromkeys(Payment.__annotations__, pl.String), "received_date": pl.Date, "amount_minor": pl.Int64}
        con.register("rows", pl.DataFrame([p.__dict__ for p in payments], schema=schema).with_row_index("line_number", 2).to_arrow())
        con.execute(
            "insert into feed.payments by name select *, false as is_generated_id, 'wire' as method, $sha as file_sha256,"
            " $sequence as file_sequence from rows",
            {"sha": f"{sequence:064}", "sequence": sequence},
        )
        con.unregister("rows")
    for stage in ("feed", "ledger"):
        tables = con.execute("select table_name from duckdb_tables() where schema_name = ?", [stage]).fetchall()
        warehouse.replace_stage(stage, con, [name for (name,) in tables])
    con.close()
    return warehouse


def commitment(schema: dict[str, Any], v: Any) -> dict[str, Any]:
    known = {"commitment_id": v.commitment_id, "kind": v.kind, "customer_id": v.customer_id, "currency": v.currency, "owner": "ann"}
    return {**dict.fromkeys(schema), **known, "logged_by": "ann", "logged_at": AT, "source": "desk"}


def version(schema: dict[str, Any], v: Any) -> dict[str, Any]:
    lines = [
        {"sequence": i.sequence, "due_date": i.due_date, "amount_minor": i.amount_minor, "grace_days": i.grace_days} for i in v.installments
    ]
    total = sum(i.amount_minor for i in v.installments)
    return {
        **dict.fromkeys(schema),
        **{name: getattr(v, name) for name in ("commitment_id", "version", "agreed_on", "overpayment_rule", "invoice_ids", "decision")},
        "amount_minor": total, "total_minor": total, "discount_minor": 0, "down_payment_minor": 0, "frequency": "custom",
        "custom_schedule": lines, "terms_digest": "", "logged_by": "ann", "logged_at": AT, "is_paused": False,
        "approval_fits": True if v.decision == "approve" else None, "ended_by": "cancel" if v.cancelled_on else None,
        "decided_by": v.decision and "sam", "decided_role": v.decision and "supervisor", "decided_at": AT if v.decision else None,
        "cancelled_on": v.cancelled_on,
    }  # fmt: skip


def news(rng: Random, book: Book, known: Sequence[Payment], number: int) -> list[Payment]:
    """A small file: new money, money back of old payments, rows that came before, and ids that came before with other content."""
    somebody = rng.sample(known, min(len(known), rng.randint(2, 8)))
    commitments = sorted({v.commitment_id for v in book.versions})
    rows = []
    for n, old in enumerate(somebody):
        day = old.received_date + timedelta(rng.choice([0, 0, 1, 5, -3]))
        fresh = Payment(f"N-{number}-{n}", old.customer_id, day, rng.choice([old.amount_minor, 50, 700]), old.currency)
        back = replace(fresh, reverses_payment_id=old.payment_id)
        rows.append(
            rng.choice(
                [
                    fresh,
                    fresh,
                    replace(fresh, commitment_id=rng.choice(commitments)),
                    replace(fresh, reference=f"thanks {rng.choice(commitments).lower()}"),
                    replace(fresh, customer_id="NEW", reference=f"Blue {old.customer_id} Harbor"),
                    replace(fresh, payment_id="P-99"),
                    replace(back, kind="reversal"),
                    replace(back, kind="chargeback"),
                    replace(back, kind="refund", reverses_payment_id=rng.choice([None, old.payment_id])),
                    replace(back, kind="reversal", customer_id=rng.choice(known).customer_id),
                    old,
                    replace(fresh, payment_id=old.payment_id, customer_id=rng.choice(known).customer_id),
                ]
            )
        )
    return list({row.payment_id: row for row in rows}.values())


def made_whole(warehouse: Warehouse, book: Book, run_id: str) -> Build:
    for stage in ("core", "matching", "outcomes"):
        warehouse.run_stage(stage, PYTHON_STEPS if stage == "matching" else None)
    position = warehouse.params()["ledger_position"]
    at = datetime(2026, 7, 1, 7, tzinfo=UTC)
    return publish.publish(
        warehouse.settings, ORG, book.as_of, run_id, at, ledger_position=position, policy_version=1, validate=False
    )  # fmt: skip


def incremented(root: Warehouse, book: Book, base: Build, run_id: str) -> Build:
    known = publish.state_of(root.settings, ORG, base.build_id, base.digest)
    params = root.params()
    now = State(params["as_of"], params["ledger_position"], 1, publish.made_by(), increment.files_now(root))
    scope = increment.decide(root.settings, ORG, known, now, [("file.accepted", "payments")], partial(customers_of, root.settings, ORG))
    assert scope.is_increment, scope.words
    assert increment.current(root.settings, ORG) == scope
    part = increment.warehouse(root.settings, ORG)
    assert part.root != root.root
    for stage in ("core", "matching", "outcomes"):
        part.run_stage(stage, PYTHON_STEPS if stage == "matching" else None)
        assert [v for v in run_stage_checks(part, stage) if not v.passed] == []
    answer = publish.Answer(ORG, book.as_of, run_id, datetime(2026, 7, 1, 7, tzinfo=UTC), now.ledger_position, 1)
    with publish.draft_of(root.settings, answer, scope) as draft:
        assert [v for v in draft.violations() if not v.passed] == []
        return publish.place(draft, validate=False)


def assert_same(one: Build, other: Build) -> None:
    with duckdb.connect() as con:
        con.execute(f"attach '{one.path / 'ptp.duckdb'}' as a (read_only); attach '{other.path / 'ptp.duckdb'}' as b (read_only)")
        for table in other.tables.keys() - {"run_info"}:
            for left, right in (("a", "b"), ("b", "a")):
                assert con.execute(f"from {left}.{table} except all from {right}.{table}").fetchall() == [], (left, table)
    assert (one.tables, one.digest) == (other.tables, other.digest)


def check(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    settings = Settings(home=tmp_path, duckdb_threads=2, increment_percent=100)
    book = random_book(rng, 12)
    files: list[list[Payment]] = [book.payments]
    root = write_facts(settings, book, files)
    root.run_stage("raw")
    build = made_whole(root, book, "base")
    for number in (1, 2, 3):
        files.append(news(rng, book, [p for file in files for p in file], number))
        root = write_facts(settings, book, files)
        root.run_stage("raw")
        assert [v for v in run_stage_checks(root, "raw") if not v.passed] == []
        build = incremented(root, book, build, f"part{number}")
    assert_same(build, made_whole(root, book, "whole"))


@pytest.mark.parametrize("seed", range(2))
def test_increments_on_increments_equal_the_build_made_whole(tmp_path: Path, seed: int) -> None:
    check(tmp_path, seed)


def test_after_an_increment_payments_of_all_customers_are_told_the_same_alternatives_as_after_a_whole_build(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, duckdb_threads=2, increment_percent=100)
    rng = Random(5)
    book = random_book(rng, 6)
    files: list[list[Payment]] = [book.payments]
    root = write_facts(settings, book, files)
    root.run_stage("raw")
    build = made_whole(root, book, "base")
    files.append(news(rng, book, book.payments[:1], 1))
    root = write_facts(settings, book, files)
    root.run_stage("raw")
    incremented(root, book, build, "part")

    with increment.part(settings, ORG).connect(["raw"]) as con:
        concerned = {row[0] for row in con.execute("select payment_id from raw.payments").fetchall()}
    received = [p.payment_id for p in book.payments if p.kind == "payment" and p.received_date <= book.as_of]
    others = [payment for payment in received if payment not in concerned]
    asked = [*others[:2], next(payment for payment in received if payment in concerned)]

    def told() -> dict[str, list[Alternative]]:
        return {payment: alternatives(settings, ORG, payment, book.as_of) for payment in asked}

    after_increment = told()
    assert all(after_increment[payment] for payment in asked[:2])
    increment.forced(settings, ORG)
    made_whole(root, book, "whole")
    assert after_increment == told()
