"""`ptp up` as a process: it answers, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from ptp_pipeline.ledger.connection import Ledger


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes_with(marker: str) -> list[str]:
    """Processes (by their environment) that belong to this test's PTP_HOME."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_answers_on_this_machine_only_and_stops_with_all_its_children(home: Path, ledger: Ledger, number: signal.Signals) -> None:
    ledger.parameters("ptp_app")  # the server is up and stays ours: what is left afterwards is none of `up`
    port, marker = free_port(), f"PTP_UP_TEST={time.monotonic_ns()}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PTP_")}
    environment |= {"PTP_HOME": str(home), "PTP_UP_TEST": marker.split("=")[1]}
    words = [sys.executable, "-m", "ptp_pipeline.cli", "up", "--port", str(port)]
    up = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert up.stdout
        assert f"http://127.0.0.1:{port}" in up.stdout.readline(), up.stderr.read() if up.stderr else ""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=30) as answer:
            assert answer.status == 200
        second = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert second.returncode == 3
        assert "in use" in second.stderr
        assert len(processes_with(marker)) > 2
        up.send_signal(number)
        assert up.wait(timeout=60) == 0
    finally:
        if up.poll() is None:
            up.kill()
    assert processes_with(marker) == []
