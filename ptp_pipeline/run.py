"""Running an org's whole graph in this process, in the Dagster instance, so that the UI shows it. Used by the command line.

What the graph does is in assets/; this only starts it and reads back what it reported.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptp_pipeline.errors import Refused
from ptp_pipeline.instance import end_dead_runs, ensure_partition, instance, keep_connections
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: `errors` in words when not ok; rows by published table; what became of each file taken in."""

    ok: bool
    run_id: str
    as_of: date
    build_path: Path | None
    tables: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    intake: list[dict[str, Any]] = field(default_factory=list)


def run_org(
    settings: Settings,
    org: str,
    as_of: date | None = None,
    *,
    make_current: bool = False,
    full: bool = False,
    why: str = "ptp run",
    progress: Callable[[str], None] | None = None,
    ledger: Ledger | None = None,
) -> RunOutcome:
    """Take the inbox in and bring everything published up to date for `as_of` (default: today in the org's time zone).

    `full` makes the rows of all customers, also where those of a few would do. `why` stands in the audit trail.
    Raises Refused for a day that has not come yet or an org that is not there; a failing run is an outcome, not an error.
    """
    from ptp_pipeline.assets.pipeline import business_day
    from ptp_pipeline.build import build_defs
    from ptp_pipeline.jobs import RUN_ORG
    from ptp_pipeline.ledger import orgs
    from ptp_pipeline.resources import WHY_TAG, Ptp

    ptp = Ptp(settings, progress=progress, ledger=ledger)
    zones = {row.org_id: row.timezone for row in orgs.list_orgs(ptp.ledger)}
    if org not in zones:
        raise Refused(f"There is no org {org!r}.", f"Known: {', '.join(sorted(zones)) or 'none yet'}. Make one with `ptp org add`.")
    day = business_day(as_of.isoformat() if as_of else "", zones[org])
    with instance(settings, ptp.ledger) as dagster:
        keep_connections(dagster)  # planning a run asks for the org's partition once per table
        ensure_partition(dagster, org)
        end_dead_runs(dagster, ptp.ledger, datetime.now(UTC))
        result = (
            build_defs(settings, ptp)
            .resolve_job_def(RUN_ORG)
            .execute_in_process(
                instance=dagster,
                partition_key=org,
                raise_on_error=False,
                tags={WHY_TAG: why},
                run_config={
                    "ops": {
                        "ledger_snapshot": {"config": {"as_of": day.isoformat(), "full": full}},
                        "published": {"config": {"make_current": make_current}},
                    },
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
            )
        )
    return _outcome(result, day)


def _outcome(result: Any, as_of: date) -> RunOutcome:
    materialized = {
        m.asset_key.path[-2] + "." + m.asset_key.path[-1]: m.metadata
        for e in result.get_asset_materialization_events()
        if (m := e.materialization)
    }
    build = materialized.get("published.build", {})
    taken = materialized.get("feed.files", {}).get("files")
    return RunOutcome(
        ok=result.success,
        run_id=result.run_id,
        as_of=as_of,
        build_path=Path(str(build["path"].value)) if "path" in build else None,
        tables={
            name[10:]: int(m["dagster/row_count"].value)
            for name, m in materialized.items()
            if name.startswith("published.") and "dagster/row_count" in m
        },
        errors=failure_words(result.all_events),
        intake=list(taken.value) if taken else [],
    )


def failures_of(instance: "DagsterInstance", run_id: str) -> list[str]:
    """Why a run failed, from what Dagster keeps of it; nothing for one in which no step failed."""
    from dagster import DagsterEventType

    kinds = {DagsterEventType.STEP_FAILURE, DagsterEventType.RESOURCE_INIT_FAILURE, DagsterEventType.ASSET_CHECK_EVALUATION}
    return failure_words(e for r in instance.get_records_for_run(run_id, of_type=kinds).records if (e := r.event_log_entry.dagster_event))


def failure_words(events: Iterable[Any]) -> list[str]:
    """Why a run failed, from its Dagster events: the words of our own errors, the violated checks, else the exception's message."""
    words = []
    for event in events:
        if event.is_step_failure:
            data = event.step_failure_data
            said = data.user_failure_data.description if data.user_failure_data else None
            words.append(f"{event.step_key}: {said or _own_words(data.error)}")
        elif event.event_type_value == "RESOURCE_INIT_FAILURE":
            words.append(_own_words(event.engine_event_data.error))
        elif event.event_type_value == "ASSET_CHECK_EVALUATION" and not event.asset_check_evaluation_data.passed:
            check = event.asset_check_evaluation_data
            why = f": {check.description}" if check.description else ""
            words.append(f"check {check.check_name} on {check.asset_key.to_user_string()} does not hold{why}")
    return words


def _own_words(error: Any) -> str:
    """The message of the error that started it, without the name of its class."""
    if error is None:
        return "failed without saying why"
    while error.cause:
        error = error.cause
    if error.cls_name == "DagsterExecutionInterruptedError":
        return "it was stopped"
    message = str(error.message).strip()
    return message.removeprefix(f"{error.cls_name}: ").split(": ", 1)[-1] if message.startswith("ptp_pipeline.") else message
