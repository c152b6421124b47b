"""Imports point one way: shells → ledger, feeds, warehouse, notify → domain."""

import ast
from pathlib import Path

import pytest

from ptp_pipeline.settings import CHECKOUT

PACKAGE = CHECKOUT / "ptp_pipeline"
BASE = {"errors", "settings", "__version__"}
ALLOWED = {
    "domain": BASE,
    "ledger": BASE | {"domain"},
    "warehouse": BASE | {"domain"},
    "feeds": BASE | {"domain", "ledger", "warehouse"},
    "notify": BASE | {"domain", "ledger", "warehouse"},
}
HEAVY = {"dagster", "pandera", "great_expectations", "polars", "duckdb", "pandas", "pyarrow", "resend", "holidays", "xlsxwriter"}


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Dotted names a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("layer", sorted(ALLOWED))
def test_a_layer_imports_only_the_layers_below_it(layer: str) -> None:
    wrong = []
    for path in (PACKAGE / layer).rglob("*.py"):
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "ptp_pipeline" and len(parts) > 1 and parts[1] not in ALLOWED[layer] | {layer}:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_no_other_shell_imports_the_command_line() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in PACKAGE.rglob("*.py")
        for name in imports(path)
        if name.startswith("ptp_pipeline.cli") and path.relative_to(PACKAGE).parts[0] != "cli"
    ]
    assert wrong == []


def test_only_the_dagster_shell_knows_dagster() -> None:
    shell = {"assets", "checks", "sensors", "resources", "cli"}
    files = {"build.py", "definitions.py", "jobs.py", "partitions.py", "instance.py", "run.py"}
    wrong = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == "dagster" for name in imports(path))
        and path.relative_to(PACKAGE).parts[0] not in shell
        and path.name not in files
    ]
    assert wrong == []


def test_slow_packages_are_imported_where_they_are_used_and_not_at_the_top() -> None:
    exempt = {"assets", "checks", "sensors", "resources", "build.py", "definitions.py", "jobs.py", "partitions.py"}
    wrong = [
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in exempt
        for name in imports(path, top_level_only=True)
        if name.split(".")[0] in HEAVY
    ]
    assert wrong == []


def test_the_top_level_holds_what_the_layout_says_and_nothing_else() -> None:
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split()
    top = {name.split("/")[0] for name in listed if not name.startswith(".")}
    expected = {"pyproject.toml", "ptp_pipeline", "sql", "data", "tests", "workspace.yaml", "README.md", "dagster.yaml", "ptp", "docs"}
    assert top - {"bench", "deploy"} <= expected | {"CHANGELOG.md", "LICENSE"}
    assert {name.split("/")[1] for name in listed if name.startswith("data/")} <= {"sample"}
