"""`ptp init` and `ptp doctor`: making an installation, and finding out what is wrong with one."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import typer

from ptp_pipeline.cli import output
from ptp_pipeline.cli.frame import Json, command, launcher, open_ledger, operator, settings
from ptp_pipeline.errors import PtpError

if TYPE_CHECKING:
    from ptp_pipeline.ledger.connection import Ledger
    from ptp_pipeline.settings import Settings

_ENOUGH_DISK = 2 * 1024**3
_OK, _WARNING, _FAILED = "ok", "warning", "failed"


@dataclass(frozen=True)
class Finding:
    """What one check found; `next_step` is empty when there is nothing to do."""

    check: str
    status: str
    detail: str
    next_step: str = ""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    command(app, "init")(init)
    command(app, "doctor", "doctor --json")(doctor)


def init(*, as_json: Json = False) -> None:
    """Make the home folder, start the ledger, bring its schema up to date. Doing it again changes nothing."""
    from ptp_pipeline import instance
    from ptp_pipeline.ledger import migrations, orgs

    where = settings()
    is_new = not (where.secrets_dir / "postgres.json").exists()
    ledger = open_ledger()
    names = [row.org_id for row in orgs.list_orgs(ledger)]
    instance.prepare(where, ledger)
    done = {
        "home": where.home,
        "ledger": "another Postgres (PTP_DATABASE_URL)" if where.database_url else "embedded Postgres",
        "was_new": is_new,
        "migrations": len(migrations.migration_files()),
        "orgs": names,
    }
    if as_json:
        output.print_json(done)
        return
    print("Made a new installation." if is_new else "The installation is up to date.")
    output.facts({"home": where.home, "ledger": f"{done['ledger']}, {done['migrations']} migrations applied", "orgs": names or "none yet"})
    if not names:
        print(f"Next: {launcher()} org add acme --currency USD --timezone America/New_York")


def doctor(*, as_json: Json = False) -> None:
    """Look for what is wrong with this installation. Exit code 1 when something is."""
    found = list(_findings(settings(), open_ledger()))
    is_healthy = all(f.status != _FAILED for f in found)
    if as_json:
        output.print_json({"healthy": is_healthy, "checks": [asdict(f) for f in found]})
    else:
        output.table(["", "check", "found"], [[f.status, f.check, f.detail] for f in found])
        for f in found:
            if f.next_step:
                print(f"→ {f.check}: {f.next_step}")
        print("All is well." if is_healthy else "Something needs attention.")
    if not is_healthy:
        raise typer.Exit(1)


def _findings(where: "Settings", ledger: "Ledger") -> Iterator[Finding]:
    yield (
        Finding("Python", _OK, sys.version.split()[0])
        if sys.version_info >= (3, 11)
        else Finding("Python", _FAILED, sys.version.split()[0], "Install Python 3.11 or newer.")
    )
    yield _checked("home", lambda: _home(where), f"Make {where.home} writable for this user, or set PTP_HOME to another folder.")
    reached = _checked("ledger", lambda: _ledger(ledger), "Check PTP_DATABASE_URL, or the end of postgres/log in the home folder.")
    yield reached
    if reached.status == _FAILED:
        return
    yield _checked("database roles", lambda: _roles(ledger), "Take the extra rights away from ptp_app, ptp_pipeline and ptp_ops; see docs.")
    yield _checked("Dagster storage", lambda: _dagster_storage(ledger), f"Run `{launcher()} init`.")
    from ptp_pipeline.ledger import orgs

    names = [row.org_id for row in orgs.list_orgs(ledger)]
    if not names:
        yield Finding("orgs", _WARNING, "none yet", f"Add one: {launcher()} org add acme")
    for org in names:
        yield _checked(f"inbox of {org}", partial(_inbox, where, org), "Make the folder writable for this user.")
        yield _checked(f"published files of {org}", partial(_published, where, org), f"Run `{launcher()} run --org {org}`.")
        yield _recipients(ledger, org)
    yield _checked("mail", lambda: _mail(where), "Make the outbox folder writable, or set RESEND_API_KEY.")


def _checked(name: str, check: Callable[[], str], next_step: str) -> Finding:
    """Run one check; whatever it raises is its finding."""
    try:
        return Finding(name, _OK, check())
    except PtpError as error:
        return Finding(name, _FAILED, error.message, error.next_step or next_step)
    except Exception as error:  # noqa: BLE001 - a doctor reports whatever is wrong
        return Finding(name, _FAILED, str(error).strip().splitlines()[0] if str(error) else type(error).__name__, next_step)


def _home(where: "Settings") -> str:
    import shutil

    where.home.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=where.home):
        free = shutil.disk_usage(where.home).free
    if free < _ENOUGH_DISK:
        raise PtpError(f"only {free / 1024**3:.1f} GB free in {where.home}", "Free some disk space.")
    return f"{where.home}, {free / 1024**3:.0f} GB free"


def _ledger(ledger: "Ledger") -> str:
    from ptp_pipeline.ledger import migrations

    with ledger.operator(operator()) as tx:
        row = tx.one("show server_version")
    return f"Postgres {row['server_version'] if row else '?'}, {len(migrations.migration_files())} migrations applied"


def _roles(ledger: "Ledger") -> str:
    """The rules of the ledger bind only roles that are no superusers, own nothing and cannot bypass row-level security."""
    for role in ("ptp_app", "ptp_pipeline", "ptp_ops"):
        import psycopg

        with psycopg.connect(**ledger.parameters(role)) as con:
            row = con.execute("select rolsuper or rolbypassrls from pg_roles where rolname = current_user").fetchone()
            if row is None or row[0]:
                raise PtpError(f"{role} is a superuser or bypasses row-level security")
            owned = con.execute("select count(*) from pg_tables where schemaname = 'ptp' and tableowner = current_user").fetchone()
            if owned and owned[0]:
                raise PtpError(f"{role} owns {owned[0]} tables of the ledger")
            open_tables = con.execute(
                "select c.relname from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attname = 'org_id'"
                " where c.relnamespace = 'ptp'::regnamespace and c.relkind in ('r', 'p')"
                " and not (c.relrowsecurity and c.relforcerowsecurity)"
            ).fetchall()
            if open_tables:
                raise PtpError(f"no forced row-level security on {', '.join(sorted(r[0] for r in open_tables))}")
    return "no superusers, own no tables, row-level security forced"


def _dagster_storage(ledger: "Ledger") -> str:
    import psycopg

    with psycopg.connect(**ledger.parameters("ptp_dagster")) as con:
        row = con.execute("select count(*) from information_schema.tables where table_schema = 'dagster'").fetchone()
    return f"reachable, {row[0] if row else 0} tables"


def _inbox(where: "Settings", org: str) -> str:
    from ptp_pipeline.settings import FEEDS

    waiting = 0
    for feed in FEEDS:
        folder = where.inbox(org, feed)
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PtpError(f"{folder} is not writable")
        waiting += sum(1 for path in folder.iterdir() if path.is_file())
    return f"{where.inbox(org)}, {waiting} files waiting"


def _published(where: "Settings", org: str) -> str:
    from ptp_pipeline.cli import published

    if not where.current_build(org).exists():
        return "nothing published yet"
    with published.open_build(where, org) as build:
        return f"as of {build.as_of}, {build.path.name}"


def _recipients(ledger: "Ledger", org: str) -> Finding:
    from ptp_pipeline.ledger import policies

    with ledger.transaction(org, operator()) as tx:
        recipients = policies.current(tx).alert_recipients
    if recipients:
        return Finding(f"mail of {org}", _OK, f"goes to {', '.join(recipients)}")
    step = f"{launcher()} org set {org} alert_recipients=you@example.com --reason 'first recipients'"
    return Finding(f"mail of {org}", _WARNING, "goes to nobody yet", step)


def _mail(where: "Settings") -> str:
    if where.resend_api_key:
        return f"through Resend, from {where.mail_from}"
    where.outbox.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=where.outbox):
        return f"written as .eml files to {where.outbox}"
