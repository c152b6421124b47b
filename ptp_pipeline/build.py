"""Assembly of the Dagster definitions: one function serves the app, the command line and the tests."""

import dagster as dg

from ptp_pipeline.resources import Ptp, org_lock, per_run
from ptp_pipeline.settings import Settings


def build_defs(settings: Settings | None = None, ptp: Ptp | None = None) -> dg.Definitions:
    """All definitions. Tests and the command line pass their own settings or resource; nothing else differs."""
    from ptp_pipeline.assets import approvals, mail, pipeline
    from ptp_pipeline.jobs import daily_mail_job, deliver_mail_job, run_org_job
    from ptp_pipeline.sensors.watch import ALL_SCHEDULES, ALL_SENSORS

    return dg.Definitions(
        assets=dg.load_assets_from_modules([pipeline, approvals, mail]),
        jobs=[run_org_job, daily_mail_job, deliver_mail_job],
        sensors=ALL_SENSORS,
        schedules=ALL_SCHEDULES,
        resources={"ptp": per_run(ptp or Ptp(settings)), "org_lock": org_lock},
        # One process per run: a process per step costs about two seconds each.
        executor=dg.in_process_executor,
    )
