"""Reading a file in one line."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest

from ptp_pipeline.domain.policy_sections import FeedFormat
from ptp_pipeline.feeds.dialect import BLOCK_BYTES
from ptp_pipeline.feeds.mapping import Dialect, FeedMapping
from ptp_pipeline.feeds.read import Reading


@dataclass(frozen=True)
class Found:
    """All blocks of a file together."""

    frame: pl.DataFrame
    quarantine: pl.DataFrame
    rows_in: int
    rows_fingerprint: str
    ignored_columns: tuple[str, ...]


Read = Callable[..., Found]


def read_whole(data: bytes, feed: str, dialect: Dialect, block_bytes: int = BLOCK_BYTES) -> Found:
    """Read bytes as a file of a feed."""
    reading = Reading(lambda: io.BytesIO(data), feed, dialect, block_bytes)
    blocks = list(reading.blocks())
    frames = [block.frame for block in blocks]
    # a file without rows has no blocks, and no columns to look at
    return Found(
        pl.concat(frames) if frames else pl.DataFrame(),
        pl.concat([block.quarantine for block in blocks]) if blocks else pl.DataFrame(),
        reading.rows_in,
        reading.fingerprint(),
        reading.ignored_columns,
    )


@pytest.fixture
def read() -> Read:
    """Read text or bytes as a file of a feed; keyword arguments are the feed's mapping."""

    def reader(data: str | bytes, feed: str = "payments", currency: str = "USD", timezone: str = "UTC", **mapping: Any) -> Found:
        raw = data if isinstance(data, bytes) else data.encode()
        return read_whole(raw, feed, Dialect(FeedMapping.of(FeedFormat(**mapping)), currency, timezone))

    return reader
