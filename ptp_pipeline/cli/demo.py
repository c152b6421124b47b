"""`ptp demo`: the whole loop on the sample book, in a home of its own, with the figures that came out of it.

Everything goes through the same services as in earnest. What the sample's people did is data/sample/actions.json.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ptp_pipeline import previews
from ptp_pipeline.cli import output, published
from ptp_pipeline.cli.frame import Json, command, launcher, operator
from ptp_pipeline.cli.runs import print_broken_today, print_intake
from ptp_pipeline.errors import Refused, WorkFailed

if TYPE_CHECKING:
    from ptp_pipeline.ledger.connection import Actor, Ledger
    from ptp_pipeline.run import RunOutcome
    from ptp_pipeline.settings import Settings

ORG = "acme"
AS_OF = date(2026, 6, 30)
USERS = {"maria.lopez": "collector", "sam.reyes": "supervisor", "nora.blake": "controller", "alex.admin": "admin"}
POLICY = {"calendar": "US", "alert_recipients": "collections@acme.example"}
_MARK = ".ptp-demo"  # only a folder with this file in it is ever emptied
_TOP = 5


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    command(app, "demo", "demo --home /tmp/ptp-demo --keep")(demo)


def demo(
    *,
    home: Annotated[
        Path | None, typer.Option(metavar="DIR", show_default=False, help="Where to; default data/demo of the checkout.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Go on with what an earlier demo left instead of starting fresh.")] = False,
    as_json: Json = False,
) -> None:
    """Load the sample book, approve it, run everything and show what came out. Takes under a minute; sends nothing anywhere."""
    from ptp_pipeline.ledger.connection import Ledger
    from ptp_pipeline.settings import CHECKOUT

    started = time.monotonic()
    with output.progress(quiet=as_json) as progress, _own_settings((home or CHECKOUT / "data" / "demo").absolute()) as where:
        _prepare_home(where, keep=keep)
        ledger = Ledger(where)
        first, last = _play(where, ledger, CHECKOUT / "data" / "sample", progress)
        progress("writing the mail of the day")
        mail = _preview_mail(where, ledger)
    with published.open_build(where, ORG) as build:
        found = published.status(build)
        best, worst = published.scorecards(build, best=True, limit=_TOP), published.scorecards(build, best=False, limit=_TOP)
    seconds = round(time.monotonic() - started, 1)
    if as_json:
        figures = {**found, "best": best, "worst": worst, "tables": last.tables, "files": first.intake, "mail": mail}
        output.print_json({"org": ORG, "home": where.home, "seconds": seconds, **figures})
        return
    print_intake(first.intake)
    _print_results(found, best, worst)
    _print_where(where, found, mail, seconds)


@contextmanager
def _own_settings(home: Path) -> Iterator["Settings"]:
    """An installation of its own, whatever the environment says: embedded server, folder mailer. Dagster reads the environment too."""
    from ptp_pipeline.settings import Settings

    before = dict(os.environ)
    for name in [n for n in before if n.startswith(("PTP_", "RESEND_")) and n not in ("PTP_LAUNCHER", "PTP_DEBUG")]:
        del os.environ[name]
    os.environ["PTP_HOME"] = str(home)
    try:
        yield Settings(settle_seconds=0)
    finally:
        os.environ.clear()
        os.environ.update(before)


def _prepare_home(where: "Settings", *, keep: bool) -> None:
    home = where.home
    if home.exists() and any(home.iterdir()) and not (home / _MARK).exists():
        raise Refused(f"{home} is not empty and was not made by the demo.", "Choose another --home.")
    if home.exists() and not keep:
        if _is_server_running(where):
            raise Refused(f"The demo in {home} is in use.", "Stop its `ptp up` first, or choose another --home.")
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / _MARK).touch()


def _is_server_running(where: "Settings") -> bool:
    try:
        pid = int((where.postgres_dir / "postmaster.pid").read_text().split()[0])
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError, IndexError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _play(where: "Settings", ledger: "Ledger", sample: Path, progress: output.Progress) -> "tuple[RunOutcome, RunOutcome]":
    """The half year of the sample's people. Returns the first run (which took the files in) and the last."""
    progress("starting Postgres, making the org and its people")
    people = _make_org(ledger)
    _drop_files(where, sample)
    first = _run(where, ledger, "first run, which takes the files in", progress)
    actions = json.loads((sample / "actions.json").read_text(encoding="utf-8"))
    progress("deciding on what waits for approval")
    _replay(ledger, people, [a for a in actions if a["action"] == "reject"])
    _approve_all(where, ledger, people)
    progress("replaying renegotiations, cancellations and decisions")
    _replay(ledger, people, [a for a in actions if a["action"] != "reject"])
    _approve_all(where, ledger, people)
    return first, _run(where, ledger, f"second run, as of {AS_OF}", progress)


def _make_org(ledger: "Ledger") -> "dict[str, Actor]":
    """The org and its people, signed in. Passwords and tokens are made up and live as long as this process."""
    from ptp_pipeline.ledger import orgs, users

    if ORG not in [row.org_id for row in orgs.list_orgs(ledger)]:
        orgs.create_org(ledger, ORG, operator(), currency="USD", timezone="America/New_York", **POLICY)
    people: dict[str, Actor] = {}
    for name, role in USERS.items():
        with ledger.transaction(ORG, operator()) as tx:
            is_known = any(u.user_name == name for u in users.list_users(tx))
        with ledger.operator(operator(), ORG) as tx:
            if not is_known:
                users.add_user(tx, name, role, secrets.token_urlsafe(18), f"{name}@acme.example")
            token = users.issue_token(tx, name, days=1)
        people[role] = users.authenticate_token(ledger, ORG, token, "cli")
    return people


