"""Every command explains itself, shows an example that works as written, and speaks JSON."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from ptp_pipeline.cli.app import app

SLOW = {
    "dagster",
    "pandera",
    "great_expectations",
    "polars",
    "duckdb",
    "pandas",
    "pyarrow",
    "psycopg",
    "pydantic",
    "holidays",
    "rich",
    "resend",
}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(words, command) of every command below a group."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands(get_command(app)))


def examples(command: Any) -> list[str]:
    return [line.strip() for line in (command.epilog or "").splitlines() if line.strip().startswith("ptp ")]


@pytest.mark.parametrize("words", sorted(ALL), ids=" ".join)
def test_the_help_of_a_command_says_what_it_does_and_shows_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert ALL[words].help
    assert examples(ALL[words])
    for example in examples(ALL[words]):
        assert example in result.stdout


@pytest.mark.parametrize("words", sorted(ALL), ids=" ".join)
def test_every_example_is_a_command_line_that_parses(words: tuple[str, ...]) -> None:
    for example in examples(ALL[words]):
        typed = shlex.split(re.sub(r" < \S+$", "", example))[1:]
        assert tuple(typed[: len(words)]) == words
        ALL[words].make_context("ptp", typed[len(words) :])


@pytest.mark.parametrize("words", sorted(ALL), ids=" ".join)
def test_every_command_has_json(words: tuple[str, ...]) -> None:
    assert any("--json" in parameter.opts for parameter in ALL[words].params)


def test_the_command_line_starts_without_the_slow_packages() -> None:
    code = "import sys, ptp_pipeline.cli.app; print(' '.join(sorted({name.split('.')[0] for name in sys.modules})))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert SLOW & set(loaded) == set()


def test_a_wrong_option_is_wrong_usage() -> None:
    result = CliRunner().invoke(app, ["status", "--no-such-option"])
    assert result.exit_code == 2
    assert "--no-such-option" in result.stderr


def test_an_unexpected_error_is_a_sentence_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from ptp_pipeline.cli import frame

    group = frame.new_group("a group with a fault in it")

    @frame.command(group, "x")
    def fault(*, as_json: frame.Json = False) -> None:
        raise RuntimeError("the disk fell out")

    @frame.command(group, "y")
    def other() -> None:
        raise typer.Exit(0)

    monkeypatch.delenv("PTP_DEBUG", raising=False)
    result = CliRunner().invoke(group, ["fault", "--json"])
    assert result.exit_code == 1
    assert "the disk fell out" in result.stderr
    assert "Traceback" not in result.output
    assert '"exit_code": 1' in result.stdout
    monkeypatch.setenv("PTP_DEBUG", "1")
    assert isinstance(CliRunner().invoke(group, ["fault"]).exception, RuntimeError)
