"""Small folders are deleted in one process; what is not small is left, whole."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from ionian.worker.sandbox.removal import DONE, LARGE, SMALL, Large, remove_small, serve


@pytest.fixture
def process() -> Generator[socket.socket]:
    """The worker's end of one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = threading.Thread(target=serve, args=(theirs,))
    thread.start()
    yield ours
    ours.close()
    thread.join(5)
    theirs.close()


def made(folder: Path) -> Path:
    (folder / "upper" / "a" / "b").mkdir(parents=True)
    (folder / "upper" / "a" / "file").write_text("x")
    (folder / "work" / "work").mkdir(parents=True)
    (folder / "work" / "work").chmod(0)
    return folder


def test_a_small_folder_is_deleted_with_all_in_it(tmp_path: Path) -> None:
    remove_small(bytes(made(tmp_path / "one")))
    assert os.listdir(tmp_path) == []


def test_a_link_is_deleted_and_what_it_leads_to_is_not(tmp_path: Path) -> None:
    kept = made(tmp_path / "kept")
    box = made(tmp_path / "box")
    (box / "upper" / "link").symlink_to(kept)
    (box / "upper" / "a" / "file link").symlink_to(kept / "upper" / "a" / "file")
    remove_small(bytes(box))
    assert os.listdir(tmp_path) == ["kept"]
    assert (kept / "upper" / "a" / "file").read_text() == "x"


def test_a_link_in_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    kept = made(tmp_path / "kept")
    (tmp_path / "box").symlink_to(kept)
    with pytest.raises(OSError):
        remove_small(bytes(tmp_path / "box"))
    assert (kept / "upper" / "a" / "file").exists()


@pytest.mark.parametrize("deep", [False, True])
def test_a_folder_of_many_entries_is_left_whole(tmp_path: Path, deep: bool) -> None:
    box = made(tmp_path / "box")
    inner = box / "upper" / "a"
    for number in range(SMALL):
        if deep:
            inner = inner / "d"
            inner.mkdir()
        else:
            (inner / str(number)).touch()
    with pytest.raises(Large):
        remove_small(bytes(box))
    assert (box / "upper" / "a" / "file").exists()


def test_each_question_is_answered_whether_it_was_deleted(tmp_path: Path, process: socket.socket) -> None:
    large = made(tmp_path / "large")
    for number in range(SMALL):
        (large / str(number)).touch()
    for folder, answer in ((made(tmp_path / "small"), DONE), (large, LARGE), (tmp_path / "none", LARGE)):
        process.send(bytes(folder))
        assert process.recv(16) == answer
    assert os.listdir(tmp_path) == ["large"]
