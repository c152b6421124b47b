"""The command line against the real ledger of this test process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ptp_pipeline.cli.app import app
from ptp_pipeline.ledger.connection import Ledger

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Answer]


@pytest.fixture
def cli(home: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs `ptp` with these words, as this person (a token) if one is given. Nothing of the machine's own settings shines through."""
    for name in ("PTP_TOKEN", "PTP_ORG", "PTP_DEBUG", "PTP_DATABASE_URL", "RESEND_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PTP_HOME", str(home))
    monkeypatch.setenv("PTP_SETTLE_SECONDS", "0")

    def run(*words: str, token: str = "", stdin: str | None = None) -> Answer:
        result = CliRunner().invoke(app, list(words), input=stdin, env={"PTP_TOKEN": token} if token else {})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def token(cli: Cli, org: str) -> Callable[[str], str]:
    """A user of the org with this role, made when first asked for; returns a token. The user is called like the role."""
    known: dict[str, str] = {}

    def of(role: str) -> str:
        if role not in known:
            added = cli("user", "add", role, "--org", org, "--role", role, "--password-stdin", stdin=f"{PASSWORD}\n")
            assert added.code == 0, added.err
            known[role] = cli("user", "token", role, "--org", org, "--json").document["token"]
        return known[role]

    return of
