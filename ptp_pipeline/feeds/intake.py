"""From the inbox to the ledger: archive, judge, claim, register, clear away. Safe to kill at any point and to run twice at once.

Every file passes these steps in this order, under one lock per org:
1. its bytes are archived;
2. it is judged: new, duplicate, unreadable. Nothing has changed yet;
3. it is claimed: the verdict is written to `<inbox>/<org>/.taking/<claim>/` and the file is moved there;
4. the ledger registers it;
5. an accepted file's claim is removed; a rejected file goes to `<home>/rejected/<org>/` with its reason beside it.
What a crash leaves behind is a claim, and a claim says what remains to be done: that is how a file left over by a crash
is told from the same file sent twice. What the rows say is `read`, what becomes of them is `build`.
"""

import fcntl
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC
from difflib import get_close_matches
from pathlib import Path
from uuid import uuid4

from ptp_pipeline.errors import PtpError, UsageError
from ptp_pipeline.feeds import archive, cache
from ptp_pipeline.feeds.build import dialect_of
from ptp_pipeline.feeds.dialect import UnreadableFile
from ptp_pipeline.feeds.mapping import Dialect
from ptp_pipeline.ledger import files, policies
from ptp_pipeline.ledger.connection import Actor, Ledger
from ptp_pipeline.ledger.files import DuplicateFile, FileFacts, ReceivedFile
from ptp_pipeline.settings import FEEDS, Settings

TAKING = ".taking"
UNFINISHED = (".part", ".partial", ".tmp", ".filepart", ".crdownload", ".swp")
_LONGEST_NAME = 150  # bytes; leaves room for a number and `.reason.txt` in a 255-byte name
_STALE_DRAFT_SECONDS = 24 * 3600

Version = tuple[int, int, int, int]


@dataclass(frozen=True)
class IntakeResult:
    """What happened to one thing in the inbox: accepted, rejected, or left where it is (with the reason)."""

    file_name: str
    feed: str
    status: str
    reason: str = ""
    rows_in: int = 0
    rows_quarantined: int = 0
    content_sha256: str = ""
    file_sequence: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What was decided about a file, as the claim keeps it."""

    facts: FileFacts
    rejected_name: str
    next_step: str
    rows_quarantined: int


def take_in(
    settings: Settings,
    ledger: Ledger,
    org: str,
    actor: Actor,
    paths: Sequence[Path] | None = None,
    *,
    progress: Callable[[str], None] | None = None,
) -> list[IntakeResult]:
    """Take every settled file of the org's inbox (or just `paths`) into the ledger, feeds in their order and files by name."""
    if not settings.inbox(org).is_dir():
        return []
    with _org_lock(settings, org):
        intake = _Intake(settings, ledger, org, actor, progress)
        intake.finish_claims()
        intake.look(paths)
    return intake.results


