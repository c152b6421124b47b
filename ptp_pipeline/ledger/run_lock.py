"""One run per org: a session advisory lock, which Postgres releases when its holder dies, and a row that says who holds it.

The lock has its own connection, open as long as the run; nothing else is done on it.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC

from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger.connection import Actor, Ledger

# A killed holder's connection takes a moment to be noticed.
_TRIES, _PAUSE_SECONDS = 5, 0.2
_PIPELINE = Actor(name="pipeline", role="pipeline", auth="pipeline", origin="lock")


def holder(ledger: Ledger, org: str) -> str | None:
    """Who holds the org's run lock now; None when nobody does, whatever a killed holder left written."""
    with ledger.transaction(org, _PIPELINE) as tx:
        row = tx.one("select pg_try_advisory_xact_lock(hashtextextended('ptp.run:' || %s, 0)) as is_free", [org])
        if row and row["is_free"]:
            return None
        found = tx.one("select holder from ptp.run_lock_holder where org_id = %s", [org])
    return str(found["holder"]) if found else "somebody who just started"


@contextmanager
def hold(ledger: Ledger, org: str, holder: str) -> Iterator[None]:
    """Hold the org's run lock. Raises Refused, naming who holds it, when somebody else does."""
    import psycopg
    from psycopg.rows import dict_row

    with psycopg.connect(**ledger.parameters("ptp_pipeline"), autocommit=True, row_factory=dict_row, keepalives_idle=30) as con:
        for attempt in range(_TRIES):
            row = con.execute("select pg_try_advisory_lock(hashtextextended('ptp.run:' || %s, 0)) as is_mine", [org]).fetchone()
            if row and row["is_mine"]:
                break
            if attempt < _TRIES - 1:
                time.sleep(_PAUSE_SECONDS)
        else:
            with ledger.transaction(org, _PIPELINE) as tx:
                other = tx.one("select holder, since from ptp.run_lock_holder where org_id = ptp.current_org()")
            who = (
                f"{other['holder']}, since {other['since'].astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if other else "somebody who just started"
            )
            raise Refused(f"{org} is being run by {who}.", "Wait for it to finish, or stop it.")
        with ledger.transaction(org, _PIPELINE) as tx:
            tx.execute(
                "insert into ptp.run_lock_holder (org_id, holder, host, pid) values (ptp.current_org(), %s, %s, %s) on conflict (org_id)"
                " do update set holder = excluded.holder, host = excluded.host, pid = excluded.pid, since = clock_timestamp()",
                [holder, socket.gethostname(), os.getpid()],
            )
        try:
            yield
        finally:
            if not con.broken:
                with ledger.transaction(org, _PIPELINE) as tx:
                    tx.execute("delete from ptp.run_lock_holder where org_id = ptp.current_org()")
