"""The whole loop with made-up secrets, each command a process of its own; then every output is searched for each of them.

What is searched: what commands print, every file under PTP_HOME with the members of its spreadsheets, the rows of the published
DuckDB files, and every column of both Postgres schemas. Only two places may hold a secret: the file of generated database passwords,
and the answer of a command whose job is to hand one out.
"""

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import psycopg
import pytest

from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.settings import CHECKOUT, Settings
from tests.integration.notify.conftest import ResendServer
from tests.integration.pipeline_book import COMMITMENTS, INVOICES, PAYMENTS

AS_OF = "2026-03-31"


@dataclass
class Installation:
    """A home of its own, what was kept secret there, and what its commands said."""

    home: Path
    resend: ResendServer
    ledger: Ledger
    secrets: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    def ptp(self, *words: str, token: str = "", stdin: str | None = None, hands_out: str = "", fails: bool = False) -> str:
        """Run a command. The secret it hands out is noted and blanked in its stdout, which is where it belongs."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PTP_", "RESEND_", "DAGSTER_"))}
        environment |= {"PTP_HOME": str(self.home), "PTP_ORG": "acme", "PTP_SETTLE_SECONDS": "0", "PTP_RESEND_URL": self.resend.url}
        environment |= {"RESEND_API_KEY": self.secrets["Resend key"], "PTP_TOKEN": token, "PTP_DEBUG": "1" if fails else ""}
        done = subprocess.run(
            [sys.executable, "-m", "ptp_pipeline.cli", *words],
            cwd=CHECKOUT, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        answer = done.stdout
        if hands_out:
            self.secrets[hands_out] = secret = answer.split()[0]
            answer = answer.replace(secret, "", 1)
        self.said[f"{len(self.said)}: ptp {' '.join(words)}"] = answer + done.stderr
        return done.stdout


def play(there: Installation) -> None:
    """People come, files come, terms are approved by token and by code, mail goes out; and things go wrong in between."""
    password, wrong = "seven purple donkeys", "eight yellow donkeys"
    there.secrets |= {"Resend key": f"re_{secrets.token_hex(12)}", "password": password, "wrong password": wrong}
    there.ptp("org", "add", "acme", "alert_recipients=team@acme.example")
    for name, role in (("mia", "collector"), ("sue", "supervisor")):
        there.ptp("user", "add", name, "--role", role, "--password-stdin", stdin=f"{password}\n")
    mia = there.ptp("user", "token", "mia", hands_out="token of mia").split()[0]
    sue = there.ptp("user", "token", "sue", hands_out="token of sue").split()[0]
    there.ptp("user", "password", "mia", "--password-stdin", token=mia, stdin=f"{wrong}\n")
    there.ptp("user", "password", "mia", "--password-stdin", token=mia, stdin=f"{password}\n")
    there.ptp("user", "password", "mia", "--password-stdin", token=sue, stdin=f"{wrong}\n", fails=True)
    for feed, text in (("invoices", INVOICES), ("commitments", COMMITMENTS), ("payments", PAYMENTS)):
        (there.home / "inbox" / "acme" / feed / "march.csv").write_text(text, encoding="utf-8")
    there.ptp("run", "--as-of", AS_OF)
    there.ptp("run", "--as-of", "2099-01-01", fails=True)
    code = there.ptp("approval-code", "PLAN-1", token=sue, hands_out="approval code").split()[0]
    there.ptp("approve", "PLAN-1", "--code", code, "--user", "mia", "--reason", "stolen", fails=True)
    code = there.ptp("approval-code", "PLAN-1", token=sue, hands_out="second approval code").split()[0]
    there.ptp("approve", "PLAN-1", "--code", code, "--user", "sue", "--reason", "as agreed")
    there.ptp("log", "payment", "--commitment", "PLAN-1", "--amount", "10", "--received", "2026-03-20", "--yes", token=mia)
    there.ptp("run", "--as-of", AS_OF)
    there.ptp("email", "send")
    there.ptp("status", token=f"{mia}x")
    there.ptp("pending", token=f"{mia}x", fails=True)
    for words in (("audit", "show"), ("audit", "verify"), ("user", "list"), ("user", "tokens"), ("org", "list", "--json"), ("doctor",)):
        there.ptp(*words)
    there.ptp("user", "revoke", "mia", "--all", "--reason", "laptop lost")
    there.secrets |= {f"database password of {r}": p for r, p in json.loads((there.home / "secrets" / "postgres.json").read_text()).items()}


@pytest.fixture(scope="module")
def there() -> Iterator[Installation]:
    home = Path(tempfile.mkdtemp(prefix="ptp-"))
    home.chmod(0o755)
    resend = ResendServer()
    made = Installation(home, resend, Ledger(Settings(home=home)))
    _ = made.ledger.dagster_url  # this process keeps the server up between the commands
    play(made)
    yield made
    resend.close()
    shutil.rmtree(home, ignore_errors=True)


def forms(secret: str) -> list[bytes]:
    """A secret as it is, and as it may stand in a mail, a bytea column, or without its dashes."""
    plain = secret.encode()
    return [plain, plain.hex().encode(), base64.b64encode(plain).rstrip(b"="), secret.replace("-", "").encode()]


def files(home: Path) -> Iterator[tuple[str, bytes]]:
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink() and path != home / "secrets" / "postgres.json":
            yield str(path.relative_to(home)), path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as members:
                    yield from ((f"{path.name}/{name}", members.read(name)) for name in members.namelist())


def published_rows(home: Path) -> Iterator[tuple[str, bytes]]:
    for path in (home / "published").rglob("ptp.duckdb"):
        with duckdb.connect(str(path), read_only=True) as con:
            for (table,) in con.execute("select table_name from information_schema.tables").fetchall():
                yield f"published {table}", str(con.execute(f'select * from "{table}"').fetchall()).encode()


def database_rows(ledger: Ledger) -> Iterator[tuple[str, bytes]]:
    with psycopg.connect(**ledger._admin) as con:
        tables = con.execute("select schemaname, tablename from pg_tables where schemaname in ('ptp', 'dagster')").fetchall()
        assert {schema for schema, _ in tables} == {"ptp", "dagster"}
        for schema, table in tables:
            name = psycopg.sql.Identifier(schema, table)
            rows = con.execute(psycopg.sql.SQL("select t::text from {} as t").format(name)).fetchall()
            yield f"{schema}.{table}", "\n".join(row for (row,) in rows).encode()


def leaks(there: Installation) -> set[tuple[str, str]]:
    """(secret, place) of every secret found where it does not belong."""
    found = set()
    for place, content in [
        *((words, said.encode()) for words, said in there.said.items()),
        *files(there.home),
        *published_rows(there.home),
        *database_rows(there.ledger),
    ]:
        found |= {(name, place) for name, secret in there.secrets.items() if any(form in content for form in forms(secret))}
    return found


def test_no_secret_is_in_any_output_of_the_whole_loop(there: Installation) -> None:
    assert len(there.secrets) >= 10
    assert [mail["headers"]["authorization"] for mail in there.resend.requests] == [f"Bearer {there.secrets['Resend key']}"]
    assert leaks(there) == set()


def test_what_is_kept_of_them_are_hashes(there: Installation) -> None:
    import hashlib

    rows = dict(database_rows(there.ledger))
    assert hashlib.sha256(there.secrets["token of mia"].encode()).hexdigest().encode() in rows["ptp.user_token"]
    code = there.secrets["second approval code"].replace("-", "")
    assert hashlib.sha256(code.encode()).hexdigest().encode() in rows["ptp.approval_code"]
    assert (there.home / "secrets" / "postgres.json").stat().st_mode & 0o077 == 0


def test_a_secret_that_had_slipped_out_would_have_been_found(there: Installation) -> None:
    planted = {name: f"planted-{secrets.token_hex(8)}" for name in ("log", "sheet", "ledger", "dagster", "published", "said", "mail")}
    everything = Installation(there.home, there.resend, there.ledger, planted, {"ptp status": f"hello {planted['said']}"})
    (there.home / "dagster" / "some.log").write_text(f"connecting with {planted['log']}\n")
    (there.home / "outbox").mkdir(exist_ok=True)
    (there.home / "outbox" / "x.eml").write_bytes(base64.b64encode(planted["mail"].encode()))
    with zipfile.ZipFile(there.home / "sheet.xlsx", "w", zipfile.ZIP_DEFLATED) as sheet:
        sheet.writestr("xl/worksheets/sheet1.xml", planted["sheet"] * 50)
    there.ptp("org", "set", "acme", "grace_days=1", "--reason", planted["ledger"])
    with psycopg.connect(**there.ledger._admin) as con:
        con.execute("insert into dagster.kvs (key, value) values ('planted', %s)", [planted["dagster"]])
    extra = there.home / "published" / "acme" / "planted"
    extra.mkdir()
    with duckdb.connect(str(extra / "ptp.duckdb")) as con:
        con.execute("create table t as select ? as x from range(100)", [planted["published"]])
    try:
        found = leaks(everything)
    finally:
        shutil.rmtree(extra)
        for name in ("dagster/some.log", "outbox/x.eml", "sheet.xlsx"):
            (there.home / name).unlink()
    assert {name for name, _ in found} == set(planted)
    assert {("dagster", "dagster.kvs"), ("ledger", "ptp.policy_version"), ("published", "published t"), ("said", "ptp status")} <= found
