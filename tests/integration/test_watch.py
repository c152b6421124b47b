"""Sensors and schedules on a real ledger and an ephemeral instance: what they ask for, once each."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEvent

from ptp_pipeline.instance import end_dead_runs
from ptp_pipeline.ledger import audit, outbox, run_lock
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.resources import PIPELINE, Ptp
from ptp_pipeline.run import failure_words
from ptp_pipeline.sensors import decide, watch
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


def test_a_file_of_any_name_is_seen_and_one_being_written_is_not(book: Book, ptp: Ptp) -> None:
    for name in ("june.xlsx", "notes", "half.csv.part", ".hidden.csv", "~lock.csv"):
        book.drop("contacts", "x", name)
    book.drop("contacts", "x", "july.csv").with_name("link.csv").symlink_to("july.csv")
    listing = watch.read_inbox(ptp, book.org)
    assert listing is not None
    assert [path for path in listing if path.startswith("contacts/")] == ["contacts/july.csv", "contacts/june.xlsx", "contacts/notes"]


def test_files_that_stay_in_the_inbox_do_not_hide_one_that_comes_later(book: Book, ptp: Ptp, home: Path) -> None:
    few = Ptp(Settings(home=home, files_per_tick=2), ledger=ptp.ledger)
    for number in range(3):
        book.drop("commitments", "x", f"{number}.csv").chmod(0)
    latest = book.drop("payments", "x", "zz.csv")
    os.utime(latest, (0, 0))  # copied with the time it had
    listing = watch.read_inbox(few, book.org)
    assert listing is not None
    assert "payments/zz.csv" in listing


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
        book.hire("ada", "admin")
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


def mail_asset(book: Book, day: str) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("org", [book.org])
        return (
            book.definitions()
            .resolve_job_def("daily_mail")
            .execute_in_process(
                instance=instance,
                partition_key=book.org,
                raise_on_error=False,
                run_config={"ops": {"broken_promise_mail": {"config": {"day": day}}}},
            )
        )


def messages(book: Book, kind: str) -> list[tuple[str, tuple[str, ...]]]:
    with book.ledger.transaction(book.org, PIPELINE) as tx:
        return [(m.status, tuple(m.recipients)) for m in outbox.list_messages(tx) if m.kind == kind]


def test_a_mail_with_nobody_to_go_to_is_said_and_not_counted_as_sent(book: Book) -> None:
    book.run("2026-06-30")
    lonely = mail_asset(book, "2026-06-30")
    assert not lonely.success
    assert any("nobody to go to" in error for error in failure_words(lonely.all_events))
    assert messages(book, "broken_promises") == []
    book.hire("ada", "admin")
    assert mail_asset(book, "2026-06-30").success
    assert messages(book, "broken_promises") == [("sent", ("ada@example.com",))]


def test_a_failed_run_mails_the_admins_who_held_the_lock_once(book: Book, ptp: Ptp) -> None:
    book.hire("ada", "admin")
    with dg.DagsterInstance.ephemeral() as instance, run_lock.hold(book.ledger, book.org, "run 1234 on testhost"):
        instance.add_dynamic_partitions("org", [book.org])
        job = book.definitions().resolve_job_def("run_org")
        result = job.execute_in_process(instance=instance, partition_key=book.org, raise_on_error=False)
        assert not result.success
        context = dg.build_run_status_sensor_context(
            sensor_name="failed_run_sensor",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=next(e for e in result.all_events if e.is_run_failure),
        ).for_run_failure()
        for _ in range(2):
            watch.failed_run_sensor(context, ptp=ptp)
    assert messages(book, "run_failed") == [("sent", ("ada@example.com",))]
    mail = next(path for path in ptp.settings.outbox.rglob("*.eml") if book.org in path.name)
    assert "run 1234 on testhost" in mail.read_text()


def test_files_whose_first_run_failed_are_asked_for_again_under_another_key(book: Book, ptp: Ptp, monkeypatch: pytest.MonkeyPatch) -> None:
    with dg.instance_for_test() as instance:
        cursor = ask(watch.inbox_sensor, ptp, instance).cursor
        (request,) = [r for r in ask(watch.inbox_sensor, ptp, instance, cursor).run_requests or [] if r.partition_key == book.org]
        instance.add_dynamic_partitions("org", [book.org])
        with run_lock.hold(book.ledger, book.org, "somebody else"):
            job = book.definitions().resolve_job_def("run_org")
            assert not job.execute_in_process(instance=instance, partition_key=book.org, tags=request.tags, raise_on_error=False).success
        assert wanted(ask(watch.inbox_sensor, ptp, instance, cursor), book.org) == []
        monkeypatch.setattr(decide, "RETRY_AFTER_MINUTES", (0,))
        assert wanted(ask(watch.inbox_sensor, ptp, instance, cursor), book.org) == [f"{request.run_key}:2"]


def test_a_run_whose_process_died_is_ended_and_one_that_lives_is_not(book: Book) -> None:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("org", [book.org])
        job = book.definitions().resolve_job_def("run_org")
        run = instance.create_run_for_job(job, tags={"dagster/partition": book.org}, status=dg.DagsterRunStatus.STARTING)
        instance.report_dagster_event(DagsterEvent(event_type_value="PIPELINE_START", job_name="run_org"), run_id=run.run_id)
        later = datetime.now(UTC) + timedelta(minutes=5)
        with run_lock.hold(book.ledger, book.org, f"run {run.run_id[:8]} on testhost"):
            assert end_dead_runs(instance, book.ledger, later) == []
        assert end_dead_runs(instance, book.ledger, datetime.now(UTC)) == []
        assert end_dead_runs(instance, book.ledger, later) == [run.run_id]
        ended = instance.get_run_by_id(run.run_id)
        assert ended is not None
        assert ended.status == dg.DagsterRunStatus.FAILURE
    with book.ledger.transaction(book.org, PIPELINE) as tx:
        (event,) = audit.show(tx, action="run.failed")
    assert (event.run, event.object_id, "process died" in event.reason) == (run.run_id, run.run_id, True)


def test_the_cursor_remembers_files_by_size_and_time_only(book: Book, ptp: Ptp) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = json.loads(ask(watch.inbox_sensor, ptp, instance).cursor or "{}")
    assert sorted(cursor[book.org]) == ["commitments/file.csv", "invoices/file.csv", "payments/file.csv"]
