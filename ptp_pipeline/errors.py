"""Errors meant for people. Each carries what happened, what to do next and the exit code of the command line.

Rows that break a rule are not errors: they are data, kept in quarantine. Broken invariants raise `AssertionError`
or their own class where they are found. Nothing here knows HTTP, Dagster or Postgres.
"""


class PtpError(Exception):
    """Base: `message` says what happened in the user's words, `next_step` what to do about it."""

    exit_code = 1

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".strip()


class WorkFailed(PtpError):
    """The work could not be finished; running again may help. Exit code 1."""


class UsageError(PtpError):
    """The command or its input was wrong. Exit code 2."""

    exit_code = 2


class Refused(PtpError):
    """A rule says no: approval gate, duplicate guard, tenancy, lock. Exit code 3."""

    exit_code = 3
