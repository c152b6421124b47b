"""`ptp audit` over two real runs: heads on disk, a CSV for the auditor, and what a run's event stands for."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.settings import Settings
from tests.integration.cli.conftest import Cli
from tests.integration.pipeline_book import Book, new_book


@pytest.fixture
def book(settings: Settings, ledger: Ledger) -> Iterator[Book]:
    """Two recorded builds: before the approval, and after it with money matched and a promise broken."""
    made = new_book(settings, ledger)
    made.run("2026-03-01")
    made.approve_all("sam")
    made.run("2026-05-19")
    yield made
    shutil.rmtree(settings.published(made.org))


def test_the_trail_is_compared_with_published_heads_exported_and_expanded(cli: Cli, book: Book, tmp_path: Path) -> None:
    org = book.org
    verified = cli("audit", "verify", "--org", org, "--json").document
    assert (verified["ok"], verified["heads"]) == (True, 2)
    (seq, head), *_ = book.query("select audit_seq, audit_hash from run_info")
    events = {e["seq"]: e for e in cli("audit", "show", "--org", org, "--limit", "1000", "--json").document}
    assert events[seq]["hash"] == head

    made = [e for e in events.values() if e["action"] == "build.recorded"]
    assert len({e["run"] for e in made}) == len(made) == 2
    assert made[-1]["after"]["allocations"]["rows"] == book.query("select count(*) from allocations")[0][0]

    expanded = cli("audit", "expand", str(made[-1]["seq"]), "--org", org, "--json").document
    assert expanded["before"] == made[0]["object_id"]
    assert {row["payment_id"] for row in expanded["allocations"]} == {row[0] for row in book.query("select payment_id from allocations")}
    assert ("PROM-1", "broken") in {(row["commitment_id"], row["to_state"]) for row in expanded["transitions"]}
    assert "its file is the one that was audited" in cli("audit", "expand", made[-1]["object_id"], "--org", org).out

    target = tmp_path / "approvals.csv"
    shown = cli("audit", "show", "--org", org, "--person", "sam", "--action", "approval.", "--csv", str(target))
    assert shown.code == 0, shown.err
    with target.open(newline="") as file:
        assert [row["reason"] for row in csv.DictReader(file)] == ["as agreed on the phone"]
    assert cli("audit", "show", "--org", org, "--until", "2020-01-01").out.strip() == "No events."

    published = book.settings.current_build(org).resolve() / "ptp.duckdb"
    published.write_bytes(published.read_bytes() + b" ")
    changed = cli("audit", "expand", made[-1]["object_id"], "--org", org)
    assert (changed.code, "not what was audited" in changed.err) == (1, True)
    assert cli("audit", "expand", "nothing", "--org", org).code == 2

    with psycopg.connect(**book.ledger._admin) as con:
        con.execute("set session_replication_role = replica")
        con.execute("delete from ptp.build where org_id = %s", [org])
        con.execute("delete from ptp.audit_event where org_id = %s and seq >= %s", [org, seq])
    cut = cli("audit", "verify", "--org", org)
    assert (cut.code, "the end was cut off" in cut.err) == (1, True)


def test_a_reason_that_would_be_a_formula_is_text_in_the_csv(cli: Cli, settings: Settings, ledger: Ledger, tmp_path: Path) -> None:
    from ptp_pipeline.ledger import overrides

    made = new_book(settings, ledger, drop=False)
    with ledger.transaction(made.org, made.people["sam"]) as tx:
        overrides.set_target(tx, "PAY-1", None, "=HYPERLINK(1)")
    target = tmp_path / "all.csv"
    assert cli("audit", "show", "--org", made.org, "--csv", str(target)).code == 0
    assert "'=HYPERLINK(1)" in target.read_text()
