"""The outbox emptied through real Postgres: exactly once, later when it must be, and never silently not at all."""

import threading
from datetime import UTC, date, datetime, timedelta

import pytest

from ptp_pipeline.domain.messages import Attachment, Message
from ptp_pipeline.ledger import outbox
from ptp_pipeline.notify.mailer import MAILER, RETRY_MINUTES, DeliveryReport, deliver_due, mailer_for
from ptp_pipeline.settings import Settings

NOW = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = "re_secret_123"


class Desk:
    """One org's outbox with a mailer, in the words the tests use."""

    def __init__(self, ledger, org, settings):
        self.ledger, self.org, self.settings = ledger, org, settings

    def queue(self, name: str = "run-1") -> str:
        attachment = Attachment("a.csv", "text/csv", b"a\r\n")
        send_key = f"{self.org}:test:{name}"
        message = Message("test", date(2026, 11, 20), send_key, ("ana@example.com",), f"About {name}", "<p>Hi</p>", "Hi\n", (attachment,))
        with self.ledger.transaction(self.org, MAILER) as tx:
            outbox.enqueue(tx, message)
        return send_key

    def deliver(self, now: datetime = NOW) -> DeliveryReport:
        return deliver_due(self.settings, self.ledger, self.org, now)

    def statuses(self) -> dict[str, str]:
        with self.ledger.transaction(self.org, MAILER) as tx:
            return {row.send_key: row.status for row in outbox.list_messages(tx)}

    def crash_after_sending(self, now: datetime = NOW) -> None:
        """Everything a mailer does up to the moment in which it dies: the mail is out, the ledger does not know."""
        with self.ledger.transaction(self.org, MAILER) as tx:
            row = outbox.claim_due(tx, now, 1)[0]
        mailer_for(self.settings).send(row.message)


@pytest.fixture
def by_resend(ledger, org, home, resend_server):
    return Desk(ledger, org, Settings(home=home, resend_api_key=KEY, resend_url=resend_server.url, mail_timeout_seconds=0.5))


@pytest.fixture
def by_folder(ledger, org, tmp_path):
    return Desk(ledger, org, Settings(home=tmp_path, resend_api_key=None))


def test_a_queued_mail_is_sent_once_however_often_the_mailer_runs(by_resend, resend_server):
    key = by_resend.queue()
    by_resend.queue()
    assert by_resend.deliver() == DeliveryReport(sent=1)
    assert by_resend.deliver() == by_resend.deliver(NOW + timedelta(days=2)) == DeliveryReport()
    assert [request["key"] for request in resend_server.requests] == [key]
    assert by_resend.statuses() == {key: "sent"}


def test_without_a_key_the_folder_holds_the_mail(by_folder):
    by_folder.queue()
    assert by_folder.deliver() == DeliveryReport(sent=1)
    assert [file.name for file in by_folder.settings.outbox.iterdir()] == [f"{by_folder.org}.test.run-1.eml"]


def test_mailers_side_by_side_never_send_the_same_mail(by_resend, resend_server, reply):
    keys = {by_resend.queue(f"run-{number}") for number in range(12)}
    resend_server.script = [reply(delay_seconds=0.05, is_accepted=True) for _ in keys]
    reports: list[DeliveryReport] = []
    start = threading.Barrier(3)

    def run() -> None:
        start.wait()
        reports.append(by_resend.deliver())

    mailers = [threading.Thread(target=run) for _ in range(3)]
    for mailer in mailers:
        mailer.start()
    for mailer in mailers:
        mailer.join()
    assert sum(report.sent for report in reports) == 12
    assert sorted(request["key"] for request in resend_server.requests) == sorted(keys)


def test_a_crash_between_sending_and_marking_is_one_mail_at_resend(by_resend, resend_server):
    key = by_resend.queue()
    by_resend.crash_after_sending()
    assert by_resend.deliver(NOW + MINUTE) == DeliveryReport()
    assert by_resend.deliver(NOW + 20 * MINUTE) == DeliveryReport(sent=1)
    assert [request["key"] for request in resend_server.requests] == [key, key]
    assert len(resend_server.mails) == 1
    assert by_resend.statuses() == {key: "sent"}


def test_a_crash_between_writing_and_marking_is_one_file_in_the_folder(by_folder):
    by_folder.queue()
    by_folder.crash_after_sending()
    assert by_folder.deliver(NOW + timedelta(days=3)) == DeliveryReport(sent=1)
    assert len(list(by_folder.settings.outbox.iterdir())) == 1


