"""Spreadsheets: what a cell holds, read back from the file's own XML."""

import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree as ET
from zipfile import ZipFile

import duckdb

from ptp_pipeline.warehouse.spreadsheets import write_xlsx

NS = {"s": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


def sheet_of(path: Path) -> ET.Element:
    with ZipFile(path) as file:
        return ET.fromstring(file.read("xl/worksheets/sheet1.xml"))


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows under the header: column letter → text or number as written."""
    return [
        {re.sub(r"\d", "", c.attrib["r"]): "".join(c.itertext()) for c in row}
        for row in sheet_of(path).iterfind("s:sheetData/s:row", NS)
        if row.attrib["r"] != "1"
    ]


def test_every_kind_of_value_is_in_its_cell_and_what_is_not_there_has_none(tmp_path: Path) -> None:
    con = duckdb.connect()
    con.execute(
        "create table t as select 'a' as id, -1234.5::decimal(18, 3) as amount, date '2026-03-01' as day,"
        " timestamp '2026-03-01 12:00:00' as at, true as is_open, 7::bigint as count, ['x', 'y'] as list"
        " union all select 'b', null, null, null, null, null, null"
    )
    write_xlsx(con, "t", "t", tmp_path / "t.xlsx", date(2026, 3, 1))
    assert rows_of(tmp_path / "t.xlsx") == [
        {"A": "a", "B": "-1234.500", "C": "46082", "D": "46082.5", "E": "1", "F": "7", "G": "[x, y]"},
        {"A": "b"},
    ]


def test_text_comes_back_as_it_was_whatever_is_in_it(tmp_path: Path) -> None:
    texts = ["=1+1", "<b> & \"c\" 'd'", "  blanks  ", "two\nlines", "naïve 漢字 🙂", "bell\x07rung"]
    con = duckdb.connect()
    con.execute("create table t as select unnest(?::varchar[]) as text", [texts])
    write_xlsx(con, "t", "t", tmp_path / "t.xlsx", date(2026, 3, 1))
    assert [row["A"] for row in rows_of(tmp_path / "t.xlsx")] == [*texts[:-1], "bellrung"]
    assert not sheet_of(tmp_path / "t.xlsx").findall(".//s:f", NS)


def test_text_that_looks_like_an_escape_of_the_sheet_is_marked_as_text(tmp_path: Path) -> None:
    con = duckdb.connect()
    con.execute("create table t as select '_x0041_' as text")
    write_xlsx(con, "t", "t", tmp_path / "t.xlsx", date(2026, 3, 1))
    assert rows_of(tmp_path / "t.xlsx") == [{"A": "_x005F_x0041_"}]


def test_a_sheet_of_many_rows_keeps_their_order_and_says_how_many_there_are(tmp_path: Path) -> None:
    con = duckdb.connect(config={"threads": 2})
    con.execute("create table t as select 12_000 - range as number, 'x' as text from range(12_000)")
    write_xlsx(con, "t", "t", tmp_path / "t.xlsx", date(2026, 3, 1))
    assert [int(row["A"]) for row in rows_of(tmp_path / "t.xlsx")] == list(range(12_000, 0, -1))
    assert sheet_of(tmp_path / "t.xlsx").find("s:dimension", NS).attrib["ref"] == "A1:B12001"  # type: ignore[union-attr]


def test_a_table_without_rows_is_a_sheet_with_a_header(tmp_path: Path) -> None:
    con = duckdb.connect()
    con.execute("create table t (id varchar, amount decimal(18, 3))")
    write_xlsx(con, "t", "t", tmp_path / "t.xlsx", date(2026, 3, 1))
    assert rows_of(tmp_path / "t.xlsx") == []
    with ZipFile(tmp_path / "t.xlsx") as file:
        assert 'name="amount"' in file.read("xl/tables/table1.xml").decode()
