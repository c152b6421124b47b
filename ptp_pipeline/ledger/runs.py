"""Runs of an org's graph, in its audit trail: that one began, why, and how it ended. What it published is `builds`."""

from collections.abc import Sequence

from ptp_pipeline.ledger import audit
from ptp_pipeline.ledger.connection import Transaction


def started(tx: Transaction, run_id: str, job: str, why: str, as_of: str = "") -> None:
    """A run began. `as_of` is the business date it was asked for; empty for today."""
    audit.record(tx, "run.started", "run", run_id, why, after={"job": job} | ({"as_of": as_of} if as_of else {}))


def finished(tx: Transaction, run_id: str) -> None:
    """A run ended and all of it worked."""
    audit.record(tx, "run.finished", "run", run_id)


def failed(tx: Transaction, run_id: str, problems: Sequence[str]) -> None:
    """A run ended without having done all it should."""
    audit.record(tx, "run.failed", "run", run_id, "; ".join(problems))
