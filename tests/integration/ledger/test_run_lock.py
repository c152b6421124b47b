"""One run per org, named, and gone with its holder."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger import run_lock

_HOLDER = """
import sys, time
from pathlib import Path
from ptp_pipeline.ledger import run_lock
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.settings import Settings
with run_lock.hold(Ledger(Settings(home=Path(sys.argv[1]))), sys.argv[2], "run 1234 on testhost"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_run_is_refused_and_told_who_holds_the_lock(desk):
    with run_lock.hold(desk.ledger, desk.org, "run 7"), pytest.raises(Refused, match=rf"{desk.org} is being run by run 7, since \d{{4}}-"):  # noqa: SIM117
        with run_lock.hold(desk.ledger, desk.org, "run 8"):
            pass
    with run_lock.hold(desk.ledger, desk.org, "run 9"):
        pass


def test_orgs_run_in_parallel(desk, org):
    from uuid import uuid4

    from ptp_pipeline.ledger import orgs
    from ptp_pipeline.ledger.connection import Actor

    other = f"org{uuid4().hex[:10]}"
    orgs.create_org(desk.ledger, other, Actor("operator", "operator", "operator", "cli"))
    with run_lock.hold(desk.ledger, desk.org, "one"), run_lock.hold(desk.ledger, other, "two"):
        pass


def test_an_error_in_the_run_gives_the_lock_back(desk):
    with pytest.raises(ZeroDivisionError), run_lock.hold(desk.ledger, desk.org, "run 7"):
        _ = 1 / 0
    with run_lock.hold(desk.ledger, desk.org, "run 8"):
        pass


def test_a_killed_holder_is_named_while_it_lives_and_leaves_no_lock_behind(desk, settings):
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(settings.home), desk.org], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(Refused, match="run 1234 on testhost"), run_lock.hold(desk.ledger, desk.org, "me"):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(timeout=10)
        began = time.monotonic()
        with run_lock.hold(desk.ledger, desk.org, "me"):
            assert time.monotonic() - began < 5
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
