"""The Dagster instance of this installation: where it lives and how child processes find it.

`dagster.yaml` of the checkout is the only configuration; secrets travel in the environment, never in files or run config.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.settings import CHECKOUT, Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance


_GRACE_SECONDS = 60
_DIED = "Its process died: it no longer holds the org's run lock. The next run repairs what it left."
_KEEPING: "WeakSet[DagsterInstance]" = WeakSet()


def prepare(settings: Settings, ledger: Ledger | None = None) -> dict[str, str]:
    """Make DAGSTER_HOME ready; returns the environment a Dagster process of this installation needs."""
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(CHECKOUT / "dagster.yaml", settings.dagster_home / "dagster.yaml")
    return {
        "PTP_HOME": str(settings.home),
        "DAGSTER_HOME": str(settings.dagster_home),
        "PTP_DAGSTER_URL": (ledger or Ledger(settings)).dagster_url,
    }


@contextmanager
def instance(settings: Settings, ledger: Ledger | None = None) -> Iterator["DagsterInstance"]:
    """The instance itself, as the web server and the daemon see it."""
    import dagster as dg

    os.environ.update(prepare(settings, ledger))
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as found:
        yield found


def keep_connections(instance: "DagsterInstance") -> None:
    """Let this process keep its connections to Dagster's storage: it opens one per call otherwise, over a thousand in a run."""
    if instance in _KEEPING:
        return
    _KEEPING.add(instance)
    instance.optimize_for_webserver(statement_timeout=120_000, pool_recycle=3600, max_overflow=20)
    _remember(instance.event_log_storage)


def _remember(storage: Any) -> None:
    """Keep answers that stay while a process lives: Dagster asks for them with nearly every event, hundreds of times in a run."""
    storage.has_table = cache(storage.has_table)
    has_column, has_partition = storage._has_asset_key_col_on_connection, storage.has_dynamic_partition  # noqa: SLF001
    columns: dict[str, bool] = {}
    partitions: set[tuple[str, str]] = set()

    def has_asset_key_col(con: Any, column: str) -> bool:
        if column not in columns:
            columns[column] = has_column(con, column)
        return columns[column]

    def has_dynamic_partition(definition: str, key: str) -> bool:
        if (definition, key) not in partitions and has_partition(definition, key):
            partitions.add((definition, key))  # one that is not there may come
        return (definition, key) in partitions

    storage._has_asset_key_col_on_connection = has_asset_key_col  # noqa: SLF001
    storage.has_dynamic_partition = has_dynamic_partition


def end_dead_runs(instance: "DagsterInstance", ledger: Ledger, now: datetime) -> list[str]:
    """Mark as failed the runs that hold an org's lock in name only; returns their ids.

    The ledger knows who lives: the lock goes with its holder's connection, and it names the run. Runs just started get a
    minute to take it.
    """
    import dagster as dg

    from ptp_pipeline.ledger import run_lock, runs
    from ptp_pipeline.resources import PARTITION_TAG, PIPELINE, holds_lock

    ended = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        run, org = record.dagster_run, record.dagster_run.tags.get(PARTITION_TAG)
        if not org or not holds_lock(run) or not record.start_time or now.timestamp() - record.start_time < _GRACE_SECONDS:
            continue
        if f"run {run.run_id[:8]} " not in (run_lock.holder(ledger, org) or ""):
            instance.report_run_failed(run, _DIED)
            with ledger.during(run.run_id).transaction(org, PIPELINE) as tx:
                runs.failed(tx, run.run_id, [_DIED])
            ended.append(run.run_id)
    return ended


def ensure_partition(instance: "DagsterInstance", org: str) -> None:
    """Make the org a partition; adding it twice changes nothing."""
    from ptp_pipeline.partitions import ORGS

    if not instance.has_dynamic_partition(ORGS, org):
        instance.add_dynamic_partitions(ORGS, [org])
