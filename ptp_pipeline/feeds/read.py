"""One file to normalised rows, quarantine and fingerprint. Pure of ledger and folders: the same bytes and dialect always give the same.

Rules that compare a row with other files or with the ledger are not here.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from ptp_pipeline.feeds import schemas
from ptp_pipeline.feeds.dialect import UnreadableFile, decode, read_records
from ptp_pipeline.feeds.mapping import Dialect, simplified
from ptp_pipeline.feeds.schemas import TYPED, Column, Feed

if TYPE_CHECKING:
    import polars as pl

PARSER_VERSION = 1  # raise it when the same bytes would be read differently: cached rows of older versions are then read again
SHOWN = 200  # characters of an offending value kept in quarantine
_UNIT, _BAD = "\x1f", "\x00"


@dataclass(frozen=True)
class Normalised:
    """A file as typed rows. rows_in = rows of `frame` + distinct lines of `quarantine`.

    `frame`: the feed's columns as stored, content_hash, line_number. `quarantine`: line_number, column_name, value, rule, message,
    one row per broken rule of a line.
    """

    frame: "pl.DataFrame"
    quarantine: "pl.DataFrame"
    rows_in: int
    rows_fingerprint: str
    ignored_columns: tuple[str, ...]


def normalise(path: Path, feed_name: str, dialect: Dialect) -> Normalised:
    """Read a file. Raises UnreadableFile when it cannot be read as a whole; bad rows never raise."""
    import polars as pl

    feed = schemas.FEEDS[feed_name]
    plain = decode(path.read_bytes(), dialect.mapping.encoding)
    places: dict[str, int] = {}
    ignored: list[str] = []

    def accept(header: tuple[str, ...]) -> None:
        found, left = _places(feed, header, dialect.mapping.columns)
        places.update(found)
        ignored.extend(left)

    known = {*feed.by_name, *dialect.mapping.columns}
    records = read_records(plain, dialect.mapping.delimiter, lambda name: simplified(name) in known, accept)
    texts = records.rows.select(
        pl.col("line_number").cast(pl.Int32), *(_text(column, places, dialect).alias(column.name) for column in feed.columns)
    )
    checked = texts.with_columns(schemas.parse(feed, dialect)).with_columns(schemas.parse_amounts(feed, dialect))
    quarantine = pl.concat([_quarantine_broken(records.broken), *_quarantine_rows(checked, feed, dialect)]).sort(
        "line_number", maintain_order=True
    )
    bad = checked.join(quarantine.select("line_number"), on="line_number", how="semi")
    good = checked.join(quarantine.select("line_number"), on="line_number", how="anti", maintain_order="left")
    typed = good.select(*(pl.col(TYPED + column.name).alias(column.stored_as) for column in feed.columns), "line_number")
    frame, keys = _identified(typed, feed)
    bad_keys = bad.select(pl.concat_str([pl.lit(_BAD), *(_as_sent(column) for column in feed.columns)], separator=_UNIT).alias("key"))
    broken_keys = records.broken.select(pl.concat_str([pl.lit(_BAD), "value"], separator=_UNIT).alias("key"))
    fingerprint = _fingerprint(pl.concat([keys, bad_keys["key"], broken_keys["key"]]), plain)
    return Normalised(frame, quarantine, records.total, fingerprint, tuple(ignored))


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


def _text(column: Column, places: Mapping[str, int], dialect: Dialect) -> "pl.Expr":
    """A column's text without surrounding blanks; what an empty cell means where that is something."""
    import polars as pl

    default = pl.lit(dialect.currency if column.type == "currency" else column.default, dtype=pl.String)
    if column.name not in places:
        return default
    trimmed = pl.col(f"c{places[column.name]}").str.strip_chars()
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


def _quarantine_rows(checked: "pl.DataFrame", feed: Feed, dialect: Dialect) -> list["pl.DataFrame"]:
    """Validate lazily: one quarantine frame per (column, rule) that some rows break."""
    import polars as pl
    from pandera.errors import SchemaErrors

    try:
        schemas.schema(feed, dialect).validate(checked, lazy=True)
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


def _identified(typed: "pl.DataFrame", feed: Feed) -> tuple["pl.DataFrame", "pl.Series"]:
    """Rows with their content hash, payments with ids for those that brought none; and the keys the fingerprint is made of."""
    import polars as pl

    is_payments = feed.name == "payments"
    columns = [column for column in feed.columns if not (is_payments and column.name == "payment_id")]
    content = typed.select(
        pl.concat_str([_canonical(column, pl.col(column.stored_as)).fill_null("") for column in columns], separator=_UNIT).alias("content")
    )["content"]
    typed = typed.insert_column(-1, _hashed(content).alias("content_hash"))
    if not is_payments:
        return typed, typed["content_hash"]
    given, content_hash = pl.col("payment_id"), pl.col("content_hash")
    keys = typed.select(pl.concat_str([content_hash, given.fill_null("")], separator=_UNIT))["content_hash"]
    occurrence = pl.int_range(1, pl.len() + 1).over(content_hash, given.is_null())
    generated = pl.concat_str([pl.lit("auto-"), content_hash.str.slice(0, 20), pl.lit("-"), occurrence])
    named = typed.with_columns(is_generated_id=given.is_null(), payment_id=given.fill_null(generated))
    return named.select("payment_id", "is_generated_id", pl.exclude("payment_id", "is_generated_id")), keys


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


def _fingerprint(keys: "pl.Series", plain: bytes) -> str:
    """Order-free: rows in another order, delimiter, encoding or line ends have the same. A file without rows goes by its bytes."""
    if keys.is_empty():
        return hashlib.sha256(b"no rows\n" + plain).hexdigest()
    return hashlib.sha256("\n".join(keys.sort().to_list()).encode()).hexdigest()
