"""The sensors and schedules. Each reads (which may fail), lets `decide` decide, and asks for runs."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

import dagster as dg

from ptp_pipeline.instance import end_dead_runs
from ptp_pipeline.jobs import DAILY_MAIL, DELIVER_MAIL, RUN_ORG
from ptp_pipeline.ledger import users
from ptp_pipeline.partitions import ORGS, orgs_partitions
from ptp_pipeline.resources import PARTITION_TAG, PIPELINE, WHY_TAG, Ptp
from ptp_pipeline.run import failures_of
from ptp_pipeline.sensors.decide import Listing, WantedRun, attempt_key, due_today, inbox_runs, ledger_runs
from ptp_pipeline.settings import FEEDS

if TYPE_CHECKING:
    from ptp_pipeline.ledger.orgs import OrgRow

DAILY_TAG, MAIL_TAG, KEY_TAG = "ptp/daily", "ptp/mail", "ptp/key"
RUN_AT, MAIL_AT = time(6), time(7)


def _orgs(ptp: Ptp) -> "list[OrgRow]":
    from ptp_pipeline.ledger import orgs

    return orgs.list_orgs(ptp.ledger)


def _missing_partitions(instance: dg.DagsterInstance, names: Iterable[str]) -> list[dg.AddDynamicPartitionsRequest]:
    missing = sorted(set(names) - set(instance.get_dynamic_partitions(ORGS)))
    return [orgs_partitions.build_add_request(missing)] if missing else []


def _requests(instance: dg.DagsterInstance, wanted: Iterable[WantedRun], job: str = RUN_ORG) -> list[dg.RunRequest]:
    """Requests for what is wanted, tagged with their key; what failed before waits its time and gets a new number."""
    now = datetime.now(UTC)
    return [
        dg.RunRequest(run_key=key, partition_key=w.org, job_name=job, tags={KEY_TAG: w.key, WHY_TAG: w.reason})
        for w in wanted
        if (key := attempt_key(w.key, _failures(instance, KEY_TAG, w.key), now))
    ]


def _failures(instance: dg.DagsterInstance, tag: str, value: str) -> list[datetime]:
    """When runs with this tag failed or were stopped."""
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    records = instance.get_run_records(dg.RunsFilter(tags={tag: value}, statuses=ended))
    return [datetime.fromtimestamp(r.end_time, UTC) if r.end_time else r.update_timestamp.astimezone(UTC) for r in records]


def read_inbox(ptp: Ptp, org: str) -> Listing | None:
    """Size and time of the files waiting for an org, the `files_per_tick` that came last. None when the folder cannot be read.

    Files of any name: intake says why it takes or rejects them. The last ones, because files it leaves where they are stay for
    good and must not hide those that come after them; a run takes everything, however long it has been there.
    """
    from ptp_pipeline.feeds.intake import is_unfinished

    found: list[tuple[int, str, tuple[int, int]]] = []
    try:
        for feed in FEEDS:
            folder = ptp.settings.inbox(org, feed)
            if folder.is_symlink():
                continue  # links out of the inbox are not followed
            folder.mkdir(parents=True, exist_ok=True)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not is_unfinished(entry.name) and entry.is_file(follow_symlinks=False):
                        facts = entry.stat(follow_symlinks=False)
                        found.append((facts.st_ctime_ns, f"{feed}/{entry.name}", (facts.st_size, facts.st_ctime_ns)))
    except OSError:
        return None
    newest = sorted(found, reverse=True)[: ptp.settings.files_per_tick]
    return {path: facts for _, path, facts in sorted(newest, key=lambda file: file[1])}


@dg.sensor(
    name="inbox_sensor",
    job_name=RUN_ORG,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Watches inbox/<org>/<feed>/ and starts a run of the org when dropped files have stopped changing.",
)
def inbox_sensor(context: dg.SensorEvaluationContext, ptp: dg.ResourceParam[Ptp]) -> dg.SensorResult:
    names = [row.org_id for row in _orgs(ptp)]
    before = {
        org: {path: (size, mtime) for path, (size, mtime) in known.items()} for org, known in json.loads(context.cursor or "{}").items()
    }
    listings = {org: read_inbox(ptp, org) for org in names}
    for org in (org for org, listing in listings.items() if listing is None):
        context.log.warning(f"The inbox of {org} could not be read; trying again next time.")
    wanted, remember = inbox_runs(listings, before)
    return dg.SensorResult(
        run_requests=_requests(context.instance, wanted),
        cursor=json.dumps(remember),
        dynamic_partitions_requests=_missing_partitions(context.instance, names),
    )


@dg.sensor(
    name="ledger_sensor",
    job_name=RUN_ORG,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a run when approvals, decisions or policy changed something the newest build does not know.",
)
def ledger_sensor(context: dg.SensorEvaluationContext, ptp: dg.ResourceParam[Ptp]) -> dg.SensorResult:
    from ptp_pipeline.ledger import builds, snapshot

    positions, built = {}, {}
    for row in _orgs(ptp):
        with ptp.ledger.transaction(row.org_id, PIPELINE) as tx:
            positions[row.org_id] = snapshot.positions(tx)
            latest = builds.latest(tx)
            built[row.org_id] = latest.ledger_position if latest else None
    return dg.SensorResult(
        run_requests=_requests(context.instance, ledger_runs(positions, built)),
        dynamic_partitions_requests=_missing_partitions(context.instance, positions),
    )


@dg.sensor(
    name="outbox_sensor",
    job_name=DELIVER_MAIL,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends mail whose retry is due.",
)
def outbox_sensor(context: dg.SensorEvaluationContext, ptp: dg.ResourceParam[Ptp]) -> dg.SensorResult:
    from ptp_pipeline.ledger import outbox

    now = datetime.now(UTC)
    wanted = []
    for row in _orgs(ptp):
        with ptp.ledger.transaction(row.org_id, PIPELINE) as tx:
            if count := outbox.count_due(tx, now):
                wanted.append(WantedRun(row.org_id, f"outbox:{row.org_id}:{now:%Y%m%dT%H%M}", f"{count} messages due"))
    return dg.SensorResult(run_requests=_requests(context.instance, wanted, DELIVER_MAIL))


def _due(context: dg.ScheduleEvaluationContext, ptp: Ptp, tag: str, at: time) -> list[tuple[str, date, str]]:
    """(org, day, run key) where the org's local `at` has passed today and no run with the tag is under way or done."""
    failed = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    now, found = context.scheduled_execution_time, []
    for org, day in due_today(now, {row.org_id: row.timezone for row in _orgs(ptp)}, at):
        mark = f"{org}:{day}"
        records = context.instance.get_run_records(dg.RunsFilter(tags={tag: mark}))
        if all(r.dagster_run.status in failed for r in records) and (
            key := attempt_key(f"{tag}:{mark}", _failures(context.instance, tag, mark), datetime.now(UTC))
        ):
            found.append((org, day, key))
    return found


