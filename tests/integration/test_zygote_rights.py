"""What user code may do in a template and in its forks, and what becomes of one that meddles with ours."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.nursery import (
    all_but_the_template_have_ended,
    layered,
    nursery,
    run,
)

from ionian.worker.sandbox import (
    ForkError,
)

pytestmark = pytest.mark.container


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield from layered(tmp_path)


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