class _Intake:
    """One pass over an inbox."""

    def __init__(self, settings: Settings, ledger: Ledger, org: str, actor: Actor, progress: Callable[[str], None] | None) -> None:
        self.settings, self.ledger, self.org, self.actor = settings, ledger, org, actor
        self.progress = progress or str  # str: takes a text and does nothing with it
        self.claims = settings.inbox(org) / TAKING
        self.results: list[IntakeResult] = []
        with ledger.transaction(org, actor) as tx:
            self.policy = policies.current(tx)
            self.accepted = files.accepted(tx)
        _remove_stale_drafts(settings)

    def look(self, paths: Sequence[Path] | None) -> None:
        """Take what is ready; what was written a moment ago gets the time to settle once."""
        wanted = None if paths is None else {self._inside(path) for path in paths}
        unsettled = self._take(_listing(self.settings, self.org, self.results), wanted, is_last=False)
        if unsettled:
            self.progress(f"waiting {self.settings.settle_seconds} s for {len(unsettled)} files that just arrived")
            time.sleep(self.settings.settle_seconds)
            self._take([(path.parent.name, path) for path in unsettled], wanted, is_last=True)

    def _inside(self, path: Path) -> Path:
        """A path given by the caller, as the listing would name it."""
        inbox = self.settings.inbox(self.org)
        if path.parent.parent != inbox or path.parent.name not in FEEDS:
            raise UsageError(f"{path} is not in the inbox of {self.org}.", f"Files are taken from {inbox}/<feed>/.")
        return path

    def _take(self, listing: Sequence[tuple[str, Path]], wanted: set[Path] | None, *, is_last: bool) -> list[Path]:
        unsettled = []
        for feed, path in listing:
            if wanted is not None and path not in wanted:
                continue
            try:
                facts = path.lstat()
                if problem := _not_a_file(path, facts):
                    self._leave(feed, path, problem)
                elif time.time() - facts.st_ctime >= self.settings.settle_seconds:
                    self._take_one(feed, path)
                elif is_last:
                    self._leave(feed, path, "still being written; it is taken when it is finished")
                else:
                    unsettled.append(path)
            except FileNotFoundError:
                continue  # its owner took it back
            except PermissionError:
                self._leave(feed, path, "may not be read by ptp; correct its permissions")
            except archive.NotARegularFileError:
                self._leave(feed, path, "not a regular file; links out of the inbox are not followed")
            except archive.ChangedWhileReadingError:
                self._leave(feed, path, "still being written; it is taken when it is finished")
        return unsettled

    def _leave(self, feed: str, path: Path, reason: str) -> None:
        self.results.append(IntakeResult(safe_name(path.name), feed, "left", reason))

    def _take_one(self, feed: str, path: Path) -> None:
        name = safe_name(path.name)
        self.progress(f"taking {feed}/{name}")
        dialect = dialect_of(self.policy, feed)
        with archive.open_regular(path) as descriptor:
            version = archive.version_of(os.fstat(descriptor))
        sha256, archived = archive.store(self.settings, path)
        verdict = self._judge(feed, name, sha256, archived.stat().st_size, dialect)
        claim = self._claim(path, verdict, version)
        if claim is None:
            self._leave(feed, path, "replaced while it was being read; it is taken next time")
            return
        self._finish(claim, verdict, is_resumed=False)

    def _judge(self, feed: str, name: str, sha256: str, size: int, dialect: Dialect) -> Verdict:
        """New, duplicate or unreadable. Reads the archived bytes, changes nothing."""
        unread = FileFacts(feed, name, size, sha256, None, 0, "rejected")
        if first := self._known(feed, "content_sha256", sha256):
            return self._rejection(unread, DuplicateFile(unread, first, "bytes"))
        try:
            cached = _normalised(self.settings, self.org, unread, dialect)
        except UnreadableFile as error:
            return self._rejection(unread, error)
        facts = FileFacts(feed, name, size, sha256, cached.rows_fingerprint, cached.rows_in, "accepted")
        if first := self._known(feed, "rows_fingerprint", cached.rows_fingerprint):
            return self._rejection(facts, DuplicateFile(facts, first, "rows"))
        return Verdict(facts, "", "", cached.rows_quarantined)

    def _known(self, feed: str, what: str, value: str) -> ReceivedFile | None:
        return next((file for file in self.accepted if file.feed == feed and getattr(file, what) == value), None)

    def _rejection(self, facts: FileFacts, error: PtpError) -> Verdict:
        rejected = FileFacts(**{**asdict(facts), "status": "rejected", "reason": error.message})
        return Verdict(rejected, _free_name(self.settings.rejected(self.org), facts.file_name), error.next_step, 0)

    def _claim(self, path: Path, verdict: Verdict, version: Version) -> Path | None:
        """Move the judged file aside together with its verdict. None when another file took its place meanwhile."""
        claim = self.claims / uuid4().hex
        claim.mkdir(parents=True)
        _write_verdict(claim, verdict)
        content = claim / "content"
        path.rename(content)
        if archive.version_of(content.lstat()) != version:
            _put_back(content, path)
            shutil.rmtree(claim)
            return None
        archive.sync_folder(claim)
        return claim

    def finish_claims(self) -> None:
        """Do what a crashed intake left to be done."""
        for claim in sorted(self.claims.iterdir()):
            if not claim.is_dir():
                continue
            if not (claim / "content").exists():  # crashed before the file was moved: it is still in the inbox
                shutil.rmtree(claim)
                continue
            self._finish(claim, _read_verdict(claim), is_resumed=True)

    def _finish(self, claim: Path, verdict: Verdict, *, is_resumed: bool) -> None:
        received, verdict = self._register(claim, verdict, is_resumed=is_resumed)
        facts = verdict.facts
        if facts.status == "rejected":
            self._reject(verdict, received)
        else:
            self.accepted.append(received)
        # The bytes are in the archive: verified on the way in, and again by whoever reads them.
        (claim / "content").unlink()  # first: a claim without content has nothing left to be done
        shutil.rmtree(claim)
        self.results.append(
            IntakeResult(
                facts.file_name,
                facts.feed,
                facts.status,
                facts.reason,
                facts.row_count,
                verdict.rows_quarantined,
                facts.content_sha256,
                received.file_sequence,
            )
        )

    def _register(self, claim: Path, verdict: Verdict, *, is_resumed: bool) -> tuple[ReceivedFile, Verdict]:
        with self.ledger.transaction(self.org, self.actor) as tx:
            if is_resumed and (recorded := _recorded([*self.accepted, *files.list_files(tx)], verdict.facts)):
                return recorded, verdict
            try:
                return files.register(tx, verdict.facts), verdict
            except DuplicateFile as duplicate:  # taken by somebody who does not share this inbox's lock
                rejection = self._rejection(verdict.facts, duplicate)
                _write_verdict(claim, rejection)
                return files.register(tx, rejection.facts), rejection

    def _reject(self, verdict: Verdict, received: ReceivedFile) -> None:
        facts = verdict.facts
        target = self.settings.rejected(self.org) / verdict.rejected_name
        archive.restore(self.settings, facts.content_sha256, target)
        reason = (
            f"{facts.file_name} was rejected.\n\nWhy: {facts.reason}\n"
            + (f"What to do: {verdict.next_step}\n" if verdict.next_step else "")
            + f"\nFeed: {facts.feed}\nReceived: {received.received_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC\n"
            f"sha256: {facts.content_sha256}\n"
        )
        target.with_name(f"{target.name}.reason.txt").write_text(reason, encoding="utf-8")


