"""Whoever is refused by the ledger is told what to do about it."""

import re

import pytest

from ptp_pipeline.settings import SQL

# What only a program that goes round the services meets, or what says itself whose turn it is.
WITHOUT = (
    "No org is named", "did not enter the org", "is written at isolation level", "enters one org, once", "does not act through this login",
    "is recorded by the ledger itself", "is not something %s does", "numbered without gaps", "was already %s", "is the same %s file as",
    "names its timezone", "is refuse or allow", "names limits", "are numbers or null",
    "a person must decide", "somebody else must approve", "approval required",
)  # fmt: skip


def refusals(text: str) -> list[str]:
    """The arguments of every `ptp.refuse(…)`, as written."""
    found = []
    for call in re.finditer(r"perform ptp\.refuse\(", text):
        depth, quoted, end = 1, False, call.end()
        while depth:
            quoted ^= text[end] == "'"
            depth += 0 if quoted else (text[end] in "([") - (text[end] in ")]")
            end += 1
        found.append(text[call.end() : end - 1])
    return found


def arguments(call: str) -> int:
    plain = re.sub(r"'(?:[^']|'')*'", "''", call)
    while plain != (flat := re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", plain)):
        plain = flat
    return plain.count(",") + 1


@pytest.mark.parametrize("path", sorted((SQL / "ledger").glob("*.sql")), ids=lambda path: path.stem)
def test_every_refusal_of_the_ledger_says_what_to_do_next(path) -> None:
    wrong = [call for call in refusals(path.read_text()) if arguments(call) < 3 and not any(known in call for known in WITHOUT)]
    assert wrong == []


def test_a_refusal_without_a_next_step_is_found() -> None:
    with_one = "perform ptp.refuse('PT001', format('%s (%s), of %s.', a, f(b, c), d[1]), 'Ask.');"
    assert [arguments(call) for call in refusals(with_one + with_one.replace(", 'Ask.'", ""))] == [3, 2]
