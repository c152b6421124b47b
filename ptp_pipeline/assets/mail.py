"""The morning mail as an asset, and the op that empties the outbox. How a message looks is the notify package's business."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from ptp_pipeline.assets.pipeline import business_day
from ptp_pipeline.assets.stages import plain_failure
from ptp_pipeline.errors import PtpError
from ptp_pipeline.partitions import orgs_partitions
from ptp_pipeline.resources import PIPELINE, Ptp


class MailDay(dg.Config):
    """Which day's mail."""

    day: str = Field("", description="YYYY-MM-DD; empty means today in the org's time zone.")


@dg.asset(
    partitions_def=orgs_partitions,
    group_name="mail",
    deps=[["published", "broken_promises"], ["published", "installments"]],
    kinds={"email"},
)
def broken_promise_mail(context: dg.AssetExecutionContext, config: MailDay, ptp: dg.ResourceParam[Ptp]) -> dg.MaterializeResult[Any]:
    """The day's broken-promise mail, by owner, with totals. Materializing it again never sends it again."""
    from ptp_pipeline.ledger import outbox, policies
    from ptp_pipeline.notify.daily import compose_broken_promises
    from ptp_pipeline.notify.mailer import deliver_due

    org = context.partition_key
    try:
        with ptp.ledger.transaction(org, PIPELINE) as tx:
            policy = policies.current(tx)
            day = business_day(config.day, policy.timezone)
            message = compose_broken_promises(ptp.settings, org, policy, day)
            is_new = outbox.enqueue(tx, message)
        report = deliver_due(ptp.settings, ptp.ledger, org, datetime.now(UTC))
    except PtpError as error:
        raise plain_failure(error) from error
    return dg.MaterializeResult(
        metadata={
            "send_key": message.send_key,
            "newly_queued": is_new,
            "recipients": len(message.recipients),
            "sent": report.sent,
            "retried": report.retried,
            "failed": report.failed,
            "problems": dg.MetadataValue.json(list(report.problems)),
        }
    )


@dg.op(description="Send what waits in the outbox; failures are retried later with backoff.")
def deliver_outbox(context: dg.OpExecutionContext, ptp: dg.ResourceParam[Ptp]) -> None:
    from ptp_pipeline.notify.mailer import deliver_due

    report = deliver_due(ptp.settings, ptp.ledger, context.partition_key, datetime.now(UTC))
    for problem in report.problems:
        context.log.warning(problem)
    context.log.info(f"sent {report.sent}, to be retried {report.retried}, failed {report.failed}")
