"""Whoever of template, warden, launcher and worker ends: what goes on, what ends with it, what is left."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.nursery import (
    all_but_the_template_have_ended,
    below,
    layered,
    nursery,
    run,
)

from ionian.worker.sandbox import (
    Bind,
    Exit,
    ForkError,
    ForkSpec,
    Spawner,
    Zygote,
    sweep,
)

pytestmark = pytest.mark.container


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield from layered(tmp_path)


async def killed(pid: int) -> None:
    """A process that is killed, and has ended."""
    watched = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert await asyncio.to_thread(select.select, [watched], [], [], 20) == ([watched], [], [])
    os.close(watched)


def test_a_template_killed_loses_no_fork(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            first, second = await made.fork(), await made.fork()
            await killed(below(made.zygote.pid)[1])  # while it ends, what was begun ahead may still be made
            with pytest.raises(ForkError):
                await made.fork()
            assert await first.python("out = 1") == 1
            await first.tell("import os; os._exit(4)")
            assert await first.box.wait() == Exit(4)
            assert await second.python("out = 2") == 2
            assert made.zygote.forks == 1

    run(main)


def test_whoever_has_an_end_of_the_template_hears_that_it_was_killed(folder: Path):
    async def main() -> None:
        alive = os.pipe()
        async with nursery(folder, pass_fds={101: alive[1]}) as made:
            os.close(alive[1])
            fork = await made.fork()  # and the next one is begun
            os.kill(below(made.zygote.pid)[1], signal.SIGKILL)
            assert await asyncio.to_thread(os.read, alive[0], 1) == b""
            assert await fork.python("out = 1") == 1
        os.close(alive[0])

    run(main)


def test_forks_that_wait_behind_one_that_hangs_are_given_up_with_it(folder: Path):
    async def main() -> None:
        async with nursery(
            folder, "import time; fork._give_up_rights = lambda filter_: time.sleep(1000)"
        ) as made:
            forks = (made.fork(timeout_s=0.5) for _ in range(12))
            ended = await asyncio.gather(*forks, return_exceptions=True)
            assert {type(each) for each in ended} == {ForkError}
            assert sum("does not answer" in str(each) for each in ended) == 8  # four are tried at once
            await all_but_the_template_have_ended(made.zygote)

    run(main)


def test_a_template_that_is_retired_or_killed_leaves_its_forks_alone(folder: Path):
    async def main() -> None:
        for end in (Zygote.retire, Zygote.kill):
            async with nursery(folder) as made:
                fork = await made.fork()
                template = os.pidfd_open(below(made.zygote.pid)[1])
                end(made.zygote)
                assert await asyncio.to_thread(select.select, [template], [], [], 20) == ([template], [], [])
                os.close(template)
                with pytest.raises(ForkError, match="it has ended, or its warden"):
                    await made.fork()
                assert await fork.python("out = 1") == 1
                removal = asyncio.create_task(made.zygote.remove())
                assert await fork.python("out = 2") == 2
                assert not removal.done()
                await fork.remove()
                await removal
            shutil.rmtree(folder / "scratch")

    run(main)


def test_a_frozen_template_fails_forks_in_their_time_and_goes_on_later(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            living = await made.fork()
            template = below(made.zygote.pid)[1]
            os.kill(template, signal.SIGSTOP)
            for _ in range(2):  # one had been begun ahead
                try:
                    await made.fork(timeout_s=0.5)
                except ForkError:
                    break
            with pytest.raises(ForkError, match="did not fork within"):
                await made.fork(timeout_s=0.5)
            assert await living.python("out = 1") == 1
            os.kill(template, signal.SIGCONT)
            assert await (await made.fork()).python("out = 2") == 2

    run(main)


def test_a_warden_killed_loses_no_fork(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            fork = await made.fork()
            os.kill(made.zygote.link.pid, signal.SIGKILL)
            with pytest.raises(ForkError):
                await made.fork()
            assert await fork.python("out = 1") == 1

    run(main)


def test_the_launcher_killed_takes_templates_and_forks_along(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            alive = os.pipe()
            forks = [await made.fork(more_fds={9: alive[1]}) for _ in range(2)]
            os.close(alive[1])
            warden = os.pidfd_open(made.zygote.link.pid)
            Spawner.of_this_loop()._process.kill()
            for fork in forks:
                assert await fork.box.wait() == Exit(None, signal.SIGKILL)
            assert await asyncio.to_thread(os.read, alive[0], 1) == b""
            assert await asyncio.to_thread(select.select, [warden], [], [], 20) == ([warden], [], [])
            for fd in (alive[0], warden):
                os.close(fd)

    run(main)


def test_the_worker_killed_takes_templates_and_forks_along(folder: Path):
    alive = os.pipe()
    command = [sys.executable, __file__, str(folder), str(alive[1])]
    env = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, pass_fds=[alive[1]]) as worker:
        os.close(alive[1])
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"forked\n"
        worker.kill()
    assert select.select([alive[0]], [], [], 20)[0]
    assert os.read(alive[0], 1) == b""  # nobody holds the other end
    os.close(alive[0])
    run(lambda: sweep(folder / "scratch"))
    assert list((folder / "scratch").iterdir()) == []


def _be_a_worker(folder: Path, alive: int) -> None:
    """The worker of the test above."""

    async def main() -> None:
        async with nursery(folder, pass_fds={9: alive}) as made:
            for _ in range(3):
                await made.fork(more_fds={8: alive})
            print("forked", flush=True)
            await asyncio.sleep(1000)

    asyncio.run(main())


def test_what_can_not_be_a_fork_is_refused(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            with pytest.raises(
                ValueError, match=r"expected the scratch folder of a fork in .*, beside its template's"
            ):
                await made.zygote.fork(ForkSpec(folder / "elsewhere"))
            with pytest.raises(ForkError, match="/nowhere/at-all: No such file"):
                await made.fork(binds=[Bind(Path("/nowhere/at-all"), "/x")])
            assert not (folder / "scratch/fork-1").exists()

    run(main)


if __name__ == "__main__":
    _be_a_worker(Path(sys.argv[1]), int(sys.argv[2]))
