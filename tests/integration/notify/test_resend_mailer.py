"""One send through the real Resend SDK against a server that behaves like Resend."""

import base64
import socket
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from ptp_pipeline.domain.messages import Attachment, Message
from ptp_pipeline.notify.mailer import FolderMailer, NotSent, ResendMailer, Sent, mailer_for
from ptp_pipeline.settings import Settings

KEY = "re_secret_123"
MESSAGE = Message(
    kind="broken_promises",
    business_date=date(2026, 11, 20),
    send_key="acme:broken_promises:2026-11-20",
    recipients=("ana@example.com", "ben@example.com"),
    subject="Nothing broke",
    html="<p>Zoë</p>",
    text="Zoë\n",
    attachments=(Attachment("broken.csv", "text/csv", b"\xef\xbb\xbfowner\r\n"),),
)


@pytest.fixture
def mailer(resend_server):
    return ResendMailer(KEY, resend_server.url + "/", "ptp <ptp@example.com>", timeout_seconds=0.5)


def test_the_whole_message_travels_under_its_send_key(mailer, resend_server):
    assert mailer.send(MESSAGE) == Sent("mail-1")
    request = resend_server.requests[0]
    assert request["key"] == MESSAGE.send_key
    assert request["headers"]["authorization"] == f"Bearer {KEY}"
    attachment = request["body"].pop("attachments")[0]
    assert request["body"] == {
        "from": "ptp <ptp@example.com>",
        "to": ["ana@example.com", "ben@example.com"],
        "subject": "Nothing broke",
        "html": "<p>Zoë</p>",
        "text": "Zoë\n",
    }
    assert (attachment["filename"], attachment["content_type"]) == ("broken.csv", "text/csv")
    assert base64.b64decode(attachment["content"]) == MESSAGE.attachments[0].content


def test_a_second_try_is_the_first_mail(mailer, resend_server):
    assert mailer.send(MESSAGE) == mailer.send(MESSAGE)
    assert len(resend_server.requests) == 2
    assert len(resend_server.mails) == 1


def test_an_answer_that_comes_too_late_is_tried_again_and_is_still_one_mail(mailer, resend_server, reply):
    resend_server.script = [reply(delay_seconds=1.5, is_accepted=True)]
    first = mailer.send(MESSAGE)
    assert isinstance(first, NotSent)
    assert not first.is_permanent
    assert "could not be reached" in first.error
    assert mailer.send(MESSAGE) == Sent("mail-1")
    assert len(resend_server.mails) == 1


@pytest.mark.parametrize(
    "case",
    [
        (400, "validation_error", True),
        (401, "missing_api_key", True),
        (403, "invalid_api_key", True),
        (422, "missing_required_field", True),
        (418, "never_heard_of", True),
        (409, "concurrent_idempotent_requests", False),
        (409, "invalid_idempotent_request", True),
        (429, "rate_limit_exceeded", False),
        (500, "application_error", False),
        (503, "never_heard_of", False),
    ],
)
def test_what_may_pass_is_tried_again_and_what_will_not_is_final(mailer, resend_server, reply, case):
    status, name, is_permanent = case
    resend_server.script = [reply(status, name, "Because.")]
    result = mailer.send(MESSAGE)
    assert isinstance(result, NotSent)
    assert result.is_permanent is is_permanent
    assert f"Resend said {status} {name}: " in result.error
    assert resend_server.mails == {}


def test_a_gateway_page_instead_of_json_is_tried_again(mailer, resend_server, reply):
    resend_server.script = [reply(502, is_json=False)]
    result = mailer.send(MESSAGE)
    assert isinstance(result, NotSent)
    assert not result.is_permanent


def test_the_wait_resend_asks_for_is_kept(mailer, resend_server, reply):
    date_form = "Fri, 20 Nov 2026 08:00:00 GMT"
    resend_server.script = [
        reply(429, "rate_limit_exceeded", "Slow down.", {"retry-after": text}) for text in ("90", date_form, "soon", "0")
    ]
    waits = [mailer.send(MESSAGE).wait for _ in range(4)]
    assert waits == [timedelta(seconds=90), datetime(2026, 11, 20, 8, tzinfo=UTC), None, timedelta(seconds=1)]


def test_a_server_that_is_not_there_is_tried_again():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        result = ResendMailer(KEY, url, "ptp@example.com", timeout_seconds=0.5).send(MESSAGE)
    assert isinstance(result, NotSent)
    assert not result.is_permanent


def test_a_mail_to_nobody_is_final_and_says_what_to_set(mailer, resend_server):
    result = mailer.send(replace(MESSAGE, recipients=()))
    assert isinstance(result, NotSent)
    assert result.is_permanent
    assert "alert_recipients" in result.error
    assert resend_server.requests == []


def test_no_error_shows_the_key(mailer, resend_server, reply):
    resend_server.script = [reply(403, "invalid_api_key", f"API key {KEY} is invalid.")]
    assert KEY not in mailer.send(MESSAGE).error


@pytest.mark.parametrize("key", ["re_secret\n_123", "re_secret\r\nX: 1", "re_secret\u2028_123", "re_sécret✓"])
def test_a_mangled_key_fails_without_being_shown(resend_server, key):
    result = ResendMailer(key, resend_server.url, "ptp@example.com", timeout_seconds=0.5).send(MESSAGE)
    assert isinstance(result, NotSent)
    assert "re_s" not in result.error


def test_a_key_with_a_trailing_newline_is_the_key(resend_server):
    assert ResendMailer(KEY + "\n", resend_server.url, "ptp@example.com", timeout_seconds=0.5).send(MESSAGE) == Sent("mail-1")


def test_with_a_key_mail_goes_to_resend_and_without_to_the_folder(tmp_path):
    assert isinstance(mailer_for(Settings(home=tmp_path, resend_api_key=KEY)), ResendMailer)
    assert isinstance(mailer_for(Settings(home=tmp_path, resend_api_key=None)), FolderMailer)
    assert isinstance(mailer_for(Settings(home=tmp_path, resend_api_key=" ")), FolderMailer)
