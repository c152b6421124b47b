"""The daily graph of one org: intake → ledger snapshot → core → matching → outcomes → published, recorded in the ledger.

Every step takes `org_lock`: the org it may touch, for as long as the run holds its lock.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import Field

from ptp_pipeline.assets.recording import recording
from ptp_pipeline.assets.stages import Results, in_words, model_specs, results, table_specs
from ptp_pipeline.checks import check_results, check_specs, run_checks
from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.feeds.build import FEED_TABLES
from ptp_pipeline.ledger.snapshot import LEDGER_TABLES
from ptp_pipeline.partitions import orgs_partitions
from ptp_pipeline.resources import PIPELINE, Ptp
from ptp_pipeline.warehouse.allocation import PYTHON_STEPS
from ptp_pipeline.warehouse.models import PythonStep

if TYPE_CHECKING:
    from ptp_pipeline.warehouse.increment import Scope


class AsOf(dg.Config):
    """Which business date the run answers for, and whether everything must be made anew."""

    as_of: str = Field("", description="YYYY-MM-DD; empty means today in the org's time zone.")
    full: bool = Field(False, description="Make the rows of all customers, also where those of a few would do.")


class Publication(dg.Config):
    """How the finished build is put in place."""

    make_current: bool = Field(False, description="Make this build current even if a build for a later as_of is there.")


@dg.multi_asset(
    name="intake",
    specs=[*table_specs("feed", FEED_TABLES, {}), *model_specs("raw")],
    check_specs=check_specs("raw"),
    description="Takes dropped CSVs in: archive, duplicate guard, validation, quarantine; then deduplicates rows across files.",
)
def intake(context: dg.AssetExecutionContext, ptp: dg.ResourceParam[Ptp], org_lock: dg.ResourceParam[str]) -> Results:
    from ptp_pipeline.feeds.build import write_feed_stage
    from ptp_pipeline.feeds.commitments import register
    from ptp_pipeline.feeds.intake import take_in

    org, warehouse = org_lock, ptp.warehouse(org_lock)
    ptp.progress("Taking dropped files in")
    with in_words():
        taken = take_in(ptp.settings, ptp.ledger, org, PIPELINE, progress=context.log.info)
        write_feed_stage(ptp.settings, ptp.ledger, org)
        registered = register(ptp.settings, ptp.ledger, org, PIPELINE)
    context.log.info(f"{len(taken)} files taken in; commitments: {registered}")
    files = dg.MetadataValue.json([asdict(file) for file in taken])
    yield from results("feed", warehouse.stats("feed"), {"files": {"files": files}})
    yield from results("raw", warehouse.run_stage("raw"))
    yield from run_checks("raw", warehouse)


@dg.multi_asset(
    name="ledger_snapshot",
    specs=table_specs("ledger", LEDGER_TABLES, dict.fromkeys(LEDGER_TABLES, ("raw.files",))),
    description="Freezes what the ledger asserts (approved commitments, decisions, policy) and the as_of; says whose rows the run makes.",
)
def ledger_snapshot(
    context: dg.AssetExecutionContext, config: AsOf, ptp: dg.ResourceParam[Ptp], org_lock: dg.ResourceParam[str]
) -> Results:
    from ptp_pipeline.ledger import policies, snapshot
    from ptp_pipeline.warehouse import increment, publish

    org, warehouse = org_lock, ptp.warehouse(org_lock)
    ptp.progress("Reading approved terms from the ledger")
    fresh = warehouse.fresh_dir("ledger")
    with in_words(), ptp.ledger.transaction(org, PIPELINE) as tx:
        as_of = business_day(config.as_of, policies.current(tx).timezone)
        snapshot.export(tx, fresh, as_of, None if config.full else warehouse.stage_dir("ledger"), publish.made_by())
    warehouse.swap_in("ledger", fresh)
    context.log.info(f"The run answers for {as_of}.")
    with in_words():
        scope = increment.forced(ptp.settings, org) if config.full else _scope(ptp, org)
    context.log.info(scope.words)
    ptp.progress(scope.words)
    yield from results("ledger", warehouse.stats("ledger"), {"params": {"as_of": as_of.isoformat(), "scope": scope.words}})


def _scope(ptp: Ptp, org: str) -> "Scope":
    """Whether the rows of a few customers do: decided once, from what the ledger, the current build and the stages say."""
    from ptp_pipeline.feeds.scope import customers_of
    from ptp_pipeline.ledger import builds
    from ptp_pipeline.warehouse import increment, publish

    warehouse = ptp.warehouse(org)
    params = warehouse.params()
    with ptp.ledger.transaction(org, PIPELINE) as tx:
        latest = builds.latest(tx)
        base = publish.state_of(ptp.settings, org, latest.build_id, latest.digest) if latest else None
        since = base.state.ledger_position if base and base.state else params["ledger_position"]
        changes = builds.changes_between(tx, since, params["ledger_position"])
    state = (params["as_of"], params["ledger_position"], params["policy_version"], publish.made_by(), increment.files_now(warehouse))
    return increment.decide(ptp.settings, org, base, increment.State(*state), changes, partial(customers_of, ptp.settings, org))


def business_day(text: str, timezone: str) -> date:
    """The business date a form names, or today there. Raises UsageError for text that is no date, Refused for a day to come."""
    now = today(timezone)
    try:
        day = date.fromisoformat(text) if text else now
    except ValueError:
        raise UsageError(f"{text!r} is not a date.", "Write it as YYYY-MM-DD, or leave it empty for today.") from None
    if day > now:
        raise Refused(f"{day} has not come yet; it is {now} in the org's time zone.", "Leave the date empty for today.")
    return day


def today(timezone: str) -> date:
    """The business date now. Only shells ask; everything below them is told."""
    return datetime.now(ZoneInfo(timezone)).date()


def _stage(stage: str, description: str, python_steps: Mapping[str, PythonStep] | None = None) -> dg.AssetsDefinition:
    """A stage that is nothing but its models and checks."""

    @dg.multi_asset(name=stage, specs=model_specs(stage), check_specs=check_specs(stage), description=description)
    def run(ptp: dg.ResourceParam[Ptp], org_lock: dg.ResourceParam[str]) -> Results:
        from ptp_pipeline.warehouse import increment

        ptp.progress(description)
        warehouse = increment.warehouse(ptp.settings, org_lock)
        with in_words():
            made = warehouse.run_stage(stage, python_steps)
        yield from results(stage, made)
        yield from run_checks(stage, warehouse)

    return run


core = _stage("core", "Building schedules")
matching = _stage("matching", "Matching payments to installments", PYTHON_STEPS)
outcomes = _stage("outcomes", "Judging what was kept and what broke")

BUILD = ["published", "build"]


@dg.multi_asset(
    name="published",
    specs=[
        *model_specs("published"),
        dg.AssetSpec(
            BUILD,
            deps=[["published", "plan_status"], ["outcomes", "transitions"]],
            description="The published build: DuckDB file, Parquet, CSV, XLSX. Current only after every check holds.",
            group_name="published",
            partitions_def=orgs_partitions,
            kinds={"duckdb"},
        ),
    ],
    check_specs=[
        *check_specs("published"),
        dg.AssetCheckSpec("expectations", asset=BUILD, blocking=True, description="Great Expectations hold on the published tables."),
    ],
    description="Publishes a versioned build and records in the ledger what it found.",
)
def published(
    context: dg.AssetExecutionContext, config: Publication, ptp: dg.ResourceParam[Ptp], org_lock: dg.ResourceParam[str]
) -> Results:
    from ptp_pipeline.ledger import audit
    from ptp_pipeline.warehouse import expectations, increment, publish

    ptp.progress("Publishing")
    params = ptp.warehouse(org_lock).params()
    with ptp.ledger.transaction(org_lock, PIPELINE) as tx:
        head = audit.head(tx)
    answer = publish.Answer(
        org_lock, params["as_of"], context.run_id, datetime.now(UTC), params["ledger_position"], params["policy_version"], *head
    )
    scope = increment.current(ptp.settings, org_lock)
    if scope is None:
        expectations.load_ahead()
    with in_words(), recording(ptp, answer, scope) as record:
        offer = record.offer if publish.may_become_current(ptp.settings, answer, make_current=config.make_current) else None
        with publish.draft_of(ptp.settings, answer, scope, offer) as draft:
            yield from results("published", draft.stats())
            checks = list(check_results("published", draft.violations()))
            yield from checks
            if broken := [check.check_name for check in checks if not check.passed]:
                raise dg.Failure(f"Nothing was published: {', '.join(map(str, broken))} does not hold.", allow_retries=False)
            build = publish.place(draft, make_current=config.make_current, before_current=record.ready)
        if build.is_current:
            record.finish(build)
    publish.remove_old(ptp.settings, build)
    yield dg.MaterializeResult(
        asset_key=BUILD,
        metadata={"path": dg.MetadataValue.path(str(build.path)), "digest": build.digest, "is_current": build.is_current},
    )
    failures = build.validation.failures if build.validation else []
    yield dg.AssetCheckResult(
        passed=not failures,
        asset_key=BUILD,
        check_name="expectations",
        metadata={"failures": dg.MetadataValue.json([asdict(failure) for failure in failures])},
    )
