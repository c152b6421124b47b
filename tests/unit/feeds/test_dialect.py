"""Bytes to rows: encodings, delimiters, line ends, quoting, and the line numbers people look up."""

import contextlib
import csv
import io
from dataclasses import dataclass

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptp_pipeline.feeds import dialect as reader
from ptp_pipeline.feeds.dialect import BLOCK_BYTES, MAX_RECORD_LINES, UnreadableFile, decoded, read_records


@dataclass(frozen=True)
class Found:
    """All records of a file."""

    header: tuple[str, ...]
    rows: pl.DataFrame
    broken: pl.DataFrame
    blocks: int

    @property
    def total(self) -> int:
        return self.rows.height + self.broken.height


def decode(data: bytes, encoding: str | None) -> bytes:
    return b"".join(decoded(io.BytesIO(data), encoding))


def records(data: bytes | str, delimiter: str | None = None, encoding: str | None = None, block_bytes: int = BLOCK_BYTES) -> Found:
    raw = data.encode() if isinstance(data, str) else data
    headers: list[tuple[str, ...]] = []
    pieces = decoded(io.BytesIO(raw), encoding)
    blocks = list(read_records(pieces, delimiter, {"a", "b", "c"}.__contains__, headers.append, block_bytes))
    schema = {"line_number": pl.UInt32, **{f"c{i}": pl.String for i in range(len(headers[0]))}}
    texts = [block.rows.with_columns(pl.col(pl.String).fill_null("")) for block in blocks]
    no_broken = pl.DataFrame(schema={"line_number": pl.UInt32, "value": pl.String, "rule": pl.String})
    return Found(
        headers[0],
        pl.concat([pl.DataFrame(schema=schema), *texts]),
        pl.concat([no_broken, *(block.broken for block in blocks)]),
        len(blocks),
    )


def rows(data: bytes | str, **options) -> list[tuple]:
    return records(data, **options).rows.rows()


def broken(data: bytes | str, **options) -> list[tuple]:
    return records(data, **options).broken.rows()


@pytest.mark.parametrize("encode", [str.encode, lambda t: b"\xef\xbb\xbf" + t.encode(), lambda t: b"\xff\xfe" + t.encode("utf-16-le")])
def test_utf_8_with_or_without_bom_and_utf_16_with_bom_are_read(encode):
    found = records(encode("a,b\nMüller,日本\n"))
    assert found.header == ("a", "b")
    assert found.rows.rows() == [(2, "Müller", "日本")]


def test_another_encoding_is_read_when_the_mapping_names_it():
    assert rows("a,b\nMüller,5 €\n".encode("cp1252"), encoding="cp1252") == [(2, "Müller", "5 €")]


def test_wrong_encoding_is_rejected_naming_line_and_byte():
    data = "a,b\r\nx,y\r\nMüller,z\r\n".encode("cp1252")
    with pytest.raises(UnreadableFile, match=r"Line 3 holds a byte \(0xFC, byte 12 of the file\) that is not UTF-8") as caught:
        decode(data, None)
    assert "windows-1252" in caught.value.next_step


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"%PDF-1.7", "a PDF"),
        ("a,b\n1,2\n".encode("utf-16-le"), "NUL"),
        (b"\n\n  \n", "no header"),
        (b"\xef\xbb\xbf", "no header"),
    ],
)
def test_what_is_no_csv_is_rejected_in_words(data, words):
    with pytest.raises(UnreadableFile, match=words) as caught:
        records(data)
    assert caught.value.next_step


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiter_and_line_ends_are_told_from_the_file(delimiter, end):
    text = end.join(delimiter.join(line) for line in (("a", "b"), ("1", "x"), ("2", "y")))
    assert rows(text) == [(2, "1", "x"), (3, "2", "y")]


def test_the_delimiter_is_the_one_under_which_the_known_names_appear():
    assert records("a;b;note, long, very, long\n1;2;3\n").header == ("a", "b", "note, long, very, long")


def test_excels_sep_line_names_the_delimiter():
    assert rows("sep=;\na;b\n1,5;2\n") == [(3, "1,5", "2")]


def test_blank_lines_are_skipped_and_still_counted():
    assert rows("\n\na,b\n\n1,2\n   \n,\n3,4\n\n") == [(5, "1", "2"), (8, "3", "4")]


def test_quoted_newlines_keep_the_physical_line_numbers():
    assert rows('a,b\n1,"x\n\ny"\n2,z\n"3\n3",w\n4,v') == [(2, "1", "x\n\ny"), (5, "2", "z"), (6, "3\n3", "w"), (8, "4", "v")]


def test_a_quote_in_the_middle_of_a_field_is_a_character():
    assert rows('a,b\n5" pipe,6\n"say ""hi""",7\n') == [(2, '5" pipe', "6"), (3, 'say "hi"', "7")]


def test_rows_with_too_many_or_too_few_fields_are_set_aside_and_the_rest_goes_on():
    text = 'a,b\n1\n1,2,3\n4,5\n"x\ny",1,2\n6,7\n'
    assert rows(text) == [(4, "4", "5"), (7, "6", "7")]
    assert broken(text) == [(2, "1", "field_count"), (3, "1,2,3", "field_count"), (5, '"x', "field_count")]


def test_a_quote_that_never_closes_costs_one_line_and_not_the_rest_of_the_file():
    text = 'a,b\n1,"oops\n2,x\n3,"fine, really"\n4,y\n'
    assert rows(text) == [(3, "2", "x"), (4, "3", "fine, really"), (5, "4", "y")]
    assert broken(text) == [(2, '1,"oops', "quoting")]


