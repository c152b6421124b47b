"""Sensors and schedules on a real ledger and an ephemeral instance: what they ask for, once each."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ptp_pipeline.ledger import outbox
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.resources import PIPELINE, Ptp
from ptp_pipeline.sensors import watch
from ptp_pipeline.settings import Settings
from tests.integration.pipeline_book import Book, new_book


@pytest.fixture
def book(settings: Settings, ledger: Ledger) -> Book:
    return new_book(settings, ledger)


@pytest.fixture
def ptp(settings: Settings, ledger: Ledger) -> Ptp:
    return Ptp(settings, ledger=ledger)


def ask(sensor: Any, ptp: Ptp, instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    result = sensor(dg.build_sensor_context(instance=instance, cursor=cursor, resources={"ptp": ptp}))
    assert isinstance(result, dg.SensorResult)
    return result


def wanted(result: dg.SensorResult, org: str) -> list[str]:
    return [str(request.run_key) for request in result.run_requests or [] if request.partition_key == org]


def test_dropped_files_are_asked_for_once_they_stopped_changing_and_the_org_becomes_a_partition(book: Book, ptp: Ptp) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        first = ask(watch.inbox_sensor, ptp, instance)
        assert wanted(first, book.org) == []
        assert book.org in (first.dynamic_partitions_requests or [])[0].partition_keys
        second = ask(watch.inbox_sensor, ptp, instance, first.cursor)
        assert len(wanted(second, book.org)) == 1
        third = ask(watch.inbox_sensor, ptp, instance, second.cursor)
        assert wanted(third, book.org) == wanted(second, book.org)


def test_the_sensor_looks_at_a_bounded_number_of_files(book: Book, ptp: Ptp, home: Path) -> None:
    for number in range(20):
        book.drop("contacts", "contact_id\n", f"{number}.csv")
    few = Ptp(Settings(home=home, files_per_tick=5), ledger=ptp.ledger)
    listing = watch.read_inbox(few, book.org)
    assert listing is not None
    assert len(listing) == 5


def test_a_decision_in_the_ledger_is_asked_for_until_a_build_knows_it(book: Book, ptp: Ptp) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert len(wanted(ask(watch.ledger_sensor, ptp, instance), book.org)) == 1
        book.run("2026-03-31")
        assert wanted(ask(watch.ledger_sensor, ptp, instance), book.org) == []
        book.approve_all("sam")
        assert len(wanted(ask(watch.ledger_sensor, ptp, instance), book.org)) == 1


def requests_at(schedule: Any, ptp: Ptp, instance: dg.DagsterInstance, at: datetime, org: str) -> list[dg.RunRequest]:
    found = schedule(dg.build_schedule_context(instance=instance, scheduled_execution_time=at, resources={"ptp": ptp}))
    return [request for request in found if request.partition_key == org]


def test_the_daily_run_starts_after_six_and_once_a_day(book: Book, ptp: Ptp) -> None:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("org", [book.org])
        assert requests_at(watch.daily_run, ptp, instance, datetime(2026, 6, 30, 5, 45, tzinfo=UTC), book.org) == []
        (request,) = requests_at(watch.daily_run, ptp, instance, datetime(2026, 6, 30, 6, 0, tzinfo=UTC), book.org)
        assert request.run_config["ops"]["ledger_snapshot"]["config"]["as_of"] == "2026-06-30"
        book.definitions().resolve_job_def("run_org").execute_in_process(
            instance=instance, partition_key=book.org, tags=request.tags, run_config=request.run_config, raise_on_error=False
        )
        assert requests_at(watch.daily_run, ptp, instance, datetime(2026, 6, 30, 6, 15, tzinfo=UTC), book.org) == []
        assert requests_at(watch.daily_mail_schedule, ptp, instance, datetime(2026, 6, 30, 6, 45, tzinfo=UTC), book.org) == []
        (mail,) = requests_at(watch.daily_mail_schedule, ptp, instance, datetime(2026, 6, 30, 7, 0, tzinfo=UTC), book.org)
        assert mail.run_config["ops"]["broken_promise_mail"]["config"]["day"] == "2026-06-30"
        for _ in range(2):
            result = (
                book.definitions()
                .resolve_job_def("daily_mail")
                .execute_in_process(instance=instance, partition_key=book.org, tags=mail.tags, run_config=mail.run_config)
            )
            assert result.success
        assert requests_at(watch.daily_mail_schedule, ptp, instance, datetime(2026, 6, 30, 7, 15, tzinfo=UTC), book.org) == []
    with book.ledger.transaction(book.org, PIPELINE) as tx:
        assert [(m.kind, m.status) for m in outbox.list_messages(tx)] == [("broken_promises", "sent")]


def test_no_morning_mail_goes_out_about_yesterdays_figures(book: Book, ptp: Ptp) -> None:
    book.run("2026-06-29")
    with dg.instance_for_test() as instance:
        assert requests_at(watch.daily_mail_schedule, ptp, instance, datetime(2026, 6, 30, 9, 0, tzinfo=UTC), book.org) == []


def test_a_failed_run_mails_the_admins_what_happened_once(book: Book, ptp: Ptp) -> None:
    book.drop("payments", "x")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("org", [book.org])
        result = (
            book.definitions()
            .resolve_job_def("run_org")
            .execute_in_process(
                instance=instance,
                partition_key=book.org,
                raise_on_error=False,
                run_config={"ops": {"ledger_snapshot": {"config": {"as_of": "yesterday"}}}},
            )
        )
        assert not result.success
        context = dg.build_run_status_sensor_context(
            sensor_name="failed_run_sensor",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=next(e for e in result.all_events if e.is_run_failure),
        ).for_run_failure()
        for _ in range(2):
            watch.failed_run_sensor(context, ptp=ptp)
    with book.ledger.transaction(book.org, PIPELINE) as tx:
        (message,) = [m for m in outbox.list_messages(tx) if m.kind == "run_failed"]
    assert message.status == "sent"
    mail = next(path for path in ptp.settings.outbox.rglob("*.eml") if book.org in path.name)
    assert "yesterday" in mail.read_text()


def test_the_cursor_remembers_files_by_size_and_time_only(book: Book, ptp: Ptp) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = json.loads(ask(watch.inbox_sensor, ptp, instance).cursor or "{}")
    assert sorted(cursor[book.org]) == ["commitments/file.csv", "invoices/file.csv", "payments/file.csv"]
