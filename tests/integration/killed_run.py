"""Runs an org and kills the run right before some of its renames and links: there files, claims, stages and builds change hands.

Started by test_pipeline with the home, the org, the business date and the moments. Prints how many runs were killed.
"""

import sys
from datetime import date
from pathlib import Path

import great_expectations  # noqa: F401 - imported once, before the forks

from ptp_pipeline.build import build_defs
from ptp_pipeline.run import run_org
from ptp_pipeline.settings import Settings
from tests.integration.killed import killed_at


def main(home: str, org: str, as_of: str, *moments: str) -> None:
    build_defs()  # what it imports
    settings = Settings(home=Path(home), settle_seconds=0)

    def is_change(event: str, args: tuple[object, ...]) -> bool:
        return event in ("os.rename", "os.symlink", "shutil.rmtree") and home in str(args[0]) + str(args[1])

    def run() -> None:
        outcome = run_org(settings, org, date.fromisoformat(as_of))
        assert outcome.ok, outcome.errors

    finished = [killed_at(int(moment), is_change, run) for moment in moments]
    sys.stdout.write(f"{finished.count(False)} killed")


main(*sys.argv[1:])
