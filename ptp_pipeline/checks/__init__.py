"""The invariants of sql/warehouse/checks as blocking asset checks. They run inside their stage's step: no step of their own to pay for.

Which rows break a rule is said in SQL; here is only how Dagster is told.
"""

from collections.abc import Iterable, Iterator

import dagster as dg

from ptp_pipeline.warehouse.checks import Violation, run_stage_checks, stage_checks
from ptp_pipeline.warehouse.models import Warehouse

# The table a stage's checks are shown at.
_ANCHORS = {"raw": "files", "core": "installments", "matching": "allocations", "outcomes": "installments", "published": "installments"}


def check_specs(stage: str) -> list[dg.AssetCheckSpec]:
    """Blocking checks of a stage, one per file of sql/warehouse/checks."""
    return [dg.AssetCheckSpec(c.name, asset=[stage, _ANCHORS[stage]], description=c.message, blocking=True) for c in stage_checks(stage)]


def run_checks(stage: str, warehouse: Warehouse) -> Iterator[dg.AssetCheckResult]:
    """Evaluate a stage's invariants."""
    yield from check_results(stage, run_stage_checks(warehouse, stage))


def check_results(stage: str, outcomes: Iterable[Violation]) -> Iterator[dg.AssetCheckResult]:
    """What a stage's checks found; each violation shows sample rows."""
    for outcome in outcomes:
        yield dg.AssetCheckResult(
            passed=outcome.passed,
            asset_key=[stage, _ANCHORS[stage]],
            check_name=outcome.name,
            description=None if outcome.passed else f"{outcome.message} ({outcome.detail})",
            metadata={"violations": outcome.count, "sample": dg.MetadataValue.json(outcome.sample)},
        )
