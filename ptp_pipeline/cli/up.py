"""`ptp up`: the embedded Postgres, the Dagster UI and its daemon, until Ctrl-C; then nothing of it is left running."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from ptp_pipeline.cli.frame import Json, command, open_ledger, settings
from ptp_pipeline.cli.output import print_json
from ptp_pipeline.errors import Refused, WorkFailed

_HOST = "127.0.0.1"  # the UI has no login: it must not be reachable from elsewhere
_START_SECONDS = 120
_STOP_SECONDS = 20


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    command(app, "up", "up --port 3001")(up)


def up(
    *,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of the UI; default PTP_PORT or 3000.")] = None,
    as_json: Json = False,
) -> None:
    """Start the Dagster UI and daemon on this machine only, and stop all of it on Ctrl-C."""
    from ptp_pipeline import instance
    from ptp_pipeline.settings import CHECKOUT

    where = settings()
    port = port or where.port
    if is_listening(port):
        raise Refused(f"Port {port} is in use already.", "Stop what uses it, or choose another with --port.")
    ledger = open_ledger()
    environment = os.environ | instance.prepare(where, ledger)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    logs = where.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    workspace = ["-w", str(CHECKOUT / "workspace.yaml")]
    commands = {
        "webserver": ["dagster_webserver", "-h", _HOST, "-p", str(port), *workspace],
        "daemon": ["dagster._daemon", "run", *workspace],
    }
    print("Starting …", file=sys.stderr)
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, arguments in commands.items():
            children[name] = _start(arguments, environment, logs / f"{name}.log")
        _wait_until_open(port, children, stopping, logs)
        if not stopping.is_set():
            _say_open(port, where.home, as_json=as_json)
        while not stopping.wait(0.5):
            _require_alive(children, logs)
    finally:
        print("Stopping …", file=sys.stderr)
        stop(list(children.values()))
        print("Stopped.", file=sys.stderr)


def is_listening(port: int) -> bool:
    """Whether something answers on this machine's port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((_HOST, port)) == 0


def _start(arguments: Sequence[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """A child in a process group of its own: Ctrl-C reaches only us, and we reach its children through the group."""
    with log.open("wb") as stream:
        return subprocess.Popen(  # noqa: S603 - our own commands
            [sys.executable, "-m", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_open(port: int, children: "dict[str, subprocess.Popen[bytes]]", stopping: threading.Event, logs: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not is_listening(port) and not stopping.wait(0.2):
        _require_alive(children, logs)
        if time.monotonic() > deadline:
            raise WorkFailed(f"The UI did not answer within {_START_SECONDS} seconds.", f"See {logs / 'webserver.log'}.")


def _require_alive(children: "dict[str, subprocess.Popen[bytes]]", logs: Path) -> None:
    for name, child in children.items():
        if child.poll() is not None:
            tail = (logs / f"{name}.log").read_text(errors="replace").strip().splitlines()[-1:]
            raise WorkFailed(f"The {name} stopped by itself{': ' + tail[0] if tail else '.'}", f"See {logs / f'{name}.log'}.")


def _say_open(port: int, home: Path, *, as_json: bool) -> None:
    address = f"http://{_HOST}:{port}"
    if as_json:
        print_json({"url": address, "home": home})
    else:
        print(f"Open {address} in a browser. Drop CSVs into {home / 'inbox'}/ORG/FEED/. Ctrl-C stops everything.")
    sys.stdout.flush()


def stop(children: "Sequence[subprocess.Popen[bytes]]") -> None:
    """Stop process groups: ask first (Dagster ends its own runs and code servers), insist after a while."""
    for child in children:
        _signal_group(child, signal.SIGINT)
    deadline = time.monotonic() + _STOP_SECONDS
    while any(_is_group_alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    for child in children:
        _signal_group(child, signal.SIGKILL)
        child.wait()


def _signal_group(child: "subprocess.Popen[bytes]", number: int) -> None:
    child.poll()
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _is_group_alive(child: "subprocess.Popen[bytes]") -> bool:
    child.poll()
    try:
        os.killpg(child.pid, 0)
    except ProcessLookupError:
        return False
    return True