def _drop_files(where: "Settings", sample: Path) -> None:
    from ptp_pipeline.settings import FEEDS

    for feed in FEEDS:
        folder = where.inbox(ORG, feed)
        folder.mkdir(parents=True, exist_ok=True)
        for source in sorted((sample / feed).glob("*.csv")):
            draft = folder / f".{source.name}.part"
            shutil.copyfile(source, draft)
            draft.replace(folder / source.name)


def _run(where: "Settings", ledger: "Ledger", what: str, progress: output.Progress) -> "RunOutcome":
    from ptp_pipeline.run import run_org

    progress(what)
    outcome = run_org(where, ORG, as_of=AS_OF, make_current=True, progress=progress, ledger=ledger)
    if not outcome.ok:
        raise WorkFailed(
            f"The run failed: {'; '.join(outcome.errors) or 'no reason given'}", f"See run {outcome.run_id} in the Dagster UI."
        )
    return outcome


def _approve_all(where: "Settings", ledger: "Ledger", people: "dict[str, Actor]") -> None:
    """The supervisor approves what is within a supervisor's limits, the controller the rest."""
    from ptp_pipeline.domain.terms import required_role
    from ptp_pipeline.ledger import approvals, commitments, policies

    for role in ("supervisor", "controller"):
        with ledger.transaction(ORG, people[role]) as tx:
            policy = policies.current(tx)
            mine = [i for i in commitments.pending(tx) if required_role(i.terms, policy, i.standing) == role]
            if mine:
                schedules = previews.to_approve(where, mine, policy)
                approvals.decide(tx, list(schedules), "approve", "Terms as agreed with the customer.", "cli", schedules)


def _replay(ledger: "Ledger", people: "dict[str, Actor]", actions: list[dict[str, Any]]) -> None:
    """What the sample's people did, by the services. Done already by an earlier demo: left alone."""
    for action in actions:
        role = "supervisor" if action["action"] in ("reject", "cancel") else "collector"
        try:
            _act(ledger, people[role], action)
        except Refused:
            if not _is_done(ledger, people[role], action):
                raise


def _act(ledger: "Ledger", actor: "Actor", action: dict[str, Any]) -> None:
    from ptp_pipeline.domain.terms import make_terms
    from ptp_pipeline.ledger import approvals, commitments, overrides

    reason = action["reason"]
    with ledger.transaction(ORG, actor) as tx:
        match action["action"]:
            case "reject":
                approvals.decide(tx, commitments.resolve_pending(tx, [action["commitment_id"]]), "reject", reason, "cli")
            case "renegotiate":
                commitments.renegotiate(tx, action["commitment_id"], make_terms(**action["terms"]), reason)
            case "cancel":
                commitments.cancel(tx, action["commitment_id"], date.fromisoformat(action["effective_on"]), reason)
            case "override":
                overrides.set_target(tx, action["payment_id"], action["commitment_id"], reason)
            case other:
                raise WorkFailed(f"data/sample/actions.json holds an action nobody knows: {other}.")


def _is_done(ledger: "Ledger", actor: "Actor", action: dict[str, Any]) -> bool:
    """Whether the audit trail has this very act, by its object and reason."""
    from ptp_pipeline.ledger import audit

    with ledger.transaction(ORG, actor) as tx:
        events = audit.show(tx, object_id=action.get("payment_id") or action["commitment_id"])
    return any(event.reason == action["reason"] for event in events)


def _preview_mail(where: "Settings", ledger: "Ledger") -> Path:
    """The broken-promise mail as a file to open; nothing is sent."""
    from ptp_pipeline.ledger import policies
    from ptp_pipeline.notify.daily import compose_broken_promises

    with ledger.transaction(ORG, operator()) as tx:
        policy = policies.current(tx)
    message = compose_broken_promises(where, ORG, policy, AS_OF)
    target = where.home / "mail-preview.html"
    target.write_text(message.html, encoding="utf-8")
    return target


def _print_results(found: published.Row, best: list[published.Row], worst: list[published.Row]) -> None:
    print_broken_today(found)
    output.heading("Broken in all")
    output.table(["installments", "missing"], [[r["count"], output.money(r["outstanding_amount"], r["currency"])] for r in found["broken"]])
    for title, rows in (("Most reliable customers", best), ("Least reliable customers", worst)):
        output.heading(title)
        cells = [
            [
                r["customer_name"],
                r["kept_count"],
                r["judged_count"],
                f"{100 * r['kept_rate_by_count']:.0f} %",
                f"{100 * r['kept_rate_by_amount']:.0f} %",
            ]
            for r in rows
        ]
        output.table(["customer", "kept", "of", "by count", "by amount"], cells)
    counts = found["counts"]
    print(
        f"\n{counts['customers']:,} customers, {counts['invoices']:,} invoices, {counts['payments']:,} payment rows;"
        f" {counts['unmatched_payments']:,} payments unmatched, {counts['quarantined']:,} rows in quarantine."
    )


def _print_where(where: "Settings", found: published.Row, mail: Path, seconds: float) -> None:
    here = f"PTP_HOME={_near(where.home)} {launcher()}"
    output.heading("Where it is")
    output.facts(
        {
            "published": _near(where.published(ORG) / "current"),
            "for analysts": _near(where.published(ORG) / "current" / "ptp.duckdb"),
            "spreadsheets": _near(found["build"] / "reports"),
            "mail preview": _near(mail),
        }
    )
    output.heading("Go on")
    print(f"  {here} status --org {ORG}\n  {here} up          # the Dagster UI, on this machine only")
    print(f"\nDone in {seconds} s. A collector, a supervisor, a controller and an admin were made; `user token` lets you be one of them.")


def _near(path: Path) -> str:
    """As short as it can be written from where the person stands."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
