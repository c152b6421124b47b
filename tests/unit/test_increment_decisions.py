"""What forces a run to make everything: each fact that must hold is taken away in turn."""

from dataclasses import replace
from datetime import date

import pytest

from ptp_pipeline.warehouse.increment import Base, File, State, why_full

OLD = frozenset({File(1, "invoices", "i", 2), File(2, "payments", "p", 4)})
MORE = File(3, "payments", "q", 1)
BEFORE = State(date(2026, 6, 30), 10, 1, "this version", OLD)
NOW = replace(BEFORE, ledger_position=12, files=OLD | {MORE})
BASE = Base("2026-06-30-abc", "d1", BEFORE)
NEWS = [("file.accepted", "payments")]


def test_new_payments_files_alone_make_an_increment() -> None:
    assert why_full(BASE, NOW, NEWS) == ""
    two = replace(NOW, files=NOW.files | {File(4, "payments", "r", 9)})
    assert why_full(BASE, two, NEWS * 2) == ""


@pytest.mark.parametrize(
    ("now", "changes", "words"),
    [
        (replace(NOW, as_of=date(2026, 7, 1)), NEWS, "answers for 2026-06-30"),
        (replace(NOW, policy_version=2), NEWS, "policy"),
        (replace(NOW, made_by="next version"), NEWS, "another version"),
        (replace(NOW, ledger_position=9), NEWS, "behind"),
        (NOW, [*NEWS, ("override.set", "")], "override.set"),
        (NOW, [*NEWS, ("approval.approved", "")], "approval.approved"),
        (NOW, [("file.accepted", "contacts")], "file.accepted contacts"),
        (NOW, [], "not those the ledger recorded"),
        (NOW, NEWS * 2, "not those the ledger recorded"),
        (replace(NOW, files=OLD), [], "no new payments"),
        (replace(NOW, files=OLD | {replace(MORE, feed="invoices")}), NEWS, "not those the ledger recorded"),
        (replace(NOW, files=frozenset({MORE})), NEWS, "is not there as it was"),
        (replace(NOW, files=frozenset({*OLD - {File(2, "payments", "p", 4)}, File(2, "payments", "p", 5), MORE})), NEWS, "as it was"),
        (replace(NOW, files=OLD | {replace(MORE, file_sequence=2)}), NEWS, "came before"),
    ],
)
def test_anything_else_makes_everything(now: State, changes: list[tuple[str, str]], words: str) -> None:
    assert words in why_full(BASE, now, changes)


def test_without_a_build_that_says_what_it_was_made_of_everything_is_made() -> None:
    assert "no recorded build" in why_full(None, NOW, NEWS)
    assert "another version" in why_full(replace(BASE, state=None), NOW, NEWS)
