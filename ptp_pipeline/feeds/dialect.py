"""Bytes to text rows: encoding, delimiter, line ends, quoting, and the physical line on which each record starts.

What the columns mean is not known here; a row leaves as texts. Good rows never pass through Python one by one: lines
are told apart with vectorised expressions, and only those that do not parse on their own are looked at singly.
"""

import csv
import io
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptp_pipeline.errors import PtpError

if TYPE_CHECKING:
    import polars as pl

MAX_RECORD_LINES = 1000  # a quote that never closes must not swallow a million rows, nor make reading them quadratic
_BOMS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_TORN = ("unexpected end of data", "truncated data", "incomplete multibyte sequence")
_IN_REGEX = {",": ",", ";": ";", "\t": r"\t", "|": r"\|"}
_SIGNATURES = {
    b"PK\x03\x04": "an Excel workbook or zip file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a gzip file",
}


class UnreadableFile(PtpError):
    """The file as a whole cannot be read. The message is the reason the sender gets."""

    exit_code = 2


@dataclass(frozen=True)
class Records:
    """A file as texts. `rows` has `line_number` and `c0`, `c1`, … one per header name; `broken` has line_number, value, rule."""

    header: tuple[str, ...]
    rows: "pl.DataFrame"
    broken: "pl.DataFrame"

    @property
    def total(self) -> int:
        return self.rows.height + self.broken.height


def decode(data: bytes, encoding: str | None) -> bytes:
    """The file as UTF-8 without BOM and with `\\n` line ends. Raises UnreadableFile naming line and byte."""
    if not data:
        raise UnreadableFile("The file is empty (0 bytes).", "Export it again; nothing was in it.")
    for signature, what in _SIGNATURES.items():
        if data.startswith(signature):
            raise UnreadableFile(f"The file is {what}, not CSV.", "Save it as CSV UTF-8 and drop it again.")
    bom, named = next(((b, e) for b, e in _BOMS.items() if data.startswith(b)), (b"", None))
    body, chosen = data[len(bom) :], named or encoding or "utf-8"
    try:
        text = body.decode(chosen)
    except UnicodeDecodeError as error:
        if error.reason not in _TORN:
            raise _undecodable(body, chosen, error, len(bom)) from None
        # Torn in the middle of a character: keep the rest, the replacement character sends the last row to quarantine.
        text = body.decode(chosen, errors="replace")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UnreadableFile(
            f"Line {line} holds a NUL character: this is not text, or UTF-16 without its mark.",
            "Save the file as CSV UTF-8, or set its encoding (for example utf-16-le) in the org's feed mapping.",
        )
    plain = body if chosen == "utf-8" and "\ufffd" not in text else text.encode()
    return plain.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in plain else plain


