import hashlib
import os
from pathlib import Path

import pytest

from ionian.client import hashes
from ionian.client.hashes import HashCache


def settled(path: Path, content: bytes, mtime_ns: int = 10**18) -> Path:
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []
    original = hashes.hash_file

    def recording(path: Path) -> tuple[str, os.stat_result]:
        read.append(path)
        return original(path)

    monkeypatch.setattr(hashes, "hash_file", recording)
    return read


def test_a_digest_is_the_sha256_of_the_content(tmp_path: Path):
    path = settled(tmp_path / "a.py", b"print()")
    found = HashCache(tmp_path / "cache.json").digests([path])[path]
    assert found == (hashlib.sha256(b"print()").hexdigest(), 7, 0o644)


def test_an_executable_file_stays_one(tmp_path: Path):
    path = settled(tmp_path / "tool", b"#!/bin/sh")
    path.chmod(0o700)
    assert HashCache(tmp_path / "cache.json").digests([path])[path].mode == 0o755


def test_an_unchanged_file_is_not_read_by_the_next_run(tmp_path: Path, reads: list[Path]):
    path = settled(tmp_path / "a.py", b"1")
    first = HashCache(tmp_path / "deep" / "cache.json")
    digest = first.digests([path])
    first.save()
    assert HashCache(tmp_path / "deep" / "cache.json").digests([path]) == digest
    assert reads == [path]


def test_a_file_of_another_time_or_size_is_read_again(tmp_path: Path, reads: list[Path]):
    cache = HashCache(tmp_path / "cache.json")
    path = settled(tmp_path / "a.py", b"1")
    before = cache.digests([path])[path]
    settled(path, b"2", mtime_ns=10**18 + 1)
    assert cache.digests([path])[path].digest != before.digest
    assert reads == [path, path]


def test_a_file_that_was_just_written_is_not_trusted(tmp_path: Path, reads: list[Path]):
    cache = HashCache(tmp_path / "cache.json")
    path = tmp_path / "a.py"
    path.write_bytes(b"1")
    cache.digests([path])
    cache.digests([path])
    assert reads == [path, path]


@pytest.mark.parametrize("content", ["", "[]", '{"a": 3}', '{"a": [1, "x", 3, 4]}', "\x00"])
def test_a_broken_cache_is_an_empty_one(tmp_path: Path, content: str):
    (tmp_path / "cache.json").write_text(content)
    path = settled(tmp_path / "a.py", b"1")
    cache = HashCache(tmp_path / "cache.json")
    assert cache.digests([path])[path].size == 1
    cache.save()


def test_many_files_are_hashed_like_one(tmp_path: Path):
    paths = [settled(tmp_path / str(n), str(n).encode()) for n in range(100)]
    found = HashCache(tmp_path / "cache.json").digests(paths)
    assert [found[path].digest for path in paths] == [
        hashlib.sha256(str(n).encode()).hexdigest() for n in range(100)
    ]
