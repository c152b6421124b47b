"""The archive: once written, never changed, and always checked when read."""

import hashlib
import os
import threading

import pytest

from ptp_pipeline.feeds import archive
from ptp_pipeline.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


def put(tmp_path, data=b"some bytes", name="a.csv"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_bytes_are_kept_read_only_under_their_sha256(settings, tmp_path):
    sha256, kept = archive.store(settings, put(tmp_path))
    assert sha256 == hashlib.sha256(b"some bytes").hexdigest()
    assert kept == settings.archive / sha256[:2] / sha256
    assert kept.stat().st_mode & 0o777 == 0o444
    assert not list((settings.archive / "incoming").iterdir())


def test_storing_the_same_bytes_again_changes_nothing(settings, tmp_path):
    _, kept = archive.store(settings, put(tmp_path))
    before = kept.stat()
    archive.store(settings, put(tmp_path, name="b.csv"))
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_damaged_archive_file_is_noticed_and_healed_by_the_same_bytes(settings, tmp_path):
    sha256, kept = archive.store(settings, put(tmp_path))
    kept.chmod(0o644)
    kept.write_bytes(b"other bytes")
    with pytest.raises(archive.DamagedArchiveError, match="damaged"):
        archive.verified(settings, sha256)
    archive.store(settings, put(tmp_path))
    assert archive.verified(settings, sha256).read_bytes() == b"some bytes"


def test_a_missing_archive_file_is_named(settings):
    with pytest.raises(archive.DamagedArchiveError, match="missing"):
        archive.verified(settings, "0" * 64)


def test_restoring_gives_the_bytes_back(settings, tmp_path):
    sha256, _ = archive.store(settings, put(tmp_path))
    target = archive.restore(settings, sha256, tmp_path / "back" / "a.csv")
    assert target.read_bytes() == b"some bytes"
    assert [p.name for p in target.parent.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("make", [lambda p: p.symlink_to("/etc/hostname"), lambda p: p.mkdir(), os.mkfifo])
def test_links_folders_and_pipes_are_never_read(settings, tmp_path, make):
    path = tmp_path / "odd.csv"
    make(path)
    with pytest.raises(archive.NotARegularFileError):
        archive.store(settings, path)


def test_a_file_that_grows_while_it_is_read_is_not_kept(settings, tmp_path, monkeypatch):
    path = put(tmp_path, b"x" * 10)
    real_read = os.read

    def read_and_write(descriptor, size):
        with path.open("ab") as file:
            file.write(b"y")
        monkeypatch.setattr(os, "read", real_read)
        return real_read(descriptor, size)

    monkeypatch.setattr(os, "read", read_and_write)
    with pytest.raises(archive.ChangedWhileReadingError):
        archive.store(settings, path)
    assert [p for p in settings.archive.rglob("*") if p.is_file()] == []


def test_many_writers_of_the_same_bytes_leave_one_file(settings, tmp_path):
    path, kept = put(tmp_path, b"z" * 100_000), []
    threads = [threading.Thread(target=lambda: kept.append(archive.store(settings, path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 8
    assert len(set(kept)) == 1
    assert archive.verified(settings, kept[0][0])
