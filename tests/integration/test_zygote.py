"""Templates and what is forked from them: real sandboxes, as whoever runs the tests (tests/plain_user: as a plain user)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import textwrap
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import ionian
from ionian.worker.sandbox import (
    Bind,
    ForkSpec,
    IdMap,
    Sandbox,
    SandboxSpec,
    Spawner,
    Zygote,
    start_zygote,
)

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

    async def fork(self, *, timeout_s: float = 60.0, **more: Any) -> Fork:
        self.count += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        more = {"pass_fds": {TALK: theirs.fileno()}, "hostname": f"fork-{self.count}"} | more
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
