"""Bytes to text rows: encoding, delimiter, line ends, quoting, and the physical line on which each record starts.

What the columns mean is not known here; a row leaves as texts. A file passes in blocks of whole records, so that memory does
not grow with it. Good rows never pass through Python one by one: a block without quotes is parsed as it is, in others lines
are told apart with vectorised expressions, and only those that do not parse on their own are looked at singly.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from ptp_pipeline.errors import PtpError

if TYPE_CHECKING:
    import polars as pl

BLOCK_BYTES = 24 << 20  # larger blocks are no faster, and several of them are in memory at once
MAX_RECORD_LINES = 1000  # a quote that never closes must not swallow a million rows, nor make reading them quadratic
_CHUNK = 4 << 20
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
    """A block of a file as texts. `rows` has `line_number` and `c0`, `c1`, … one per header name; `broken` has line_number, value, rule.

    `is_plain`: all ASCII, no control characters, no quotes, no blanks around fields, and what is empty is null: most rules
    about characters cannot be broken, and nothing has to be trimmed.
    """

    rows: "pl.DataFrame"
    broken: "pl.DataFrame"
    is_plain: bool = False

    @property
    def total(self) -> int:
        return self.rows.height + self.broken.height


def decoded(source: BinaryIO, encoding: str | None) -> Iterator[bytes]:
    """A file, piece by piece, as UTF-8 without BOM and with `\\n` line ends. Raises UnreadableFile naming line and byte."""
    first = source.read(_CHUNK)
    if not first:
        raise UnreadableFile("The file is empty (0 bytes).", "Export it again; nothing was in it.")
    for signature, what in _SIGNATURES.items():
        if first.startswith(signature):
            raise UnreadableFile(f"The file is {what}, not CSV.", "Save it as CSV UTF-8 and drop it again.")
    bom, named = next(((b, e) for b, e in _BOMS.items() if first.startswith(b)), (b"", None))
    decoder = _Decoder(named or encoding or "utf-8", len(bom))
    data: bytes | None = first[len(bom) :]
    while data is not None:
        following = source.read(_CHUNK) or None
        yield decoder.decode(data, is_last=following is None)
        data = following


class _Decoder:
    """Pieces of a file to UTF-8 with `\\n` line ends; knows line and byte of what it cannot decode."""

    def __init__(self, encoding: str, offset: int) -> None:
        self.encoding, self.read, self.line = encoding, offset, 1
        self.incremental = codecs.getincrementaldecoder(encoding)()
        self.kept = b""  # a carriage return at the end of a piece: what follows says whether it is half a line end

    def decode(self, data: bytes, *, is_last: bool) -> bytes:
        self.read += len(data)
        plain = self._utf8(data, is_last=is_last)
        if b"\0" in plain:
            line = self.line + plain.count(b"\n", 0, plain.index(b"\0"))
            raise UnreadableFile(
                f"Line {line} holds a NUL character: this is not text, or UTF-16 without its mark.",
                "Save the file as CSV UTF-8, or set its encoding (for example utf-16-le) in the org's feed mapping.",
            )
        plain, self.kept = self.kept + plain, b""
        if plain.endswith(b"\r") and not is_last:
            plain, self.kept = plain[:-1], b"\r"
        if b"\r" in plain:
            plain = plain.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self.line += _count(plain, b"\n")
        return plain

    def _utf8(self, data: bytes, *, is_last: bool) -> bytes:
        is_utf8 = self.encoding == "utf-8"
        if is_utf8 and data.isascii() and not self.incremental.getstate()[0]:
            return data
        try:
            return self.incremental.decode(data, is_last).encode()
        except UnicodeDecodeError as error:
            if error.reason in _TORN:
                # Torn in the middle of a character: keep the rest, the replacement character sends the last row to quarantine.
                return error.object.decode(self.encoding, errors="replace").encode()
            before = error.object[: error.start].decode(self.encoding, errors="replace")
            line = self.line + (self.kept.decode() + before).replace("\r\n", "\n").replace("\r", "\n").count("\n")
            position = self.read - len(error.object) + error.start
            raise UnreadableFile(
                f"Line {line} holds a byte (0x{error.object[error.start]:02X}, byte {position + 1} of the file)"
                f" that is not {self.encoding.upper()} text.",
                "Save the file as CSV UTF-8, or name its encoding (for example windows-1252) in the org's feed mapping.",
            ) from None


def read_records(
    pieces: Iterable[bytes],
    delimiter: str | None,
    recognise: Callable[[str], bool],
    accept_header: Callable[[tuple[str, ...]], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Records]:
    """Split decoded bytes into records, a block at a time. `recognise` says whether a header name is known, to tell the delimiter;
    `accept_header` may raise before the body is read."""
    pending, reader = b"", None
    arrived: list[bytes] = []
    for piece, is_last in _with_last(pieces):
        arrived.append(piece)
        if not is_last and sum(map(len, arrived)) < block_bytes:
            continue
        pending += b"".join(arrived)
        arrived = []
        if reader is None:
            if not is_last and pending.count(b"\n") < MAX_RECORD_LINES:
                continue
            reader, used = _reader(pending, delimiter, recognise, accept_header)
            pending = pending[used:]
        used, records = reader.read(pending, is_last=is_last)
        pending = pending[used:]
        if records is not None:
            yield records


def _with_last(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each piece, and whether it is the last."""
    waiting = None
    for piece in pieces:
        if waiting is not None:
            yield waiting, False
        waiting = piece
    if waiting is not None:
        yield waiting, True


