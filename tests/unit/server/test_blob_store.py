from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionian.server.blobs import (
    STALE_WRITE_S,
    BlobError,
    BlobStore,
    DiskFull,
    Entry,
    NoSuchBlob,
    choose_garbage,
)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def unfinished(blobs: BlobStore) -> list[Path]:
    return list((blobs.folder / "tmp").iterdir())


def test_content_comes_back_by_its_digest_whole_and_in_parts(blobs: BlobStore) -> None:
    digest = blobs.put(b"0123456789")
    assert digest == sha256(b"0123456789")
    assert blobs.read(digest) == b"0123456789"
    assert blobs.read(digest, 3, 4) == b"3456"
    assert blobs.read(digest, 8, 100) == b"89"
    assert blobs.read(digest, 100, 1) == b""
    assert blobs.size(digest) == 10
    assert blobs.path(digest) == blobs.folder / digest[:2] / digest[2:]


def test_empty_content_is_content(blobs: BlobStore) -> None:
    assert blobs.read(blobs.put(b"")) == b""


def test_missing_names_what_is_not_here_once_and_in_order(blobs: BlobStore) -> None:
    here = blobs.put(b"here")
    first, second = sha256(b"1"), sha256(b"2")
    assert blobs.missing([second, here, first, second]) == [second, first]
    assert blobs.has(here)
    assert not blobs.has(first)


def test_a_blob_is_announced_only_when_it_is_finished(blobs: BlobStore) -> None:
    digest = sha256(b"abcdef")
    with blobs.writer(digest, 6) as writer:
        writer.write(b"abc")
        writer.write(memoryview(b"def"))
        assert not blobs.has(digest)
        assert writer.finish() == blobs.path(digest)
    assert blobs.read(digest) == b"abcdef"
    assert unfinished(blobs) == []


def test_nobody_can_write_to_a_finished_blob(blobs: BlobStore) -> None:
    assert stat.S_IMODE(blobs.path(blobs.put(b"x")).stat().st_mode) == 0o444


@pytest.mark.parametrize(
    ("size", "content", "message"),
    [
        (6, b"abcdeX", "expected content with SHA-256"),
        (6, b"abc", "expected 6 bytes of blob .* got 3"),
        (2, b"abcdef", "expected 2 bytes of blob .* got 6"),
    ],
)
def test_content_that_is_not_what_was_announced_leaves_nothing(
    blobs: BlobStore, size: int, content: bytes, message: str
) -> None:
    digest = sha256(b"abcdef")

    def send() -> None:
        with blobs.writer(digest, size) as writer:
            writer.write(content)
            writer.finish()

    with pytest.raises(BlobError, match=message):
        send()
    assert not blobs.has(digest)
    assert unfinished(blobs) == []


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_what_is_no_digest_is_refused(blobs: BlobStore, digest: str) -> None:
    with pytest.raises(BlobError, match="expected a SHA-256 in 64 hexadecimal digits"):
        blobs.missing([digest])


def test_a_blob_that_is_not_here_is_named(blobs: BlobStore) -> None:
    digest = sha256(b"nowhere")
    with pytest.raises(NoSuchBlob, match=digest):
        blobs.read(digest)
    with pytest.raises(NoSuchBlob, match=digest):
        blobs.size(digest)


def test_a_negative_part_is_refused(blobs: BlobStore) -> None:
    digest = blobs.put(b"x")
    with pytest.raises(BlobError, match="0 or more, got -1"):
        blobs.read(digest, -1, 1)
    with pytest.raises(BlobError, match="0 or more, got -5"):
        blobs.writer(digest, -5)


def test_a_blob_larger_than_the_free_disk_is_refused_before_it_is_sent(blobs: BlobStore) -> None:
    with pytest.raises(
        DiskFull, match=r"is full: no room for 1,152,921,504,606,846,976 bytes more; free some space"
    ):
        blobs.writer(sha256(b""), 1 << 60)
    assert unfinished(blobs) == []


def test_a_disk_that_fills_up_meanwhile_says_so_and_leaves_nothing(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def send() -> None:
        with blobs.writer(sha256(b"abc"), 3) as writer:
            monkeypatch.setattr(writer, "_file", SimpleNamespace(write=no_room, close=writer._file.close))
            writer.write(b"abc")

    with pytest.raises(DiskFull, match="no room for 3 bytes more"):
        send()
    assert unfinished(blobs) == []


def test_the_content_is_synced_before_its_name_and_the_folder_before_the_announcement(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def renamed(source: Path, destination: Path) -> None:
        events.append("rename")
        replace(source, destination)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed)
    blobs.put(b"abc")
    assert events == ["file", "folder", "rename", "folder"]


def test_what_a_killed_writer_left_is_collected_when_it_is_stale(blobs: BlobStore) -> None:
    stale, fresh = blobs.folder / "tmp" / "stale", blobs.folder / "tmp" / "fresh"
    for file in (stale, fresh):
        file.write_bytes(b"half")
    old = time.time() - STALE_WRITE_S - 1
    os.utime(stale, (old, old))
    blobs.collect(keep=(), budget_bytes=1 << 40, max_age_s=1e9, min_age_s=60)
    assert unfinished(blobs) == [fresh]


def test_garbage_is_collected_oldest_first_and_never_what_is_kept(blobs: BlobStore) -> None:
    digests = [blobs.put(bytes(100 + number)) for number in range(4)]
    for age, digest in zip((400, 300, 200, 100), digests, strict=True):
        then = time.time() - age
        os.utime(blobs.path(digest), (then, then))
    gone = blobs.collect(keep={digests[0]}, budget_bytes=250, max_age_s=1e9, min_age_s=50)
    assert gone == digests[1:3]
    assert [blobs.has(digest) for digest in digests] == [True, False, False, True]


def test_a_blob_that_was_asked_for_is_as_new(blobs: BlobStore) -> None:
    digest = blobs.put(b"x")
    os.utime(blobs.path(digest), (0, 0))
    assert blobs.missing([digest]) == []
    assert blobs.collect(keep=(), budget_bytes=0, max_age_s=0, min_age_s=3600) == []


entries = st.lists(
    st.builds(Entry, st.text("ab", max_size=3), st.integers(0, 100), st.floats(0, 1000)),
    unique_by=lambda entry: entry.digest,
)


@given(
    entries, st.sets(st.text("ab", max_size=3)), st.integers(0, 500), st.floats(0, 1000), st.floats(0, 1000)
)
def test_garbage_is_old_unkept_and_no_more_than_needed(
    entries: list[Entry], keep: set[str], budget: int, max_age: float, min_age: float
) -> None:
    chosen = choose_garbage(
        entries, now=1000.0, keep=keep, budget_bytes=budget, max_age_s=max_age, min_age_s=min_age
    )
    by_digest = {entry.digest: entry for entry in entries}
    total = sum(entry.size for entry in entries)
    for digest in chosen:
        age = 1000.0 - by_digest[digest].used_at
        assert digest not in keep
        assert age >= min_age
        assert age > max_age or total > budget
        total -= by_digest[digest].size
    spared = [entry for entry in entries if entry.digest not in {*chosen, *keep}]
    assert total <= budget or all(1000.0 - entry.used_at < min_age for entry in spared)
