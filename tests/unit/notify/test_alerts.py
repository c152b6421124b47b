"""The mail administrators get when a run fails."""

import sys
from datetime import date, datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from dagster._utils.error import serializable_error_info_from_exc_info

from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.notify.alerts import run_failed, summarise

POLICY = SimpleNamespace(alert_recipients=("ops@example.com",))
DAY = date(2026, 11, 20)


def alert(error: str):
    return run_failed("acme", "daily_run", "run-1", error, POLICY, business_date=DAY)


def test_a_run_has_one_alert_addressed_to_the_admins():
    message = alert("Payments file is missing its amount column.")
    assert (message.kind, message.send_key, message.recipients) == ("run_failed", "acme:run_failed:run-1", ("ops@example.com",))
    assert message.subject == "[acme] Run failed: daily_run"
    for body in (message.html, message.text):
        assert "Payments file is missing its amount column." in body
        assert "ptp run --org acme" in body
        assert "run-1" in body


def test_the_stack_trace_stays_at_home():
    error = "WorkFailed: The archive is full.\nStack Trace:\n  File 'secret/path.py', line 3, in run\n    boom()"
    assert summarise(error) == ["WorkFailed: The archive is full."]


def test_the_cause_under_dagsters_wrapping_is_told():
    error = RuntimeError("Error occurred while executing op feeds:")
    error.__cause__ = WorkFailed("The archive is full.", "Make room and run again.")
    try:
        raise error
    except RuntimeError:
        told = serializable_error_info_from_exc_info(sys.exc_info()).to_string()
    assert "in test_the_cause_under" in told
    lines = summarise(told)
    assert lines == [
        "RuntimeError: Error occurred while executing op feeds:",
        "ptp_pipeline.errors.WorkFailed: The archive is full. Make room and run again.",
    ]


def test_the_day_of_an_alert_is_today_where_the_org_is():
    policy = SimpleNamespace(alert_recipients=(), timezone="Pacific/Kiritimati")
    days = {datetime.now(ZoneInfo(policy.timezone)).date()}
    message = run_failed("acme", "daily_run", "run-1", "", policy)
    assert message.business_date in days | {datetime.now(ZoneInfo(policy.timezone)).date()}


def test_an_error_that_is_only_a_trace_is_told_by_its_last_line():
    assert summarise("Traceback (most recent call last):\n  File 'a.py', line 1\nValueError: no such org\n") == ["ValueError: no such org"]


@pytest.mark.parametrize(
    ("error", "secret"),
    [
        ("connection to postgresql://ptp:hunter22@db.example.com/ptp failed", "hunter22"),
        ("connection failed: password=hunter22 host=db", "hunter22"),
        ('{"api_key": "hunter22"}', "hunter22"),
        ("PTP_TOKEN=hunter22 was refused", "hunter22"),
        ("401 for Authorization: Bearer hunter22", "hunter22"),
        ("Resend refused re_hunter22abc", "hunter22"),
    ],
)
def test_no_secret_leaves_in_an_alert(error, secret):
    message = alert(error)
    assert secret not in message.html + message.text + message.subject


def test_a_long_error_is_cut_and_says_so():
    lines = summarise("\n".join(["x" * 1000] * 50))
    assert len(lines) == 9
    assert lines[-1] == "…"
    assert all(len(line) <= 300 for line in lines)


def test_an_error_without_words_still_makes_a_mail():
    assert "It gave no reason." in alert("").text


def test_markup_in_an_error_is_shown_and_not_obeyed():
    message = alert("<script>alert(1)</script>")
    assert "<script>" not in message.html
    assert "&lt;script&gt;" in message.html
