"""The morning mail as an asset, and the op that empties the outbox. How a message looks is the notify package's business."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from ptp_pipeline.assets.pipeline import business_day
from ptp_pipeline.assets.stages import in_words
from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import users
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
    with in_words():
        with ptp.ledger.transaction(org, PIPELINE) as tx:
            policy = policies.current(tx)
            day = business_day(config.day, policy.timezone)
            message = compose_broken_promises(ptp.settings, org, policy, day)
            message = replace(message, recipients=message.recipients or users.admin_addresses(tx))
            if not message.recipients:
                # Queued without anybody to go to, it would count as sent and never be sent again.
                raise Refused(f"The mail of {org} has nobody to go to.", "Set alert_recipients in its policy, or give an admin an address.")
            is_new = outbox.enqueue(tx, message)
        report = deliver_due(ptp.settings, ptp.ledger, org, datetime.now(UTC))
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