@dg.schedule(
    name="daily_run",
    job_name=RUN_ORG,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="06:00 in each org's own time zone: what did not arrive is broken the same morning. Looks every 15 minutes.",
)
def daily_run(context: dg.ScheduleEvaluationContext, ptp: dg.ResourceParam[Ptp]) -> Iterator[dg.RunRequest]:
    known = set(context.instance.get_dynamic_partitions(ORGS))
    for org, day, key in _due(context, ptp, DAILY_TAG, RUN_AT):
        if org in known:
            yield dg.RunRequest(
                run_key=key,
                partition_key=org,
                run_config={"ops": {"ledger_snapshot": {"config": {"as_of": day.isoformat()}}}},
                tags={DAILY_TAG: f"{org}:{day}"},
            )


@dg.schedule(
    name="daily_mail_schedule",
    job_name=DAILY_MAIL,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="07:00 in each org's own time zone, as soon as the day's build is published.",
)
def daily_mail_schedule(context: dg.ScheduleEvaluationContext, ptp: dg.ResourceParam[Ptp]) -> Iterator[dg.RunRequest]:
    from ptp_pipeline.warehouse.publish import current_as_of

    for org, day, key in _due(context, ptp, MAIL_TAG, MAIL_AT):
        if current_as_of(ptp.settings, org) == day:
            yield dg.RunRequest(
                run_key=key,
                partition_key=org,
                run_config={"ops": {"broken_promise_mail": {"config": {"day": day.isoformat()}}}},
                tags={MAIL_TAG: f"{org}:{day}"},
            )


@dg.run_failure_sensor(
    name="failed_run_sensor",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Mails the org's admins when a run failed, with what to do.",
)
def failed_run_sensor(context: dg.RunFailureSensorContext, ptp: dg.ResourceParam[Ptp]) -> None:
    from ptp_pipeline.ledger import outbox, policies
    from ptp_pipeline.notify.alerts import run_failed
    from ptp_pipeline.notify.mailer import deliver_due

    run = context.dagster_run
    if not (org := run.tags.get(PARTITION_TAG)):
        return
    words = failures_of(context.instance, run.run_id)
    with ptp.ledger.transaction(org, PIPELINE) as tx:
        alert = run_failed(org, run.job_name, run.run_id, "\n".join(words) or context.failure_event.message or "", policies.current(tx))
        message = replace(alert, recipients=tuple(dict.fromkeys([*alert.recipients, *users.admin_addresses(tx)])))
        if not message.recipients:
            context.log.error(f"Run {run.run_id} of {org} failed and nobody can be told: no alert_recipients, no admin with an address.")
            return
        outbox.enqueue(tx, message)
    deliver_due(ptp.settings, ptp.ledger, org, datetime.now(UTC))


@dg.sensor(
    name="dead_run_sensor",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process died: Dagster would count them as running, and nothing else of the org could start.",
)
def dead_run_sensor(context: dg.SensorEvaluationContext, ptp: dg.ResourceParam[Ptp]) -> dg.SkipReason:
    ended = end_dead_runs(context.instance, ptp.ledger, datetime.now(UTC))
    return dg.SkipReason(f"Ended {', '.join(ended)}." if ended else "Every run that should be running is.")


ALL_SENSORS = [inbox_sensor, ledger_sensor, outbox_sensor, failed_run_sensor, dead_run_sensor]
ALL_SCHEDULES = [daily_run, daily_mail_schedule]