def safe_name(name: str) -> str:
    """A file name that can be stored, shown and written anywhere: no control characters, no broken encoding, not too long."""
    clean = "".join(c if c.isprintable() and not 0xD800 <= ord(c) <= 0xDFFF else "_" for c in name)  # noqa: PLR2004 - surrogates
    while len(clean.encode()) > _LONGEST_NAME:
        stem, dot, suffix = clean.rpartition(".")
        clean = f"{stem[:-1]}{dot}{suffix}" if stem and len(suffix) <= 5 else clean[:-1]  # noqa: PLR2004 - a real suffix is short
    return clean


def _listing(settings: Settings, org: str, results: list[IntakeResult]) -> list[tuple[str, Path]]:
    """(feed, path) of everything in the feed folders, in the order it is taken. What lies elsewhere is reported as left."""
    inbox = settings.inbox(org)
    for entry in sorted(os.scandir(inbox), key=lambda e: e.name):
        if entry.name.startswith(".") or entry.name in FEEDS:
            continue
        close = get_close_matches(entry.name.lower(), FEEDS, n=1, cutoff=0.6)
        hint = f"; did you mean {close[0]}?" if close and entry.is_dir(follow_symlinks=False) else ""
        results.append(IntakeResult(safe_name(entry.name), "", "left", f"lies beside the feed folders {', '.join(FEEDS)}{hint}"))
    found = []
    for feed in FEEDS:
        folder = inbox / feed
        if folder.is_symlink():
            results.append(IntakeResult(feed, feed, "left", "the feed folder is a link; links out of the inbox are not followed"))
        elif folder.is_dir():
            found += [(feed, path) for path in sorted(folder.iterdir()) if not is_unfinished(path.name)]
    return found


