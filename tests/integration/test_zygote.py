"""Templates and what is forked from them: real sandboxes, as whoever runs the tests (tests/plain_user: as a plain user)."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ionian
from ionian.worker.sandbox import (
    Bind,
    Exit,
    ForkError,
    ForkSpec,
    IdMap,
    Limits,
    Program,
    Sandbox,
    SandboxSpec,
    Spawner,
    Zygote,
    cgroup,
    start,
    start_zygote,
    sweep,
    warden_link,
)
from ionian.worker.sandbox.cgroup import parent_of

pytestmark = pytest.mark.container
PYTHON = "/usr/bin/python3"
TALK = 100
"""The descriptor by which a fork is told what to do, and says what came out."""

TEMPLATE = """
import json, os, socket, sys
from ionian.container import fork

def main():
    forks = fork.Forks()
    forks.guard()
    {at_import}
    if not forks.wait(lambda: None):
        os._exit(0)
    talk = socket.socket(fileno=100)
    while True:
        asked = talk.recv(1 << 16)
        if not asked:
            os._exit(0)
        said = {{}}
        try:
            exec(asked.decode(), said)
        except BaseException as error:
            said = {{"out": repr(error)}}
        talk.send(json.dumps(said.get("out")).encode())
"""


class Fork:
    """A fork that runs the Python code that it is told."""

    def __init__(self, box: Sandbox, talk: socket.socket) -> None:
        self.box = box
        self._talk = talk

    async def python(self, code: str) -> Any:
        """Runs `code`; what it calls `out`."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._talk, textwrap.dedent(code).encode())
        answer = await loop.sock_recv(self._talk, 1 << 16)
        return json.loads(answer) if answer else None

    async def tell(self, code: str) -> None:
        await asyncio.get_running_loop().sock_sendall(self._talk, textwrap.dedent(code).encode())

    async def remove(self) -> None:
        self._talk.close()
        await self.box.remove()


