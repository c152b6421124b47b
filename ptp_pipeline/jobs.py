"""The jobs: what can be asked of the graph as a whole."""

import dagster as dg

from ptp_pipeline.assets.mail import deliver_outbox
from ptp_pipeline.partitions import orgs_partitions

RUN_ORG = "run_org"
DAILY_MAIL = "daily_mail"
DELIVER_MAIL = "deliver_mail"

run_org_job = dg.define_asset_job(
    RUN_ORG,
    selection=dg.AssetSelection.groups("feed", "raw", "ledger", "core", "matching", "outcomes", "published"),
    partitions_def=orgs_partitions,
    description="Take the inbox in and bring everything published up to date.",
)
daily_mail_job = dg.define_asset_job(
    DAILY_MAIL,
    selection=dg.AssetSelection.groups("mail"),
    partitions_def=orgs_partitions,
    description="Compose the broken-promise mail of the day, once, and send it.",
)


@dg.job(name=DELIVER_MAIL, partitions_def=orgs_partitions, description="Send whatever waits in the outbox.")
def deliver_mail_job() -> None:
    deliver_outbox()
