"""A small desk around a real inbox: drop files, take them in, look at what became of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ptp_pipeline.feeds.build import write_feed_stage
from ptp_pipeline.feeds.commitments import register
from ptp_pipeline.feeds.intake import IntakeResult, take_in
from ptp_pipeline.ledger import files
from ptp_pipeline.ledger.connection import Actor, Ledger
from ptp_pipeline.ledger.files import ReceivedFile
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.checks import run_stage_checks
from ptp_pipeline.warehouse.models import Warehouse

PIPELINE = Actor(name="pipeline", role="pipeline", auth="pipeline", origin="dagster")
HEADERS = {
    "payments": "payment_id,customer_id,received_date,amount,kind,reverses_payment_id,reference",
    "invoices": "invoice_id,customer_id,customer_name,invoice_date,due_date,amount,open_amount",
    "commitments": "commitment_id,kind,customer_id,agreed_on,amount,first_due_date,frequency,installment_count,invoice_ids",
    "installments": "commitment_id,sequence,due_date,amount",
    "contacts": "contact_id,customer_id,at,channel,direction",
}


@dataclass(frozen=True)
class Desk:
    """One org's inbox and everything behind it."""

    settings: Settings
    ledger: Ledger
    org: str

    def drop(self, feed: str, name: str, *rows: str, header: str | None = None) -> Path:
        return self.drop_bytes(feed, name, "".join(f"{line}\n" for line in (header or HEADERS[feed], *rows)).encode())

    def drop_bytes(self, feed: str, name: str, data: bytes) -> Path:
        folder = self.settings.inbox(self.org, feed)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_bytes(data)
        return path

    def take(self) -> list[IntakeResult]:
        return take_in(self.settings, self.ledger, self.org, PIPELINE)

    def build(self) -> dict[str, int]:
        """Everything up to the raw stage, with its checks."""
        write_feed_stage(self.settings, self.ledger, self.org)
        counts = register(self.settings, self.ledger, self.org, PIPELINE)
        warehouse = Warehouse(self.settings, self.org)
        warehouse.run_stage("raw")
        broken = [violation for violation in run_stage_checks(warehouse, "raw") if not violation.passed]
        assert broken == []
        return counts

    def run(self) -> dict[str, int]:
        self.take()
        return self.build()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        con = Warehouse(self.settings, self.org).connect(("feed", "raw"))
        try:
            return con.execute(sql).fetchall()
        finally:
            con.close()

    def quarantine(self) -> list[tuple[Any, ...]]:
        return self.rows("select feed, line_number, column_name, value, rule from raw.quarantine order by all")

    def files(self) -> list[tuple[Any, ...]]:
        return self.rows("select file_name, rows_in, rows_loaded, rows_quarantined, rows_duplicate from raw.files order by file_sequence")

    def registered(self) -> list[ReceivedFile]:
        with self.ledger.transaction(self.org, PIPELINE) as tx:
            return files.list_files(tx)[::-1]

    def audited(self, prefix: str) -> list[tuple[str, str]]:
        with self.ledger.transaction(self.org, PIPELINE) as tx:
            rows = tx.all(
                "select action, reason from ptp.audit_event where org_id = ptp.current_org() and action like %s order by seq",
                [f"{prefix}%"],
            )
        return [(row["action"], row["reason"]) for row in rows]

    def inbox(self) -> list[str]:
        return sorted(str(p.relative_to(self.settings.inbox(self.org))) for p in self.settings.inbox(self.org).glob("[!.]*/*"))

    def rejected(self) -> dict[str, str]:
        """Rejected files by name, with the text of the reason beside them."""
        folder = self.settings.rejected(self.org)
        found = [p for p in folder.glob("*") if not p.name.endswith(".reason.txt")] if folder.exists() else []
        return {p.name: p.with_name(f"{p.name}.reason.txt").read_text() for p in found}

    def is_archived(self, data: bytes) -> bool:
        import hashlib

        digest = hashlib.sha256(data).hexdigest()
        path = self.settings.archive / digest[:2] / digest
        return path.exists() and path.read_bytes() == data and path.stat().st_mode & 0o777 == 0o444

    def with_settings(self, **changes: Any) -> "Desk":
        return replace(self, settings=self.settings.model_copy(update=changes))


@pytest.fixture
def desk(settings: Settings, ledger: Ledger, org: str) -> Iterator[Desk]:
    """An empty inbox of a fresh org."""
    settings.inbox(org).mkdir(parents=True)
    return Desk(settings, ledger, org)
