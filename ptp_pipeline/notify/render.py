"""The one Jinja2 environment: how templates are found, what is escaped, how money and dates read.

What a message says belongs to its composer and its templates, not here.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptp_pipeline.domain import money

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")
# Own names: strftime's follow the machine's locale, and the same day must give the same mail everywhere.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# A customer name with one of these could turn the rest of the line around for the reader.
_DIRECTION_CONTROLS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """One line of visible text: a name with line breaks in it must not be able to write lines of ours."""
    visible = "".join(" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in text)
    return " ".join(_DIRECTION_CONTROLS.sub("", visible).split())


def format_money(amount: Decimal, currency: str) -> str:
    """A published amount (DECIMAL(18,3), major units): `1234.5` and `USD` → `1,234.50 USD`."""
    return money.format_amount(money.to_minor(amount, currency), currency)


def format_date(day: date) -> str:
    """`21 Nov 2026`: no order of digits to misread."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def format_weekday(day: date) -> str:
    return f"{_WEEKDAYS[day.weekday()]} {format_date(day)}"


def count(number: int, singular: str, plural: str = "") -> str:
    """`1 promise`, `1,204 promises`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


@lru_cache(maxsize=1)
def environment() -> "Environment":
    """Templates `*.html.j2` are escaped, `*.txt.j2` are not; an undefined name is an error in both."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters |= {"money": format_money, "date": format_date, "weekday": format_weekday, "count": count, "clean": clean}
    return env


def render(name: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """HTML and text of the message `name`."""
    env = environment()
    return env.get_template(f"{name}.html.j2").render(values), env.get_template(f"{name}.txt.j2").render(values)
