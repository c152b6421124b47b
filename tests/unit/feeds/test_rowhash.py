"""The hash of a row: what it tells apart, what it does not, and that it is the same as ever."""

import hashlib
import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptp_pipeline.feeds import rowhash
from ptp_pipeline.feeds.rowhash import row_sum

ONES = 2**64 - 1


def stirred(word, factor):
    word = word * factor & ONES
    return word ^ word >> 32


def hashed(name, first, second=None):
    word = stirred((first + int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")) & ONES, 0xBF58476D1CE4E5B9)
    return stirred((word if second is None else word + second) & ONES, 0x94D049BB133111EB)


def slowly(columns):
    """The same, one row at a time."""
    total = 0
    for row in zip(*columns.values(), strict=True):
        word = 0
        for name, value in zip(columns, row, strict=True):
            if isinstance(value, str):
                text = value.encode()
                padded = len(text).to_bytes(4, "little") + (text if len(text) <= 12 else text[:4]).ljust(12, b"\0")
                words = int.from_bytes(padded[:8], "little"), int.from_bytes(padded[8:], "little")
                word += hashed(name, *words) if len(text) <= 12 else long(name, text)
            elif value is not None:
                word += hashed(name, value & ONES)
        total += stirred(stirred(word & ONES, 0xBF58476D1CE4E5B9), 0x94D049BB133111EB)
    return total & ONES


def long(name, text):
    word = hashed(name, int.from_bytes(len(text).to_bytes(4, "little") + text[:4], "little"))
    for at in range(0, len(text), 8):
        word = hashed(name, word, int.from_bytes(text[at : at + 8], "little"))
    return word


texts = st.one_of(st.none(), st.text(min_size=1, max_size=40), st.sampled_from(["abcdefghijkl", "abcdefghijklm", "abcdefghijklmnop"]))
rows = st.lists(st.tuples(texts, texts, st.one_of(st.none(), st.integers(-(2**62), 2**62))), min_size=1, max_size=30)


def series(table):
    kinds = {"a": pl.String, "b": pl.String, "n": pl.Int64}
    return {name: pl.Series(name, list(values), dtype=kinds[name]) for name, values in zip(kinds, zip(*table, strict=True), strict=True)}


@settings(deadline=None)
@given(rows)
def test_it_is_what_it_says_however_many_rows_are_done_at_once(table):
    columns = series(table)
    expected = slowly({name: column.to_list() for name, column in columns.items()})
    assert row_sum(columns) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rowhash, "_ROWS", 3)
        assert row_sum(columns) == expected


@settings(deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_that_of_columns_matters(table, rng):
    shuffled = list(table)
    rng.shuffle(shuffled)
    assert row_sum(series(table)) == row_sum(dict(reversed(series(shuffled).items())))


def test_every_change_shows():
    rng = random.Random(7)
    book = [(f"P{n}", f"a longer remittance text {n}" if n % 3 else None, n * 100) for n in range(2000)]
    books, sums = {tuple(book)}, {row_sum(series(book))}
    for _ in range(300):
        changed = list(book)
        at, other = rng.sample(range(len(book)), 2)
        match rng.randrange(4):
            case 0:
                changed[at] = (changed[at][0], changed[at][1], changed[at][2] + 1)
            case 1:  # two rows change amounts
                changed[at], changed[other] = (*changed[at][:2], changed[other][2]), (*changed[other][:2], changed[at][2])
            case 2:
                changed[at] = (changed[at][0] + "x", *changed[at][1:])
            case _:  # a text moves to another column
                changed[at] = (changed[at][1], changed[at][0], changed[at][2])
        books.add(tuple(changed))
        sums.add(row_sum(series(changed)))
    assert len(sums) == len(books) > 250


def test_it_has_not_changed_since_files_were_received():
    references = pl.Series(["a text of more than twelve bytes", "ü"])
    assert row_sum({"payment_id": pl.Series(["P1", None]), "reference": references, "amount": pl.Series([1, -1])}) == KNOWN


KNOWN = 13815495689996695865
