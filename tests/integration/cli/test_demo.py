"""`ptp demo`: the sample book's figures are fixed, and a demo never harms anything that is not a demo.

After a change that is meant to move the figures: PTP_UPDATE_GOLDEN=1 pytest tests/integration/cli/test_demo.py
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).with_name("golden") / "demo.json"
UNSTEADY = {"home", "seconds", "built_at", "build", "mail"}


def demo(*words: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: the demo has its own home, server and Dagster instance."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PTP_", "DAGSTER_"))}
    # settings of somebody's real installation, which a demo must not touch
    environment |= {"PTP_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "RESEND_API_KEY": "re_0123456789"}
    return subprocess.run(
        [sys.executable, "-m", "ptp_pipeline.cli", "demo", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="ptp-demo-"))
    parent.chmod(0o755)
    yield parent / "demo"
    shutil.rmtree(parent, ignore_errors=True)


@pytest.fixture(scope="module")
def shown(home: Path) -> dict[str, Any]:
    answer = demo("--home", str(home), "--json")
    assert answer.returncode == 0, answer.stderr
    return dict(json.loads(answer.stdout))


def figures(shown: dict[str, Any]) -> dict[str, Any]:
    """What must be the same on every machine and every day."""
    kept = {name: value for name, value in shown.items() if name not in UNSTEADY}
    files = ({k: f.get(k) for k in ("feed", "file_name", "status", "rows_in", "rows_quarantined")} for f in shown["files"])
    return {**kept, "files": list(files)}


def test_the_demo_shows_the_same_figures_every_time(shown: dict[str, Any]) -> None:
    found = json.dumps(figures(shown), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("PTP_UPDATE_GOLDEN") == "1":
        GOLDEN.write_text(found, encoding="utf-8")
    assert found == GOLDEN.read_text(encoding="utf-8")


def test_the_demo_leaves_files_to_look_at(shown: dict[str, Any], home: Path) -> None:
    assert Path(shown["mail"]).read_text(encoding="utf-8").count("PTP-") > 10
    assert (home / "published" / "acme" / "current" / "ptp.duckdb").is_file()
    assert (Path(shown["build"]) / "reports" / "scorecard_customer.xlsx").is_file()
    assert not list((home / "outbox").glob("**/*.eml"))


def test_a_demo_that_goes_on_ends_with_the_same_figures(shown: dict[str, Any], home: Path) -> None:
    again = demo("--home", str(home), "--keep", "--json")
    assert again.returncode == 0, again.stderr
    first, second = figures(shown), figures(json.loads(again.stdout))
    del first["files"], second["files"]
    # the same files dropped again are received, rejected and counted nowhere
    assert second == first


def test_a_folder_that_is_no_demo_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "ledger-backup.txt").write_text("precious")
    answer = demo("--home", str(tmp_path))
    assert answer.returncode == 3
    assert "not made by the demo" in answer.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["ledger-backup.txt"]
