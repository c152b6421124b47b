"""Kills an intake with SIGKILL at every change it makes to the disk, one after the other, and checks what the next intake makes of it.

Run by test_intake with the home and the org.
"""

import sys
from pathlib import Path

import duckdb  # noqa: F401 - imported once, before the forks
import hypothesis  # noqa: F401 - pandera imports it when it validates
import pandera.backends.polars.register
import pandera.polars  # noqa: F401
import polars as pl  # noqa: F401

from ptp_pipeline.feeds.intake import TAKING, take_in
from ptp_pipeline.ledger import files
from ptp_pipeline.ledger.connection import Actor, Ledger
from ptp_pipeline.settings import Settings
from tests.integration.killed import in_child, killed_at

PIPELINE = Actor(name="pipeline", role="pipeline", auth="pipeline", origin="dagster")
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "shutil.rmtree"}


def is_change(event: str, args: tuple) -> bool:
    return event in CHANGES or (event == "open" and isinstance(args[1], str) and bool(set(args[1]) & set("wxa")))


def main(home: str, org: str) -> None:
    settings = Settings(home=Path(home), settle_seconds=0)
    ledger = Ledger(settings)
    ledger.parameters("ptp_app")
    inbox = settings.inbox(org, "payments")
    inbox.mkdir(parents=True)

    def intake() -> None:
        take_in(settings, ledger, org, PIPELINE)

    moment, finished = 0, False
    while not finished:
        moment += 1
        (inbox / f"good-{moment}.csv").write_text(f"payment_id,customer_id,received_date,amount\nP{moment},C1,2026-01-05,1\n")
        (inbox / f"bad-{moment}.csv").write_text(f"payment_id,customer_id\nP{moment},C1\n")
        finished = killed_at(moment, is_change, intake)
        assert in_child(intake)
        assert list(inbox.iterdir()) == [], f"left in the inbox after a kill at {moment}"
        assert [p.name for p in (settings.inbox(org) / TAKING).iterdir()] == ["lock"], f"claims left after a kill at {moment}"
        with ledger.transaction(org, PIPELINE) as tx:
            known = [(f.file_name, f.status) for f in files.list_files(tx)]
            (counted,) = tx.all("select count(*) from ptp.audit_event where org_id = ptp.current_org() and action like 'file.%%'", [])
        expected = [
            (f"{kind}-{n}.csv", status) for n in range(1, moment + 1) for kind, status in (("good", "accepted"), ("bad", "rejected"))
        ]
        assert sorted(known) == sorted(expected), f"after a kill at {moment}: {sorted(set(known) ^ set(expected))}"
        assert counted["count"] == len(expected)
        rejected = sorted(p.name for p in settings.rejected(org).iterdir())
        assert rejected == sorted(f"bad-{n}.csv{suffix}" for n in range(1, moment + 1) for suffix in ("", ".reason.txt")), rejected
    sys.stdout.write(f"{moment - 1} kills survived")


main(*sys.argv[1:])
