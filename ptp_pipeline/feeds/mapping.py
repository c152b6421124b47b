"""How one sender's files differ from the standard: column names, date format, decimal sign, delimiter, encoding, rounding.

The mapping itself is policy, kept in the ledger. Nothing is guessed here: what a mapping does not say follows the standard.
"""

import codecs
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ptp_pipeline.errors import UsageError

ISO_DATE = "%Y-%m-%d"
DELIMITERS = {",": ",", ";": ";", "|": "|", "\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_DATE_WORDS = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "YY": "%y"}
_HINT = "Correct feed_mappings with `ptp org set`."


@dataclass(frozen=True)
class FeedMapping:
    """One feed's entry of the policy key `feed_mappings`."""

    columns: Mapping[str, str] = field(default_factory=dict)
    date_format: str = ISO_DATE
    decimal: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    rounding: str = "refuse"

    @classmethod
    def of(cls, entry: object, feed: str) -> Self:
        """From the policy's entry, which may be absent, a dict or an object with these attributes. Raises UsageError in words."""
        raw = _as_dict(entry)
        if unknown := sorted(raw.keys() - cls.__dataclass_fields__.keys()):
            raise UsageError(f"feed_mappings.{feed}: {unknown[0]!r} is not an option; it has {', '.join(cls.__dataclass_fields__)}.", _HINT)
        chosen = {name: value for name, value in raw.items() if value not in (None, "")}
        mapping = cls(**{**chosen, **_translated(chosen, feed)})
        if mapping.decimal not in (None, ".", ","):
            raise UsageError(f"feed_mappings.{feed}.decimal is {mapping.decimal!r}; it can be `.` or `,`.", _HINT)
        if mapping.rounding not in ("refuse", "round"):
            raise UsageError(f"feed_mappings.{feed}.rounding is {mapping.rounding!r}; it can be `refuse` or `round`.", _HINT)
        return mapping

    @property
    def date_words(self) -> str:
        """The date format as people write it: YYYY-MM-DD."""
        words = self.date_format
        for word, code in _DATE_WORDS.items():
            words = words.replace(code, word)
        return words


@dataclass(frozen=True)
class Dialect:
    """Everything outside the file that decides how it is read. Two equal dialects read the same bytes into the same rows."""

    mapping: FeedMapping
    currency: str
    timezone: str = "UTC"

    @property
    def digest(self) -> str:
        text = json.dumps({**asdict(self.mapping), "currency": self.currency, "timezone": self.timezone}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def simplified(name: str) -> str:
    """A header name without the differences that mean nothing: `Invoice ID` is `invoice_id`."""
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _as_dict(entry: object) -> dict[str, Any]:
    if entry is None:
        return {}
    if isinstance(entry, Mapping):
        return dict(entry)
    return {name: getattr(entry, name) for name in FeedMapping.__dataclass_fields__ if hasattr(entry, name)}


def _translated(chosen: Mapping[str, Any], feed: str) -> dict[str, Any]:
    """The options that are written for people, in the form the readers take."""
    out: dict[str, Any] = {}
    if "columns" in chosen:
        out["columns"] = {simplified(theirs): simplified(ours) for theirs, ours in chosen["columns"].items()}
    if "delimiter" in chosen:
        out["delimiter"] = DELIMITERS.get(str(chosen["delimiter"]).lower())
        if out["delimiter"] is None:
            raise UsageError(f"feed_mappings.{feed}.delimiter is {chosen['delimiter']!r}; it can be comma, semicolon, tab or pipe.", _HINT)
    if "date_format" in chosen:
        out["date_format"] = _strptime(str(chosen["date_format"]), feed)
    if "encoding" in chosen:
        out["encoding"] = _codec(str(chosen["encoding"]), feed)
    return out


def _strptime(text: str, feed: str) -> str:
    code = text
    if "%" not in code:
        for word, directive in _DATE_WORDS.items():
            code = code.replace(word, directive)
    if not (re.search(r"%[Yy]", code) and re.search(r"%[mbB]", code) and re.search(r"%[de]", code)):
        raise UsageError(f"feed_mappings.{feed}.date_format is {text!r}; write it like DD/MM/YYYY or %d/%m/%Y.", _HINT)
    return code


def _codec(name: str, feed: str) -> str:
    try:
        codec = codecs.lookup(name)
    except LookupError:
        codec = None
    if codec is None or not getattr(codec, "_is_text_encoding", True):
        raise UsageError(f"feed_mappings.{feed}.encoding {name!r} is not known; examples: utf-8, windows-1252, iso-8859-15, utf-16.", _HINT)
    return codec.name
