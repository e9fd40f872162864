"""Forks that are made ahead: what they may do while they wait, what becomes of them, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.nursery import (
    Nursery,
    below,
    layered,
    nursery,
    run,
)

from ionian.worker.sandbox import Exit, Limits, zygote
from ionian.worker.sandbox.cgroup import parent_of

pytestmark = pytest.mark.container

LIKE: dict[str, Any] = {"hostname": "alike", "again": True}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield from layered(tmp_path)


async def ahead(made: Nursery) -> int:
    """Waits until one is made ahead; the number of its first process."""
    while made.zygote.spare is None:
        await asyncio.sleep(0.01)
    return made.zygote.spare.pid


GOES_ON_WHEN_IT_MAY = """
    def ahead():
        open("/root/hangs", "x").close()
        while not __import__("os").path.exists("/code/may"):
            __import__("time").sleep(0.01)
"""


async def hanging(folder: Path) -> Path:
    """Waits until what is made ahead has its program; the folder in which that says so."""
    while not (said := list((folder / "scratch").glob("sp-*/upper/root/hangs"))):
        await asyncio.sleep(0.01)
    return said[0].parent


def scratches(folder: Path) -> list[str]:
    return sorted(path.name[:3] for path in (folder / "scratch").iterdir())


def test_what_was_made_ahead_becomes_the_next_container_with_descriptors_of_its_own(folder: Path):
    mine = "import socket, os; open('/root/mine', 'x').write('x'); os.write(1, b'{}'); out = socket.gethostname()"

    async def main() -> None:
        async with nursery(folder) as made:
            first, second = os.pipe(), os.pipe()
            one = await made.fork(stdout=first[1], **LIKE)
            pid = await ahead(made)
            assert made.zygote.forks == 1
            two = await made.fork(stdout=second[1], **LIKE)
            assert (two.box.pid, made.zygote.forks) == (pid, 2)
            for fork, pipe, word in ((one, first, "one"), (two, second, "two")):
                assert await fork.python(mine.format(word)) == "alike"
                assert os.read(pipe[0], 100) == word.encode()
            assert await ahead(made) != pid
            for fd in (*first, *second):
                os.close(fd)
        assert scratches(folder) == []

    run(main)


def test_where_containers_follow_each_other_the_next_is_made_at_once_and_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(zygote, "SPARE_AFTER_S", 1e4)
    monkeypatch.setattr(zygote, "SPARE_SOON_S", 1e4)

    async def main() -> None:
        async with nursery(folder, GOES_ON_WHEN_IT_MAY) as made:
            await made.fork(**LIKE)
            assert made.zygote._spare_task is None
            await made.fork(**LIKE)
            waits = asyncio.ensure_future(made.fork(**LIKE))
            at = await hanging(folder)
            assert not waits.done()
            (folder / "code" / "may").touch()
            fork = await waits
            assert fork.box.spec.scratch == at.parents[1]
            assert await fork.python("out = 1") == 1

    run(main)


def test_what_is_made_ahead_and_hangs_is_waited_for_but_once_and_not_for_long(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(zygote, "SPARE_AFTER_S", 1e4)
    monkeypatch.setattr(zygote, "SPARE_SOON_S", 0.01)

    async def main() -> None:
        async with nursery(folder, GOES_ON_WHEN_IT_MAY) as made:
            for number in range(1, 5):
                fork = await made.fork(**LIKE)
                assert fork.box.spec.scratch.name == f"fork-{number}"
                assert await fork.python("out = 1") == 1
            await hanging(folder)
        assert scratches(folder) == []

    run(main)


@pytest.mark.skipif(os.geteuid() != 0, reason="reads what another user's process has open")
def test_what_waits_has_no_right_and_holds_nothing_of_a_container(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            await made.fork(**LIKE)
            init, program = below(await ahead(made))
            # The program is given what is the container's, and passes on what its init gets of it.
            for pid, sockets in ((init, 1), (program, 2)):
                lines = [line.split(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
                has = {name: value.strip() for name, value in lines}
                rights = {has[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
                assert (rights, has["NoNewPrivs"], has["Threads"]) == ({"0" * 16}, "1", "1")
                assert has.get("Seccomp_filters", "3") == "3"
                opened = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
                assert sum(target.startswith("socket:") for target in opened) == sockets

    run(main)


def test_its_program_has_done_before_it_is_wanted_what_is_the_same_for_any_container(folder: Path):
    at_import = """
        def ahead():
            global went
            went = os.getpid(), os.getsid(0), os.path.exists("/root/wanted")
    """

    async def main() -> None:
        async with nursery(folder, at_import) as made:
            await made.fork(**LIKE)
            there = below(await ahead(made))
            fork = await made.fork(**LIKE)
            assert await fork.python("import tiny; out = tiny.went") == [2, 2, False]
            assert below(fork.box.pid) == there
            await fork.tell("import os; os._exit(7)")
            assert await fork.box.wait() == Exit(7)

    run(main)


def test_where_a_program_can_not_go_ahead_it_starts_when_it_is_wanted(folder: Path):
    at_import = """
        def ahead():
            raise RuntimeError("not ahead of time")
    """

    async def main() -> None:
        async with nursery(folder, at_import) as made:
            await made.fork(**LIKE)
            pid = await ahead(made)
            assert below(pid) == [pid]
            fork = await made.fork(**LIKE)
            assert (await fork.python("out = 1"), fork.box.pid) == (1, pid)
        assert scratches(folder) == []

    run(main)


@pytest.mark.parametrize("other", [{"hostname": "other"}, {"limits": Limits(memory_limit_mib=300)}])
def test_a_container_of_another_kind_is_not_made_of_it(folder: Path, other: dict[str, Any]):
    async def main() -> None:
        async with nursery(folder) as made:
            await made.fork(**LIKE)
            pid = await ahead(made)
            unlike: dict[str, Any] = LIKE | {"again": False} | other
            fork = await made.fork(**unlike)
            assert fork.box.pid != pid
            assert await fork.python("out = 1") == 1
            assert not Path(f"/proc/{pid}").exists()
            assert scratches(folder) == ["for", "for", "tem"]

    run(main)


@pytest.mark.parametrize("which", ["its init", "its program"])
def test_one_that_was_killed_while_it_waited_is_replaced(folder: Path, which: str):
    async def main() -> None:
        async with nursery(folder) as made:
            await made.fork(**LIKE)
            pid = await ahead(made)
            assert made.zygote.spare is not None
            os.kill(below(pid)[which == "its program"], signal.SIGKILL)
            while made.zygote.spare.lives:
                await asyncio.sleep(0.01)
            fork = await made.fork(**LIKE)
            assert fork.box.pid != pid
            assert await fork.python("out = 1") == 1

    run(main)


def test_it_ends_with_its_template_and_containers_go_on(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            fork = await made.fork(**LIKE)
            pid = await ahead(made)
            made.zygote.retire()
            while parent_of(pid):
                await asyncio.sleep(0.01)
            assert await fork.python("out = 1") == 1
        assert scratches(folder) == []

    run(main)


def test_one_whose_program_is_still_on_its_way_ends_with_its_template_too(folder: Path):
    at_import = """
        def ahead():
            open("/root/hangs", "x").close()
            __import__("time").sleep(1e6)
    """

    async def main() -> None:
        async with nursery(folder, at_import) as made:
            await made.fork(**LIKE)
            await hanging(folder)
        assert scratches(folder) == []

    run(main)


def test_its_memory_is_its_templates_until_it_is_a_container(folder: Path):
    at_import = """
        def ahead():
            global kept
            kept = bytearray(b"x") * (32 << 20)
    """

    async def main() -> None:
        async with nursery(folder, at_import) as made:
            await made.fork(**LIKE)
            await ahead(made)
            assert made.zygote.usage().memory_bytes > 32 << 20
            last: dict[str, Any] = LIKE | {"again": False}
            await made.fork(**last)
            assert made.zygote.usage().memory_bytes < 32 << 20

    run(main)


@pytest.mark.parametrize("why", ["another kind is wanted", "its template ends"])
def test_the_time_of_what_is_made_ahead_in_vain_is_its_templates(folder: Path, why: str):
    at_import = """
        def ahead():
            while __import__("time").process_time() < 1.0:
                pass
    """

    async def main() -> None:
        async with nursery(folder, at_import) as made:
            await made.fork(**LIKE)
            await ahead(made)
            before_s = made.zygote.usage().cpu_s
            if why == "its template ends":
                made.zygote.retire()
                made.zygote.retire()
            else:
                unlike: dict[str, Any] = LIKE | {"again": False, "hostname": "other"}
                await made.fork(**unlike)
            assert 0.9 < made.zygote.usage().cpu_s - before_s < 1.9

    run(main)
