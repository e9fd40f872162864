"""One command of a build: run in a sandbox over the layers below it, its output passed on line by line.

A step may see what this machine's settings say about packages and network, but none of that stays in its layer.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..sandbox import Bind, Limits, Sandbox, SandboxError, SandboxSpec, start
from ..sandbox.pipes import read_some
from . import overlay
from .host import CA_VARIABLES, HostSettings
from .records import ImageError
from .spent import metered

INSIDE = "/run/ionian-build"
"""Where a step finds the settings of this machine: gone when it ends."""

TAIL_LINES = 25
MAX_LINE = 4096
KERNELS = ("proc", "dev", "sys")
"""Folders that are never part of a layer: the kernel's own files are mounted there."""
MOUNT_POINTS = ("tmp", "run", "etc/resolv.conf", "etc/hosts")
"""What else a sandbox may have to make in its upper folder to mount something there."""

DISK_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)


@dataclass
class Command:
    """What to run, and over what."""

    argv: list[str]
    layers: Sequence[Path]
    env: dict[str, str] = field(default_factory=dict[str, str])
    workdir: str = "/"
    binds: list[Bind] = field(default_factory=list[Bind])
    devices: list[Bind] = field(default_factory=list[Bind])
    host: HostSettings | None = None  # its settings are visible to the command
    limits: Limits = field(default_factory=Limits)


@dataclass
class Outcome:
    """How a command ended."""

    code: int
    tail: list[str]
    upper: Path  # what it wrote, as a layer
    tmp: Path  # what it left in /tmp


def failed(what: str, code: int, tail: Sequence[str]) -> ImageError:
    """The error of a step that failed, with what it said last."""
    lines = "".join(f"\n    {line}" for line in tail)
    full = " (the disk of the worker is full)" if any(map(DISK_FULL.search, tail)) else ""
    return ImageError(f"{what}: ended with exit code {code}{full}{lines or ' and said nothing'}")


@asynccontextmanager
async def ran(command: Command, scratch: Path, log: Callable[[str], None]) -> AsyncGenerator[Outcome]:
    """Runs a command with `scratch` as its folder, which is there until the block ends."""
    env, binds = dict(command.env), list(command.binds)
    if command.host is not None:
        folder = scratch.with_name(f"{scratch.name}-settings")
        more, settings = await asyncio.to_thread(show_settings, command.host, folder)
        env, binds = more | env, binds + settings
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        sandbox = await start(
            SandboxSpec(
                layers=list(command.layers),
                scratch=scratch,
                argv=command.argv,
                env=env,
                workdir=command.workdir,
                binds=binds,
                devices=list(command.devices),
                hostname="build",
                stdout=writing,
                stderr=writing,
                limits=command.limits,
                as_build=True,
            )
        )
    except SandboxError as error:
        os.close(reading)
        raise ImageError(f"a build step could not start: {error}") from None
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    try:
        with metered(sandbox, has_cards=bool(command.devices)):
            code = await _finish(sandbox, reading, log, tail)
        upper = scratch / "upper"
        await asyncio.to_thread(tidy, upper, command.layers, [bind.target for bind in binds])
        yield Outcome(code, list(tail), upper, scratch / "tmp")
    finally:
        await asyncio.shield(sandbox.remove())


async def _finish(sandbox: Sandbox, output: int, log: Callable[[str], None], tail: deque[str]) -> int:
    sandbox.go()
    following = asyncio.ensure_future(follow(output, log, tail))
    try:
        ended = (
            await sandbox.wait()
        )  # all of it: a process left in the background holds the pipe open no longer
        await following
    except BaseException:
        sandbox.kill()
        following.cancel()
        raise
    if ended.oom:
        tail.append("(ended by the kernel: out of memory)")
    return ended.code if ended.code is not None else 128 + (ended.signal or 0)


async def run(command: Command, scratch: Path, log: Callable[[str], None]) -> tuple[int, list[str]]:
    """Runs a command for what it says; nothing that it wrote is kept. Its exit code and last lines."""
    async with ran(command, scratch, log) as outcome:
        return outcome.code, outcome.tail


