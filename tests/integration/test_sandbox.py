"""Sandboxes on this machine's own /usr, as whoever runs the tests, and as a plain user when that is root."""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from ionian.worker.sandbox import (
    Bind,
    Exit,
    IdMap,
    Limits,
    Program,
    Sandbox,
    SandboxError,
    SandboxSpec,
    Spawner,
    cgroup,
    remove_folders,
    start,
    sweep,
)

pytestmark = pytest.mark.container
PYTHON = "/usr/bin/python3"
AS_ROOT = os.geteuid() == 0
NOBODY = 65534


class World:
    """A machine-image to start sandboxes on, and a place for what they leave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layer = folder / "layer"
        self.layer.mkdir()
        for name in ("usr", "etc", "root"):
            (self.layer / name).mkdir()
        for name in ("bin", "lib", "lib64", "sbin"):
            if Path("/", name).is_symlink():
                (self.layer / name).symlink_to(f"usr/{name}")
        if AS_ROOT:
            ids = IdMap.current()
            for path in (self.layer, *self.layer.iterdir()):
                os.chown(path, ids.host_uid, ids.host_gid, follow_symlinks=False)
        self.count = 0

    def spec(self, argv: list[str], **more: Any) -> SandboxSpec:
        self.count += 1
        more = {"python": PYTHON, "workdir": "/root", "env": {"PATH": "/usr/bin:/bin"}} | more
        binds = [Bind(Path("/usr"), "/usr"), *more.pop("binds", [])]
        scratch = self.folder / "scratch" / str(self.count)
        return SandboxSpec([self.layer], scratch, argv, binds=binds, **more)

    @asynccontextmanager
    async def sandbox(self, argv: list[str], **more: Any):
        box = await start(self.spec(argv, **more))
        try:
            yield box
        finally:
            await box.remove()

    async def run(self, argv: list[str], **more: Any) -> tuple[Exit, str]:
        """Starts, lets go, waits; what it wrote to both outputs comes along."""
        out = self.folder / f"out-{self.count}"
        with out.open("wb") as file:
            async with self.sandbox(argv, stdout=file.fileno(), stderr=file.fileno(), **more) as box:
                box.go()
                exit_ = await box.wait()
        return exit_, out.read_text()

    async def python(self, code: str, **more: Any) -> Any:
        """Runs Python code inside; it prints JSON."""
        exit_, out = await self.run(["--", PYTHON, "-c", textwrap.dedent(code)], **more)
        assert exit_ == Exit(0), out
        return json.loads(out)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield World(tmp_path)
    shutil.rmtree(tmp_path, ignore_errors=True)


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    async def closing() -> Any:
        try:
            return await main()
        finally:
            Spawner.of_this_loop().close()

    return asyncio.run(closing())


# --- what user code may do ----------------------------------------------------------------------------------------


def test_no_kernel_setting_opens_for_writing(world: World):
    code = """
        import os, json
        opened, tried = [], 0
        paths = ["/proc/sysrq-trigger"]
        for top in ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/sys"):
            paths += [os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names]
        for path in paths:
            if os.path.islink(path):
                continue
            tried += 1
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                opened.append(path)
            except OSError:
                pass
        print(json.dumps([opened, tried]))
    """
    opened, tried = run(lambda: world.python(code))
    assert opened == []
    assert tried > 500


def test_kernel_memory_keys_and_timers_show_nothing(world: World):
    code = """
        import json
        said = {}
        for name in ("kcore", "keys", "timer_list", "sched_debug"):
            try:
                said[name] = len(open("/proc/" + name, "rb").read(64))
            except OSError:
                said[name] = 0
        print(json.dumps(said))
    """
    assert set(run(lambda: world.python(code)).values()) == {0}


def test_user_code_has_no_capability_and_gains_none(world: World):
    code = """
        import json
        print(json.dumps(dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)))
    """
    status = run(lambda: world.python(code))
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_the_users_of_a_sandbox_are_never_the_uid_0_of_this_machine(world: World):
    uid_map = run(lambda: world.run(["--", "cat", "/proc/self/uid_map"]))[1]
    assert uid_map.split()[0] == "0"
    assert uid_map.split()[1] == str(IdMap.current().host_uid) != "0"


DANGEROUS = """
    import ctypes, errno, json, os, platform, socket
    libc = ctypes.CDLL(None, use_errno=True)
    x86 = platform.machine() == "x86_64"
    calls = {
        "keyctl": (250 if x86 else 219, 0, -3, 1),
        "add_key": (248 if x86 else 217, b"user", b"a", b"b", 1, -3),
        "io_uring_setup": (425, 1, 0),
        "bpf": (321 if x86 else 280, 0, 0, 0),
        "userfaultfd": (323 if x86 else 282, 0),
        "perf_event_open": (298 if x86 else 241, 0, 0, -1, -1, 0),
        "mount": (165 if x86 else 40, b"t", b"/tmp", b"tmpfs", 0, 0),
        "remount": (165 if x86 else 40, 0, b"/", 0, 32 | 4096, 0),
        "umount2": (166 if x86 else 39, b"/tmp", 2),
        "pivot_root": (155 if x86 else 41, b"/tmp", b"/tmp"),
        "chroot": (161 if x86 else 51, b"/tmp"),
        "fsopen": (430, b"tmpfs", 0),
        "open_tree": (428, -100, b"/", 1),
        "unshare user": (272 if x86 else 97, 0x10000000),
        "clone user": (56 if x86 else 220, 0x10000011, 0, 0, 0, 0),
        "clone3": (435, 0, 0),
        "setns": (308 if x86 else 268, 0, 0),
        "kexec_load": (246 if x86 else 104, 0, 0, 0, 0),
        "reboot": (169 if x86 else 142, 0, 0, 0, 0),
        "init_module": (175 if x86 else 105, 0, 0, 0),
        "future call": (1000, 0),
    }
    said = {}
    for name, args in calls.items():
        result = libc.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a for a in args))
        said[name] = errno.errorcode[ctypes.get_errno()] if result < 0 else "allowed"
    try:
        socket.socket(40, socket.SOCK_STREAM).close()
        said["vsock"] = "allowed"
    except OSError as error:
        said["vsock"] = errno.errorcode[error.errno]
    print(json.dumps(said))
