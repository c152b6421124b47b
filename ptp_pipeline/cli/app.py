"""The typer application: every verb group, put together. Commands live in the modules named here."""

from typing import Annotated

import typer

from ptp_pipeline import __version__
from ptp_pipeline.cli import approvals, audit, change, demo, dev, files, log, mail, match, orgs, reports, runs, setup, up, users
from ptp_pipeline.cli.frame import Commands

app = typer.Typer(
    cls=Commands,
    help="Promise-to-pay and payment-plan tracking for accounts-receivable teams.",
    epilog="\b\nStart here:\n  ptp demo                 see it work on the sample book\n  ptp init                 your own installation",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(value: bool) -> None:
    if value:
        print(f"ptp {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *, version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False
) -> None:
    """Exit codes: 0 done, 1 the work failed, 2 wrong usage, 3 refused by a rule."""


for part in (demo, setup, orgs, users, runs, log, change, match, approvals, reports, mail, files, audit, up, dev):
    part.register(app)


def main() -> None:
    """Run the command line of this process."""
    app(prog_name="ptp")