def test_an_unclosed_quote_is_not_searched_for_through_the_whole_file():
    text = 'a,b\n1,"oops\n' + "2,x\n" * (MAX_RECORD_LINES * 3)
    assert len(rows(text)) == MAX_RECORD_LINES * 3


def test_a_file_torn_mid_line_loses_only_its_last_row():
    assert broken("a,b,c\n1,2,3\n4,5") == [(3, "4,5", "field_count")]


def test_a_file_torn_in_the_middle_of_a_character_keeps_its_other_rows():
    assert rows("a,b\n1,2\n3,é".encode()[:-1]) == [(2, "1", "2"), (3, "3", "\ufffd")]


def test_a_header_without_rows_is_a_file_without_rows():
    assert records("a,b\n").total == 0


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t\"',;|"), max_size=12).filter(
    lambda t: t == t.strip("\ufeff")
)


dialects = st.tuples(
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(cells, cells, cells), max_size=12), dialects, st.lists(st.booleans(), min_size=13, max_size=13))
def test_any_rows_in_any_dialect_come_back_with_their_values_and_line_numbers(table, dialect, blanks):
    delimiter, end, quoting, encoding = dialect
    text, line, expected = "", 1, []
    for i, row in enumerate([("a", "b", "c"), *table]):
        if blanks[i]:
            text += end
            line += 1
        made = io.StringIO(newline="")
        csv.writer(made, delimiter=delimiter, lineterminator="\n", quoting=quoting).writerow(row)
        written = made.getvalue()
        if i and written.replace(delimiter, "").strip():
            expected.append((line, *row))
        text += written.replace("\n", end)
        line += written.count("\n")
    assert rows(text.encode(encoding)) == expected


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('ab1,;"\n\r\t \ufffd'), max_size=200))
def test_whatever_follows_the_header_every_line_is_read_or_set_aside_once(body):
    found = records(f"a,b\n{body}")
    starts = [*found.rows["line_number"], *found.broken["line_number"]]
    assert len(set(starts)) == len(starts) == found.total
    assert all(line >= 2 for line in starts)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data):
    with contextlib.suppress(UnreadableFile):
        records(data)


@pytest.mark.parametrize("start", [b"x^2", b"x\x01\x02\x01", b"x\xc3\x9c", "\ufeffx".encode()])
def test_rows_that_begin_like_a_compressed_file_are_read_as_they_are(start):
    found = records(b"a,b\n" + start + b",1\n")
    assert found.rows.rows() == [(2, start.decode(), "1")]
    quoted = records(b"a,b\n" + start + b',"1"\n')
    assert quoted.rows.rows() == [(2, start.decode(), "1")]


# --- a file in many pieces and blocks is the same file ---


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(
            [
                "1,2",
                '1,"x\ny"',
                '"a\n\nb",2',
                '1,"open',
                "1",
                "1,2,3",
                "",
                " , ",
                '5" pipe,6',
                '"q",""',
                "é,2",
                " 1 ,2",
                '"a\n\n\n\n\n\n\nb",2',
            ]
        ),
        max_size=40,
    ),
    st.integers(4, 60),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
)
def test_wherever_a_file_is_cut_the_same_rows_are_read(monkeypatch, lines, size, end, encoding):
    data = end.join(line.replace("\n", end) for line in ["a,b", *lines]).encode(encoding)
    with monkeypatch.context() as patch:
        patch.setattr(reader, "MAX_RECORD_LINES", 5)
        whole = records(data, encoding="cp1252" if encoding == "cp1252" else None)
    with monkeypatch.context() as patch:
        patch.setattr(reader, "MAX_RECORD_LINES", 5)
        patch.setattr(reader, "_CHUNK", size)
        cut = records(data, encoding="cp1252" if encoding == "cp1252" else None, block_bytes=size)
    assert cut.rows.rows() == whole.rows.rows()
    assert cut.broken.rows() == whole.broken.rows()


def test_a_large_file_is_read_in_several_blocks_with_its_line_numbers(monkeypatch):
    monkeypatch.setattr(reader, "_CHUNK", 1000)
    body = "".join(f"{n},x\n" if n % 7 else f'{n},"two\nlines"\n' for n in range(4000))
    cut, whole = records(f"a,b\n{body}", block_bytes=20_000), records(f"a,b\n{body}")
    assert (whole.blocks, cut.blocks > 1) == (1, True)
    assert cut.rows.rows() == whole.rows.rows()
    assert cut.rows["line_number"].to_list()[:3] == [2, 4, 5]


@pytest.mark.parametrize("size", [4, 5, 7, 1000])
def test_what_cannot_be_decoded_is_found_at_the_same_place_however_the_file_is_read(monkeypatch, size):
    monkeypatch.setattr(reader, "_CHUNK", size)
    with pytest.raises(UnreadableFile, match=r"Line 3 holds a byte \(0xFC, byte 12 of the file\) that is not UTF-8"):
        decode("a,b\r\nx,y\r\nMüller,z\r\n".encode("cp1252"), None)
    with pytest.raises(UnreadableFile, match="Line 2 holds a NUL"):
        decode(b"a,b\r\n\0", None)
    assert decode("a,é\r\nb\rü".encode()[:-1], None) == "a,é\nb\n\ufffd".encode()
    assert decode(b"\xff\xfe" + "a\r\nü".encode("utf-16-le"), None) == "a\nü".encode()
