"""Normalised files as Parquet, one folder per (content, feed, dialect, parser version): parsing is paid for once.

A cache and nothing more: deleting it costs time, never data. What goes into a stage is `build`.
"""

import json
import shutil
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ptp_pipeline.feeds import archive
from ptp_pipeline.feeds.mapping import Dialect
from ptp_pipeline.feeds.read import PARSER_VERSION, Reading
from ptp_pipeline.settings import Settings

if TYPE_CHECKING:
    import polars as pl

_STALE_DRAFT_SECONDS = 24 * 3600


@dataclass(frozen=True)
class CachedFile:
    """A normalised file on disk, and the figures of it that everybody asks for."""

    folder: Path
    rows_in: int
    rows_quarantined: int
    rows_fingerprint: str
    has_repeated_ids: bool
    ignored_columns: tuple[str, ...]

    @property
    def rows(self) -> list[Path]:
        """Its good rows, as Parquet files in the order of their lines; none when there are none."""
        return sorted((self.folder / "rows").iterdir())

    @property
    def quarantine(self) -> Path:
        return self.folder / "quarantine.parquet"


def cached(settings: Settings, org: str, sha256: str, feed: str, dialect: Dialect) -> CachedFile:
    """The archived file `sha256` as rows of `feed`. Raises UnreadableFile when it cannot be read as a whole."""
    root = settings.warehouse(org) / "feed_cache"
    folder = root / f"{feed}-{sha256}-{dialect.digest}-{PARSER_VERSION}"
    if not folder.exists():
        draft = root / f".{uuid4().hex}"
        (draft / "rows").mkdir(parents=True)
        try:
            facts = _write(draft, sha256, Reading(lambda: archive.reading(settings, sha256), feed, dialect))
            (draft / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
            draft.rename(folder)
        except OSError:  # somebody else was faster; a folder cannot be renamed over a full one
            if not folder.exists():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return CachedFile(folder, **{**facts, "ignored_columns": tuple(facts["ignored_columns"])})


def _write(draft: Path, sha256: str, reading: Reading) -> dict[str, Any]:
    """Write a file's blocks, each while the next one is read."""
    import polars as pl

    refused, hashes = [], []
    with ThreadPoolExecutor(1) as writer:
        written: Future[None] | None = None
        for number, block in enumerate(reading.blocks()):
            refused.append(block.quarantine)
            if "payment_id" in block.frame.columns:
                hashes.append(block.frame["payment_id"].hash())
            if written:
                written.result()
            if block.frame.height:
                written = writer.submit(_write_rows, draft / "rows" / f"{number:05}.parquet", block.frame, sha256)
        if written:
            written.result()
    quarantine = pl.concat(refused) if refused else pl.DataFrame({"line_number": []}, schema={"line_number": pl.Int32})
    _write_rows(draft / "quarantine.parquet", quarantine, sha256)
    return {
        "rows_in": reading.rows_in,
        "rows_quarantined": quarantine["line_number"].n_unique(),
        "rows_fingerprint": reading.fingerprint(),
        # Of payments: whether an id may come twice in the file. Two ids with one hash only cost a closer look.
        "has_repeated_ids": bool(hashes) and (every := pl.concat(hashes)).n_unique() < len(every),
        "ignored_columns": reading.ignored_columns,
    }


def _write_rows(path: Path, rows: "pl.DataFrame", sha256: str) -> None:
    import polars as pl

    # Level 1 is as small as any on such rows, and the fastest of zstd's.
    rows.with_columns(file_sha256=pl.lit(sha256)).write_parquet(path, compression="zstd", compression_level=1)


def prune(settings: Settings, org: str, keep: Collection[Path]) -> None:
    """Remove what no accepted file needs any more. Only the holder of the org's run lock may call it."""
    root = settings.warehouse(org) / "feed_cache"
    for folder in root.glob("*"):
        is_draft = folder.name.startswith(".")
        if folder not in keep and not (is_draft and time.time() - folder.stat().st_mtime < _STALE_DRAFT_SECONDS):
            shutil.rmtree(folder, ignore_errors=True)
