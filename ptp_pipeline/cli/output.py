"""How results look: aligned text when piped, rich tables on a terminal, one JSON document with --json. Knows no command."""

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from ptp_pipeline.domain.text import visible

# Readable text is not wider than this.
_WIDTH = 100
_NUMBER = re.compile(r"-?[\d,]+(\.\d+)?( ?%| [A-Z]{3})?")


def print_json(document: Any) -> None:
    """One JSON document on stdout. Money is a string, so that no reader makes a float of it, with the decimals of its currency."""
    print(json.dumps(_in_its_currency(document), default=_plain, ensure_ascii=False, indent=2))


def _in_its_currency(document: Any) -> Any:
    """Published money has three decimals, whatever its currency has."""
    from ptp_pipeline.domain.money import EXPONENTS, PUBLISHED_SCALE

    if isinstance(document, list | tuple):
        return [_in_its_currency(one) for one in document]
    if not isinstance(document, dict):
        return document
    decimals = EXPONENTS.get(document.get("currency") or "")
    return {
        name: value.quantize(Decimal(1).scaleb(-decimals))
        if decimals is not None and isinstance(value, Decimal) and value.as_tuple().exponent == -PUBLISHED_SCALE
        else _in_its_currency(value)
        for name, value in document.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | Path):
        return str(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def money(amount: Decimal | None, currency: str) -> str:
    """A published amount for people: `1,234.50 USD`."""
    if amount is None:
        return ""
    from ptp_pipeline.domain.money import exponent

    return f"{amount:,.{exponent(currency)}f} {currency}"


def minor_money(amount_minor: int | None, currency: str) -> str:
    """An amount in minor units for people."""
    from ptp_pipeline.domain.money import exponent

    return "" if amount_minor is None else money(Decimal(amount_minor).scaleb(-exponent(currency)), currency)


def readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A published row with its amounts written out in its currency."""
    currency = row.get("currency")
    return {
        name: money(value, currency) if currency and (name == "amount" or name.endswith("_amount")) and value is not None else value
        for name, value in row.items()
    }


def heading(text: str) -> None:
    """A line that starts a part of the output."""
    if sys.stdout.isatty():
        print(f"\n\033[1m{visible(text)}\033[0m")
    else:
        print(f"\n{visible(text)}")


def paragraph(text: Any, indent: int = 0) -> None:
    """Sentences, wrapped at 100 columns or the width of a narrower terminal; lines after the first stand further in."""
    width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
    print(
        textwrap.fill(
            visible(text), max(width, 40), initial_indent=" " * indent, subsequent_indent=" " * (indent * 2), break_on_hyphens=False
        )
    )


def facts(pairs: Mapping[str, Any]) -> None:
    """Names and values, one per line, aligned."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        print(f"{name:<{width}}  {visible(value)}".rstrip())


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str = "None.") -> None:
    """Rows under column titles; `empty` is said when there are none. Numbers and money are aligned right."""
    cells = [[visible(value) for value in row] for row in rows]
    if not cells:
        print(empty)
        return
    is_right = [all(_NUMBER.fullmatch(row[i]) or not row[i] for row in cells) for i in range(len(columns))]
    if sys.stdout.isatty():
        _rich_table(columns, cells, is_right)
        return
    widths = [max(len(columns[i]), *(len(row[i]) for row in cells)) for i in range(len(columns))]
    for row in [list(columns), *cells]:
        print("  ".join(f"{c:>{w}}" if right else f"{c:<{w}}" for c, w, right in zip(row, widths, is_right, strict=True)).rstrip())


def _rich_table(columns: Sequence[str], cells: Sequence[Sequence[str]], is_right: Sequence[bool]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name, right in zip(columns, is_right, strict=True):
        made.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in cells:
        made.add_row(*(Text(cell) for cell in row))
    Console().print(made)


class Progress(Protocol):
    """Told about each step as it starts."""

    def __call__(self, text: str) -> None: ...


def _say_nothing(text: str) -> None:
    """Progress nobody asked for."""
    del text


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """Says on stderr what is going on: one living line on a terminal, a line per step elsewhere, nothing when quiet."""
    if quiet:
        yield _say_nothing
    elif sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status("…") as status:
            yield lambda text: status.update(visible(text))
    else:
        yield lambda text: print(f"  {visible(text)}", file=sys.stderr, flush=True)