def _undecodable(body: bytes, encoding: str, error: UnicodeDecodeError, offset: int) -> UnreadableFile:
    before = body[: error.start].decode(encoding, errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    return UnreadableFile(
        f"Line {before.count(chr(10)) + 1} holds a byte (0x{body[error.start]:02X}, byte {offset + error.start + 1} of the file)"
        f" that is not {encoding.upper()} text.",
        "Save the file as CSV UTF-8, or name its encoding (for example windows-1252) in the org's feed mapping.",
    )


def read_records(
    plain: bytes,
    delimiter: str | None,
    recognise: Callable[[str], bool],
    accept_header: Callable[[tuple[str, ...]], None],
) -> Records:
    """Split decoded bytes into records. `recognise` says whether a header name is known, to tell the delimiter;
    `accept_header` may raise before the body is read."""
    import polars as pl

    lines = pl.read_lines(io.BytesIO(plain), name="text").with_row_index("line_number", 1)
    first = lines.head(1000).filter(pl.col("text").str.contains(r"[^\s,;|]")).head(2).rows()
    sep = re.fullmatch(r'"?sep=(.)"?', first[0][1].strip("\ufeff "), re.IGNORECASE) if first else None
    if sep and sep[1] in _IN_REGEX:  # Excel's own way to name the delimiter
        delimiter, first = delimiter or sep[1], first[1:]
    if not first:
        raise UnreadableFile("The file has no header row.", "The first line must hold the column names.")
    header_line, header_text = first[0]
    chosen, header = _header(header_text, [delimiter] if delimiter else list(_IN_REGEX), recognise)
    accept_header(header)
    body = lines.filter(pl.col("line_number") > header_line)
    return Records(header, *_split(body, chosen, len(header)))


def _header(text: str, candidates: Collection[str], recognise: Callable[[str], bool]) -> tuple[str, tuple[str, ...]]:
    """The delimiter under which most names are known; with none known, the one that gives most names."""
    try:
        splits = {d: tuple(name.strip() for name in next(csv.reader([text], delimiter=d))) for d in candidates}
    except csv.Error as error:
        raise UnreadableFile(f"The header row cannot be read: {error}.", "The first line must hold the column names.") from None
    best = max(splits, key=lambda d: (sum(map(recognise, splits[d])), len(splits[d])))
    return best, splits[best]


def _split(body: "pl.DataFrame", delimiter: str, width: int) -> tuple["pl.DataFrame", "pl.DataFrame"]:
    import polars as pl

    d = _IN_REGEX[delimiter]
    text = pl.col("text")
    has_quote = text.str.contains('"', literal=True)
    one_field = f'(?:"(?:[^"]|"")*"|[^"{d}]*)'
    whole = f"^{one_field}(?:{d}{one_field})*$"
    exact = f"^{one_field}(?:{d}{one_field}){{{width - 1}}}$"
    told = body.with_columns(
        is_blank=text.str.contains(rf"^[\s{d}]*$"),
        is_odd=has_quote & ~text.str.contains(whole),
        is_good=pl.when(has_quote).then(text.str.contains(exact)).otherwise(text.str.count_matches(delimiter, literal=True) == width - 1),
    )
    repaired, broken, taken = _read_odd(told, delimiter, width)
    alone = told.filter(~pl.col("is_odd") & ~pl.col("is_blank"))
    if taken:
        alone = alone.filter(~pl.col("line_number").is_in(pl.Series(taken, dtype=pl.UInt32).implode()))
    good = alone.filter("is_good")
    rows = _fields(good, delimiter, width)
    if repaired:
        schema = {"line_number": pl.UInt32, **{f"c{i}": pl.String for i in range(width)}}
        rows = pl.concat([rows, pl.DataFrame(repaired, schema=schema, orient="row")]).sort("line_number")
    odd = pl.DataFrame(broken, schema={"line_number": pl.UInt32, "value": pl.String, "rule": pl.String}, orient="row")
    short = alone.filter(~pl.col("is_good")).select("line_number", value=text, rule=pl.lit("field_count"))
    return rows, pl.concat([odd, short]).sort("line_number")


def _fields(good: "pl.DataFrame", delimiter: str, width: int) -> "pl.DataFrame":
    """Lines known to hold exactly `width` fields, parsed all at once."""
    import polars as pl

    schema = {f"c{i}": pl.String for i in range(width)}
    if good.is_empty():
        return pl.DataFrame(schema={"line_number": pl.UInt32, **schema})
    joined = good["text"].str.join("\n").item().encode()
    fields = pl.read_csv(
        joined,
        has_header=False,
        schema=schema,
        separator=delimiter,
        quote_char='"' if b'"' in joined else None,
        empty_string_is_null=False,
        extra_columns="raise",
        missing_columns="raise",
    )
    if fields.height != good.height:
        raise AssertionError(f"{good.height} lines became {fields.height} rows")
    return fields.insert_column(0, good["line_number"])


def _read_odd(
    told: "pl.DataFrame", delimiter: str, width: int
) -> tuple[list[tuple[int | str, ...]], list[tuple[int, str, str]], list[int]]:
    """The records that start on a line whose quotes do not close on it, or stand in the middle of a field.

    Returns (rows, broken lines, further lines that belong to those records).
    """
    rows: list[tuple[int | str, ...]] = []
    broken: list[tuple[int, str, str]] = []
    taken: list[int] = []
    if told.is_empty():
        return rows, broken, taken
    texts, offset = told["text"], told["line_number"][0]
    done = 0
    for line in told.filter("is_odd")["line_number"]:
        if line < done:
            continue
        record = _scan(texts, line - offset, delimiter)
        if record is None:
            broken.append((line, texts[line - offset], "quoting"))
            continue
        fields, used = record
        done = line + used
        taken.extend(range(line + 1, done))
        if len(fields) == width:
            rows.append((line, *fields))
        else:
            broken.append((line, texts[line - offset], "field_count"))
    return rows, broken, taken


def _scan(texts: "pl.Series", start: int, delimiter: str) -> tuple[list[str], int] | None:
    """Read one record from line `start`: its fields and how many lines it covers; None when its quoting is broken.

    A quote opens a field only as its first character; elsewhere (5" pipe) it is a character like any other.
    """
    text, used, at = str(texts[start]), 1, 0
    fields: list[str] = []
    while True:
        if text.startswith('"', at):
            begin = end = at + 1
            while True:
                end = text.find('"', end)
                if end < 0:
                    if used >= MAX_RECORD_LINES or start + used >= len(texts):
                        return None
                    end = len(text)
                    text += "\n" + str(texts[start + used])
                    used += 1
                elif text.startswith('""', end):
                    end += 2
                else:
                    break
            fields.append(text[begin:end].replace('""', '"'))
            at = end + 1
            if at < len(text) and text[at] != delimiter:
                return None
        else:
            end = text.find(delimiter, at)
            end = len(text) if end < 0 else end
            fields.append(text[at:end])
            at = end
        if at >= len(text):
            return fields, used
        at += 1