def is_unfinished(name: str) -> bool:
    """Names that programs give to files they are still writing. They are renamed when done, and not even reported before."""
    return name.startswith((".", "~")) or name.lower().endswith(UNFINISHED)


def _not_a_file(path: Path, facts: os.stat_result) -> str:
    if stat.S_ISREG(facts.st_mode):
        return ""
    if stat.S_ISDIR(facts.st_mode):
        return "a folder; files are taken from the feed folder itself"
    if path.is_symlink():
        return "a link; links out of the inbox are not followed"
    return "not a regular file"


def _normalised(settings: Settings, org: str, facts: FileFacts, dialect: Dialect) -> cache.CachedFile:
    """The file's rows. Raises UnreadableFile."""
    from polars.exceptions import PolarsError

    if not facts.file_name.lower().endswith(".csv"):
        raise UnreadableFile("Only .csv files are read.", "Save it as CSV UTF-8 and drop it again.")
    if facts.byte_size > settings.max_file_mb << 20:
        raise UnreadableFile(
            f"The file has {facts.byte_size / (1 << 20):,.1f} MiB; the most is {settings.max_file_mb:,}.",
            "Split it, each part with the header row, or raise PTP_MAX_FILE_MB.",
        )
    try:
        return cache.cached(settings, org, facts.content_sha256, facts.feed, dialect)
    except PolarsError as error:  # rejected like any file that cannot be read: a crash would block every later file too
        raise UnreadableFile(f"The file cannot be read: {error}", "Save it as CSV UTF-8 and drop it again.") from None


def _recorded(known: Sequence[ReceivedFile], facts: FileFacts) -> ReceivedFile | None:
    """The ledger's row for a claim that crashed after it was registered."""
    same = (
        file
        for file in known
        if (file.feed, file.content_sha256, file.status) == (facts.feed, facts.content_sha256, facts.status)
        and (facts.status == "accepted" or (file.file_name, file.reason) == (facts.file_name, facts.reason))
    )
    return next(same, None)


def _free_name(folder: Path, name: str) -> str:
    """`name`, or `name-2`, `name-3` … when it is taken in `folder`."""
    stem, dot, suffix = name.rpartition(".")
    stem, suffix = (stem, f".{suffix}") if dot and stem else (name, "")
    number, free = 1, name
    while (folder / free).exists():
        number += 1
        free = f"{stem}-{number}{suffix}"
    return free


def _put_back(content: Path, path: Path) -> None:
    """Return a file to the inbox without replacing what may have arrived there meanwhile."""
    target = path
    while True:
        try:
            os.link(content, target)
            break
        except FileExistsError:
            target = path.with_name(_free_name(path.parent, path.name))
    content.unlink()


def _write_verdict(claim: Path, verdict: Verdict) -> None:
    draft = claim / "verdict.part"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(asdict(verdict), file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(claim / "verdict.json")


def _read_verdict(claim: Path) -> Verdict:
    raw = json.loads((claim / "verdict.json").read_text(encoding="utf-8"))
    return Verdict(**{**raw, "facts": FileFacts(**raw["facts"])})


def _remove_stale_drafts(settings: Settings) -> None:
    for draft in (settings.archive / "incoming").glob("*"):
        if time.time() - draft.stat().st_mtime > _STALE_DRAFT_SECONDS:
            draft.unlink(missing_ok=True)


@contextmanager
def _org_lock(settings: Settings, org: str) -> Iterator[None]:
    """One intake per inbox. The kernel releases it when its holder dies."""
    folder = settings.inbox(org) / TAKING
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
