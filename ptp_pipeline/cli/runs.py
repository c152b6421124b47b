"""`ptp run` and `ptp rebuild`: taking the inbox in and bringing everything published up to date, in this process."""

import os
import shutil
import socket
import sys
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from ptp_pipeline.cli import output, published
from ptp_pipeline.cli.frame import Json, Org, command, launcher, open_ledger, operator, parse_date, require_org, settings
from ptp_pipeline.errors import Refused

if TYPE_CHECKING:
    from ptp_pipeline.ledger.connection import Ledger

AsOf = Annotated[str, typer.Option("--as-of", metavar="DATE", help="Business date to answer for; default today in the org's time zone.")]
MakeCurrent = Annotated[bool, typer.Option("--make-current", help="Publish as current even when a build of a later date is there.")]
Full = Annotated[bool, typer.Option("--full", help="Make the rows of all customers, also where those of a few would do.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    command(app, "run --org acme", "run --org acme --as-of 2026-06-30 --make-current")(run)
    command(app, "rebuild --org acme")(rebuild)


def run(*, org: Org, as_of: AsOf = "", make_current: MakeCurrent = False, full: Full = False, as_json: Json = False) -> None:
    """Take the inbox in, match, judge and publish. Doing it again changes nothing that has not changed."""
    ledger = open_ledger()
    require_org(ledger, org)
    _run(ledger, org, _business_date(ledger, org, as_of), make_current=make_current, full=full, as_json=as_json)


def rebuild(*, org: Org, as_of: AsOf = "", make_current: MakeCurrent = False, as_json: Json = False) -> None:
    """Delete everything derived and make it again from the ledger and the archive. Published builds stay until then."""
    from ptp_pipeline.ledger import run_lock

    ledger = open_ledger()
    require_org(ledger, org)
    day = _business_date(ledger, org, as_of)
    # Between this lock and the run's own, another run may start: it makes everything anew just the same, and ours says who runs.
    with run_lock.hold(ledger, org, f"ptp rebuild on {socket.gethostname()}, process {os.getpid()}"):
        shutil.rmtree(settings().warehouse(org), ignore_errors=True)
    _run(ledger, org, day, make_current=make_current, full=True, as_json=as_json, why="ptp rebuild")


def _business_date(ledger: "Ledger", org: str, as_of: str) -> date | None:
    """The asked date, or None for today. Raises Refused for a day that has not come: nothing is known about it."""
    if not as_of:
        return None
    from ptp_pipeline.ledger import policies

    day = parse_date(as_of, "--as-of")
    with ledger.transaction(org, operator()) as tx:
        timezone = policies.current(tx).timezone
    today = datetime.now(ZoneInfo(timezone)).date()
    if day > today:
        raise Refused(f"{day} has not come yet: it is {today} in {timezone}.", "Leave --as-of out, or give a past day.")
    return day


def _run(ledger: "Ledger", org: str, day: date | None, *, make_current: bool, full: bool, as_json: bool, why: str = "ptp run") -> None:
    from ptp_pipeline.run import run_org

    with output.progress(quiet=as_json) as progress:
        outcome = run_org(settings(), org, as_of=day, make_current=make_current, full=full, why=why, progress=progress, ledger=ledger)
    if as_json:
        output.print_json(
            {
                "ok": outcome.ok,
                "run_id": outcome.run_id,
                "as_of": outcome.as_of,
                "build": outcome.build_path,
                "tables": outcome.tables,
                "files": outcome.intake,
                "errors": outcome.errors,
            }
        )
    else:
        print_intake(outcome.intake)
        if outcome.ok:
            with published.open_build(settings(), org, outcome.build_path) as build:
                print_broken_today(published.status(build))
            print(f"\nPublished as of {outcome.as_of}: {outcome.build_path}")
            if outcome.build_path and outcome.build_path.resolve() == settings().current_build(org).resolve():
                print(f"Look at it: {launcher()} status --org {org}")
            else:
                print("A build for a later day stays current; --make-current replaces it.")
    if not outcome.ok:
        for error in outcome.errors:
            print(f"ptp: {error}", file=sys.stderr)
        print(
            f"     The last published figures still stand. See run {outcome.run_id} in `{launcher()} up`, then run again.", file=sys.stderr
        )
        raise typer.Exit(1)


def print_intake(results: list[dict[str, Any]]) -> None:
    """One line per file that lay in the inbox."""
    output.heading("Files taken in")
    columns = ["feed", "file_name", "status", "rows_in", "rows_quarantined", "reason"]
    rows = [[result.get(column) for column in columns] for result in results]
    output.table(["feed", "file", "status", "rows", "quarantined", "why"], rows, "The inbox was empty.")


def print_broken_today(found: published.Row) -> None:
    """What broke on the as_of, and why."""
    output.heading(f"What broke on {found['as_of']}")
    rows = [
        [
            r["commitment_id"],
            r["customer_name"] or r["customer_id"],
            r["owner"],
            output.money(r["outstanding_amount"], r["currency"]),
            r["reason"],
        ]
        for r in found["broken_today"]
    ]
    output.table(["commitment", "customer", "owner", "missing", "why"], rows, "Nothing broke.")
