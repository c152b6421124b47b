"""Reading a file in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptp_pipeline.feeds.mapping import Dialect, FeedMapping
from ptp_pipeline.feeds.read import Normalised, normalise

Read = Callable[..., Normalised]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read text or bytes as a file of a feed; keyword arguments are the feed's mapping."""

    def reader(data: str | bytes, feed: str = "payments", currency: str = "USD", timezone: str = "UTC", **mapping: Any) -> Normalised:
        path = tmp_path / "file.csv"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return normalise(path, feed, Dialect(FeedMapping.of(mapping, feed), currency, timezone))

    return reader
