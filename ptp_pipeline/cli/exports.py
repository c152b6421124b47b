"""What leaves ptp as a file: written whole or not at all, and in the audit trail before anybody has it. What is in it, the commands say."""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptp_pipeline.errors import UsageError

if TYPE_CHECKING:
    from ptp_pipeline.ledger.connection import Actor, Ledger

STDOUT = "-"


@dataclass
class Draft:
    """A file being written. Whoever writes it says how many rows it has, where that means anything."""

    path: Path
    rows: int | None = None


@contextmanager
def written(ledger: "Ledger", org: str, actor: "Actor", what: str, name: str, target: str, **facts: Any) -> Iterator[Draft]:
    """A draft beside the target that takes its place at the end, or goes to standard output for `-`; recorded as this person's export.

    `what` is table, report or audit; `facts` are kept with name, rows and digest.
    """
    draft = Draft(_beside(target))
    try:
        yield draft
        with draft.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        record(ledger, org, actor, what, name, rows=draft.rows, sha256=digest, **facts)
        if target == STDOUT:
            with draft.path.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
        else:
            umask = os.umask(0)
            os.umask(umask)
            draft.path.chmod(0o666 & ~umask)  # mkstemp's files are private; an export is an ordinary file
            draft.path.replace(target)
    finally:
        draft.path.unlink(missing_ok=True)


def record(ledger: "Ledger", org: str, actor: "Actor", what: str, name: str, **facts: Any) -> None:
    """Put an export into the audit trail: who took what, how much, and the digest of it."""
    from ptp_pipeline.ledger import audit

    with ledger.transaction(org, actor) as tx:
        audit.record(tx, "export.written", what, name, after={key: value for key, value in facts.items() if value is not None})


def _beside(target: str) -> Path:
    folder = Path(tempfile.gettempdir()) if target == STDOUT else Path(target).absolute().parent
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", "Make it, or choose another file.")
    handle, name = tempfile.mkstemp(prefix=".ptp-export-", suffix=Path(target).suffix, dir=folder)
    os.close(handle)
    return Path(name)
