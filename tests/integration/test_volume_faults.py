"""Uploads to a volume on bad days: a process is killed amid one, or the disk is full. A file is the old one or the new."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.homes import Home, new_home

pytestmark = [pytest.mark.container, pytest.mark.timeout(180)]

LARGE = 3 << 20


def volume(home: Home, *arguments: str | Path, code: int = 0) -> str:
    done = home.ionian("volume", *arguments)
    assert done.returncode == code, done.stdout
    return done.stdout


def drafts(home: Home) -> list[Path]:
    """What is being written to volumes."""
    return list((home.folder / "volumes/drafts").iterdir())


def there_are_no_drafts(home: Home) -> bool:
    """Those of a client that was killed go when the server sees that it is gone."""
    until = time.monotonic() + 30
    while drafts(home) and time.monotonic() < until:
        time.sleep(0.02)
    return not drafts(home)


def three(folder: Path, content: str) -> Path:
    """A folder with files of 1 MiB."""
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_bytes(content.encode() * (1 << 20))
    return folder


def content_of(home: Home, target: Path) -> dict[str, bytes]:
    """What the volume holds: the first letter of each file, for each is one letter a million times."""
    volume(home, "get", "shelf", "/", target)
    found = {path.name: path.read_bytes() for path in target.iterdir()}
    assert all(content == content[:1] * (1 << 20) for content in found.values())
    return {name: content[:1] for name, content in found.items()}


def test_a_client_killed_amid_an_upload_leaves_the_old_files_and_nothing_half_written(tmp_path: Path) -> None:
    old, new = three(tmp_path / "old", "o"), three(tmp_path / "new", "n")
    with new_home() as home:
        volume(home, "create", "shelf")
        volume(home, "put", "shelf", old)
        for point in ("client.copied:2", "client.place"):
            put = home.ionian("volume", "put", "shelf", new, "--force", environment={"IONIAN_FAULT": point})
            assert put.returncode == -signal.SIGKILL
            assert there_are_no_drafts(home)
        assert content_of(home, tmp_path / "before") == dict.fromkeys("abc", b"o")
        volume(home, "put", "shelf", new, "--force")  # done again, it is complete
        assert content_of(home, tmp_path / "after") == dict.fromkeys("abc", b"n")


def test_a_server_killed_while_it_copies_a_file_is_offered_it_anew(tmp_path: Path) -> None:
    local = three(tmp_path / "local", "n")
    with new_home() as home:
        killed = home.folder / "killed"
        fault = {"IONIAN_FAULT": "volume.copied:2", "IONIAN_FAULT_ONCE": str(killed)}
        assert home.ionian("volume", "create", "shelf", environment=fault).returncode == 0
        volume(home, "put", "shelf", local)
        assert killed.exists()
        assert drafts(home) == []
        assert content_of(home, tmp_path / "back") == dict.fromkeys("abc", b"n")


def test_a_server_killed_amid_an_upload_leaves_each_file_whole_and_the_upload_goes_on(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).write_text(f"new {name}")
    (tmp_path / "large").write_bytes(b"n" * LARGE)
    with new_home() as home:
        killed = home.folder / "killed"
        fault = {"IONIAN_FAULT": "volume.placed:3", "IONIAN_FAULT_ONCE": str(killed)}
        assert home.ionian("volume", "create", "shelf", environment=fault).returncode == 0
        volume(
            home, "put", "shelf", tmp_path
        )  # without --force: what the killed server had placed is its own
        assert killed.exists()
        back = tmp_path / "back"
        volume(home, "get", "shelf", "/", back)
        found = {path.name: path.read_bytes() for path in back.iterdir()}
        assert found == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Home]:
    """A home whose volumes lie on a small disk of their own."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    with new_home() as home:
        disk = home.folder / "volumes"
        disk.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3900k,mode=700", "small", disk], check=True)
        try:
            yield home
        finally:
            home.ionian("server", "stop")
            subprocess.run(["umount", disk], check=True)


def test_a_full_disk_refuses_an_upload_and_what_was_there_stays(small_disk: Home, tmp_path: Path) -> None:
    home = small_disk
    local = tmp_path / "file"
    local.write_bytes(b"o" * LARGE)
    volume(home, "create", "shelf")
    volume(home, "put", "shelf", local, "/file")
    local.write_bytes(b"n" * LARGE)
    told = volume(home, "put", "shelf", local, "/file", "--force", code=1)
    assert "file: No space left on device; free some space and try again" in told
    many = tmp_path / "many"
    many.mkdir()
    for number in range(20):
        (many / f"{number}").write_bytes(b"s" * 60_000)
    assert "No space left on device" in volume(home, "put", "shelf", many, code=1)
    assert drafts(home) == []
    volume(home, "get", "shelf", "file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"o" * LARGE
    volume(home, "put", "shelf", many / "1", "fits")
