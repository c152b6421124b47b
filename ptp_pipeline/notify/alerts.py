"""Mails to administrators about the machinery. Figures and customers belong to `daily`.

An alert leaves the house: it carries no secret and no more of an error than a person needs to act.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ptp_pipeline.domain.messages import Message
from ptp_pipeline.notify.render import clean, render

if TYPE_CHECKING:
    from ptp_pipeline.domain.policy import Policy

RUN_FAILED = "run_failed"
MAX_LINES = 8
MAX_LINE_LENGTH = 300
_TRACE = re.compile(r"\s*(Traceback \(most recent call last\)|Stack Trace:)")
_LINK = re.compile(r"(The above exception was|The above exception occurred|During handling of the above exception)")
_SECRETS = (
    (re.compile(r"(://[^/\s:@]*:)[^\s/]+@"), r"\1***@"),  # a database URL in a driver's error
    (re.compile(r"(?i)\b(bearer|basic)\s+\S+"), r"\1 ***"),
    (re.compile(r"(?i)\b([\w-]*(?:password|passwd|secret|token|api[_-]?key))(['\"]?\s*[=:]\s*)(['\"]?)[^\s,;'\"]+"), r"\1\2\3***"),
    (re.compile(r"\bre_[A-Za-z0-9_]{6,}"), "***"),  # Resend keys
)


def run_failed(org: str, job: str, run_id: str, error_summary: str, policy: "Policy", *, business_date: date | None = None) -> Message:
    """What failed, that the figures of the last good run still stand, and what to do. One per run; about today where the org is."""
    business_date = business_date or datetime.now(ZoneInfo(policy.timezone)).date()
    values = {
        "org": org,
        "job": clean(job),
        "run_id": clean(run_id),
        "business_date": business_date,
        "error_lines": summarise(error_summary),
    }
    html, text = render(RUN_FAILED, values)
    return Message(
        kind=RUN_FAILED,
        business_date=business_date,
        send_key=f"{org}:{RUN_FAILED}:{run_id}",
        recipients=tuple(policy.alert_recipients),
        subject=f"[{org}] Run failed: {clean(job)}",
        html=html,
        text=text,
    )


def summarise(error: str) -> list[str]:
    """The lines of an error that a person can use: what was said and what caused it; no stack trace, no secrets, not too many."""
    lines = [_shorten(clean(_hide_secrets(line))) for line in _without_traces(error)]
    return [*lines[:MAX_LINES], "…"] if len(lines) > MAX_LINES else lines


def _without_traces(error: str) -> Iterator[str]:
    """Python's and Dagster's traces are a header and indented lines; what follows unindented is a message again."""
    in_trace = False
    for line in error.splitlines():
        if _TRACE.match(line):
            in_trace = True
        elif line.strip() and not (in_trace and line[0].isspace()):
            in_trace = False
            if not _LINK.match(line):
                yield line


def _shorten(line: str) -> str:
    return line if len(line) <= MAX_LINE_LENGTH else line[: MAX_LINE_LENGTH - 1] + "…"


def _hide_secrets(line: str) -> str:
    for pattern, replacement in _SECRETS:
        line = pattern.sub(replacement, line)
    return line
