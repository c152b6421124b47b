"""Recording in the ledger what a run found: begun while its build is being made, committed when the build is current."""

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.ledger.connection import Transaction
from ptp_pipeline.resources import PIPELINE, Ptp

if TYPE_CHECKING:
    import duckdb

    from ptp_pipeline.warehouse.increment import Scope
    from ptp_pipeline.warehouse.publish import Answer, Build


@dataclass
class Recording:
    """One transaction of the run. Until `finish` it holds no lock that other acts of the org wait for."""

    ptp: Ptp
    tx: Transaction
    answer: "Answer"
    scope: "Scope | None"
    folder: Path
    thread: ThreadPoolExecutor
    appended: "Future[int] | None" = None
    is_finished: bool = False

    def offer(self, con: "duckdb.DuckDBPyConnection") -> None:
        """Begin to append the transitions of the draft that is being made. Postgres takes them in while DuckDB makes the other tables.

        Only what the last recorded build did not have is offered. That its transitions were appended is sure: both are one transaction.
        """
        from ptp_pipeline.ledger import builds, transitions
        from ptp_pipeline.warehouse.publish import write_new_transitions

        known, path = builds.latest(self.tx), self.folder / "transitions.csv"
        source = (known.build_id, known.digest) if known else ("", "")
        write_new_transitions(con, path, self.ptp.settings, self.answer.org, *source, self.scope)
        self.appended = self.thread.submit(transitions.append, self.tx, path, self.answer.run_id)

    def ready(self) -> int:
        """How many transitions were appended, once they are. Raises what went wrong: `current` must not move then.

        A build that is recorded without its transitions would hide them from all later runs, so one must have been offered.
        """
        if self.appended is None:
            raise WorkFailed("The build that was current went away while a build for an earlier day was made.", "Run it again.")
        return self.appended.result()

    def finish(self, build: "Build") -> None:
        """After `current` moved: a crash in between leaves the ledger asking for another run."""
        from ptp_pipeline.ledger import builds, positions, transitions
        from ptp_pipeline.warehouse.positions import changed_positions

        tx, settings = self.tx, self.ptp.settings
        before = positions.source(tx)
        source = (before.build_id, before.digest) if before else ("", "")
        with changed_positions(settings, build, *source, self.scope) as changes:
            positions.record(tx, changes.files, positions.Source(build.build_id, build.digest, build.as_of), is_whole=changes.is_whole)
        transitions.note(tx, build.run_id, self.ready())
        builds.record(
            tx, build.build_id, build.as_of, build.run_id, build.digest, build.tables, self.answer.ledger_position, build.evidence
        )
        self.is_finished = True


@contextmanager
def recording(ptp: Ptp, answer: "Answer", scope: "Scope | None") -> Iterator[Recording]:
    """Commits if it was finished; otherwise nothing of it stays."""
    import psycopg

    folder = ptp.warehouse(answer.org).fresh_dir("offered")
    try:
        with ptp.ledger.transaction(answer.org, PIPELINE) as tx:
            # It waits for the rest of the build, which may take longer than a server lets a transaction wait.
            tx.execute(
                "select set_config(name, '0', true) from pg_settings"
                " where name in ('idle_in_transaction_session_timeout', 'transaction_timeout')"
            )
            with ThreadPoolExecutor(1) as thread:
                begun = Recording(ptp, tx, answer, scope, folder, thread)
                try:
                    yield begun
                finally:
                    # Again and again: a request that comes between two statements cancels nothing.
                    while not begun.is_finished and begun.appended and not begun.appended.done():
                        with suppress(psycopg.Error):
                            tx.connection.cancel_safe()
                        wait([begun.appended], timeout=0.5)
            if not begun.is_finished:
                tx.connection.rollback()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