def test_a_crash_found_only_after_resend_forgot_the_key_is_left_to_a_person(by_resend, resend_server):
    key = by_resend.queue()
    by_resend.crash_after_sending()
    report = by_resend.deliver(NOW + timedelta(hours=30))
    assert (report.sent, report.failed, report.retried) == (0, 1, 0)
    assert "not known whether it arrived" in report.problems[0]
    assert len(resend_server.requests) == 1
    assert by_resend.statuses() == {key: "failed"}


def test_a_mail_never_tried_is_sent_however_late(by_resend):
    by_resend.queue()
    assert by_resend.deliver(NOW + timedelta(days=5)) == DeliveryReport(sent=1)


def test_errors_of_the_server_are_tried_again_ever_later_and_then_shown(by_resend, resend_server, reply):
    key = by_resend.queue()
    resend_server.script = [reply(500, "application_error", "Down.") for _ in range(20)]
    at = NOW
    for minutes in RETRY_MINUTES:
        assert by_resend.deliver(at).retried == 1
        assert by_resend.deliver(at + minutes * MINUTE - timedelta(seconds=1)) == DeliveryReport()
        at += minutes * MINUTE
    report = by_resend.deliver(at)
    assert (report.retried, report.failed) == (0, 1)
    assert report.problems == (f"{key}: Resend said 500 application_error: Down. (not tried again)",)
    assert len(resend_server.requests) == len(RETRY_MINUTES) + 1
    assert by_resend.deliver(at + timedelta(days=9)) == DeliveryReport()
    with by_resend.ledger.transaction(by_resend.org, MAILER) as tx:
        row = outbox.list_messages(tx)[0]
    assert (row.status, row.last_error) == ("failed", "Resend said 500 application_error: Down.")


def test_a_mail_is_sent_when_the_server_is_back(by_resend, resend_server, reply):
    by_resend.queue()
    resend_server.script = [reply(503, is_json=False), reply(delay_seconds=1.2, is_accepted=True)]
    assert by_resend.deliver(NOW).retried == 1
    assert by_resend.deliver(NOW + MINUTE).retried == 1
    assert by_resend.deliver(NOW + 6 * MINUTE) == DeliveryReport(sent=1)
    assert len(resend_server.mails) == 1


def test_a_rate_limit_is_waited_out_and_spares_the_other_mails(by_resend, resend_server, reply):
    first, second = by_resend.queue("run-1"), by_resend.queue("run-2")
    resend_server.script = [reply(429, "rate_limit_exceeded", "Slow down.", {"Retry-After": "90"})]
    report = by_resend.deliver()
    assert report.retried == 1
    assert "tried again from 2026-11-20 07:01 UTC" in report.problems[0]
    assert [request["key"] for request in resend_server.requests] == [first]
    assert by_resend.deliver(NOW + timedelta(seconds=89)) == DeliveryReport(sent=1)
    assert by_resend.statuses() == {first: "queued", second: "sent"}
    assert by_resend.deliver(NOW + timedelta(seconds=90)) == DeliveryReport(sent=1)


def test_a_wait_beyond_what_resend_remembers_is_shown_at_once(by_resend, resend_server, reply):
    by_resend.queue()
    resend_server.script = [reply(429, "monthly_quota_exceeded", "Quota used up.", {"Retry-After": "864000"})]
    assert by_resend.deliver().failed == 1


def test_a_refused_mail_fails_at_once_and_the_next_one_goes(by_resend, resend_server, reply):
    bad, good = by_resend.queue("bad"), by_resend.queue("good")
    resend_server.script = [reply(422, "validation_error", f"Invalid `to` for {KEY}.")]
    report = by_resend.deliver()
    assert (report.sent, report.failed, report.retried) == (1, 1, 0)
    assert KEY not in report.problems[0]
    assert by_resend.statuses() == {bad: "failed", good: "sent"}


def test_one_orgs_mailer_leaves_the_mail_of_others_alone(by_resend, ledger, resend_server):
    from uuid import uuid4

    from ptp_pipeline.ledger import orgs
    from ptp_pipeline.ledger.connection import Actor

    other = f"org{uuid4().hex[:10]}"
    orgs.create_org(ledger, other, Actor("operator", "operator", "operator", "cli"))
    Desk(ledger, other, by_resend.settings).queue()
    assert by_resend.deliver() == DeliveryReport()
    assert resend_server.requests == []
