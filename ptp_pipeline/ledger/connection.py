"""Connections to the ledger. The only place that opens one, says who acts, and names the org that row-level security goes by.

Statements of use cases belong to the services beside this module.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ptp_pipeline.errors import Refused, WorkFailed
from ptp_pipeline.ledger import embedded, migrations
from ptp_pipeline.settings import Settings

if TYPE_CHECKING:
    import psycopg

_RULE_CLASS = "PT"  # SQLSTATE class of the ledger's own rules; their texts are written for people


@dataclass(frozen=True)
class Actor:
    """Who acts: name, role, how they proved it and through what."""

    name: str
    role: str
    auth: str
    origin: str


@dataclass(frozen=True)
class Transaction:
    """One open transaction of the app role, confined to one org by row-level security. Rows come as dicts."""

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
    """The ledger of one installation. Starts the embedded server and applies migrations on first use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

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
        """libpq parameters to connect as `ptp_app`, `ptp_ops` or `ptp_dagster`. Contains a password: never log it."""
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
        """One transaction of the app role inside `org`. Commits on success; a broken rule becomes `Refused`."""
        with self._session("ptp_app", org, actor) as con:
            yield Transaction(con, org, actor)

    @contextmanager
    def operator(self, actor: Actor, org: str = "") -> Iterator[Transaction]:
        """One transaction of the operator role: it sees the list of orgs, and creates them; nothing else across orgs."""
        with self._session("ptp_ops", org, actor) as con:
            yield Transaction(con, org, actor)

    @contextmanager
    def _session(self, role: str, org: str, actor: Actor) -> Iterator[Any]:
        import psycopg
        from psycopg.rows import dict_row

        try:
            with psycopg.connect(**self.parameters(role), row_factory=dict_row) as con:
                con.execute(
                    "select set_config('ptp.org_id', %s, true), set_config('ptp.actor', %s, true), set_config('ptp.role', %s, true),"
                    " set_config('ptp.auth', %s, true), set_config('ptp.origin', %s, true), set_config('search_path', 'ptp', true)",
                    [org, actor.name, actor.role, actor.auth, actor.origin],
                )
                yield con
        except psycopg.Error as error:
            if (error.sqlstate or "").startswith(_RULE_CLASS):
                raise Refused(error.diag.message_primary or str(error), error.diag.message_hint or "") from None
            raise
