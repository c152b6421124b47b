"""`python -m tests.mutants` breaks every rule and takes minutes; that it still can is checked here."""

import pytest

from tests.mutants import CHECKOUT, MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_replaces_is_still_there_once(mutant: Mutant) -> None:
    assert mutant.problem() is None
    assert mutant.old != mutant.new


def test_mutants_have_different_names_and_tests_that_exist() -> None:
    assert len({m.name for m in MUTANTS}) == len(MUTANTS)
    assert all((CHECKOUT / test).exists() for m in MUTANTS for test in m.tests)
