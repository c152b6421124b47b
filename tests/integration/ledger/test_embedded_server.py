"""The embedded server and the cluster's roles: who uses it, and that two installations cannot lock each other out."""

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from pydantic import SecretStr

from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.ledger import embedded, orgs
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.settings import Settings


def test_a_killed_process_is_struck_off_the_list_of_the_servers_users(settings: Settings, ledger: Ledger) -> None:
    orgs.list_orgs(ledger)
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    handles = settings.postgres_dir / ".handle_pids.json"
    before = json.loads(handles.read_text())
    handles.write_text(json.dumps([*before, dead.pid]))
    assert embedded.living_users(settings) == before
    assert json.loads(handles.read_text()) == before


@pytest.fixture
def other_database(settings: Settings, ledger: Ledger) -> SecretStr:
    """A second database on the server that the first installation uses, by its administrator's URL."""
    orgs.list_orgs(ledger)
    admin = embedded.start(settings)
    with psycopg.connect(**admin, autocommit=True) as con:
        con.execute("drop database if exists elsewhere")
        con.execute("create database elsewhere")
    return SecretStr(f"postgresql://postgres:{quote(admin['password'], safe='')}@/elsewhere?host={quote(str(admin['host']))}")


def test_a_second_installation_on_the_same_server_is_refused_and_the_first_goes_on(
    tmp_path: Path, ledger: Ledger, other_database: SecretStr
) -> None:
    second = Settings(home=tmp_path, database_url=other_database)
    embedded.make_passwords(second)
    with pytest.raises(WorkFailed, match="already belongs to a ptp installation"):
        orgs.list_orgs(Ledger(second))
    orgs.list_orgs(Ledger(ledger.settings))


def test_an_url_that_cannot_be_read_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(WorkFailed, match="PTP_DATABASE_URL"):
        orgs.list_orgs(Ledger(Settings(home=tmp_path, database_url=SecretStr("postgresql+psycopg://x@localhost/y"))))