"""


def test_calls_that_reach_for_the_kernel_are_refused(world: World):
    said = run(lambda: world.python(DANGEROUS))
    assert said.pop("clone3") == "ENOSYS"
    assert said.pop("future call") == "ENOSYS"
    assert set(said.values()) == {"EPERM"}, said


@pytest.mark.parametrize("python", [PYTHON, ""])
def test_the_program_has_the_descriptors_that_it_was_given_and_no_other(world: World, python: str):
    async def main() -> str:
        nothing = os.open("/dev/null", os.O_RDONLY)
        argv = ["sh", "-c", "ls /proc/$$/fd"]
        exit_, out = await world.run(["--", *argv] if python else argv, python=python, pass_fds={7: nothing})
        os.close(nothing)
        assert exit_ == Exit(0), out
        return out

    assert run(main).split() == ["0", "1", "2", "7"]


def test_threads_forks_and_subprocesses_work(world: World):
    code = """
        import json, multiprocessing, subprocess, threading
        done = []
        t = threading.Thread(target=done.append, args=(1,)); t.start(); t.join()
        with multiprocessing.get_context("fork").Pool(2) as pool:
            done += pool.map(abs, [-2, -3])
        done.append(int(subprocess.check_output(["echo", "4"])))
        print(json.dumps(done))
    """
    assert run(lambda: world.python(code)) == [1, 2, 3, 4]


# --- its life -----------------------------------------------------------------------------------------------------


def test_nothing_runs_before_go(world: World):
    async def main() -> None:
        for python in (PYTHON, ""):
            argv = ["touch", "/root/ran"]
            async with world.sandbox(["--", *argv] if python else argv, python=python) as box:
                mark = box.spec.scratch / "upper/root/ran"
                assert not mark.exists()
                box.go()
                assert await box.wait() == Exit(0)
                assert mark.exists()

    run(main)


def test_the_exit_code_of_the_program_comes_out(world: World):
    async def main() -> None:
        assert (await world.run(["--", "sh", "-c", "exit 3"]))[0] == Exit(3)
        assert (await world.run(["sh", "-c", "exit 3"], python=""))[0] == Exit(3)
        assert (await world.run(["--", "no-such-program"]))[0] == Exit(127)

    run(main)


def test_a_segfault_is_told_as_its_signal(world: World):
    exit_, _ = run(lambda: world.run(["--", "sh", "-c", "kill -SEGV $$"]))
    assert exit_ == Exit(None, signal.SIGSEGV)


def test_user_code_is_pid_2_in_a_session_of_its_own_and_dies_of_its_own_sigterm(world: World):
    async def main() -> None:
        code = "import os, json; print(json.dumps([os.getpid(), os.getsid(0)]))"
        assert await world.python(code) == [2, 2]
        assert (await world.run(["--", "sh", "-c", "kill -TERM $$; exit 1"]))[0] == Exit(None, signal.SIGTERM)

    run(main)


@pytest.mark.parametrize("python", [PYTHON, ""])
def test_a_signal_from_outside_reaches_the_program(world: World, python: str):
    async def main() -> None:
        argv = ["sh", "-c", "trap 'exit 7' USR1; echo ready; while :; do read line; done"]
        out, hold = os.pipe(), os.pipe()
        async with world.sandbox(
            ["--", *argv] if python else argv, python=python, stdout=out[1], stdin=hold[0]
        ) as box:
            box.go()
            assert await asyncio.to_thread(os.read, out[0], 10) == b"ready\n"
            box.signal(signal.SIGUSR1)
            os.write(hold[1], b"\n")  # some shells run the trap when the read returns
            assert await box.wait() == Exit(7)
        for fd in (*out, *hold):
            os.close(fd)

    run(main)


def test_orphans_are_reaped_and_never_come_to_user_code(world: World):
    code = """
        import json, os, time
        r, w = os.pipe()
        if os.fork() == 0:
            if os.fork() == 0:
                os.write(w, str(os.getpid()).encode())
            os._exit(0)
        os.wait()
        orphan = int(os.read(r, 20))
        end = time.monotonic() + 10
        while os.path.exists(f"/proc/{orphan}") and time.monotonic() < end:
            os.sched_yield()
        try:
            came = os.wait()[0]
        except ChildProcessError:
            came = 0
        print(json.dumps([os.path.exists(f"/proc/{orphan}"), came]))
    """
    assert run(lambda: world.python(code)) == [False, 0]


def test_when_the_program_ends_all_that_it_left_ends(world: World):
    async def main() -> None:
        alive = os.pipe()
        argv = ["--", "sh", "-c", "sleep 1000 & sleep 1000 & exit 0"]
        async with world.sandbox(argv, pass_fds={9: alive[1]}) as box:
            os.close(alive[1])
            box.go()
            assert await box.wait() == Exit(0)
            assert os.read(alive[0], 1) == b""  # at once: nobody holds the other end any more
        os.close(alive[0])

    run(main)


def test_kill_ends_everything_at_once(world: World):
    async def main() -> None:
        for python in (PYTHON, ""):
            argv = ["sh", "-c", "trap '' TERM INT; sleep 1000 & sleep 1000"]
            async with world.sandbox(["--", *argv] if python else argv, python=python) as box:
                box.go()
                box.kill()
                assert await box.wait() == Exit(None, signal.SIGKILL)

    run(main)


def test_a_module_runs_in_the_interpreter_of_the_init(world: World):
    async def main() -> Any:
        ours, theirs = os.pipe()
        module = world.folder / "ring" / "agent_like.py"
        module.parent.mkdir()
        module.write_text(
            "import json, os, sys\n"
            "def main():\n"
            "    os.write(7, json.dumps([os.getpid(), sys.argv, 'site' in sys.modules, os.environ['A']]).encode())\n"
        )
        if AS_ROOT:
            module.parent.chmod(0o755)
        async with world.sandbox(
            ["-m", "agent_like", "x"],
            python_path=["/ring"],
            binds=[Bind(module.parent, "/ring")],
            pass_fds={7: theirs},
            env={"A": "b"},
        ) as box:
            os.close(theirs)
            box.go()
            assert await box.wait() == Exit(0)
        said = json.loads(os.read(ours, 1000))
        os.close(ours)
        return said

    assert run(main) == [2, ["agent_like", "x"], True, "b"]


def test_the_environment_shows_in_no_command_line(world: World):
    async def main() -> None:
        async with world.sandbox(
            ["--", "sleep", "1000"], env={"PATH": "/usr/bin", "KEY": "tell-no-one"}
        ) as box:
            box.go()
            lines = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.parent.exists()]
            assert not any(b"tell-no-one" in line for line in lines)

    run(main)


# --- limits -------------------------------------------------------------------------------------------------------

GREEDY = ["--", PYTHON, "-c", "held = [bytearray(8 << 20) for _ in range(100)]; input()"]


def test_over_its_memory_limit_it_is_killed_and_says_so(world: World):
    exit_, _ = run(lambda: world.run(GREEDY, limits=Limits(memory_limit_mib=100)))
    assert exit_ == Exit(None, signal.SIGKILL, oom=True)


def test_without_cgroups_the_limit_is_kept_by_sampling(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cgroup, "own_tree", lambda: None)

    async def main() -> None:
        hold = os.pipe()
        async with world.sandbox(GREEDY, limits=Limits(memory_limit_mib=100), stdin=hold[0]) as box:
            assert box.soft_memory
            assert "soft memory" in box.safety
            box.go()
            assert await box.wait() == Exit(None, signal.SIGKILL, oom=True)
            assert box.usage().peak_bytes > 100 << 20
        for fd in hold:
            os.close(fd)

    run(main)


def test_usage_counts_processors_and_memory(world: World):
    async def main() -> None:
        out = os.pipe()
        code = "held = bytearray(50 << 20)\nfor _ in range(3_000_000): pass\nprint('up', flush=True)\nimport time; time.sleep(1000)"
        async with world.sandbox(["--", PYTHON, "-c", code], stdout=out[1]) as box:
            box.go()
            await asyncio.to_thread(os.read, out[0], 10)
            use = box.usage()
            assert use.memory_bytes > 50 << 20
            assert use.cpu_s > 0.01
            assert use.memory_gib_s > 0
            box.kill()
            await box.wait()
            assert box.usage().cpu_s >= use.cpu_s
            assert box.usage().peak_bytes >= use.memory_bytes
        for fd in out:
            os.close(fd)

    run(main)


@pytest.mark.skipif(cgroup.own_tree() is None, reason="no cgroup may be written here")
def test_every_process_is_in_the_cgroup_from_its_first_moment(world: World):
    async def main() -> None:
        async with world.sandbox(["--", "cat", "/proc/self/cgroup"], limits=Limits(pids=64)) as box:
            tree = cgroup.own_tree()
            assert tree is not None
            [group] = tree.folders["pids"].glob("*/")
            members = (group / "cgroup.procs").read_text().split()
            assert str(box.pid) in members
            assert str(cgroup.parent_of(box.pid)) in members  # bubblewrap itself

    run(main)


@pytest.mark.skipif(cgroup.own_tree() is None, reason="no cgroup may be written here")
def test_a_fork_bomb_ends_at_its_limit_of_processes(world: World):
    code = """
        import json, os
        made = 0
        try:
            while made < 500:
                if os.fork() == 0:
                    os.read(0, 1)
                made += 1
        except OSError:
            pass
        print(json.dumps(made), flush=True)
        os._exit(0)
    """

    async def main() -> Any:
        hold = os.pipe()
        try:
            # The exit of the program ends the rest; stdout is closed with it.
            return await world.python(
                code.replace("os.read(0, 1)", "os.read(0, 1); os._exit(0)"),
                stdin=hold[0],
                limits=Limits(pids=30),
            )
        finally:
            for fd in hold:
                os.close(fd)

    assert run(main) < 30


# --- from each other and from us ----------------------------------------------------------------------------------


def test_two_sandboxes_see_nothing_of_each_other(world: World):
    first = """
        import ctypes, socket, time, os
        for path in ("/tmp/mine", "/root/mine", "/dev/shm/mine", "/usr/local/mine"):
            try: open(path, "w").close()
            except OSError: pass
        ctypes.CDLL(None).shmget(0x1234, 4096, 0o1777)
        s = socket.socket(socket.AF_UNIX); s.bind("\\0ionian-test"); s.listen()
        t = socket.socket(); t.bind(("127.0.0.1", 47123)); t.listen()
        print("up", flush=True); time.sleep(1000)
    """
    second = """
        import ctypes, json, os, socket
        def reach(kind, address):
            s = socket.socket(kind)
            try: s.connect(address); return True
            except OSError: return False
        print(json.dumps({
            "files": [p for p in ("/tmp/mine", "/root/mine", "/dev/shm/mine", "/usr/local/mine") if os.path.exists(p)],
            "processes": sorted(int(p) for p in os.listdir("/proc") if p.isdigit()),
            "shm": ctypes.CDLL(None).shmget(0x1234, 0, 0) >= 0,
            "abstract": reach(socket.AF_UNIX, "\\0ionian-test"),
            "port": reach(socket.AF_INET, ("127.0.0.1", 47123)),
            "hostname": socket.gethostname(),
        }))
    """

    async def main() -> Any:
        out = os.pipe()
        argv = ["--", PYTHON, "-c", textwrap.dedent(first)]
        async with world.sandbox(argv, stdout=out[1], network=False) as box:
            box.go()
            assert await asyncio.to_thread(os.read, out[0], 10) == b"up\n"
            said = await world.python(second, network=False, hostname="second")
        for fd in out:
            os.close(fd)
        return said

    assert run(main) == {
        "files": [],
        "processes": [1, 2],
        "shm": False,
        "abstract": False,
        "port": False,
        "hostname": "second",
    }


def test_the_worker_killed_takes_its_sandboxes_along_and_the_next_sweeps(world: World):
    async def main(said: IO[bytes]) -> None:
        pids = [int(p) for p in (await asyncio.to_thread(said.readline)).split()]
        fds = [os.pidfd_open(p) for p in pids]
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        for fd in fds:
            assert await asyncio.to_thread(select.select, [fd], [], [], 20) == ([fd], [], [])
            os.close(fd)
        left = world.folder / "scratch"
        assert [p.name for p in await sweep(left)] == ["77"]
        assert list(left.iterdir()) == []
        tree = cgroup.writable_roots()
        for folder in tree.folders.values() if tree else ():
            assert not list(folder.glob(f"ionian-{worker.pid}-*"))

    world.count = 76
    command = [sys.executable, __file__, str(world.folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": ":".join(sys.path)}
    ) as worker:
        said = worker.stdout
        assert said is not None
        run(lambda: main(said))


def _be_a_worker(folder: Path) -> None:
    """The worker of the test above: a sandbox with several processes, whose host pids it prints."""

    async def main() -> None:
        world = World.__new__(World)
        world.folder, world.layer, world.count = folder, folder / "layer", 76
        out = os.pipe()
        argv = ["--", "sh", "-c", "sleep 1000 & sleep 1000 & echo up; wait"]
        box = await start(world.spec(argv, stdout=out[1]))
        box.go()
        os.read(out[0], 10)
        print(*_below(box), flush=True)
        await asyncio.sleep(1000)

    asyncio.run(main())


def test_a_worker_killed_while_it_starts_sandboxes_leaves_no_process(world: World):
    for sandboxes in (1, 2, 4):
        alive = os.pipe()
        command = [sys.executable, __file__, str(world.folder), str(alive[1])]
        env = os.environ | {"PYTHONPATH": ":".join(sys.path)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, pass_fds=[alive[1]]) as worker:
            os.close(alive[1])
            assert worker.stdout is not None
            for _ in range(sandboxes):
                assert worker.stdout.readline() == b"starting\n"
            worker.kill()
        assert select.select([alive[0]], [], [], 20)[0]
        assert os.read(alive[0], 1) == b""  # nobody holds the other end
        os.close(alive[0])
    run(lambda: sweep(world.folder / "scratch"))
    assert list((world.folder / "scratch").iterdir()) == []


def _start_sandboxes(folder: Path, alive: int) -> None:
    """The worker of the test above."""

    async def main() -> None:
        world = World.__new__(World)
        world.folder, world.layer, world.count = folder, folder / "layer", os.getpid() * 100
        while True:
            print("starting", flush=True)
            await start(world.spec(["--", "sleep", "1000"], pass_fds={9: alive}))

    asyncio.run(main())


def _below(box: Sandbox) -> list[int]:
    found = [box.pid]
    for pid in found:
        found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return found


def test_what_is_removed_is_gone_whatever_its_owner_and_mode(world: World):
    async def main() -> None:
        script = "mkdir -p a/b; touch a/b/c; chown -R 33:33 a || true; chmod 000 a/b a; mkdir /tmp/x; chmod 0 /tmp/x"
        async with world.sandbox(["sh", "-c", script], python="", as_build=True) as box:
            box.go()
            assert await box.wait() == Exit(0)
            scratch = box.spec.scratch
        assert not scratch.exists()

    run(main)


# --- builds -------------------------------------------------------------------------------------------------------


def test_a_build_changes_owners_and_files_as_root_does(world: World):
    script = """
        set -e
        touch f; chown 33:33 f; chmod 4755 f; mkdir -m 700 d; chown -R games:games d; touch d/x
        install -o www-data -g www-data f g
        /usr/sbin/chroot / true
        cd /tmp && tar -cf a.tar -C /root f && tar -xpf a.tar --same-owner
    """
    passwd = world.layer / "etc/passwd"
    passwd.write_text("root:x:0:0::/root:/bin/sh\ngames:x:5:60::/:/bin/sh\nwww-data:x:33:33::/:/bin/sh\n")
    (world.layer / "etc/group").write_text("root:x:0:\ngames:x:60:\nwww-data:x:33:\n")
    exit_, said = run(lambda: world.run(["sh", "-c", script], python="", as_build=True))
    assert exit_ == Exit(0), said


@pytest.mark.skipif(IdMap.current().count == 1, reason="one id only: owners can't be real")
def test_owners_in_a_build_are_real_where_there_is_a_range(world: World):
    async def main() -> None:
        async with world.sandbox(["chown", "33:34", "/root"], python="", as_build=True) as box:
            box.go()
            assert await box.wait() == Exit(0)
            info = (box.spec.scratch / "upper/root").stat()
            ids = IdMap.current()
            assert (info.st_uid, info.st_gid) == (ids.uid(33), ids.gid(34))

    run(main)


def test_a_build_is_refused_what_a_container_is(world: World):
    said = run(lambda: world.python(DANGEROUS, as_build=True))
    assert said.pop("chroot") == "allowed"
    assert {said.pop("clone3"), said.pop("future call")} == {"ENOSYS"}
    assert set(said.values()) == {"EPERM"}, said


def test_folders_that_bubblewrap_makes_are_open_to_all(world: World):
    async def main() -> None:
        here = world.folder / "some"
        here.mkdir()
        argv = ["stat", "-c", "%a", "/sys", "/deep", "/deep/down", "/dev", "/tmp", "/"]
        _, said = await world.run(argv, python="", binds=[Bind(here, "/deep/down/some")])
        assert said.split() == ["755", "755", "755", "755", "1777", "755"]

    run(main)


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_source_that_is_missing_is_named(world: World):
    with pytest.raises(SandboxError, match="/nowhere/at-all is to be shown in the sandbox, but No such file"):
        run(lambda: world.run(["--", "true"], binds=[Bind(Path("/nowhere/at-all"), "/x")]))


def test_an_image_without_the_python_asked_for_says_so(world: World):
    with pytest.raises(SandboxError, match=r"did not start: bwrap: execvp /usr/bin/python9: No such file"):
        run(lambda: world.run(["--", "true"], python="/usr/bin/python9"))


def test_what_failed_to_start_leaves_nothing_running(world: World):
    async def main() -> None:
        with pytest.raises(SandboxError):
            await start(world.spec(["--", "true"], python="/usr/bin/python9"))
        tree = cgroup.own_tree()
        assert not tree or list(tree.folders["memory"].glob("*/")) == []
        await remove_folders([world.folder / "scratch"], IdMap.current())

    run(main)


def test_a_start_that_is_cancelled_leaves_nothing_running(world: World):
    async def main() -> None:
        for turns in (0, 1, 2, 3, 5, 8, 13, 21):
            alive = os.pipe()
            starting = asyncio.create_task(start(world.spec(["--", "sleep", "1000"], pass_fds={9: alive[1]})))
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            os.close(alive[1])
            assert await asyncio.to_thread(os.read, alive[0], 1) == b""  # nobody holds the other end
            os.close(alive[0])

    run(main)


def test_sandboxes_that_start_together_keep_their_things_apart(world: World):
    async def one(number: int) -> tuple[Exit, str]:
        out = world.folder / f"together-{number}"
        with out.open("wb") as file:
            argv = ["--", "sh", "-c", f"echo {number} > /root/x; cat /root/x; exit {number}"]
            async with world.sandbox(argv, stdout=file.fileno()) as box:
                box.go()
                exit_ = await box.wait()
        return exit_, out.read_text()

    async def main() -> list[tuple[Exit, str]]:
        return await asyncio.gather(*map(one, range(12)))

    assert run(main) == [(Exit(n), f"{n}\n") for n in range(12)]


def test_many_layers_with_long_names_start(world: World):
    async def main() -> None:
        layers: list[Path] = []
        for number in range(24):
            layer = world.folder / ("a-long-name-for-a-layer-" * 4 + str(number))
            (layer / "root").mkdir(parents=True)
            (layer / "root/top").write_text(str(number))
            layers.append(layer)
            if AS_ROOT:
                for path in (layer, layer / "root", layer / "root/top"):
                    os.chown(path, IdMap.current().host_uid, IdMap.current().host_gid)
        spec = world.spec(["sh", "-c", "exit $(cat /root/top)"], python="")
        spec.layers += layers
        box = await start(spec)
        box.go()
        assert await box.wait() == Exit(23)  # the last is on top
        await box.remove()

    run(main)


# --- a second program in a sandbox --------------------------------------------------------------------------------


async def entered(box: Sandbox, script: str, *, pty: bool = False) -> tuple[int | None, str]:
    """Runs a script in a sandbox that runs; how it ended, and what it wrote to its standard output."""
    env = {"PATH": "/usr/bin:/bin", "WORD": "xyzzy"}
    inside = await box.enter(Program(["/bin/sh", "-c", script], env, "/root", pty=pty, rows=33, columns=111))
    out = b""
    try:
        os.set_blocking(inside.outputs[1], True)
        while piece := await asyncio.to_thread(read_or_end, inside.outputs[1]):
            out += piece
        code, _ = await inside.wait()
    finally:
        inside.close()
    return code, out.decode().replace("\r\n", "\n")


def read_or_end(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""  # a terminal that nobody has open any more


def test_a_second_program_has_no_more_rights_than_the_first(world: World):
    look = "grep -E '^(Uid|Gid|Cap|NoNewPrivs|Seccomp:)' /proc/self/status; for n in user mnt pid ipc uts cgroup net; "
    look += "do readlink /proc/self/ns/$n; done; unshare -U true 2>/dev/null || echo refused; ulimit -c"

    async def main() -> None:
        first, theirs = os.pipe()
        async with world.sandbox(["--", "sh", "-c", f"{look}; exec sleep 100"], stdout=theirs) as box:
            os.close(theirs)
            box.go()
            said = b""
            while said.count(b"\n") < 18:
                said += await asyncio.to_thread(os.read, first, 65536)
            os.close(first)
            assert await entered(box, look) == (0, said.decode())

    run(main)


def test_a_second_program_has_a_terminal_of_the_sandbox(world: World):
    async def main() -> None:
        async with world.sandbox(["--", "sleep", "100"]) as box:
            box.go()
            said = await entered(box, "tty; stty size; pwd; echo $WORD; exit 7", pty=True)
            assert said == (7, "/dev/pts/0\n33 111\n/root\nxyzzy\n")

    run(main)


def test_what_runs_in_a_sandbox_can_not_look_into_who_attends_to_the_second_program(world: World):
    """It has the same user, is in the same namespaces, and was a process of this machine a moment ago."""
    look = "for p in /proc/[0-9]*; do cat $p/environ $p/maps >/dev/null 2>&1 && ls $p/fd >/dev/null 2>&1 || echo $p; done"

    async def main() -> None:
        async with world.sandbox(["--", "sleep", "100"]) as box:
            box.go()
            code, closed = await entered(box, look)
            assert code == 0
            assert len(closed.split()) == 1, (
                closed
            )  # the attendant; init and sleep are open to their own user

    run(main)


def test_what_a_second_program_leaves_behind_ends_with_it(world: World):
    async def main() -> None:
        async with world.sandbox(["--", "sleep", "100"]) as box:
            box.go()
            code, _ = await entered(box, "(setsid sleep 4321 >/dev/null 2>&1 &); exit 0")
            assert code == 0
            _, there = await entered(box, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
            assert "sleep 4321" not in there
            assert "sleep 100" in there

    run(main)


def test_a_second_program_ends_with_its_sandbox_and_none_starts_after_it(world: World):
    async def main() -> None:
        async with world.sandbox(["--", "sleep", "100"]) as box:
            box.go()
            inside = await box.enter(Program(["sleep", "100"], {"PATH": "/usr/bin:/bin"}))
            box.kill()
            assert (await inside.wait())[0] is None
            inside.close()
            await box.wait()
            with pytest.raises(SandboxError, match="has ended"):
                await box.enter(Program(["true"], {"PATH": "/usr/bin:/bin"}))

    run(main)


# --- as a plain user ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not AS_ROOT, reason="already a plain user")
def test_all_of_this_passes_as_a_plain_user(tmp_path_factory: pytest.TempPathFactory):
    if not shutil.which("setpriv"):
        pytest.skip("setpriv of util-linux is not here")
    home = Path("/tmp") / f"ionian-plain-{os.getpid()}"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    root = Path(__file__).parents[2]
    packages = [p for p in sys.path if p.endswith("site-packages")]
    env = {"HOME": str(home), "TMPDIR": str(home), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    env["PYTHONPATH"] = ":".join([str(root / "src"), *packages])
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    become += [
        "sh",
        "-c",
        'exec "$@"',
        "sh",
    ]  # what setpriv itself executes is still looked up with root's rights
    try:
        python = _python_for(become, env)
        command = [
            *become,
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--basetemp={home}/t",
            __file__,
        ]
        done = subprocess.run(
            command, cwd=root, env=env, capture_output=True, text=True, timeout=110, check=False
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    finally:
        shutil.rmtree(home)


def _python_for(become: list[str], env: dict[str, str]) -> str:
    for python in (sys.executable, PYTHON):
        done = subprocess.run(
            [*become, python, "-c", "import pytest, ionian.worker.sandbox"],
            env=env,
            cwd="/",
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return python
    pytest.skip("a plain user can run no Python that has pytest and this tree here")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        _start_sandboxes(Path(sys.argv[1]), int(sys.argv[2]))
    _be_a_worker(Path(sys.argv[1]))
