"""Each invariant must hold on a sound book and must notice the damage it is there for."""

from pathlib import Path

import pytest

from ptp_pipeline.warehouse.checks import CHECKS, parse_check, run_checks
from ptp_pipeline.warehouse.models import STAGES, ModelError
from tests.unit.outcomes.books import Book

DAMAGE = {
    "outcomes_paid_equals_allocations": "update outcomes.installments set paid_minor = paid_minor + 1 where paid_minor = 10000",
    "outcomes_every_installment_judged_once": "delete from outcomes.installments where sequence = 2",
    "outcomes_installments_within_amount": "update outcomes.installments set outstanding_minor = 1 where status = 'kept'",
    "outcomes_verdict_fits_state": "update outcomes.installments set deadline = null where status = 'broken'",
    "outcomes_commitments_add_up": "update outcomes.commitments set paid_minor = 0",
    "outcomes_one_current_version": "update outcomes.commitments set is_current = false",
    "outcomes_transitions_end_in_state": "delete from outcomes.transitions where to_state = 'broken'",
    "outcomes_life_cycle_agrees": "update outcomes.commitments set status = 'completed'",
    "published_no_floating_point": "alter table published.plan_status alter total_amount type double",
    "published_money_agrees": "delete from stored.allocations",
    "published_scorecards_agree": "update published.scorecard_owner set kept_count = 0",
    "published_broken_promises_complete": "delete from published.broken_promises",
}


def book() -> Book:
    book = Book().commits("A", ("2026-01-15", 10000), ("2026-02-15", 10000), ("2026-03-15", 10000))
    return book.pays("A", "2026-01-10", 10000).pays("A", "2026-02-10", 2500)


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_a_check_holds_on_a_sound_book_and_notices_its_damage(name: str) -> None:
    stage = name.split("_", maxsplit=1)[0]
    con = book().outcomes("2026-03-01", STAGES[STAGES.index("outcomes") :])
    assert [v.detail for v in run_checks(con, stage) if not v.passed] == []
    con.execute(DAMAGE[name])
    (found,) = [v for v in run_checks(con, stage) if v.name == name]
    assert not found.passed
    assert found.count >= len(found.sample) > 0
    assert str(found.count) in found.detail


def test_every_check_of_the_outcomes_has_a_test() -> None:
    names = {path.stem for stage in ("outcomes", "published") for path in CHECKS.glob(f"{stage}_*.sql")}
    assert names == DAMAGE.keys()


def test_every_check_file_says_what_it_checks_under_its_own_name_once() -> None:
    checks = [parse_check(path) for path in sorted(CHECKS.glob("*.sql"))]
    assert len({(c.stage, c.name) for c in checks}) == len(checks)
    assert all(c.message.endswith(".") for c in checks)


def test_a_check_without_a_stage_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.sql"
    path.write_text("-- check: x\n-- message: y\nselect 1\n")
    with pytest.raises(ModelError, match=r"x\.sql: the header needs"):
        parse_check(path)