def _reader(
    start: bytes, delimiter: str | None, recognise: Callable[[str], bool], accept_header: Callable[[tuple[str, ...]], None]
) -> "tuple[_Reader, int]":
    """Find the header among the first lines: what reads the rest, and where the rest begins."""
    import polars as pl

    lines = _lines(start[: _nth_newline(start, 1000)], 1)
    first = lines.filter(pl.col("text").str.contains(r"[^\s,;|]")).head(2).rows()
    sep = re.fullmatch(r'"?sep=(.)"?', first[0][1].strip("\ufeff "), re.IGNORECASE) if first else None
    if sep and sep[1] in _IN_REGEX:  # Excel's own way to name the delimiter
        delimiter, first = delimiter or sep[1], first[1:]
    if not first:
        raise UnreadableFile("The file has no header row.", "The first line must hold the column names.")
    header_line, header_text = first[0]
    chosen, header = _header(header_text, [delimiter] if delimiter else list(_IN_REGEX), recognise)
    accept_header(header)
    return _Reader(chosen, len(header), header_line + 1), _nth_newline(start, header_line)


def _nth_newline(data: bytes, n: int) -> int:
    """Where the line after the n-th begins; the end when there are fewer."""
    at = 0
    for _ in range(n):
        at = data.find(b"\n", at) + 1
        if at == 0:
            return len(data)
    return at


def _header(text: str, candidates: Collection[str], recognise: Callable[[str], bool]) -> tuple[str, tuple[str, ...]]:
    """The delimiter under which most names are known; with none known, the one that gives most names."""
    try:
        splits = {d: tuple(name.strip() for name in next(csv.reader([text], delimiter=d))) for d in candidates}
    except csv.Error as error:
        raise UnreadableFile(f"The header row cannot be read: {error}.", "The first line must hold the column names.") from None
    best = max(splits, key=lambda d: (sum(map(recognise, splits[d])), len(splits[d])))
    return best, splits[best]


