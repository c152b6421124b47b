"""The feeds' reference page, made from `schemas`: what to drop, which columns, which rules. Nothing is said here that is not said there."""

from collections.abc import Iterable

from ptp_pipeline.feeds.mapping import FeedMapping
from ptp_pipeline.feeds.schemas import FEEDS, LATER_RULES, RULES, Column, Feed

_TYPES = {
    "id": "id, up to 100 characters",
    "line": "one line of text",
    "text": "text",
    "date": "date",
    "instant": "date and time",
    "amount": "amount",
    "currency": "currency code",
    "boolean": "true or false",
    "ids": "ids separated by `;`",
}
_OPTIONS = {
    "columns": "their name → ours, for headers that differ. `Invoice ID` and `invoice_id` are the same without it.",
    "date_format": "like `DD/MM/YYYY` or `%d/%m/%Y`. Default `YYYY-MM-DD`; a format is never guessed.",
    "decimal": "`.` or `,`; the other one may then separate thousands. Default: plain `1234.56`, no thousands.",
    "delimiter": "comma, semicolon, tab or pipe. Default: told from the header.",
    "encoding": "for example `windows-1252`. Default UTF-8, with or without BOM; UTF-16 with its BOM.",
    "rounding": "`refuse` (default) quarantines what is finer than the currency; `round` rounds, halves away from zero.",
}
_INTRODUCTION = """\
Drop CSV files in `<inbox>/<org>/<feed>/`. UTF-8, one header row, columns in any order; columns that are not listed are ignored.
Bytes are archived before anything else. Whole files are rejected (duplicate, unreadable, a required column missing) with a
`.reason.txt` beside them; single rows that break a rule go to quarantine and the good rows go on. Line numbers are the
physical lines of the file, the header being line 1."""


def feed_reference() -> str:
    """The page as Markdown."""
    if _OPTIONS.keys() != FeedMapping.__dataclass_fields__.keys():
        raise AssertionError("a mapping option is not described")
    parts = ["# Feeds", _INTRODUCTION]
    parts += [_section(feed) for feed in FEEDS.values()]
    parts += ["## Files that look different", "Policy key `feed_mappings`, by feed. It holds for files received while it is in force."]
    parts.append(_table(("option", "meaning"), ((f"`{name}`", text) for name, text in _OPTIONS.items())))
    parts += ["## Rules", "What `quarantine` says in `rule`."]
    rules = [
        (name, text.replace("{value}", "…").replace("{column}", "The column").replace("{expected}", "…")) for name, text in RULES.items()
    ]
    parts.append(_table(("rule", "message"), ((f"`{name}`", text) for name, text in [*rules, *LATER_RULES.items()])))
    return "\n\n".join(parts) + "\n"


def _section(feed: Feed) -> str:
    rows = ((f"`{c.name}`", "yes" if c.is_required else "", _type(c), c.description + _default(c)) for c in feed.columns)
    return f"## {feed.name}\n\n{feed.description}\n\n" + _table(("column", "required", "type", "meaning"), rows)


def _type(column: Column) -> str:
    if column.type == "choice":
        return ", ".join(f"`{choice}`" for choice in column.choices)
    if column.type == "integer":
        return f"{column.least:,} to {column.most:,}"
    return _TYPES[column.type] + (", zero allowed" if column.type == "amount" and column.least == 0 else "")


def _default(column: Column) -> str:
    return f" Default `{column.default}`." if column.default is not None else ""


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
