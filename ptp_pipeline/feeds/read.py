"""One file to normalised rows, quarantine and fingerprint. Pure of ledger and folders: the same bytes and dialect always give the same.

Rules that compare a row with other files or with the ledger are not here.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, BinaryIO

from ptp_pipeline.feeds import schemas
from ptp_pipeline.feeds.dialect import BLOCK_BYTES, Records, UnreadableFile, decoded, read_records
from ptp_pipeline.feeds.mapping import Dialect, simplified
from ptp_pipeline.feeds.rowhash import row_sum
from ptp_pipeline.feeds.schemas import TYPED, Column, Feed

if TYPE_CHECKING:
    import polars as pl

PARSER_VERSION = 3  # raise it when the same bytes would be read differently: cached rows of older versions are then read again
SHOWN = 200  # characters of an offending value kept in quarantine
_UNIT, _BAD = "\x1f", "\x00"


@dataclass(frozen=True)
class Block:
    """A part of a file as typed rows. Its rows in the file = rows of `frame` + distinct lines of `quarantine`.

    `frame`: the feed's columns as stored, line_number. `quarantine`: line_number, column_name, value, rule, message,
    one row per broken rule of a line.
    """

    frame: "pl.DataFrame"
    quarantine: "pl.DataFrame"


class Reading:
    """One file, read a block at a time: what is told of it as a whole is known when the last block was taken."""

    def __init__(
        self, open_source: Callable[[], AbstractContextManager[BinaryIO]], feed_name: str, dialect: Dialect, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self.open_source, self.feed, self.dialect, self.block_bytes = open_source, schemas.FEEDS[feed_name], dialect, block_bytes
        self.rows_in = 0
        self.ignored_columns: tuple[str, ...] = ()
        self._places: dict[str, int] = {}
        self._sum = 0
        self._occurrences = _Occurrences()

    def blocks(self) -> Iterator[Block]:
        """In order. Raises UnreadableFile when the file cannot be read as a whole, perhaps after some blocks; bad rows never raise."""
        mapping = self.dialect.mapping
        known = {*self.feed.by_name, *mapping.columns}
        with self.open_source() as source:
            pieces = decoded(source, mapping.encoding)
            records = read_records(pieces, mapping.delimiter, lambda name: simplified(name) in known, self._accept_header, self.block_bytes)
            for block in _ahead(records):
                yield self._normalised(block)

    def fingerprint(self) -> str:
        """Order-free: rows in another order, delimiter, encoding or line ends have the same. A file without rows goes by its bytes."""
        if self.rows_in:
            return hashlib.sha256(f"{self.rows_in} rows\n{self._sum:016x}".encode()).hexdigest()
        digest = hashlib.sha256(b"no rows\n")
        with self.open_source() as source:
            for piece in decoded(source, self.dialect.mapping.encoding):
                digest.update(piece)
        return digest.hexdigest()

    def _accept_header(self, header: tuple[str, ...]) -> None:
        self._places, ignored = _places(self.feed, header, self.dialect.mapping.columns)
        self.ignored_columns = tuple(ignored)

    def _normalised(self, records: Records) -> Block:
        import polars as pl

        feed, dialect = self.feed, self.dialect
        texts = records.rows.select(
            pl.col("line_number").cast(pl.Int32),
            *(_text(column, self._places, dialect, is_plain=records.is_plain).alias(column.name) for column in feed.columns),
        )
        seen = schemas.look(feed, dialect, texts, is_plain=records.is_plain)
        checked = texts.with_columns(schemas.parse(feed, dialect, seen)).with_columns(schemas.parse_amounts(feed, dialect, seen))
        quarantine = _quarantine_rows(checked, feed, dialect, seen)
        bad = good = checked
        if quarantine:
            lines = pl.concat(quarantine).select("line_number")
            bad = checked.join(lines, on="line_number", how="semi")
            good = checked.join(lines, on="line_number", how="anti", maintain_order="left")
        typed = good.select(*(pl.col(TYPED + column.name).alias(column.stored_as) for column in feed.columns), "line_number")
        self.rows_in += records.total
        self._count(typed, bad.clear() if bad is good else bad, records.broken)
        frame = self._identified(typed)
        told = pl.concat([_quarantine_broken(records.broken), *quarantine]).sort("line_number", maintain_order=True)
        return Block(frame, told)

    def _count(self, typed: "pl.DataFrame", bad: "pl.DataFrame", broken: "pl.DataFrame") -> None:
        """Add rows to the fingerprint: good ones by their values, bad ones by what was sent."""
        import polars as pl

        columns = {c.stored_as: typed[c.stored_as].list.join(";") if c.type == "ids" else typed[c.stored_as] for c in self.feed.columns}
        self._sum += row_sum(columns)
        if bad.height:
            sent = bad.select(pl.concat_str([pl.lit(_BAD), *(_as_sent(column) for column in self.feed.columns)], separator=_UNIT))
            self._sum += row_sum({"row": sent.to_series()})
        if broken.height:
            self._sum += row_sum({"line": broken["value"]})
        self._sum %= 1 << 64

    def _identified(self, typed: "pl.DataFrame") -> "pl.DataFrame":
        """Rows with their content hash where the feed has one, payments with ids for those that brought none."""
        import polars as pl

        if self.feed.is_compared:
            return typed.insert_column(-1, _content_hash(typed, self.feed.columns))
        if self.feed.name != "payments":
            return typed
        given = pl.col("payment_id")
        named = typed.with_columns(is_generated_id=given.is_null())
        if typed["payment_id"].null_count():
            unnamed = named.filter("is_generated_id")
            content = _content_hash(unnamed, [column for column in self.feed.columns if column.name != "payment_id"]).str.slice(0, 20)
            made = pl.concat_str([pl.lit("auto-"), pl.lit(content), pl.lit("-"), pl.lit(self._occurrences.count(content))])
            ids = unnamed.select("line_number", made=made)
            named = named.join(ids, on="line_number", how="left", maintain_order="left")
            named = named.with_columns(payment_id=given.fill_null(pl.col("made"))).drop("made")
        return named.select("payment_id", "is_generated_id", pl.exclude("payment_id", "is_generated_id"))


def _ahead(records: Iterator[Records]) -> Iterator[Records]:
    """The same, the next one being read in another thread while this one is used."""
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, records, None)
        while (block := following.result()) is not None:
            following = reader.submit(next, records, None)
            yield block


class _Occurrences:
    """How often each content came before, so that the n-th of two real identical payments keeps its own id."""

    def __init__(self) -> None:
        self.before: pl.DataFrame | None = None

    def count(self, contents: "pl.Series") -> "pl.Series":
        """1 for the first row of a content in the file, 2 for the second …"""
        import polars as pl

        frame = contents.alias("content").to_frame()
        seen = frame.select("content", n=pl.int_range(1, pl.len() + 1).over("content"))
        new = frame.group_by("content").len("times").cast({"times": pl.Int64})
        if self.before is None:
            self.before = new
            return seen["n"]
        counted = seen.join(self.before, on="content", how="left", maintain_order="left")
        self.before = pl.concat([self.before, new]).group_by("content").agg(pl.col("times").sum())
        return counted.select(pl.col("n") + pl.col("times").fill_null(0)).to_series()


def _places(feed: Feed, header: tuple[str, ...], columns: Mapping[str, str]) -> tuple[dict[str, int], list[str]]:
    """Where each column stands. A name the mapping translates wins over one that happens to be ours already."""
    wrong = sorted(set(columns.values()) - feed.by_name.keys())
    if wrong:
        raise UnreadableFile(
            f"The org's mapping of {feed.name} names a column {wrong[0]!r}, which that feed does not have.",
            f"Its columns are: {', '.join(feed.by_name)}.",
        )
    names = [simplified(name) for name in header]
    translated = {columns[name] for name in names if name in columns}
    places: dict[str, int] = {}
    ignored = []
    for place, name in enumerate(names):
        ours = columns.get(name, name if name not in translated else "")
        if ours not in feed.by_name:
            ignored.append(header[place])
        elif ours in places:
            raise UnreadableFile(
                f"Two columns of the file hold {ours}: {header[places[ours]]!r} and {header[place]!r}.", "Keep one of them."
            )
        else:
            places[ours] = place
    missing = [name for name in feed.required if name not in places]
    if missing:
        raise UnreadableFile(
            _missing(feed, missing, header, ignored), "Rename the column, or map its name with feed_mappings of the org's policy."
        )
    return places, ignored


def _missing(feed: Feed, missing: list[str], header: tuple[str, ...], spare: list[str]) -> str:
    found = ", ".join(name for name in header if name) or "nothing"
    by_simple = {simplified(name): name for name in spare}
    likely = [
        f"{by_simple[close[0]]!r} looks like {name}" for name in missing if (close := get_close_matches(name, by_simple, n=1, cutoff=0.5))
    ]
    word = "column" if len(missing) == 1 else "columns"
    return f"The {feed.name} file lacks the {word} {', '.join(missing)}. It has: {found}." + (f" {'; '.join(likely)}." if likely else "")


def _text(column: Column, places: Mapping[str, int], dialect: Dialect, *, is_plain: bool) -> "pl.Expr":
    """A column's text without surrounding blanks; what an empty cell means where that is something."""
    import polars as pl

    default = pl.lit(dialect.currency if column.type == "currency" else column.default, dtype=pl.String)
    if column.name not in places:
        return default
    text = pl.col(f"c{places[column.name]}")
    if is_plain:
        return text if column.default is None and column.type != "currency" else text.fill_null(default)
    trimmed = text.str.strip_chars()
    return pl.when(trimmed != "").then(trimmed).otherwise(default)


