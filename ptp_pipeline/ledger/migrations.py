"""Bringing the ledger's schema up to date: roles first, then the plain SQL files of sql/ledger in order, forward only.

Business rules live in those files. Here is only how they are applied: once each, under an advisory lock, as `ptp_owner`.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.ledger import embedded
from ptp_pipeline.settings import SQL

if TYPE_CHECKING:
    import psycopg

_LOCK = 7_081_951  # any constant of ours; it serialises migrations of one database


@lru_cache
def migration_files() -> tuple[tuple[int, Path], ...]:
    """(version, file) in order. The number is the first four characters of the name."""
    return tuple((int(path.name[:4]), path) for path in sorted((SQL / "ledger").glob("[0-9][0-9][0-9][0-9]_*.sql")))


def is_current(con: "psycopg.Connection[Any]") -> bool:
    """Whether the newest migration is applied: one cheap read for every start after the first."""
    if con.execute("select 1 where to_regclass('ptp.schema_migration') is not null").fetchone() is None:
        return False
    newest = migration_files()[-1][0]
    return con.execute("select 1 from ptp.schema_migration where version = %s", [newest]).fetchone() is not None


def migrate(con: "psycopg.Connection[Any]", passwords: Mapping[str, str]) -> list[str]:
    """Apply what is missing; returns the names applied. Refuses when an applied file was edited since."""
    with con.transaction():
        con.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        _ensure_roles(con, passwords)
        con.execute("set local role ptp_owner")
        con.execute(
            "create table if not exists ptp.schema_migration"
            " (version int primary key, name text not null, sha256 text not null, applied_at timestamptz not null default now())"
        )
        known = {row[0]: row[1] for row in con.execute("select version, sha256 from ptp.schema_migration").fetchall()}
        applied = []
        for version, path in migration_files():
            text = path.read_text(encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            if version not in known:
                con.execute(text.encode())
                con.execute("insert into ptp.schema_migration (version, name, sha256) values (%s, %s, %s)", [version, path.name, digest])
                applied.append(path.name)
            elif known[version] != digest:
                raise WorkFailed(
                    f"Migration {path.name} was changed after it had been applied.",
                    "Restore the file and put the change into a new migration.",
                )
        return applied


def _is_ours(con: "psycopg.Connection[Any]", passwords: Mapping[str, str]) -> bool:
    """Whether our password opens the app role."""
    import psycopg

    try:
        psycopg.connect(con.info.dsn, user="ptp_app", password=passwords["ptp_app"]).close()
    except psycopg.OperationalError:
        return False
    return True


def _ensure_roles(con: "psycopg.Connection[Any]", passwords: Mapping[str, str]) -> None:
    from psycopg import sql

    if con.info.server_version >= 160000:  # noqa: PLR2004
        # Iterations protect guessable passwords. These are 24 random bytes, and Dagster connects a thousand times a run.
        con.execute("set local scram_iterations = 1")
    existing = {row[0] for row in con.execute("select rolname from pg_roles where rolname like 'ptp%%'").fetchall()}
    if "ptp_app" in existing and not _is_ours(con, passwords):
        # Roles belong to the whole cluster: new passwords here would lock the other installation out.
        raise WorkFailed(
            "The Postgres server already belongs to a ptp installation whose passwords are not here.",
            "Copy that installation's secrets folder into this PTP_HOME, or use another server.",
        )
    if "ptp_owner" not in existing:
        con.execute("create role ptp_owner nologin")
        con.execute("grant ptp_owner to current_user")
    for role in embedded.ROLES:
        name = sql.Identifier(role)
        if role not in existing:
            attributes = sql.SQL("login nosuperuser nocreatedb nocreaterole nobypassrls password {}").format(passwords[role])
            con.execute(sql.SQL("create role {} {}").format(name, attributes))
    con.execute("create schema if not exists ptp authorization ptp_owner")
    con.execute("grant ptp_dagster to current_user")
    con.execute("create schema if not exists dagster authorization ptp_dagster")
    row = con.execute("select current_database()").fetchone()
    database = sql.Identifier(row[0] if row else "")
    con.execute(sql.SQL("alter role ptp_dagster in database {} set search_path = dagster").format(database))
    con.execute("revoke create on schema public from public")
