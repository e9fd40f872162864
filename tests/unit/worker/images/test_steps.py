"""Output of steps, what is kept of them, and how instructions read."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from ionian.protocol.spec import FileRef, Instruction
from ionian.worker.images import ImageError
from ionian.worker.images.files import Files
from ionian.worker.images.locks import locked, try_lock
from ionian.worker.images.overlay import Owner
from ionian.worker.images.records import Python, Record
from ionian.worker.images.step import emit, failed, follow, tidy
from ionian.worker.images.store import ImageStore, describe

OURS = Owner(os.geteuid(), os.getegid())


def test_a_line_is_passed_on_without_what_a_progress_bar_overwrote():
    lines: list[str] = []
    tail: deque[str] = deque()
    for line in (b"10%\r50%\r100%", b"text\r", b"", b"\xff bad", b"x" * 10_000):
        emit(line, lines.append, tail)
    assert [line[:6] for line in lines] == ["100%", "text", "� bad", "xxxxxx"]
    assert len(lines[-1]) == 4096
    assert list(tail) == lines


def test_output_is_followed_to_its_end_also_without_a_last_newline():
    async def main() -> list[str]:
        reading, writing = os.pipe()
        lines: list[str] = []
        following = asyncio.ensure_future(follow(reading, lines.append, deque()))
        os.write(writing, b"one\ntw")
        os.write(writing, b"o\nthree")
        os.close(writing)
        await following
        return lines

    assert asyncio.run(main()) == ["one", "two", "three"]


def test_an_error_shows_the_last_lines_and_says_when_the_disk_was_full():
    assert str(failed("RUN x", 1, ["a", "b"])) == "RUN x: ended with exit code 1\n    a\n    b"
    assert str(failed("RUN x", 3, [])) == "RUN x: ended with exit code 3 and said nothing"
    assert "(the disk of the worker is full)" in str(failed("RUN x", 1, ["tar: No space left on device"]))


def test_mount_points_leave_nothing_in_a_layer_but_changes_stay(tmp_path: Path):
    below, upper = tmp_path / "below", tmp_path / "upper"
    for name in ("etc", "run", "tmp", "home"):
        (below / name).mkdir(parents=True)
    (upper / "proc/sys").mkdir(parents=True)
    (upper / "etc").mkdir()
    (upper / "etc/resolv.conf").touch()
    (upper / "run/ionian-build").mkdir(parents=True)
    (upper / "opt/mounted").mkdir(parents=True)
    (upper / "tmp").mkdir()
    (upper / "tmp").chmod(0o700)
    (upper / "home/new").mkdir(parents=True)
    tidy(upper, [below], ["/run/ionian-build", "/opt/mounted"])
    assert sorted(entry.name for entry in upper.iterdir()) == ["home", "tmp"]  # the mode of tmp was changed


def test_instructions_read_like_a_dockerfile_and_hide_values():
    assert describe(Instruction("RUN", ["  make\n  make install\n"])) == "RUN make;   make install"
    assert describe(Instruction("ENV", ["TOKEN", "secret", "B", "x"])) == "ENV TOKEN B"
    files = [FileRef("a", "d", 1)]
    assert describe(Instruction("COPY", ["/srv"], files=files)) == "COPY 1 file /srv"
    assert len(describe(Instruction("RUN", ["x" * 999]))) == 200


def test_a_record_comes_back_as_it_was_kept(tmp_path: Path):
    python = Python(
        "/usr/bin/python", "real", "3.11", "3.11.2", "cpython-311", "/p", "/p", "/b", "/u", "2_36"
    )
    record = Record("key", layers=["a"], env={"A": "b"}, python=python, base="a")
    record.save(tmp_path / "r.json")
    assert Record.load(tmp_path / "r.json") == record
    (tmp_path / "r.json").write_text("{}")
    assert Record.load(tmp_path / "r.json") is None
    assert Record.load(tmp_path / "none.json") is None


@pytest.mark.parametrize("path", ["../out", "a/../../out"])
def test_a_file_outside_the_place_of_a_copy_is_refused(tmp_path: Path, path: str):
    (tmp_path / "blob").write_text("x")

    async def fetch(digest: str) -> Path:
        return tmp_path / "blob"

    files = Files(tmp_path / "root", OURS, fetch)
    with pytest.raises(ImageError, match="expected a path below /srv"):
        asyncio.run(files.place([FileRef(path, "ab" * 32, 1)], "/srv", tmp_path / "layer", ()))


def test_files_of_equal_content_and_mode_are_one_file_apart_from_the_blob(tmp_path: Path):
    (tmp_path / "blob").write_text("x")

    async def fetch(digest: str) -> Path:
        return tmp_path / "blob"

    files = Files(tmp_path / "root", OURS, fetch)
    refs = [FileRef("a", "ab" * 32, 1), FileRef("b", "ab" * 32, 1), FileRef("c", "ab" * 32, 1, 0o755)]
    asyncio.run(files.place(refs, "/", tmp_path / "layer", ()))
    a, b, c = (tmp_path / "layer" / name for name in "abc")
    assert a.samefile(b)
    assert not a.samefile(c)
    assert not a.samefile(tmp_path / "blob")
    assert c.stat().st_mode & 0o777 == 0o755


def test_a_lock_has_one_holder_and_the_next_gets_it_afterwards(tmp_path: Path):
    order: list[str] = []

    async def hold(name: str, entered: asyncio.Event, leave: asyncio.Event) -> None:
        async with locked(tmp_path / "lock"):
            order.append(f"{name} in")
            entered.set()
            await leave.wait()
            order.append(f"{name} out")

    async def main() -> None:
        events = [asyncio.Event() for _ in range(3)]
        first = asyncio.ensure_future(hold("1", events[0], events[1]))
        await events[0].wait()
        second = asyncio.ensure_future(hold("2", events[2], events[1]))
        descriptor = os.open(tmp_path / "lock", os.O_RDWR)
        assert not try_lock(descriptor)
        os.close(descriptor)
        events[1].set()
        await asyncio.gather(first, second)

    asyncio.run(main())
    assert order == ["1 in", "1 out", "2 in", "2 out"]


def test_a_lock_ends_with_the_life_of_its_holder(tmp_path: Path):
    code = (
        "import fcntl, os, sys; fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); "
        "fcntl.flock(fd, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    descriptor = os.open(tmp_path / "lock", os.O_RDWR)
    assert not try_lock(descriptor)
    holder.kill()
    holder.communicate()
    assert try_lock(descriptor)
    os.close(descriptor)


def test_an_image_without_a_beginning_is_refused(tmp_path: Path):
    from ionian.protocol.spec import ImageSpec

    async def fetch(digest: str) -> Path:
        return tmp_path

    store = ImageStore(tmp_path / "images", fetch)
    spec = ImageSpec([Instruction("RUN", ["ls"])])
    with pytest.raises(ImageError, match="expected an image to begin with FROM"):
        asyncio.run(store.build(spec, image_id="im-1", secrets={}, report=lambda step: None))
    assert store.find("im-1") is None
    assert store.find("im-2") is None
