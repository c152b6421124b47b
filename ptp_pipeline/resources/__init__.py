"""What a Dagster run needs from outside: settings, ledger, and the org's run lock. No rules here."""

import os
import socket
from collections.abc import Callable, Iterator
from functools import cached_property

import dagster as dg

from ptp_pipeline.errors import Refused
from ptp_pipeline.instance import keep_connections
from ptp_pipeline.ledger.connection import Actor, Ledger
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.models import STAGES, Warehouse

PIPELINE = Actor(name="pipeline", role="pipeline", auth="pipeline", origin="dagster")
PARTITION_TAG = "dagster/partition"


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
    """`ptp` as sensors see it; as a run sees it, with the run's id."""

    @dg.resource(description="Settings and ledger of this installation.")
    def resource(context: dg.InitResourceContext) -> Ptp:
        return ptp.during(context.dagster_run.run_id) if context.dagster_run else ptp

    return resource


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
