"""Templates in sandboxes, and forks that do what a test tells them."""

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
from ionian.worker.sandbox.cgroup import parent_of

PYTHON = "/usr/bin/python3"
TALK = 100
"""The descriptor by which a fork is told what to do, and says what came out."""

TEMPLATE = """
import json, os, socket, sys
from ionian.container import fork

def ahead():
    "What a fork does that is made ahead."

def main():
    global ahead
    forks = fork.Forks()
    forks.guard()
    {at_import}
    if not forks.wait(lambda: None, ahead):
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


def layered(tmp_path: Path) -> Iterator[Path]:
    """A folder with an image, the machine's own /usr, for templates."""
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
