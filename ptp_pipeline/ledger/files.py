"""Files received: which were accepted, in what order, and which are known already. Bytes live in the archive, not here."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ptp_pipeline.errors import Refused
from ptp_pipeline.ledger.connection import Transaction

_COLUMNS = (
    "file_sequence, feed, file_name, byte_size, content_sha256, rows_fingerprint, row_count, status, reason, received_by, received_at"
)


@dataclass(frozen=True)
class FileFacts:
    """What is known of a file when it is registered. A rejected one may have no fingerprint."""

    feed: str
    file_name: str
    byte_size: int
    content_sha256: str
    rows_fingerprint: str | None
    row_count: int
    status: str
    reason: str = ""


@dataclass(frozen=True)
class ReceivedFile:
    """A registered file. `file_sequence` counts an org's files in the order they were received."""

    file_sequence: int
    feed: str
    file_name: str
    byte_size: int
    content_sha256: str
    rows_fingerprint: str | None
    row_count: int
    status: str
    reason: str
    received_by: str
    received_at: dt.datetime


class DuplicateFile(Refused):
    """The file, or the same rows in another form, was accepted before: `first`. `same` is `bytes` or `rows`."""

    def __init__(self, facts: FileFacts, first: ReceivedFile, same: str) -> None:
        what = "is the same file as" if same == "bytes" else "holds the same rows as"
        super().__init__(
            f"{facts.file_name} {what} {first.file_name}, received {first.received_at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC.",
            "Nothing was loaded twice.",
        )
        self.first = first
        self.same = same


def register(tx: Transaction, facts: FileFacts) -> ReceivedFile:
    """Register a file as accepted or rejected. Raises DuplicateFile, with the transaction still good, when it was accepted before."""
    tx.execute("select ptp.lock_org()")
    if facts.status == "accepted":
        known = tx.one(
            f"select {_COLUMNS} from ptp.received_file where org_id = ptp.current_org() and feed = %s and status = 'accepted'"
            " and (content_sha256 = %s or rows_fingerprint = %s) order by content_sha256 = %s desc, file_sequence limit 1",
            [facts.feed, facts.content_sha256, facts.rows_fingerprint, facts.content_sha256],
        )
        if known:
            first = ReceivedFile(**known)
            raise DuplicateFile(facts, first, "bytes" if first.content_sha256 == facts.content_sha256 else "rows")
    columns = asdict(facts)
    row = tx.one(
        f"insert into ptp.received_file (org_id, {', '.join(columns)}) values (ptp.current_org(), {', '.join(['%s'] * len(columns))})"
        f" returning {_COLUMNS}",
        list(columns.values()),
    )
    return ReceivedFile(**(row or {}))


def accepted(tx: Transaction) -> list[ReceivedFile]:
    """All accepted files, in the order they were accepted."""
    return _read(tx, "status = 'accepted' order by file_sequence", [])


def list_files(tx: Transaction, limit: int = 1000) -> list[ReceivedFile]:
    """The newest files of any status, newest first."""
    return _read(tx, "true order by file_sequence desc limit %s", [limit])


def _read(tx: Transaction, where: str, params: Sequence[int]) -> list[ReceivedFile]:
    rows = tx.all(f"select {_COLUMNS} from ptp.received_file where org_id = ptp.current_org() and {where}", params)
    return [ReceivedFile(**row) for row in rows]
