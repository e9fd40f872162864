"""Forks of templates in real sandboxes, as whoever runs the tests (tests/plain_user: as a plain user)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.nursery import (
    PYTHON,
    TALK,
    Fork,
    Nursery,
    all_but_the_template_have_ended,
    below,
    layered,
    nursery,
    run,
    spec_of,
)

from ionian.worker.sandbox import (
    Bind,
    Exit,
    ForkSpec,
    Limits,
    Program,
    cgroup,
    start,
    warden_link,
)

pytestmark = pytest.mark.container


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield from layered(tmp_path)


def test_a_fork_that_is_begun_and_not_wanted_yet_holds_up_no_other(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            zygote = made.zygote
            begun = [zygote.link.conceive(None) for _ in range(2)]
            while len(below(zygote.pid)) < 2 + 3:  # its init and itself; one more is begun ahead
                await asyncio.sleep(0.01)
            fork = await made.fork()
            assert await fork.python("out = 1") == 1
            for one in begun:
                await zygote.link.call_off(one)

    run(main)


def test_a_python_that_was_built_for_an_older_kernel_can_be_a_template(folder: Path):
    async def main() -> None:
        async with nursery(folder, "vars(os).pop('pidfd_open', None)") as made:
            for _ in range(2):
                fork = await made.fork()
                assert await fork.python("import os; out = hasattr(os, 'pidfd_open')") is False

    run(main)


def test_a_fork_has_what_its_template_made(folder: Path):
    at_import = """
        global made
        made = [1, 2]
        for path in ("/root/written", "/tmp/written"):
            with open(path, "w") as file:
                file.write("by the template")
    """

    async def main() -> None:
        async with nursery(folder, at_import) as made:
            fork = await made.fork()
            code = "import tiny; out = [tiny.made, open('/root/written').read(), open('/tmp/written').read()]"
            assert await fork.python(code) == [[1, 2], "by the template", "by the template"]

    run(main)


def test_a_fork_is_pid_2_under_an_init_of_its_own(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            fork = await made.fork()
            code = (
                "import os; out = [os.getpid(), os.getppid(), os.getsid(0), sorted(os.listdir('/proc'))[:2]]"
            )
            assert await fork.python(code) == [2, 1, 2, ["1", "2"]]

    run(main)


def test_forks_see_nothing_of_each_other(folder: Path):
    leave = """
        import ctypes, os, socket
        for path in ("/tmp/mine", "/root/mine", "/dev/shm/mine", "/dev/mine", "/mine"):
            open(path, "w").close()
        ctypes.CDLL(None).shmget(0x1234, 4096, 0o1777)
        kept = socket.socket(socket.AF_UNIX); kept.bind("\\0ionian-test"); kept.listen()
        global port
        port = socket.socket(); port.bind(("127.0.0.1", 47123)); port.listen()
        out = socket.gethostname()
    """
    look = """
        import ctypes, os, socket
        def reach(kind, address):
            try: socket.socket(kind).connect(address); return True
            except OSError: return False
        out = {
            "files": [p for p in ("/tmp/mine", "/root/mine", "/dev/shm/mine", "/dev/mine", "/mine") if os.path.exists(p)],
            "processes": [p for p in os.listdir("/proc") if p.isdigit()],
            "shm": ctypes.CDLL(None).shmget(0x1234, 0, 0) >= 0,
            "abstract": reach(socket.AF_UNIX, "\\0ionian-test"),
            "port": reach(socket.AF_INET, ("127.0.0.1", 47123)),
            "hostname": socket.gethostname(),
        }
    """

    async def main() -> None:
        async with nursery(folder, network=False) as made:
            first, second = await made.fork(), await made.fork()
            assert await first.python(leave) == "fork-1"
            assert await second.python(look) == {
                "files": [],
                "processes": ["1", "2"],
                "shm": False,
                "abstract": False,
                "port": False,
                "hostname": "fork-2",
            }

    run(main)


def test_a_fork_has_its_own_descriptors_and_none_of_its_templates(folder: Path):
    async def main() -> None:
        nothing = os.open("/dev/null", os.O_RDWR)
        async with nursery(folder, pass_fds={101: nothing, 102: nothing}) as made:
            fork = await made.fork()
            code = "import os; out = sorted(int(n) for n in os.listdir('/proc/self/fd'))"
            assert await fork.python(code) == [0, 1, 2, 3, TALK]  # 3 lists
        os.close(nothing)

    run(main)


def test_a_volume_is_shared_and_a_read_only_one_stays_so(folder: Path):
    for name in ("volume", "fixed"):
        (folder / name).mkdir()
        (folder / name).chmod(0o777)

    async def main() -> None:
        binds = [
            Bind(folder / "volume", "/data/volume", read_only=False),
            Bind(folder / "fixed", "/data/fixed"),
        ]
        async with nursery(folder, binds=binds) as made:
            first, second = await made.fork(), await made.fork()
            assert await first.python("out = open('/data/volume/x', 'w').write('shared')") == 6
            assert await second.python("out = open('/data/volume/x').read()") == "shared"
            assert "Read-only file system" in await first.python("open('/data/fixed/x', 'w')")

    run(main)


def test_a_fork_may_have_binds_and_devices_of_its_own(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            fork = await made.fork(
                binds=[Bind(Path("/etc/passwd"), "/opt/new/passwd")],
                devices=[Bind(Path("/dev/zero"), "/dev/card/zero")],
            )
            code = "out = [open('/opt/new/passwd').read(4), open('/dev/card/zero', 'rb').read(2).hex()]"
            assert await fork.python(code) == ["root", "0000"]

    run(main)


def test_a_fork_is_in_the_folder_and_has_the_environment_of_its_template(folder: Path):
    async def main() -> None:
        async with nursery(folder, env={"PATH": "/usr/bin", "A": "b"}) as made:
            fork = await made.fork()
            assert await fork.python("import os; out = [os.getcwd(), os.environ['A']]") == ["/root", "b"]

    run(main)


def test_devices_kernel_files_and_mounts_are_those_of_a_container(folder: Path):
    look = """
        import os
        lines = [line.split(" - ") for line in open("/proc/self/mountinfo")]
        out = {left.split()[4]: [right.split()[0], "ro" in left.split()[5].split(",")] for left, right in lines}
        for path in ("/", "/tmp", "/dev", "/dev/null", "/dev/ptmx", "/dev/shm", "/sys", "/proc", "/root"):
            info = os.lstat(path)
            out["of " + path] = [oct(info.st_mode), info.st_uid, info.st_gid]
    """

    async def main() -> None:
        async with nursery(folder) as made:
            fork = await (await made.fork()).python(look)
        out = os.pipe()
        code = f"import json\n{textwrap.dedent(look)}\nprint(json.dumps(out), flush=True)"
        spec = replace(spec_of(folder, ""), argv=["--", PYTHON, "-c", code], stdout=out[1])
        plain_box = await start(spec)
        plain_box.go()
        assert await plain_box.wait() == Exit(0)
        await plain_box.remove()
        plain = json.loads(os.read(out[0], 1 << 16))
        for fd in out:
            os.close(fd)
        # Its own init, and that its /sys is one folder with the mounts in it, are all that is otherwise.
        assert plain.pop("/dev/ionian-init.py")
        assert fork.pop("/sys") == ["tmpfs", True]
        assert fork == plain

    run(main)


# --- its life -----------------------------------------------------------------------------------------------------


def test_nothing_of_a_fork_runs_before_go(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            scratch = made.zygote.spec.scratch.parent / "gated"
            box = await made.zygote.fork(ForkSpec(scratch, pass_fds={TALK: theirs.fileno()}), 60)
            theirs.close()
            fork = Fork(box, ours)
            made.forks.append(fork)
            await fork.tell("open('/root/ran', 'w').close()")
            assert not Path(f"/proc/{box.pid}/task/{box.pid}/children").read_text().split()
            assert not (scratch / "upper/root/ran").exists()
            box.go()
            await fork.python("out = 1")
            assert (scratch / "upper/root/ran").exists()

    run(main)


def test_how_the_program_of_a_fork_ended_comes_out(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            for code, how in (
                ("import os; os._exit(7)", Exit(7)),
                ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Exit(None, signal.SIGSEGV)),
                ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", Exit(None, signal.SIGTERM)),
            ):
                fork = await made.fork()
                await fork.tell(code)
                assert await fork.box.wait() == how
            fork = await made.fork()
            fork.box.kill()
            assert await fork.box.wait() == Exit(None, signal.SIGKILL)

    run(main)


def test_a_signal_reaches_the_program_of_a_fork_though_its_template_ignores_it(folder: Path):
    at_import = """
        import signal
        signal.signal(signal.SIGUSR1, lambda number, frame: os._exit(9))
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    """

    async def main() -> None:
        async with nursery(folder, at_import) as made:
            fork = await made.fork()
            assert await fork.python("out = 1") == 1
            fork.box.signal(signal.SIGUSR1)
            assert await fork.box.wait() == Exit(9)

    run(main)


def test_what_a_fork_leaves_running_ends_with_it(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            alive = os.pipe()
            fork = await made.fork(more_fds={9: alive[1]})
            os.close(alive[1])
            code = "import subprocess; subprocess.Popen(['sleep', '1000'], pass_fds=[9]); out = 1"
            assert await fork.python(code) == 1
            await fork.tell("import os; os._exit(0)")
            assert await fork.box.wait() == Exit(0)
            assert os.read(alive[0], 1) == b""  # at once: nobody holds the other end any more
            os.close(alive[0])

    run(main)


def test_a_program_can_be_run_beside_in_a_fork(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            fork = await made.fork()
            look = "for n in user mnt pid ipc uts cgroup net; do readlink /proc/self/ns/$n; done; hostname"
            names = "import os; out = [os.readlink('/proc/self/ns/' + n) for n in 'user mnt pid ipc uts cgroup net'.split()]"
            inside = await fork.box.enter(Program(["/bin/sh", "-c", look], {"PATH": "/usr/bin:/bin"}))
            os.set_blocking(inside.outputs[1], True)
            said = b""
            while piece := await asyncio.to_thread(os.read, inside.outputs[1], 4096):
                said += piece
            assert (await inside.wait())[0] == 0
            inside.close()
            assert said.decode().split() == [*await fork.python(names), "fork-1"]

    run(main)


@pytest.mark.parametrize("mode", ["cgroup", "soft"])
def test_a_fork_out_of_memory_is_killed_alone(folder: Path, mode: str, monkeypatch: pytest.MonkeyPatch):
    if mode == "soft":
        monkeypatch.setattr(cgroup, "own_tree", lambda: None)
    elif cgroup.own_tree() is None:
        pytest.skip("no cgroup may be written here")

    async def main() -> None:
        async with nursery(folder, limits=Limits(memory_limit_mib=150)) as made:
            neighbour = await made.fork(limits=Limits(memory_limit_mib=150))
            greedy = await made.fork(limits=Limits(memory_limit_mib=150))
            assert greedy.box.soft_memory == (mode == "soft")
            await greedy.tell(
                "import time; held = [bytearray(8 << 20) for _ in range(100)]; time.sleep(1000)"
            )
            assert await greedy.box.wait() == Exit(None, signal.SIGKILL, oom=True)
            assert await neighbour.python("out = 1") == 1
            assert await (await made.fork()).python("out = 2") == 2

    run(main)


def test_a_fork_is_metered_on_its_own(folder: Path):
    async def main() -> None:
        async with nursery(folder, "global held; held = bytearray(100 << 20)") as made:
            fork = await made.fork()
            await fork.python("mine = bytearray(40 << 20)\nfor _ in range(3_000_000): pass\nout = 1")
            assert fork.box.usage().cpu_s > 0.01
            if not fork.box.soft_memory:  # there the memory that it shares is counted as its own
                assert 0 < fork.box.usage().memory_bytes < 100 << 20
            await fork.remove()
            assert fork.box.usage().peak_bytes > 40 << 20

    run(main)


# --- many ---------------------------------------------------------------------------------------------------------


def test_many_forks_at_once_are_apart_and_leave_nothing(folder: Path):
    async def one(made: Nursery, number: int) -> None:
        fork = await made.fork()
        code = f"open('/root/mine', 'x').write('{number}'); import os; out = [open('/root/mine').read(), os.getpid()]"
        assert await fork.python(code) == [str(number), 2]
        await fork.tell(f"import os; os._exit({number})")
        assert await fork.box.wait() == Exit(number)
        await fork.remove()

    async def main() -> None:
        async with nursery(folder) as made:
            await one(made, 0)
            watched = [os.getpid(), below(made.zygote.pid)[1]]
            if os.geteuid() == 0:
                watched.append(made.zygote.link.pid)  # closed to others
            before = [descriptors(pid) for pid in watched]
            await asyncio.gather(*(one(made, number) for number in range(1, 101)))
            assert made.zygote.forks == 0
            await all_but_the_template_have_ended(made.zygote)
            after = [descriptors(pid) for pid in watched]
            # One more: the fork that is begun ahead may be further by some descriptors.
            assert all(now <= then + 8 for now, then in zip(after, before, strict=True)), (before, after)
            assert sorted(p.name for p in (folder / "scratch").iterdir()) == ["template"]
        assert list((folder / "scratch").iterdir()) == []
        tree = cgroup.own_tree()
        assert not tree or list(tree.folders["memory"].glob("*/")) == []

    run(main)


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_without_the_newest_kernel_a_fork_has_its_own_processes_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(warden_link, "OLD_PROC", True)

    async def main() -> None:
        async with nursery(folder) as made:
            fork = await made.fork()
            assert await fork.python("import os; out = [p for p in os.listdir('/proc') if p.isdigit()]") == [
                "1",
                "2",
            ]

    run(main)
