"""The daily graph of one org: intake → ledger snapshot → core → matching → outcomes → published → recorded."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import Field

from ptp_pipeline.assets.stages import Results, check_specs, model_specs, plain_failure, results, run_checks, table_specs
from ptp_pipeline.errors import PtpError
from ptp_pipeline.feeds.build import FEED_TABLES
from ptp_pipeline.ledger.snapshot import LEDGER_TABLES
from ptp_pipeline.partitions import orgs_partitions
from ptp_pipeline.resources import PIPELINE, Ptp

_LOCKED = {"org_lock"}


class AsOf(dg.Config):
    """Which business date the run answers for."""

    as_of: str = Field("", description="YYYY-MM-DD; empty means today in the org's time zone.")


class Publication(dg.Config):
    """How the finished build is put in place."""

    make_current: bool = Field(False, description="Make this build current even if a build for a later as_of is there.")


@dg.multi_asset(
    name="intake",
    specs=[*table_specs("feed", FEED_TABLES, {}), *model_specs("raw")],
    check_specs=check_specs("raw"),
    required_resource_keys=_LOCKED,
    description="Takes dropped CSVs in: archive, duplicate guard, validation, quarantine; then deduplicates rows across files.",
)
def intake(context: dg.AssetExecutionContext, ptp: dg.ResourceParam[Ptp]) -> Results:
    from ptp_pipeline.feeds.build import write_feed_stage
    from ptp_pipeline.feeds.commitments import register
    from ptp_pipeline.feeds.intake import take_in

    org, warehouse = context.partition_key, ptp.warehouse(context.partition_key)
    try:
        taken = take_in(ptp.settings, ptp.ledger, org, PIPELINE, progress=context.log.info)
        feed = write_feed_stage(ptp.settings, ptp.ledger, org)
        registered = register(ptp.settings, ptp.ledger, org, PIPELINE)
    except PtpError as error:
        raise plain_failure(error) from error
    context.log.info(f"{len(taken)} files taken in; commitments: {registered}")
    yield from results("feed", warehouse.stats("feed"), {"files_taken_in": len(taken)})
    yield from results("raw", warehouse.run_stage("raw", progress=context.log.debug))
    yield from run_checks("raw", warehouse)


@dg.multi_asset(
    name="ledger_snapshot",
    specs=table_specs("ledger", LEDGER_TABLES, dict.fromkeys(LEDGER_TABLES, ("raw.files",))),
    required_resource_keys=_LOCKED,
    description="Freezes what the ledger asserts (approved commitments, decisions, policy) and the run's as_of.",
)
def ledger_snapshot(context: dg.AssetExecutionContext, config: AsOf, ptp: dg.ResourceParam[Ptp]) -> Results:
    from ptp_pipeline.ledger import policies, snapshot

    org, warehouse = context.partition_key, ptp.warehouse(context.partition_key)
    fresh = warehouse.fresh_dir("ledger")
    try:
        with ptp.ledger.transaction(org, PIPELINE) as tx:
            as_of = date.fromisoformat(config.as_of) if config.as_of else today(policies.current(tx).timezone)
            snapshot.export(tx, fresh, as_of)
    except PtpError as error:
        raise plain_failure(error) from error
    warehouse.swap_in("ledger", fresh)
    context.log.info(f"The run answers for {as_of}.")
    yield from results("ledger", warehouse.stats("ledger"), {"as_of": as_of.isoformat()})


def today(timezone: str) -> date:
    """The business date now. Only shells ask; everything below them is told."""
    return datetime.now(ZoneInfo(timezone)).date()


def _stage(stage: str, description: str) -> dg.AssetsDefinition:
    """A stage that is nothing but its models and checks."""

    @dg.multi_asset(
        name=stage, specs=model_specs(stage), check_specs=check_specs(stage), required_resource_keys=_LOCKED, description=description
    )
    def run(context: dg.AssetExecutionContext, ptp: dg.ResourceParam[Ptp]) -> Results:
        warehouse = ptp.warehouse(context.partition_key)
        yield from results(stage, warehouse.run_stage(stage, python_steps(stage), context.log.debug))
        yield from run_checks(stage, warehouse)

    return run


core = _stage("core", "Schedules: installments of every approved version, business calendar, customers and invoices as of the run.")
matching = _stage("matching", "Payments routed to commitments and allocated to installments, to the minor unit.")
outcomes = _stage("outcomes", "Verdicts, states, life cycles and the transitions they imply.")


@dg.multi_asset(
    name="published",
    specs=[*model_specs("published"), dg.AssetSpec(["published", "build"], group_name="published", partitions_def=orgs_partitions)],
    check_specs=[
        *check_specs("published"),
        dg.AssetCheckSpec(
            "expectations", asset=["published", "build"], blocking=True, description="Great Expectations on the published tables."
        ),
    ],
    required_resource_keys=_LOCKED,
    description="Publishes a versioned build: DuckDB file, Parquet, CSV, XLSX; nothing becomes current before its checks pass.",
)
def published(context: dg.AssetExecutionContext, config: Publication, ptp: dg.ResourceParam[Ptp]) -> Results: ...
