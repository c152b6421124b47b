"""Text cells that a spreadsheet would run as a formula, guarded the same way in Python and in SQL."""

import duckdb
import pytest

from ptp_pipeline.domain.export import guard, guard_sql

CELLS = [
    ("=cmd|'/C calc'!A0", "'=cmd|'/C calc'!A0"),
    ("+1+1", "'+1+1"),
    ("-2", "'-2"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\t=1", "'\t=1"),
    ("\r=1", "'\r=1"),
    ("Acme = Co", "Acme = Co"),
    ("", ""),
    ("'quoted", "'quoted"),
    ("Ünal & Söhne", "Ünal & Söhne"),
]


@pytest.mark.parametrize(("text", "expected"), CELLS)
def test_a_cell_that_would_start_a_formula_gets_an_apostrophe(text, expected):
    assert guard(text) == expected


@pytest.mark.parametrize(("text", "expected"), CELLS)
def test_the_sql_expression_gives_the_same_cell(text, expected):
    with duckdb.connect() as con:
        assert con.execute(f"select {guard_sql(chr(34) + 'cell' + chr(34))} from (select ? as cell)", [text]).fetchall() == [(expected,)]


def test_a_null_cell_stays_null_in_sql():
    with duckdb.connect() as con:
        assert con.execute(f"select {guard_sql('cell')} from (select null::varchar as cell)").fetchall() == [(None,)]