class _Reader:
    """Reads one block of lines after the other."""

    def __init__(self, delimiter: str, width: int, line: int) -> None:
        self.delimiter, self.width, self.line = delimiter, width, line

    def read(self, data: bytes, *, is_last: bool) -> tuple[int, Records | None]:
        """The records that begin in `data`, save those that may go on beyond it; and how many bytes they are."""
        end = len(data) if is_last else data.rfind(b"\n") + 1
        block = data[:end]
        if b'"' not in block:
            own, ahead = block, b""
        else:
            # A record may go on for MAX_RECORD_LINES lines: those that begin in the last ones wait for what follows.
            own = block if is_last else block[: _last_lines(block, MAX_RECORD_LINES)]
            ahead = block[len(own) :]
            if not own:
                return 0, None
        lines = _count(own, b"\n") + (not own.endswith(b"\n") and bool(own))
        records, beyond = self._unquoted(own, lines) if own else None, 0
        if records is None and own:
            records, beyond = self._line_by_line(own + ahead, lines)
        self.line += lines + beyond
        return len(own) + _nth_newline(ahead, beyond), records

    def _unquoted(self, block: bytes, lines: int) -> Records | None:
        """All lines at once; None when there are quotes, or not every line is a record of the header's width."""
        import polars as pl
        from polars.exceptions import PolarsError

        d = self.delimiter.encode()
        # With exactly as many delimiters as the lines need, and none with too many (that raises), none has too few.
        if b'"' in block or self.width == 1 or _count(block, d) != (self.width - 1) * lines:
            return None
        try:
            rows = self._parse(block, quote=None)
        except PolarsError:
            return None
        texts = [pl.col(f"c{i}") for i in range(self.width)]
        is_plain = _is_plain(block, d)
        is_blank = pl.all_horizontal(*(text.is_null() if is_plain else text.str.strip_chars().fill_null("") == "" for text in texts))
        if rows.height != lines or rows.select(is_blank.any()).item():
            return None
        numbers = pl.int_range(self.line, self.line + lines, dtype=pl.UInt32, eager=True).alias("line_number")
        return Records(rows.insert_column(0, numbers), _no_broken(), is_plain)

    def _parse(self, block: bytes, quote: str | None) -> "pl.DataFrame":
        import polars as pl

        return pl.read_csv(
            # Polars unpacks what starts like a compressed file, and text may: "x^" at the start gave no rows. It drops this mark.
            codecs.BOM_UTF8 + block,
            has_header=False,
            schema={f"c{i}": pl.String for i in range(self.width)},
            separator=self.delimiter,
            quote_char=quote,
            empty_string_is_null=True,
            extra_columns="raise",
            missing_columns="raise",
        )

    def _line_by_line(self, block: bytes, own: int) -> tuple[Records, int]:
        """The records that begin in the first `own` lines, told apart line by line; and how many further lines they cover."""
        import polars as pl

        body = _lines(block, self.line)
        d, width = _IN_REGEX[self.delimiter], self.width
        text = pl.col("text")
        has_quote = text.str.contains('"', literal=True)
        one_field = f'(?:"(?:[^"]|"")*"|[^"{d}]*)'
        whole = f"^{one_field}(?:{d}{one_field})*$"
        exact = f"^{one_field}(?:{d}{one_field}){{{width - 1}}}$"
        told = body.head(own).with_columns(
            is_blank=text.str.contains(rf"^[\s{d}]*$"),
            is_odd=has_quote & ~text.str.contains(whole),
            is_good=pl.when(has_quote)
            .then(text.str.contains(exact))
            .otherwise(text.str.count_matches(self.delimiter, literal=True) == width - 1),
        )
        repaired, broken, taken = _read_odd(body["text"], told.filter("is_odd")["line_number"], self.line, self.delimiter, width)
        alone = told.filter(~pl.col("is_odd") & ~pl.col("is_blank"))
        if taken:
            alone = alone.filter(~pl.col("line_number").is_in(pl.Series(taken, dtype=pl.UInt32).implode()))
        rows = self._fields(alone.filter("is_good"))
        if repaired:
            schema = {"line_number": pl.UInt32, **{f"c{i}": pl.String for i in range(width)}}
            rows = pl.concat([rows, pl.DataFrame(repaired, schema=schema, orient="row")]).sort("line_number")
        odd = pl.DataFrame(broken, schema=_no_broken().schema, orient="row")
        short = alone.filter(~pl.col("is_good")).select("line_number", value=text, rule=pl.lit("field_count"))
        beyond = max(0, taken[-1] + 1 - (self.line + own)) if taken else 0
        return Records(rows, pl.concat([odd, short]).sort("line_number")), beyond

    def _fields(self, good: "pl.DataFrame") -> "pl.DataFrame":
        """Lines known to hold exactly `width` fields, parsed all at once."""
        import polars as pl

        if good.is_empty():
            return pl.DataFrame(schema={"line_number": pl.UInt32, **{f"c{i}": pl.String for i in range(self.width)}})
        joined = good["text"].str.join("\n").item().encode()
        fields = self._parse(joined, quote='"' if b'"' in joined else None)
        if fields.height != good.height:
            raise AssertionError(f"{good.height} lines became {fields.height} rows")
        return fields.insert_column(0, good["line_number"])


def _no_broken() -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(schema={"line_number": pl.UInt32, "value": pl.String, "rule": pl.String})


def _lines(block: bytes, first: int) -> "pl.DataFrame":
    """The lines of a block with their numbers. It is read behind an empty line: see `Dialect._parse` for what may not come first."""
    import polars as pl

    return pl.read_lines(io.BytesIO(b"\n" + block), name="text").slice(1).with_row_index("line_number", first)


def _last_lines(block: bytes, n: int) -> int:
    """Where the last n lines of a block begin."""
    at = len(block)
    for _ in range(n):
        at = block.rfind(b"\n", 0, max(0, at - 1)) + 1
    return at


def _is_plain(block: bytes, delimiter: bytes) -> bool:
    """See Records.is_plain; the block has no quotes."""
    import numpy as np

    if not block.isascii():
        return False
    data = np.frombuffer(block, np.uint8)
    is_break = data == ord("\n")
    is_control = (data < 32) & ~is_break | (data == 127)  # noqa: PLR2004 - the control characters of ASCII
    is_break |= data == ord(delimiter)
    is_blank = data == ord(" ")
    is_edge = is_blank[0] or is_blank[-1] or (is_blank[1:] & is_break[:-1]).any() or (is_blank[:-1] & is_break[1:]).any()
    return not is_edge and not (is_control & ~is_break).any()


def _count(data: bytes, byte: bytes) -> int:
    """data.count(byte), three times as fast."""
    import numpy as np

    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord(byte)))


def _read_odd(
    texts: "pl.Series", odd: "pl.Series", offset: int, delimiter: str, width: int
) -> tuple[list[tuple[int | str | None, ...]], list[tuple[int, str, str]], list[int]]:
    """The records that start on a line whose quotes do not close on it, or stand in the middle of a field. `texts` begins at line `offset`.

    Returns (rows, broken lines, further lines that belong to those records).
    """
    rows: list[tuple[int | str | None, ...]] = []
    broken: list[tuple[int, str, str]] = []
    taken: list[int] = []
    done = 0
    for line in odd:
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
            rows.append((line, *(field or None for field in fields)))
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
