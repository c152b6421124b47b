"""Normalised files as Parquet, one folder per (content, feed, dialect, parser version): parsing is paid for once.

A cache and nothing more: deleting it costs time, never data. What goes into a stage is `build`.
"""

import json
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from ptp_pipeline.feeds import archive
from ptp_pipeline.feeds.mapping import Dialect
from ptp_pipeline.feeds.read import PARSER_VERSION, normalise
from ptp_pipeline.settings import Settings

_STALE_DRAFT_SECONDS = 24 * 3600


@dataclass(frozen=True)
class CachedFile:
    """A normalised file on disk, and the figures of it that everybody asks for."""

    folder: Path
    rows_in: int
    rows_quarantined: int
    rows_fingerprint: str
    ignored_columns: tuple[str, ...]

    @property
    def rows(self) -> Path:
        return self.folder / "rows.parquet"

    @property
    def quarantine(self) -> Path:
        return self.folder / "quarantine.parquet"


def cached(settings: Settings, org: str, sha256: str, feed: str, dialect: Dialect) -> CachedFile:
    """The archived file `sha256` as rows of `feed`. Raises UnreadableFile when it cannot be read as a whole."""
    import polars as pl

    root = settings.warehouse(org) / "feed_cache"
    folder = root / f"{feed}-{sha256}-{dialect.digest}-{PARSER_VERSION}"
    if not folder.exists():
        normalised = normalise(archive.verified(settings, sha256), feed, dialect)
        draft = root / f".{uuid4().hex}"
        draft.mkdir(parents=True)
        facts = {
            "rows_in": normalised.rows_in,
            "rows_quarantined": normalised.quarantine["line_number"].n_unique(),
            "rows_fingerprint": normalised.rows_fingerprint,
            "ignored_columns": normalised.ignored_columns,
        }
        (draft / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        for name, frame in {"rows": normalised.frame, "quarantine": normalised.quarantine}.items():
            frame.with_columns(file_sha256=pl.lit(sha256)).write_parquet(draft / f"{name}.parquet", compression="zstd")
        try:
            draft.rename(folder)
        except OSError:  # somebody else was faster; a folder cannot be renamed over a full one
            shutil.rmtree(draft)
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return CachedFile(folder, **{**facts, "ignored_columns": tuple(facts["ignored_columns"])})


def prune(settings: Settings, org: str, keep: Collection[Path]) -> None:
    """Remove what no accepted file needs any more. Only the holder of the org's run lock may call it."""
    root = settings.warehouse(org) / "feed_cache"
    for folder in root.glob("*"):
        is_draft = folder.name.startswith(".")
        if folder not in keep and not (is_draft and time.time() - folder.stat().st_mtime < _STALE_DRAFT_SECONDS):
            shutil.rmtree(folder, ignore_errors=True)
