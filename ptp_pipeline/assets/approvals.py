"""Approving from the Dagster UI: a readable form of what is pending, and decisions given with a one-time code.

The gate is the ledger's, the same as for `ptp approve`. A code is single-use and bound to one supervisor and the exact terms, so
nothing secret ever lands in run config: a code that stands there has been used up.
"""

from enum import Enum
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from ptp_pipeline.assets.stages import in_words
from ptp_pipeline.errors import PtpError
from ptp_pipeline.partitions import orgs_partitions
from ptp_pipeline.resources import PIPELINE, Ptp

if TYPE_CHECKING:
    from ptp_pipeline.ledger.commitments import PendingItem


class Decision(Enum):
    APPROVE = "approve"
    REJECT = "reject"
    SEND_BACK = "send_back"


class DecisionForm(dg.Config):
    """What a supervisor fills in."""

    items: list[str] = Field(description="Commitment ids from the approval form, for example PLAN-7; PLAN-7@2 names its version 2.")
    decision: Decision = Field(Decision.APPROVE, description="APPROVE, REJECT or SEND_BACK.")
    reason: str = Field(description="Why. Kept in the audit trail.")
    supervisor: str = Field(description="Your user name.")
    approval_code: str = Field(description="One-time code from `ptp approval-code`, for exactly these items.")


@dg.asset(partitions_def=orgs_partitions, group_name="approvals", kinds={"postgres"})
def approval_form(context: dg.AssetExecutionContext, ptp: dg.ResourceParam[Ptp]) -> dg.MaterializeResult[Any]:
    """Everything waiting for a decision: terms, schedule preview and guardrails, as metadata of the newest materialization."""
    from ptp_pipeline.ledger import commitments, policies

    with ptp.ledger.transaction(context.partition_key, PIPELINE) as tx:
        pending = commitments.pending(tx)
        policy = policies.current(tx)
    return dg.MaterializeResult(metadata={"pending": len(pending), "form": dg.MetadataValue.md(form_markdown(ptp, pending, policy))})


def form_markdown(ptp: Ptp, pending: list["PendingItem"], policy: Any) -> str:
    """The form as Markdown: one heading per item."""
    from ptp_pipeline.previews import preview_pending

    if not pending:
        return "Nothing is waiting for a decision."
    return "\n\n".join(preview_pending(ptp.settings, pending, policy))


@dg.asset(partitions_def=orgs_partitions, group_name="approvals", deps=[approval_form], kinds={"postgres"})
def approval_decisions(context: dg.AssetExecutionContext, config: DecisionForm, ptp: dg.ResourceParam[Ptp]) -> dg.MaterializeResult[Any]:
    """Approve, reject or send back items of the approval form. Needs your one-time approval code."""
    from ptp_pipeline.ledger import approvals, commitments, policies
    from ptp_pipeline.previews import to_approve

    org = context.partition_key
    with in_words():
        try:
            with ptp.ledger.transaction(org, PIPELINE) as tx:
                items = commitments.resolve_pending(tx, config.items)
                pending = {(i.commitment_id, i.version): i for i in commitments.pending(tx)}
                policy = policies.current(tx)
        except PtpError:
            approvals.present_code(ptp.ledger, org, config.supervisor, config.approval_code, "dagster")  # it stands in the run config
            raise
        schedules = to_approve(ptp.settings, [pending[item] for item in items], policy)
        decided = approvals.decide_with_code(
            ptp.ledger, org, config.supervisor, config.approval_code, items, config.decision.value, config.reason, "dagster", schedules
        )
    lines = [f"- {d.commitment_id} version {d.version}: {d.decision}, after {d.business_hours:g} business hours" for d in decided]
    return dg.MaterializeResult(metadata={"decided": len(decided), "decisions": dg.MetadataValue.md("\n".join(lines))})
