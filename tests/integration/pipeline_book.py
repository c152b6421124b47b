"""A small book driven through the real pipeline: people signed in, files dropped, runs on an ephemeral Dagster instance."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import duckdb

from ptp_pipeline import previews
from ptp_pipeline.build import build_defs
from ptp_pipeline.jobs import RUN_ORG
from ptp_pipeline.ledger import approvals, commitments, orgs, policies, users
from ptp_pipeline.ledger.connection import Actor, Ledger
from ptp_pipeline.resources import Ptp
from ptp_pipeline.run import failure_words
from ptp_pipeline.settings import Settings

OPERATOR = Actor(name="operator", role="operator", auth="operator", origin="cli")
INVOICES = """invoice_id,customer_id,customer_name,invoice_date,due_date,amount,currency,owner
INV-1,C-1,Ace Tools,2026-01-05,2026-02-04,1000.00,USD,maria
INV-2,C-2,Bolt Works,2026-01-06,2026-02-05,600.00,USD,maria
"""
COMMITMENTS = """commitment_id,kind,customer_id,agreed_on,amount,first_due_date,currency,invoice_ids,frequency,installment_count,owner
PLAN-1,plan,C-1,2026-03-01,1000.00,2026-03-16,USD,INV-1,monthly,4,maria
PROM-1,promise,C-2,2026-03-02,600.00,2026-03-06,USD,INV-2,once,1,maria
"""
PAYMENTS = """payment_id,customer_id,received_date,amount,currency,kind,reverses_payment_id,invoice_id,commitment_id,reference
PAY-1,C-1,2026-03-16,250.00,USD,payment,,,PLAN-1,
PAY-2,C-1,2026-04-10,300.00,USD,payment,,INV-1,,
PAY-3,C-2,2026-03-05,600.00,USD,payment,,,,thanks PROM-1
PAY-4,C-2,2026-03-20,600.00,USD,reversal,PAY-3,,,
"""


@dataclass
class Book:
    """One org of the test's own."""

    settings: Settings
    ledger: Ledger
    org: str
    people: dict[str, Actor] = field(default_factory=dict)

    def hire(self, name: str, role: str) -> Actor:
        """Add a person and sign them in."""
        with self.ledger.operator(OPERATOR, self.org) as tx:
            users.add_user(tx, name, role, f"correct-horse-battery-{role}", f"{name}@example.com")
            token = users.issue_token(tx, name)
        self.people[name] = users.authenticate_token(self.ledger, self.org, token, "cli")
        return self.people[name]

    def drop(self, feed: str, text: str, name: str = "file.csv") -> Path:
        folder = self.settings.inbox(self.org, feed)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name

    def drop_all(self) -> None:
        self.drop("invoices", INVOICES)
        self.drop("commitments", COMMITMENTS)
        self.drop("payments", PAYMENTS)

    def approve_all(self, by: str, decision: str = "approve") -> list[approvals.Decision]:
        with self.ledger.transaction(self.org, self.people[by]) as tx:
            schedules = previews.to_approve(self.settings, commitments.pending(tx), policies.current(tx))
            return approvals.decide(tx, list(schedules), decision, "as agreed on the phone", "cli", schedules) if schedules else []

    def take_in(self) -> None:
        """Only the stages that take dropped files in and log their commitments: a tenth of a run, and as much as an approver waits for."""
        result = self.try_run("", stages=["feed", "raw"])
        assert result.success, failure_words(result.all_events)

    def definitions(self) -> dg.Definitions:
        return build_defs(self.settings, Ptp(self.settings, ledger=self.ledger))

    @cached_property
    def job(self) -> dg.JobDefinition:
        return self.definitions().resolve_job_def(RUN_ORG)

    def run(self, as_of: str, **config: Any) -> Path:
        """The whole graph, which must succeed; returns the build's folder."""
        result = self.try_run(as_of, **config)
        assert result.success, failure_words(result.all_events)
        events = {e.asset_key.path[-1]: e.materialization.metadata for e in result.get_asset_materialization_events()}
        return Path(str(events["build"]["path"].value))

    def try_run(self, as_of: str, stages: Sequence[str] = (), **config: Any) -> dg.ExecuteInProcessResult:
        """The whole graph, or only some stages as somebody would choose them in the UI; returned whether it succeeded or not."""
        job = self.job
        keys = [key for key in job.asset_layer.executable_asset_keys if key.path[0] in stages] if stages else None
        configs = {"ledger": ("ledger_snapshot", {"as_of": as_of}), "published": ("published", config)}
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("org", [self.org])
            return job.execute_in_process(
                instance=instance,
                partition_key=self.org,
                asset_selection=keys,
                raise_on_error=False,
                run_config={
                    "ops": {op: {"config": c} for stage, (op, c) in configs.items() if not stages or stage in stages},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
            )

    def query(self, sql: str, build: Path | None = None) -> list[tuple[Any, ...]]:
        """Rows of a build (the current one), as an analyst would read it."""
        with duckdb.connect(str(((build or self.settings.current_build(self.org)) / "ptp.duckdb").resolve()), read_only=True) as con:
            return con.execute(sql).fetchall()

    def facts(self, build: Path | None = None) -> dict[str, list[tuple[Any, ...]]]:
        """What a build says, without what may differ between two orgs told the same (file names, times of recording)."""
        columns = {
            "installments": "*",
            "allocations": "*",
            "payments": "payment_id, allocated_amount, unapplied_amount, reversed_amount, match_status, matched_by",
            "broken_promises": "*",
            "scorecard_customer": "*",
            "transitions": "*",
        }
        return {table: self.query(f"select {wanted} from {table} order by all", build) for table, wanted in columns.items()}


def new_book(settings: Settings, ledger: Ledger, *, drop: bool = True) -> Book:
    """A fresh org with collector maria and supervisor sam; the small book's files wait in its inbox unless told not to."""
    book = Book(settings, ledger, f"org{uuid4().hex[:10]}")
    orgs.create_org(ledger, book.org, OPERATOR)
    book.hire("maria", "collector")
    book.hire("sam", "supervisor")
    if drop:
        book.drop_all()
    return book


def approved_book(settings: Settings, ledger: Ledger) -> Book:
    """The small book taken in and approved by sam, and not run yet."""
    book = new_book(settings, ledger)
    book.take_in()
    book.approve_all("sam")
    return book
