"""What a Dagster run needs from outside: settings, ledger, and the org's run lock; and that it ran, in the audit trail. No rules here."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property

import dagster as dg

from ptp_pipeline.errors import Refused
from ptp_pipeline.instance import keep_connections
from ptp_pipeline.ledger.connection import Actor, Ledger
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.models import STAGES, Warehouse

PIPELINE = Actor(name="pipeline", role="pipeline", auth="pipeline", origin="dagster")
PARTITION_TAG = "dagster/partition"
WHY_TAG = "ptp/why"


class Ptp:
    """Settings and ledger of this installation, shared by assets, sensors and schedules."""

    def __init__(
        self, settings: Settings | None = None, progress: Callable[[str], None] | None = None, ledger: Ledger | None = None
    ) -> None:
        self.settings = settings or Settings()
        self.progress = progress or (lambda _: None)
        self._ledger = ledger

    @cached_property
    def ledger(self) -> Ledger:
        return self._ledger or Ledger(self.settings)

    def during(self, run_id: str) -> "Ptp":
        """The same for one run: what it does in the ledger is recorded as this run's, and stays in one org."""
        return Ptp(self.settings, self.progress, self.ledger.during(run_id))

    def warehouse(self, org: str) -> Warehouse:
        return Warehouse(self.settings, org)


def holds_lock(run: dg.DagsterRun) -> bool:
    """Whether a run is one that takes the org's lock: it makes tables of the warehouse."""
    return run.job_name == "run_org" or any(key.path[0] in STAGES for key in run.asset_selection or ())


def per_run(ptp: Ptp) -> dg.ResourceDefinition:
    """`ptp` as sensors see it; as a run sees it, with the run's id, and with its beginning and end in the org's audit trail."""

    @dg.resource(description="Settings and ledger of this installation.")
    def resource(context: dg.InitResourceContext) -> Iterator[Ptp]:
        run = context.dagster_run
        its = ptp.during(run.run_id) if run else ptp
        if run is None or context.instance is None or PARTITION_TAG not in run.tags:
            yield its
            return
        with _told(its, run, context.instance):
            yield its

    return resource


@contextmanager
def _told(ptp: Ptp, run: dg.DagsterRun, instance: dg.DagsterInstance) -> Iterator[None]:
    """A run that is killed tells no end; `instance.end_dead_runs` tells it."""
    from ptp_pipeline.ledger import runs
    from ptp_pipeline.run import failures_of

    org = run.tags[PARTITION_TAG]
    with ptp.ledger.transaction(org, PIPELINE) as tx:
        runs.started(tx, run.run_id, run.job_name, _why(run), _as_of(run))
    yield
    problems = failures_of(instance, run.run_id)
    with ptp.ledger.transaction(org, PIPELINE) as tx:
        if problems:
            runs.failed(tx, run.run_id, problems)
        else:
            runs.finished(tx, run.run_id)


def _why(run: dg.DagsterRun) -> str:
    tags = run.tags
    by_hand = "started in the Dagster UI" if tags.get("dagster/from_ui") else "started by hand"
    return tags.get(WHY_TAG) or tags.get("dagster/schedule_name") or tags.get("dagster/sensor_name") or by_hand


def _as_of(run: dg.DagsterRun) -> str:
    """The business date the run was asked for. The rest of its config stays out: a one-time code may stand there."""
    config = run.run_config.get("ops", {}) if isinstance(run.run_config, dict) else {}
    return str(config.get("ledger_snapshot", {}).get("config", {}).get("as_of", ""))


@dg.resource(required_resource_keys={"ptp"}, description="The org's run lock, held from the first step of a run to its last.")
def org_lock(context: dg.InitResourceContext) -> Iterator[str]:
    """Yields the org. Instance config already queues one run per org; the lock also covers `ptp run` and names its holder."""
    from ptp_pipeline.ledger import run_lock

    run = context.dagster_run
    if run is None or PARTITION_TAG not in run.tags:
        raise Refused("This job runs for one org.", "Choose an org as the partition.")
    org = run.tags[PARTITION_TAG]
    ptp: Ptp = context.resources.ptp
    if context.instance:
        keep_connections(context.instance)
    holder = f"run {run.run_id[:8]} on {socket.gethostname()}, process {os.getpid()}"
    with run_lock.hold(ptp.ledger, org, holder):
        ptp.warehouse(org).sweep()
        yield org
