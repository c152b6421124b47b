"""What every command shares: options, who acts, and how an error reaches a person. No command and no printing of results."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from ptp_pipeline.errors import PtpError, UsageError

if TYPE_CHECKING:
    from ptp_pipeline.ledger.connection import Actor, Ledger, Transaction
    from ptp_pipeline.settings import Settings

_JSON = "ptp.json"


def _remember_json(ctx: typer.Context, value: bool) -> bool:
    """Errors are printed where the command's own options are out of reach."""
    ctx.meta[_JSON] = value
    return value


Org = Annotated[str, typer.Option("--org", envvar="PTP_ORG", metavar="ORG", help="The org, as named by `ptp org add`.")]
Json = Annotated[bool, typer.Option("--json", callback=_remember_json, is_eager=True, help="Print one JSON document instead of text.")]
Token = Annotated[
    str,
    typer.Option("--token", envvar="PTP_TOKEN", metavar="TOKEN", show_default=False, help="Who you are: a token from `ptp user token`."),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in words; kept in the audit trail.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Commands(TyperGroup):
    """A command group that turns every error into sentences and an exit code; PTP_DEBUG=1 shows the traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError, EOFError):
            raise
        except Exception as error:
            if os.environ.get("PTP_DEBUG") == "1":
                raise
            if not isinstance(error, PtpError):
                reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
                error = PtpError(f"Something went wrong that ptp did not expect ({reason}).", "Run it again with PTP_DEBUG=1 to see where.")
            _report(_as_typed(error, ctx.find_root().command), as_json=bool(ctx.meta.get(_JSON)))
            raise typer.Exit(error.exit_code) from None


def _as_typed(error: PtpError, root: Any) -> PtpError:
    """The commands an error suggests, as this person would type them: services and the database say `ptp …`."""
    verbs = "|".join(map(re.escape, root.list_commands(None)))
    named = re.compile(rf"(?<![\w./-])ptp(?= (?:{verbs})\b)")
    error.message, error.next_step = (named.sub(lambda _: launcher(), text) for text in (error.message, error.next_step))
    return error


def _report(error: PtpError, *, as_json: bool) -> None:
    """Sentences for the person on stderr; with --json also one document on stdout for the program."""
    if as_json:
        print(json.dumps({"error": error.message, "next_step": error.next_step, "exit_code": error.exit_code}, ensure_ascii=False))
    print(f"ptp: {error.message}", file=sys.stderr)
    if error.next_step:
        print(f"     {error.next_step}", file=sys.stderr)


def launcher() -> str:
    """How the person started ptp, for the commands we suggest."""
    return os.environ.get("PTP_LAUNCHER", "ptp")


def new_group(help_text: str) -> typer.Typer:
    """A group of verbs, e.g. `ptp org …`."""
    return typer.Typer(
        help=help_text, cls=Commands, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )


def command(app: typer.Typer, *examples: str, name: str | None = None, **settings: Any) -> Callable[[_Function], _Function]:
    """Register a command; its help ends with the examples, which a test parses."""
    lines = "\n".join(f"  ptp {example}" for example in examples)
    return app.command(name, epilog=f"\b\nExample{'s' if len(examples) > 1 else ''}:\n{lines}", **settings)


@lru_cache(maxsize=1)
def _settings(environment: tuple[tuple[str, str], ...]) -> "Settings":  # noqa: ARG001 - the environment is the cache key
    from pydantic import ValidationError

    from ptp_pipeline.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(f"PTP_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise UsageError(f"A setting in the environment is not usable: {wrong}.", "Correct or unset it.") from None


def settings() -> "Settings":
    """The settings of this installation, from the environment."""
    return _settings(tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith(("PTP_", "RESEND_")))))


def open_ledger() -> "Ledger":
    """The ledger of this installation; its server starts with the first statement."""
    from uuid import uuid4

    from ptp_pipeline.ledger.connection import Ledger

    return Ledger(settings(), run=f"cli-{uuid4().hex[:12]}")


def operator() -> "Actor":
    """Whoever may run this installation's files acts as its operator: sets up, runs, exports; never approves."""
    from ptp_pipeline.ledger.connection import Actor

    return Actor(name="operator", role="operator", auth="operator", origin="cli")


def person(ledger: "Ledger", org: str, token: str) -> "Actor":
    """The user a token belongs to. Raises UsageError without one, Refused when it is not valid in this org."""
    from ptp_pipeline.ledger import users

    if not token:
        raise UsageError(
            "This is done in a person's name: say who you are.", "Add --token TOKEN or set PTP_TOKEN; `ptp user token` makes one."
        )
    return users.authenticate_token(ledger, org, token, "cli")


def person_or_operator(ledger: "Ledger", org: str, token: str) -> "Actor":
    """For looking things up: the person when a token is given, else the operator."""
    return person(ledger, org, token) if token else operator()


@contextmanager
def acting(org: str, token: str) -> "Iterator[Transaction]":
    """One transaction in an org that exists, as the person when a token is given, else as the operator."""
    ledger = open_ledger()
    require_org(ledger, org)
    with ledger.transaction(org, person_or_operator(ledger, org, token)) as tx:
        yield tx


def require_org(ledger: "Ledger", org: str) -> None:
    """Raises UsageError naming the orgs there are when `org` is none of them."""
    from ptp_pipeline.ledger import orgs

    known = [row.org_id for row in orgs.list_orgs(ledger)]
    if org not in known:
        raise unknown_org(org, known)


def unknown_org(org: str, known: Iterable[str]) -> UsageError:
    names = ", ".join(sorted(known))
    return UsageError(f"There is no org {org!r}.", f"Orgs here: {names}." if names else f"Make it: {launcher()} org add {org}")


def parse_date(text: str, what: str) -> date:
    """An ISO date. Raises UsageError naming the option."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{what} {text!r} is not a date.", "Write it as YYYY-MM-DD, for example 2026-06-30.") from None


def parse_money(text: str, currency: str, what: str) -> int:
    """An amount in minor units. Raises UsageError naming the option."""
    from ptp_pipeline.domain import money

    said = {
        money.BadAmount.FORMAT: "is not an amount",
        money.BadAmount.PRECISION: f"is finer than the smallest unit of {currency}",
        money.BadAmount.TOO_LARGE: "is larger than any amount ptp takes",
        money.BadAmount.CURRENCY: f"cannot be read: {currency} is not a currency",
    }
    amount = money.parse_amount(text, currency)
    if isinstance(amount, money.BadAmount):
        raise UsageError(f"{what} {text!r} {said[amount]}.", "Write it like 1234.56.")
    return amount


def is_terminal() -> bool:
    """Whether a person is at both ends, so that a question makes sense."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that matters. Raises UsageError where nobody can answer."""
    if yes:
        return
    if not is_terminal():
        raise UsageError("This needs a confirmation, and there is no terminal to ask on.", "Add --yes.")
    typer.confirm(question, abort=True)
