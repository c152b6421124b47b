"""Fixtures shared by all tests: a real Postgres, one per test process, and a fresh org per test."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from ptp_pipeline.ledger import embedded
from ptp_pipeline.ledger.connection import Actor, Ledger
from ptp_pipeline.settings import Settings

OPERATOR = Actor(name="operator", role="operator", auth="operator", origin="cli")
PIPELINE = Actor(name="pipeline", role="pipeline", auth="pipeline", origin="dagster")


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """PTP_HOME of this test process. Not pytest's tmp_path: Postgres runs as another user and must be able to enter."""
    path = Path(tempfile.mkdtemp(prefix="ptp-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def settings(home: Path) -> Settings:
    return Settings(home=home, duckdb_threads=2, duckdb_memory_limit="2GB", settle_seconds=0)


@pytest.fixture(scope="session")
def ledger(settings: Settings) -> Ledger:
    """The real ledger: embedded Postgres, migrated, app roles in place.

    It does not wait for the disk: what tests kill are processes, never the machine, so the server still loses nothing it has committed.
    """
    admin = embedded.start(settings)
    with psycopg.connect(**admin, autocommit=True) as con:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            con.execute(f"alter system set {setting} = off")
        con.execute("select pg_reload_conf()")
    return Ledger(settings)


@pytest.fixture
def org(ledger: Ledger) -> str:
    """A fresh org with default policy; tests share a server but never rows."""
    from ptp_pipeline.ledger import orgs

    org_id = f"org{uuid4().hex[:10]}"
    orgs.create_org(ledger, org_id, OPERATOR)
    return org_id
