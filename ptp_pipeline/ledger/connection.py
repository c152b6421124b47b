"""Connections to the ledger. The only place that opens one, says who acts, and names the org that row-level security goes by.

Statements of use cases belong to the services beside this module.
"""

import copy
import getpass
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from ptp_pipeline.errors import Refused, WorkFailed
from ptp_pipeline.ledger import embedded, migrations
from ptp_pipeline.settings import Settings

if TYPE_CHECKING:
    import psycopg

_RULE_CLASS = "PT"  # SQLSTATE class of the ledger's own rules; their texts are written for people
_LOGINS = {"pipeline": "ptp_pipeline", "operator": "ptp_ops"}  # by how the actor is authenticated; everybody else is a person
_PEOPLE = "ptp_app"


@dataclass(frozen=True)
class Actor:
    """Who acts: name, role, how they proved it and through what. Of a person also the proof the database gave when they signed in."""

    name: str
    role: str
    auth: str
    origin: str
    proof: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True)
class Transaction:
    """One open transaction, confined to one org by row-level security. Rows come as dicts."""

    connection: "psycopg.Connection[dict[str, Any]]"
    org: str
    actor: Actor

    def execute(self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> "psycopg.Cursor[dict[str, Any]]":
        return self.connection.execute(sql.encode(), params)

    def one(self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """The first row or None."""
        return self.execute(sql, params).fetchone()

    def all(self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return self.execute(sql, params).fetchall()


class Ledger:
    """The ledger of one installation. Starts the embedded server and applies migrations on first use.

    `run` is the Dagster run or the request that uses it; it stands beside everything recorded, and ties a run to its org.
    """

    def __init__(self, settings: Settings, run: str = "") -> None:
        self.settings = settings
        self.run = run

    def during(self, run: str) -> "Ledger":
        """The same ledger, used by a run."""
        twin = copy.copy(self)
        twin.run = run
        return twin

    @cached_property
    def _admin(self) -> dict[str, Any]:
        """Connection parameters that may migrate. Only this class sees them."""
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        url = self.settings.database_url
        if url is None:
            return embedded.start(self.settings)
        try:
            return {k: v for k, v in conninfo_to_dict(url.get_secret_value()).items() if v is not None}
        except psycopg.ProgrammingError:  # its message would repeat the password
            raise WorkFailed("PTP_DATABASE_URL cannot be read.", "Write it as postgresql://user:password@host/database.") from None

    @cached_property
    def _passwords(self) -> dict[str, str]:
        """Role passwords; the first use in a process also brings the schema up to date."""
        import psycopg

        try:
            with psycopg.connect(**self._admin, autocommit=True) as con:
                passwords = embedded.make_passwords(self.settings)
                if not migrations.is_current(con):
                    migrations.migrate(con, passwords)
        except psycopg.errors.InsufficientPrivilege as error:
            raise WorkFailed(
                f"The role of PTP_DATABASE_URL may not set the ledger up: {error.diag.message_primary}.",
                "It needs CREATEROLE, and CREATE on the database (owning it is enough).",
            ) from None
        except psycopg.OperationalError as error:
            raise WorkFailed(
                f"The ledger's Postgres cannot be reached: {error}".strip(), "Check PTP_DATABASE_URL or run `ptp doctor`."
            ) from None
        return passwords

    def parameters(self, role: str) -> dict[str, Any]:
        """libpq parameters to connect as one of `embedded.ROLES`. Contains a password: never log it."""
        return {**self._admin, "user": role, "password": self._passwords[role]}

    @property
    def dagster_url(self) -> str:
        """SQLAlchemy URL of Dagster's storage. psycopg2 by name: dagster-postgres fails on psycopg 3."""
        from urllib.parse import quote

        p = self.parameters("ptp_dagster")
        host, port = str(p.get("host", "localhost")), p.get("port")
        place = "" if host.startswith("/") else host + (f":{port}" if port else "")
        query = f"?host={quote(host)}" + (f"&port={port}" if port else "") if host.startswith("/") else ""
        return f"postgresql+psycopg2://{p['user']}:{quote(p['password'], safe='')}@{place}/{p['dbname']}{query}"

    @contextmanager
    def transaction(self, org: str, actor: Actor) -> Iterator[Transaction]:
        """One transaction inside `org`, by the actor's own login. Commits on success; a broken rule becomes `Refused`.

        A person's proof is shown first: without a good one nothing of the org is seen, and this raises Refused.
        """
        login = _LOGINS.get(actor.auth, _PEOPLE)
        with self._session(login, org, actor, actor.proof if login == _PEOPLE else None) as con:
            yield Transaction(con, org, actor)

    @contextmanager
    def door(self, org: str, actor: Actor) -> Iterator[Transaction]:
        """A transaction of somebody who has not signed in yet. Only signing in works there."""
        with self._session(_PEOPLE, org, actor, None) as con:
            yield Transaction(con, org, actor)

    @contextmanager
    def operator(self, actor: Actor, org: str = "") -> Iterator[Transaction]:
        """One transaction of the operator: in an org, or with the list of orgs before them."""
        with self._session("ptp_ops", org, actor, None) as con:
            yield Transaction(con, org, actor)

    @contextmanager
    def _session(self, login: str, org: str, actor: Actor, proof: str | None) -> Iterator[Any]:
        import psycopg
        from psycopg.rows import dict_row

        try:
            with psycopg.connect(**self.parameters(login), row_factory=dict_row, keepalives_idle=30) as con:
                con.execute(
                    "select ptp.enter(%s, %s, %s, %s, %s, %s, %s, %s), set_config('search_path', 'ptp', true)",
                    [org, actor.name, actor.role, actor.auth, actor.origin, _place(), self.run, proof],
                )
                yield con
        except psycopg.Error as error:
            if (error.sqlstate or "").startswith(_RULE_CLASS):
                raise Refused(error.diag.message_primary or str(error), error.diag.message_hint or "") from None
            raise


@lru_cache
def _place() -> str:
    """Account and machine, for the audit trail. The server adds the address it sees."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        account = str(os.getuid())
    return f"{account}@{socket.gethostname()}"
