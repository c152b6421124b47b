"""The sentences of the published tables: one SQL expression per file of sql/warehouse/sentences, over the table's own columns.

The public table is a view that adds them to what is stored: they are computed when somebody reads them, so that a book of millions does
not build and keep sentences nobody reads. (Virtual generated columns say the same, but DuckDB binds their expressions again for every
2,048 rows inserted: 6 s for a million rows.) Readers have only the file, so what expressions share is spelled out here rather than
in a macro: `money(x)` and `plain(x)` an amount in the row's currency, with thousands separators or without, `day(x)` and `long_day(x)` a
date, `phrase(name)` another file's expression.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ptp_pipeline.domain.money import EXPONENTS, PUBLISHED_SCALE
from ptp_pipeline.settings import SQL

FOLDER = SQL / "warehouse" / "sentences"
_CALL = re.compile(r"\b(money|plain|day|long_day)\(([a-z_]+(?: - [a-z_]+)*)\)")
_PHRASE = re.compile(r"\bphrase\((\w+)\)")
_COMMENT = re.compile(r"^--[^\n]*\n", re.MULTILINE)


@lru_cache
def sentences_of(table: str) -> Mapping[str, str]:
    """Column → expression, of every sentence of a published table."""
    files = sorted(FOLDER.glob(f"{table}.*.sql"))
    return {path.name.split(".")[1]: expression(path) for path in files}


def expression(path: Path) -> str:
    """A file's expression as plain SQL that any DuckDB understands."""
    text = _COMMENT.sub("", path.read_text(encoding="utf-8"))
    text = _PHRASE.sub(lambda call: f"({_COMMENT.sub('', (FOLDER / f'{call[1]}.sql').read_text(encoding='utf-8')).strip()})", text)
    return _CALL.sub(lambda call: {"money": _money, "plain": _plain, "day": _day, "long_day": _long_day}[call[1]](call[2]), text).strip()


def _money(column: str) -> str:
    """`1,234.50`. Published money has three decimals: the last four characters of its text are its point and them."""
    return f"concat(format('{{:,}}', trunc({column})::bigint), left(right(({column})::varchar, 4), {_shown()}))"


def _plain(column: str) -> str:
    """`1234.50`."""
    return f"left(({column})::varchar, length(({column})::varchar) - 4 + {_shown()})"


def _shown() -> str:
    """How many of the last four characters a currency shows: 0 for JPY, 3 for USD, 4 for KWD."""
    zeros = ", ".join(f"'{currency}'" for currency, digits in EXPONENTS.items() if digits == 0)
    all_three = ", ".join(f"'{currency}'" for currency, digits in EXPONENTS.items() if digits >= PUBLISHED_SCALE)
    return f"case when currency in ({zeros}) then 0 when currency in ({all_three}) then 4 else 3 end"


def _day(column: str) -> str:
    return f"strftime({column}, '%-d %b %Y')"


def _long_day(column: str) -> str:
    return f"strftime({column}, '%-d %B %Y')"
