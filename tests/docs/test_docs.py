"""The docs say what the product does: settings, policy keys, commands, feeds and links are compared with the code."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from ptp_pipeline.cli.app import app
from ptp_pipeline.domain.policy import Approval, Caps, Policy, leaves
from ptp_pipeline.feeds.reference import feed_reference
from ptp_pipeline.settings import CHECKOUT, Settings

DOCS = CHECKOUT / "docs"
PAGES = [CHECKOUT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:\$ )?((?:[A-Z_]+=\S+ )*(?:\./)?ptp (?!:).*)")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:tmp|home|root|work|Users|private)/|\.internal\b|\blocalhost:\d|\b(?:10|172|192)\.\d+\.\d+\.\d+")


def named(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


def first_cells(page: Path) -> dict[str, list[str]]:
    """Table rows by what stands in their first cell, without the backticks."""
    rows = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.lstrip().startswith("| `") and len(cells) > 1:
            rows[cells[0].strip("`")] = cells
    return rows


def command_lines(page: Path) -> Iterator[str]:
    """Commands in fenced blocks, and those quoted in the text with their launcher."""
    text = page.read_text(encoding="utf-8")
    for _, language, body in FENCE.findall(text):
        if language in ("", "sh", "bash", "console"):
            yield from (found[1] for line in body.splitlines() if (found := COMMAND.fullmatch(line.strip())))
    yield from re.findall(r"`(\./ptp [^`\n]+)`", FENCE.sub("", text))


def command_of(line: str) -> tuple[Any, list[str], list[str]]:
    """(command, its words, the rest). Fails when there is no such command."""
    typed = shlex.split(line, comments=True)
    typed = typed[next(i for i, word in enumerate(typed) if word in ("ptp", "./ptp")) + 1 :]
    command, words = get_command(app), []
    while hasattr(command, "commands") and typed and not typed[0].startswith("-"):
        assert typed[0] in command.commands, f"there is no `ptp {' '.join([*words, typed[0]])}`"
        words.append(typed[0])
        command, typed = command.commands[typed[0]], typed[1:]
    return command, words, typed


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_in_the_docs_exists_and_has_these_options(page: Path) -> None:
    for line in command_lines(page):
        command, words, rest = command_of(line)
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        unknown = {word for word in rest if word.startswith("--")} - known if words != ["test"] else set()
        assert not unknown, f"{named(page)}: `{line}`: no option {', '.join(sorted(unknown))}"


def test_the_commands_of_the_docs_are_found_at_all() -> None:
    found = {" ".join(command_of(line)[1]) for page in PAGES for line in command_lines(page)}
    assert {"demo", "org add", "log plan", "approve", "approval-code", "run", "email preview", "files reprocess", "doctor"} <= found


def test_every_command_is_in_the_docs() -> None:
    found = {tuple(command_of(line)[1]) for page in PAGES for line in command_lines(page)}
    every = get_command(app).commands
    wanted = {(name, *sub) for name, command in every.items() for sub in ([(s,) for s in getattr(command, "commands", ())] or [()])}
    assert wanted - found <= {("lock",), ("user", "password"), ("org", "list")}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_operations_with_its_default_and_meaning(name: str) -> None:
    field = Settings.model_fields[name]
    variable = "RESEND_API_KEY" if field.validation_alias else f"PTP_{name.upper()}"
    rows = first_cells(DOCS / "operations.md")
    assert variable in rows
    _, default, meaning = rows[variable]
    assert meaning == field.description
    if field.default is None:
        assert default == "none"
    elif isinstance(field.default, int | float | str):
        assert default == f"`{field.default}`"


def test_operations_names_no_setting_that_does_not_exist() -> None:
    known = {f"PTP_{name.upper()}" for name in Settings.model_fields} | {"PTP_ORG", "PTP_DEBUG"}
    for page in PAGES:
        if page.parent != DOCS / "adr":
            assert set(re.findall(r"\bPTP_[A-Z_]+\b", page.read_text(encoding="utf-8"))) <= known, named(page)


def policy_keys() -> Iterator[tuple[str, Any]]:
    """(key as the page writes it, its default as stored)."""
    defaults = Policy().as_json()
    yield from defaults.items()
    yield from ((f"approval.{name}", defaults["approval"][name]) for name in Approval.model_fields)
    sections = ("ladder", "alerts", "risk_weights", "tiers", "terms_library", "promise_actions")
    yield from ((key, default) for key, default in leaves(Policy()).items() if key.split(".")[0] in sections)
    yield from ((f"approval.caps.ROLE.{name}", defaults["approval"]["caps"]["legal"][name]) for name in Caps.model_fields)


@pytest.mark.parametrize(("key", "default"), list(policy_keys()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_policy_key_is_in_policy_with_its_default(key: str, default: Any) -> None:
    rows = first_cells(DOCS / "policy.md")
    assert key in rows
    written = rows[key][1]
    if isinstance(default, bool):
        assert written == f"`{str(default).lower()}`"
    elif isinstance(default, int | str):
        assert written == f"`{default}`"
    elif isinstance(default, list) and "." in key:
        assert written == f"`{json.dumps(default)}`"
    elif default in ([], {}):
        assert written == "none"
    elif default is None and key != "approval.caps.ROLE.amount":
        assert written == "`null`"


def test_policy_names_no_key_that_does_not_exist() -> None:
    assert first_cells(DOCS / "policy.md").keys() == {key for key, _ in policy_keys()}


def test_the_supervisors_cap_is_the_one_the_docs_name() -> None:
    assert str(Policy().approval.caps["supervisor"].amount) == "50000"
    assert "50,000" in (DOCS / "supervisors.md").read_text(encoding="utf-8")
    assert first_cells(DOCS / "policy.md")["approval.caps.ROLE.amount"][1] == "`50000` for the supervisor"


def test_the_feeds_in_finance_ops_are_the_generated_reference() -> None:
    expected = re.sub(r"^#", "##", feed_reference(), flags=re.MULTILINE)
    page = (DOCS / "finance-ops.md").read_text(encoding="utf-8")
    assert page.endswith(expected), "make the end of docs/finance-ops.md again from ptp_pipeline.feeds.reference"


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_between_the_docs_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{named(page)}: {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{named(page)}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_docs_name_no_machine(page: Path) -> None:
    assert MACHINE_PATHS.findall(page.read_text(encoding="utf-8")) == []


def test_every_role_finds_its_page_from_the_readme() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    for page in sorted(DOCS.glob("*.md")):
        assert f"(docs/{page.name}" in readme, page.name


def test_every_analyst_query_is_in_the_cookbook() -> None:
    page = (DOCS / "analysts.md").read_text(encoding="utf-8")
    assert [query.name for query in sorted((CHECKOUT / "sql" / "analyst").glob("*.sql")) if f"/{query.name})" not in page] == []
