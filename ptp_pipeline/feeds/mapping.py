"""How one sender's files differ from the standard: column names, date format, decimal sign, delimiter, encoding, rounding.

The mapping itself is policy, kept in the ledger. Nothing is guessed here: what a mapping does not say follows the standard.
"""

import codecs
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Self

from ptp_pipeline.domain.policy_sections import DATE_WORDS, DELIMITERS, ISO_DATE, FeedFormat, strptime_code


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
    def of(cls, entry: FeedFormat | None) -> Self:
        """In the form the readers take. What makes no sense was refused when the policy was written."""
        said = entry or FeedFormat()
        return cls(
            columns={simplified(theirs): simplified(ours) for theirs, ours in said.columns.items()},
            date_format=strptime_code(said.date_format or ISO_DATE),
            decimal=said.decimal,
            delimiter=DELIMITERS[said.delimiter.lower()] if said.delimiter else None,
            encoding=codecs.lookup(said.encoding).name if said.encoding else None,
            rounding=said.rounding,
        )

    @property
    def date_words(self) -> str:
        """The date format as people write it: YYYY-MM-DD."""
        words = self.date_format
        for word, code in DATE_WORDS.items():
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
