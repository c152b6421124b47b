"""One multi-asset per stage of the warehouse: few steps, every table visible. Rules are in sql/warehouse and the services."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import dagster as dg

from ptp_pipeline.errors import PtpError
from ptp_pipeline.partitions import orgs_partitions
from ptp_pipeline.warehouse.models import TableStats, stage_models

Results = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]


def table_specs(stage: str, tables: Mapping[str, str], deps: Mapping[str, Sequence[str]]) -> list[dg.AssetSpec]:
    """Asset specs of a stage's tables: name → description, name → tables read (`stage.table`)."""
    return [
        dg.AssetSpec(
            [stage, table],
            description=description,
            group_name=stage,
            deps=[name.split(".") for name in deps.get(table, ())],
            partitions_def=orgs_partitions,
            kinds={"parquet"},
        )
        for table, description in tables.items()
    ]


def model_specs(stage: str) -> list[dg.AssetSpec]:
    """Asset specs made from the headers and references of the stage's models. Helper tables stay out of the lineage."""
    models = {m.name: m for m in stage_models(stage)}

    @cache
    def visible_references(name: str) -> set[str]:
        found: set[str] = set()
        for reference in models[name].references:
            if reference in models and not models[reference].is_kept:
                found |= visible_references(reference)
            elif reference != name and (reference in models or not reference.startswith(f"{stage}.")):  # else made by a Python step
                found.add(reference)
        return found

    kept = {m.table: m for m in models.values() if m.is_kept}
    return table_specs(
        stage,
        {t: f"{m.description or m.grain}\n\nGrain: {m.grain}." for t, m in kept.items()},
        {t: sorted(visible_references(m.name)) for t, m in kept.items()},
    )


def results(
    stage: str, stats: Mapping[str, TableStats], extra: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[dg.MaterializeResult[Any]]:
    """Row counts and columns of every table a stage made; `extra` is further metadata by table."""
    described = {m.table: m.columns for m in stage_models(stage)}
    in_order = [table for table in described if table in stats] or sorted(stats)  # Dagster wants what is read first, first
    for table in in_order:
        made = stats[table]
        schema = dg.TableSchema(
            columns=[dg.TableColumn(name, kind, description=described.get(table, {}).get(name)) for name, kind in made.columns]
        )
        yield dg.MaterializeResult(
            asset_key=[stage, table],
            metadata={"dagster/row_count": made.rows, "dagster/column_schema": schema, **(extra or {}).get(table, {})},
        )


@contextmanager
def in_words() -> Iterator[None]:
    """A refusal or failure of ours ends the step with its own words; trying again by machine would not help."""
    try:
        yield
    except PtpError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