def _quarantine_broken(broken: "pl.DataFrame") -> "pl.DataFrame":
    import polars as pl

    return broken.select(
        pl.col("line_number").cast(pl.Int32),
        column_name=pl.lit(""),
        value=pl.col("value").str.slice(0, SHOWN),
        rule="rule",
        message=pl.col("rule").replace_strict(dict(schemas.RULES), return_dtype=pl.String),
    )


def _quarantine_rows(checked: "pl.DataFrame", feed: Feed, dialect: Dialect, seen: schemas.Seen) -> list["pl.DataFrame"]:
    """Validate lazily: one quarantine frame per (column, rule) that some rows break."""
    import polars as pl
    from pandera.errors import SchemaErrors

    try:
        schemas.schema(feed, dialect, checked, seen).validate(checked, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases.select("column", "check", "index")
    else:
        return []
    if cases["index"].null_count():
        raise AssertionError(f"a rule of {feed.name} failed without naming its rows: {cases}")
    frames = []
    for (name, check), failed in cases.partition_by("column", "check", as_dict=True).items():
        column, rule = feed.by_name[str(name)], "required" if check == "not_nullable" else str(check)
        value = pl.col(column.name).str.slice(0, SHOWN).fill_null("")
        before, *after = (
            schemas.RULES[rule]
            .replace("{column}", column.name)
            .replace("{expected}", schemas.expected(column, rule, dialect))
            .split("{value}")
        )
        message = pl.concat_str([pl.lit(before), *(part for text in after for part in (value, pl.lit(text)))])
        rows = checked[failed["index"].sort()]
        frames.append(rows.select("line_number", column_name=pl.lit(column.name), value=value, rule=pl.lit(rule), message=message))
    return frames


def _content_hash(typed: "pl.DataFrame", columns: Sequence[Column]) -> "pl.Series":
    import polars as pl

    texts = [_canonical(column, pl.col(column.stored_as)).fill_null("") for column in columns]
    return _hashed(typed.select(pl.concat_str(texts, separator=_UNIT)).to_series()).alias("content_hash")


def _as_sent(column: Column) -> "pl.Expr":
    """A value of a row in quarantine: normalised if it could be read, otherwise its text."""
    import polars as pl

    return pl.coalesce(_canonical(column, pl.col(TYPED + column.name)), pl.col(column.name)).fill_null("")


def _canonical(column: Column, value: "pl.Expr") -> "pl.Expr":
    """A value as the text its hash is made of. Stored hashes depend on it: it may not change within a PARSER_VERSION."""
    import polars as pl

    match column.type:
        case "ids":
            return value.list.join(";")
        case "date":
            return value.dt.to_string("%Y-%m-%d")
        case "instant":
            return value.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f")
        case _:
            return value.cast(pl.String)


def _hashed(texts: "pl.Series") -> "pl.Series":
    """The first 128 bits of each text's sha256, as hex. In DuckDB: Polars' own hash is not stable between versions."""
    import duckdb
    import polars as pl

    if texts.is_empty():
        return pl.Series(dtype=pl.String)
    with duckdb.connect(":memory:", config={"threads": 2}) as con:
        con.register("texts", texts.to_frame("text").with_row_index("i").to_arrow())
        hashed = con.sql("select left(sha256(text), 32) as hash from texts order by i").to_arrow_table()
    return pl.Series(pl.from_arrow(hashed.column("hash")))
