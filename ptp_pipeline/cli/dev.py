"""`ptp test`, `ptp bench` and `ptp lock`: for people who change ptp, or want to know what it does on their machine."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from ptp_pipeline.cli.frame import Json, command
from ptp_pipeline.cli.output import print_json
from ptp_pipeline.errors import UsageError, WorkFailed


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    anything = {"allow_extra_args": True, "ignore_unknown_options": True}
    command(app, "test", "test tests/unit -k schedule", name="test", context_settings=anything)(run_tests)
    command(app, "bench", "bench --rows 1m")(bench)
    command(app, "lock")(lock)


def run_tests(
    *,
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[PYTEST ARGUMENTS]", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Run everything CI runs: lint, format, types, tests. Stops at the first that fails. Further arguments go to pytest."""
    from ptp_pipeline.settings import CHECKOUT

    python = [sys.executable, "-m"]
    # loadfile: the runs that tests of a file share are made once, not once per worker. In the order of the folders, so that the long
    # files of tests/integration come before the short ones of tests/unit, and no worker is left with a long one at the end.
    workers = [] if any(a.startswith("-n") for a in arguments or []) else ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    steps = {
        "lint": [*python, "ruff", "check", "."],
        "format": [*python, "ruff", "format", "--check", "."],
        "types": [*python, "mypy"],
        "tests": [*python, "pytest", *workers, *(arguments or [])],
    }
    # Somebody's own installation must not take part in the tests, nor pay for their mails.
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PTP_", "RESEND_", "DAGSTER_"))}
    done: list[dict[str, object]] = []
    for name, arguments_of_step in steps.items():
        started = time.monotonic()
        code = subprocess.run(  # noqa: S603 - our own commands
            arguments_of_step, cwd=CHECKOUT, env=clean, stdout=sys.stderr if as_json else None, check=False
        ).returncode
        done.append({"step": name, "passed": code == 0, "seconds": round(time.monotonic() - started, 1)})
        if code:
            break
    if as_json:
        print_json({"passed": all(d["passed"] for d in done), "steps": done})
    else:
        said = [f"{d['step']} {'passed' if d['passed'] else 'FAILED'} ({d['seconds']} s)" for d in done]
        print("ptp test: " + ", ".join([*said, *(f"{name} not run" for name in list(steps)[len(done) :])]))
    if not all(d["passed"] for d in done):
        raise typer.Exit(1)


def bench(
    *,
    rows: Annotated[str, typer.Option("--rows", metavar="N", help="Payments of each made-up book; 1m is a million.")] = "100k",
    as_json: Json = False,
) -> None:
    """Measure ptp on made-up books, beside plain Python, pandas and the mere loading of the files. Touches nothing of yours."""
    from ptp_pipeline.settings import CHECKOUT

    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        command_line = [sys.executable, "-m", "bench", "--quick", "--rows", rows, "--json", str(figures)]
        code = subprocess.run(command_line, cwd=CHECKOUT, stdout=sys.stderr if as_json else None, check=False).returncode  # noqa: S603 - our own
        if as_json and figures.exists():
            print(figures.read_text(encoding="utf-8"))
    if code:
        raise typer.Exit(1 if code == 1 else 2)


def lock(*, as_json: Json = False) -> None:
    """Make requirements.lock again from pyproject.toml: newest pins that fit, with hashes, without names of package hosts."""
    from ptp_pipeline.settings import CHECKOUT

    target = CHECKOUT / "ptp_pipeline" / "requirements.lock"
    uv = shutil.which("uv")
    if uv is None:
        raise UsageError("Making the lock file needs uv.", "Install it: pip install uv")
    draft = target.with_suffix(".new")
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header", "--quiet", "--upgrade"]
    made = subprocess.run(  # noqa: S603 - our own command
        [uv, "pip", "compile", *options, "--group", "dev", "--output-file", str(draft), "pyproject.toml"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        draft.unlink(missing_ok=True)
        raise WorkFailed(f"uv could not resolve the packages: {made.stderr.strip()[-600:]}", "Correct pyproject.toml and try again.")
    before = set(_pins(target.read_text())) if target.exists() else set()
    after = set(_pins(draft.read_text()))
    draft.replace(target)
    if as_json:
        print_json({"packages": len(after), "added": sorted(after - before), "removed": sorted(before - after)})
        return
    for pin in sorted(after ^ before):
        print(f"{'+' if pin in after else '-'} {pin}")
    print(f"{target.relative_to(CHECKOUT)}: {len(after)} packages. The next ./ptp installs them.")


def _pins(text: str) -> list[str]:
    return [line.split(" ")[0] for line in text.splitlines() if "==" in line and not line.startswith((" ", "#"))]