class Nursery:
    """A template, and its forks by name."""

    def __init__(self, folder: Path, zygote: Zygote) -> None:
        self.folder = folder
        self.zygote = zygote
        self.count = 0
        self.forks: list[Fork] = []

    async def fork(
        self, *, timeout_s: float = 60.0, more_fds: dict[int, int] | None = None, **more: Any
    ) -> Fork:
        self.count += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        more = {
            "pass_fds": {TALK: theirs.fileno(), **(more_fds or {})},
            "hostname": f"fork-{self.count}",
        } | more
        spec = ForkSpec(self.zygote.spec.scratch.parent / f"fork-{self.count}", **more)
        with theirs:
            try:
                box = await self.zygote.fork(spec, timeout_s)
            except BaseException:
                ours.close()
                raise
        box.go()
        self.forks.append(Fork(box, ours))
        return self.forks[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    layer = tmp_path / "layer"
    for name in ("usr", "etc", "root", "tmp"):
        (layer / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        if Path("/", name).is_symlink():
            (layer / name).symlink_to(f"usr/{name}")
    if os.geteuid() == 0:
        ids = IdMap.current()
        for path in (layer, *layer.iterdir()):
            os.chown(path, ids.host_uid, ids.host_gid, follow_symlinks=False)
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def spec_of(folder: Path, at_import: str, **more: Any) -> SandboxSpec:
    """The spec of a template that runs `at_import` as a user's module would be imported."""
    code = folder / "code"
    code.mkdir(exist_ok=True)
    body = textwrap.indent(textwrap.dedent(at_import), "    ").strip()
    (code / "tiny.py").write_text(TEMPLATE.format(at_import=body or "pass"))
    binds = [Bind(Path("/usr"), "/usr"), Bind(Path(ionian.__file__).parents[1], "/ring"), Bind(code, "/code")]
    more = {"env": {"PATH": "/usr/bin:/bin"}, "workdir": "/root", "stderr": 2} | more
    return SandboxSpec(
        [folder / "layer"],
        folder / "scratch" / "template",
        ["-m", "tiny"],
        python=PYTHON,
        python_path=["/ring", "/code"],
        binds=[*binds, *more.pop("binds", [])],
        **more,
    )


@asynccontextmanager
async def nursery(folder: Path, at_import: str = "", **more: Any) -> AsyncGenerator[Nursery]:
    zygote = await start_zygote(spec_of(folder, at_import, **more))
    zygote.go()
    made = Nursery(folder, zygote)
    try:
        yield made
    finally:
        await asyncio.gather(*(fork.remove() for fork in made.forks))
        await zygote.remove()


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    async def closing() -> Any:
        try:
            return await main()
        finally:
            Spawner.of_this_loop().close()

    return asyncio.run(closing())


# --- a fork is a container ----------------------------------------------------------------------------------------


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


# --- what user code may do, in a template and in its forks --------------------------------------------------------

TRY = """
def attempt():
    import ctypes, errno, os, platform
    libc = ctypes.CDLL(None, use_errno=True)
    x86 = platform.machine() == "x86_64"
    said = {}
    def call(name, *arguments):
        done = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
        said[name] = errno.errorcode[ctypes.get_errno()] if done < 0 else "allowed"
    for flag in (0, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x3e020000, 0x7e020000):
        call("unshare %x" % flag, 272 if x86 else 97, flag)
        if flag:
            call("clone %x" % flag, 56 if x86 else 220, flag | 17, 0, 0, 0, 0)
    call("mount", 165 if x86 else 40, b"none", b"/root", b"tmpfs", 0, None)
    call("umount", 166 if x86 else 39, b"/tmp", 2)
    call("open_tree", 428, -100, b"/", 1)
    call("fsopen", 430, b"tmpfs", 0)
    call("pivot_root", 155 if x86 else 41, b"/", b"/")
    for kind in ("mnt", "pid", "user"):
        with open("/proc/1/ns/" + kind) if os.access("/proc/1/ns/" + kind, os.R_OK) else open("/dev/null") as file:
            call("setns " + kind, 308 if x86 else 268, file.fileno(), 0)
    call("sethostname", 170 if x86 else 161, b"x", 1)
    call("keyctl", 250 if x86 else 219, 0, -3, 1)
    return said

def rights(pid="self"):
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Threads")
    lines = [line.split(":") for line in open(f"/proc/{pid}/status")]
    return {name: value.strip() for name, value in lines if name in names} if len(lines) else {}
"""
NONE = {
    **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16),
    "NoNewPrivs": "1",
    "Seccomp": "2",
    "Threads": "1",
}


def test_neither_a_template_nor_its_forks_can_do_what_a_container_can_not(folder: Path):
    at_import = "import trying, json\njson.dump([trying.attempt(), trying.rights()], open('/root/said', 'w'))"
    (folder / "code").mkdir()
    (folder / "code/trying.py").write_text(TRY)

    async def main() -> None:
        async with nursery(folder, at_import) as made:
            fork = await made.fork()
            tried, has = await fork.python("import json; out = json.load(open('/root/said'))")
            assert set(tried.values()) == {"EPERM"}, tried
            assert has == {**NONE, "Seccomp_filters": "2"}
            tried, has, of_init = await fork.python(
                "import trying; out = [trying.attempt(), trying.rights(), trying.rights(1)]"
            )
            assert set(tried.values()) == {"EPERM"}, tried
            assert has == of_init == {**NONE, "Seccomp_filters": "3"}

    run(main)


def test_a_template_can_not_trace_its_init(folder: Path):
    at_import = """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        done = libc.ptrace(16, 1, 0, 0)  # PTRACE_ATTACH
        try:
            seen = len(os.listdir("/proc/1/fd"))
        except OSError as error:
            seen = error.errno
        json.dump([done, ctypes.get_errno(), seen], open("/root/said", "w"))
    """

    async def main() -> None:
        async with nursery(folder, at_import) as made:
            fork = await made.fork()
            done, error, seen = await fork.python("import json; out = json.load(open('/root/said'))")
            assert (done, error) == (-1, errno.EPERM)
            assert seen in (errno.EPERM, errno.EACCES)

    run(main)


def test_no_kernel_setting_opens_for_writing_in_a_fork(folder: Path):
    code = """
        import os
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
        out = [opened, tried > 500]
    """

    async def main() -> None:
        async with nursery(folder) as made:
            assert await (await made.fork()).python(code) == [[], True]

    run(main)


# What stands in these replaces our own code in the template, as user code can.
TAMPERED = {
    "keeps its capabilities": (
        "fork._give_up_rights = lambda filter_: None",
        "it did not give up its capabilities",
    ),
    "puts on no filter": (
        "fork._libc.prctl.__class__; real = fork._libc\n"
        "class Libc:\n"
        "    def __getattr__(self, name): return getattr(real, name)\n"
        "    def prctl(self, option, *more): return 0 if option == 22 else real.prctl(option, *more)\n"
        "fork._libc = Libc()",
        "it did not put on the filter of a container",
    ),
    "starts a thread": (
        "import threading, time; give_up = fork._give_up_rights\n"
        "def more(filter_): give_up(filter_); threading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n"
        "fork._give_up_rights = more",
        "it has more threads than one",
    ),
    "starts a process": (
        "import time; give_up = fork._give_up_rights\n"
        "def more(filter_):\n"
        "    if os.fork() == 0: time.sleep(1000)\n"
        "    give_up(filter_)\n"
        "fork._give_up_rights = more",
        "it has more processes than one",
    ),
    "starts a process before": (
        "import time; unshare = fork._unshare\n"
        "def more(warden, flags):\n"
        "    unshare(warden, flags)\n"
        "    if os.fork() == 0: time.sleep(1000)\n"
        "fork._unshare = more",
        "it has more processes than one",
    ),
    "unshares once more": (
        "real = fork._libc\n"
        "class Libc:\n"
        "    def __getattr__(self, name): return getattr(real, name)\n"
        "    def unshare(self, flags): real.unshare(flags); return real.unshare(0x10000000)\n"
        "fork._libc = Libc()",
        "its namespaces: Operation not permitted",
    ),
    "unshares too little": (
        "unshare = fork._unshare; fork._unshare = lambda warden, flags: unshare(warden, 0x10000000)",
        "its namespaces: Operation not permitted",
    ),
    "is another's child": (
        "unshare = fork._unshare\n"
        "def between(warden, flags):\n"
        "    if os.fork(): os._exit(0)\n"
        "    unshare(warden, flags)\n"
        "fork._unshare = between",
        "it was not made by the template",
    ),
    "is not its first process": (
        "import time; unshare = fork._unshare\n"
        "def second(warden, flags):\n"
        "    real = fork._libc.fork\n"
        "    class Libc:\n"
        "        def __getattr__(self, name): return getattr(fork_libc, name)\n"
        "        def fork(self):\n"
        "            if real() == 0: time.sleep(1000)\n"
        "            return real()\n"
        "    fork_libc, fork._libc = fork._libc, Libc()\n"
        "    unshare(warden, flags)\n"
        "fork._unshare = second",
        "its first process is another than the one that was made for it",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_fork_that_was_tampered_with_is_refused_and_nothing_of_it_is_left(folder: Path, what: str):
    code, why = TAMPERED[what]

    async def main() -> None:
        async with nursery(folder, code) as made:
            alive = os.pipe()
            with pytest.raises(ForkError, match=why):
                await made.fork(more_fds={9: alive[1]})
            os.close(alive[1])
            # Nobody holds the other end any more: all that could have got it has ended.
            assert await asyncio.to_thread(os.read, alive[0], 1) == b""
            os.close(alive[0])
            await all_but_the_template_have_ended(made.zygote)

    run(main)


async def all_but_the_template_have_ended(zygote: Zygote) -> None:
    """The template, and the fork that is begun ahead, are all that its init has below it."""
    while True:
        [template, *others] = below(zygote.pid)[1:] or [0]
        if all(parent_of(pid) == template for pid in others):
            return
        await asyncio.sleep(0.01)


def below(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        try:
            found += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
        except FileNotFoundError:
            pass  # it has ended meanwhile
    return found


def test_a_fork_that_hangs_is_given_up_in_time(folder: Path):
    hang = (
        "import time; give_up = fork._give_up_rights; fork._give_up_rights = lambda filter_: time.sleep(1000)"
    )

    async def main() -> None:
        async with nursery(folder, hang) as made:
            alive = os.pipe()
            with pytest.raises(ForkError, match=r"the template did not fork within 0.5 s"):
                await made.fork(timeout_s=0.5, more_fds={9: alive[1]})
            os.close(alive[1])
            assert await asyncio.to_thread(os.read, alive[0], 1) == b""
            os.close(alive[0])
            await all_but_the_template_have_ended(made.zygote)
            assert made.zygote.forks == 0

    run(main)


def test_what_a_tampered_template_hides_after_unshare_is_ended_too(folder: Path):
    hide = """
        import time
        def silent(warden, flags):
            warden.send(b"A")
            fork._libc.unshare(flags)
            if fork._libc.fork():
                os._exit(0)
            warden.close()
            time.sleep(1000)  # with every capability in a namespace of its own
        fork._unshare = silent
    """

    async def main() -> None:
        async with nursery(folder, hide) as made:
            with pytest.raises(ForkError, match="its process ended before it was complete"):
                await made.fork()
            await all_but_the_template_have_ended(made.zygote)

    run(main)


def test_a_template_that_floods_its_warden_is_not_served_any_more(folder: Path):
    flood = """
        if os.fork() == 0:
            import ctypes
            while ctypes.CDLL(None, use_errno=True).unshare(0x10000000) and ctypes.get_errno() == 1:
                pass
            json.dump(ctypes.get_errno(), open("/root/said", "w"))
            os._exit(0)
        os.wait()
    """

    async def main() -> None:
        async with nursery(folder, flood) as made:
            with pytest.raises(ForkError, match="the template calls unshare again and again"):
                await made.fork()
            said = folder / "scratch/template/upper/root/said"
            assert json.loads(said.read_text()) == errno.ENOSYS

    run(main)


# --- deaths -------------------------------------------------------------------------------------------------------


def test_a_template_killed_loses_no_fork(folder: Path):
    async def main() -> None:
        async with nursery(folder) as made:
            first, second = await made.fork(), await made.fork()
            template = below(made.zygote.pid)[1]
            os.kill(template, signal.SIGKILL)
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


if __name__ == "__main__":
    _be_a_worker(Path(sys.argv[1]), int(sys.argv[2]))