async def run_outside(
    argv: Sequence[str],
    env: dict[str, str],
    log: Callable[[str], None],
    *,
    cwd: Path | None = None,
    given: bytes = b"",
) -> tuple[int, list[str]]:
    """Runs a program of ours in no sandbox, with `given` as its standard input. Its exit code and last lines."""
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=env,
            stdin=asyncio.subprocess.PIPE if given else asyncio.subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    try:
        if process.stdin is not None:
            process.stdin.write(given)
            process.stdin.close()
        await follow(reading, log, tail)
        return await process.wait(), list(tail)
    except BaseException:
        process.kill()
        await process.wait()
        raise


async def follow(descriptor: int, log: Callable[[str], None], tail: deque[str]) -> None:
    """Reads a pipe to its end, line by line, and closes it.

    Not by a transport: uvloop closes the number of a pipe's file twice, and the second time it may be another's.
    """
    os.set_blocking(descriptor, False)
    rest = b""
    try:
        while data := await read_some(descriptor):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                emit(line, log, tail)
            if len(rest) > MAX_LINE:
                emit(rest, log, tail)
                rest = b""
        emit(rest, log, tail)
    finally:
        os.close(descriptor)


def emit(line: bytes, log: Callable[[str], None], tail: deque[str]) -> None:
    """Passes a line on, without what a progress bar had written before it in the same place."""
    text = line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")[:MAX_LINE].rstrip()
    if text:
        tail.append(text)
        log(text)


def show_settings(host: HostSettings, folder: Path) -> tuple[dict[str, str], list[Bind]]:
    """Writes this machine's settings into `folder` for a step: its variables, and what is bound into it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    env = dict(host.proxies)
    ca = ""
    if host.ca:
        ca = f"{INSIDE}/ca.crt"
        (folder / "ca.crt").write_bytes(Path(host.ca).read_bytes())
        env |= dict.fromkeys(CA_VARIABLES, ca)
    (folder / "pip.conf").write_text(host.pip.as_config(ca))
    env["PIP_CONFIG_FILE"] = f"{INSIDE}/pip.conf"
    apt = host.apt + (f'Acquire::https::CaInfo "{ca}";\n' if ca else "")
    # The sandbox may have a single user id, and apt's own user (_apt) is not it.
    (folder / "apt.conf").write_text(apt + 'APT::Sandbox::User "root";\n')
    env["APT_CONFIG"] = f"{INSIDE}/apt.conf"
    for path in folder.iterdir():
        path.chmod(0o644)
    binds = [Bind(folder, INSIDE)]
    binds += [Bind(path, str(path)) for path in host.pip.local_paths() if path.is_absolute()]
    return env, binds


def tidy(upper: Path, below: Sequence[Path], targets: Sequence[str]) -> None:
    """Removes from a layer what was made only to mount something on it."""
    for name in KERNELS:
        overlay.remove(upper / name)
    for target in [*targets, *MOUNT_POINTS]:
        parts = target.strip("/").split("/")
        for depth in range(len(parts), 0, -1):
            name = "/".join(parts[:depth])
            place = upper / name
            if not _is_empty(place) or _is_change(place, overlay.lstat(below, name)):
                break
            overlay.remove(place)


def _is_empty(place: Path) -> bool:
    if place.is_symlink() or not place.exists():
        return False
    return not any(place.iterdir()) if place.is_dir() else place.stat().st_size == 0


def _is_change(place: Path, under: tuple[os.stat_result, Path] | None) -> bool:
    """Whether an empty file or folder of a layer says anything that the layers below don't."""
    if under is None:
        return False
    ours, theirs = place.lstat(), under[0]
    same = (ours.st_mode, ours.st_uid, ours.st_gid) == (theirs.st_mode, theirs.st_uid, theirs.st_gid)
    return not (same and place.is_dir()) or overlay.is_opaque(place)
