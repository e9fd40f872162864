"""Uploads to a volume on bad days: the server is killed amid one, or its disk is full. A file is the old one or the new."""

from __future__ import annotations

import os
import subprocess
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
