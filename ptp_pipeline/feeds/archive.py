"""The archive: every byte ever dropped, once, under its sha256, read-only. Written before anything else happens to a file.

What a file means, and whether it is welcome, is not known here.
"""

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from uuid import uuid4

from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.settings import Settings

_CHUNK = 1 << 20


class NotARegularFileError(Exception):
    """A link, folder, pipe or device stands where a file was expected. Nothing was read."""


class ChangedWhileReadingError(Exception):
    """The file was written to while it was being archived. Nothing was kept."""


class DamagedArchiveError(WorkFailed):
    """An archived file no longer has the bytes its name says."""


def location(settings: Settings, sha256: str) -> Path:
    return settings.archive / sha256[:2] / sha256


def store(settings: Settings, path: Path) -> tuple[str, Path]:
    """Copy a file into the archive: its sha256 and where it is now. Storing the same bytes again changes nothing.

    Links are never followed, and a file that changes under the reader is not kept: it is not finished.
    """
    incoming = settings.archive / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    draft = incoming / uuid4().hex
    try:
        with open_regular(path) as source, draft.open("xb") as target:
            before = os.fstat(source)
            digest = hashlib.sha256()
            for chunk in iter(lambda: os.read(source, _CHUNK), b""):
                digest.update(chunk)
                target.write(chunk)
            if version_of(os.fstat(source)) != version_of(before):
                raise ChangedWhileReadingError(path.name)
            target.flush()
            os.fchmod(target.fileno(), 0o444)
            os.fsync(target.fileno())
        sha256 = digest.hexdigest()
        final = location(settings, sha256)
        if is_intact(final, sha256):
            return sha256, final
        final.parent.mkdir(exist_ok=True)
        draft.replace(final)
        sync_folder(final.parent)
        sync_folder(settings.archive)
    finally:
        draft.unlink(missing_ok=True)
    return sha256, final


def verified(settings: Settings, sha256: str) -> Path:
    """The archived file, after reading it whole. Raises DamagedArchiveError when it is missing or altered."""
    path = location(settings, sha256)
    if not is_intact(path, sha256):
        raise _damaged(path, sha256)
    return path


def _damaged(path: Path, sha256: str) -> DamagedArchiveError:
    state = "damaged" if path.exists() else "missing"
    return DamagedArchiveError(f"The archived file {sha256} is {state}.", f"Restore {path} from a backup of the archive.")


@contextmanager
def reading(settings: Settings, sha256: str) -> Iterator[BinaryIO]:
    """The archived file, to be read from start to end. Raises DamagedArchiveError, also instead of what its reader raised, when the
    bytes were not those its name says: read once, verified while being read."""
    path = location(settings, sha256)
    try:
        with path.open("rb", buffering=0) as raw, _Hashing(raw) as file:
            try:
                yield cast(BinaryIO, file)
            finally:
                while file.read(_CHUNK):
                    pass
                if file.digest.hexdigest() != sha256:
                    raise _damaged(path, sha256)
    except FileNotFoundError:
        raise _damaged(path, sha256) from None


class _Hashing(io.RawIOBase):
    """A file that hashes what is read of it."""

    def __init__(self, raw: io.FileIO) -> None:
        self.raw, self.digest = raw, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self.raw.read(size) or b""
        self.digest.update(data)
        return data


def restore(settings: Settings, sha256: str, target: Path) -> Path:
    """Write an archived file's bytes to `target`, all of them or none."""
    source = verified(settings, sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.part")  # always the same name: what a crash leaves, the next attempt replaces
    try:
        with source.open("rb") as reader, draft.open("wb") as writer:
            while chunk := reader.read(_CHUNK):
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(target.parent)
    return target


def is_intact(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


@contextmanager
def open_regular(path: Path) -> Iterator[int]:
    """A descriptor on a regular file. Never follows a link, never waits on a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise NotARegularFileError(path.name) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotARegularFileError(path.name)
        yield descriptor
    finally:
        os.close(descriptor)


def version_of(facts: os.stat_result) -> tuple[int, int, int, int]:
    """What changes when a file is replaced or written to."""
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable: fsync of a file alone does not."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
