"""The SYNC step: what a project's uv.lock names, in a virtual environment of its own, before all else on the PATH.

Three parts. A sandbox makes the environment, by the image's own Python. Where the lock is missing or may change, uv
resolves in a sandbox, for that may run what packages and the project say of their build. Then the worker's uv reads the
lock, which runs no code, and places what it names as any PIP step does.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomllib

from ionian.protocol import uv_words
from ionian.protocol.spec import Instruction

from ..sandbox import Bind
from . import overlay
from .records import DEFAULT_PATH, ImageError, Record
from .sources import UV_INSIDE, Sources
from .step import INSIDE, Command, failed, ran

if TYPE_CHECKING:
    from .builder import Builder

ROOT = "/.uv"
"""Where Modal keeps the project and its environment, too."""

MAKE = f"import venv; venv.EnvBuilder(clear=True, symlinks=True).create('{ROOT}/.venv')"

RESOLVE = """
import shutil, subprocess, sys
shutil.copytree(sys.argv[1], "/tmp/project")
raise SystemExit(subprocess.run(sys.argv[2:], cwd="/tmp/project").returncode)
"""

INDEXES = ("index", "index-url", "extra-index-url", "find-links", "no-index")
"""What of [tool.uv] says where packages come from."""

MOST = 64 << 20
"""A larger lock is none."""


async def synced(builder: Builder, below: Record, instruction: Instruction) -> Record:
    """The record after a SYNC."""
    store = builder.store
    ready = await _environment(builder, below, instruction)
    async with store.layer(below.key, "packages") as draft:
        if draft is not None:
            draft.make(store.owner)
            project, context = draft.scratch / "project", draft.scratch / "context"
            await store.files.place(instruction.files, "/", project, ())
            sources = await builder.sources(instruction, "uv_sync")
            if uv_words.FROZEN not in instruction.args:
                await _resolve(builder, sources, ready, instruction, project, draft.scratch / "resolving")
            context.mkdir()
            named = await _export(builder, sources, instruction, project, context)
            args = [
                *uv_words.only(instruction.args, uv_words.INDEX, uv_words.PLACE),
                *("--no-deps", "--requirement", named),
            ]
            await builder.place(sources, ready, instruction, args, context, draft)
            into = overlay.make_folders(draft.folder, ROOT, store.owner, store.paths(ready))
            for name in ("pyproject.toml", "uv.lock"):
                shutil.copyfile(project / name, into / name)
                (into / name).chmod(0o644)
                store.owner.take(into / name)
    return builder.on_top(ready, below.key[:12])


async def _environment(builder: Builder, below: Record, instruction: Instruction) -> Record:
    """The image with a new environment: a layer that what is installed later does not change."""
    python = builder.python_of(below)
    made = hashlib.sha256(json.dumps(["environment", below.layers, python.path]).encode()).hexdigest()
    async with builder.store.layer(made, "environment") as draft:
        if draft is not None:
            command = Command(
                [python.path, "-I", "-c", MAKE],
                builder.store.paths(below),
                env=builder.env_of(below, Instruction("SYNC")),
            )
            await builder.carry_out(command, draft, 0)
    path = f"{ROOT}/.venv/bin:{below.env.get('PATH', DEFAULT_PATH)}"
    ready = below.but(layers=[*below.layers, made[:12]], env=below.env | {"PATH": path})
    ready = await builder.with_python(ready)
    if ready.python is None or not ready.python.path.startswith(ROOT):
        raise ImageError(f"{builder.news.text}: the image's Python makes no virtual environment that runs")
    return ready


async def _resolve(
    builder: Builder, sources: Sources, ready: Record, instruction: Instruction, project: Path, scratch: Path
) -> None:
    """Makes the project's uv.lock, or brings it up to date, in a sandbox."""
    python = builder.python_of(ready)
    if not python.manylinux:
        raise ImageError(
            f"{builder.news.text}: this image's C library is musl, where uv can't resolve here; run `uv lock` beside "
            "the project's pyproject.toml, and leave frozen=True"
        )
    host = builder.host
    options = uv_words.only(instruction.args, uv_words.INDEX, uv_words.LOCK)
    if not _names_indexes(project, instruction.args):
        options += _of_lock(host.pip.as_uv_options(options, host.uv_env))
    context = f"{INSIDE}-project"
    command = Command(
        argv=[
            *(python.path, "-I", "-c", RESOLVE, context),
            *(UV_INSIDE, "lock", "--no-progress", "--color", "never", "--python", python.path),
            *("--cache-dir", "/tmp/cache", *sources.uv.filled_in(options)),
        ],
        layers=builder.store.paths(ready),
        env=builder.env_of(ready, instruction) | host.uv_env | {"UV_PYTHON_DOWNLOADS": "never"},
        binds=[Bind(sources.program(), UV_INSIDE), Bind(project, context)],
        host=host,
    )
    builder.news.log("resolving, in a sandbox")
    async with ran(command, scratch, builder.news.log) as outcome:
        if outcome.code:
            raise failed(builder.news.text, outcome.code, outcome.tail)
        await asyncio.to_thread(_take, outcome.tmp / "project" / "uv.lock", project / "uv.lock")


def _of_lock(options: Sequence[str]) -> list[str]:
    """This machine's options, less the constraints of pip, which `uv lock` doesn't take."""
    out: list[str] = []
    words = iter(options)
    for word in words:
        if word == "--constraint":
            next(words, "")
        else:
            out.append(word)
    return out


def _take(lock: Path, place: Path) -> None:
    """Takes the lock that a sandbox wrote: a file of its own, and nothing that a link leads to."""
    try:
        opened = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ImageError(f"uv_sync: uv wrote no uv.lock: {error.strerror}") from None
    with open(opened, "rb") as file:
        data = file.read(MOST + 1)
    try:
        if len(data) > MOST:
            raise ValueError(f"expected at most {MOST >> 20} MiB")
        tomllib.loads(data.decode())
    except ValueError as error:
        raise ImageError(f"uv_sync: what was made is no uv.lock: {error}") from None
    draft = place.with_name("uv.lock.new")
    draft.write_bytes(data)
    draft.replace(place)  # the file there may be a link to what other images have


async def _export(
    builder: Builder, sources: Sources, instruction: Instruction, project: Path, context: Path
) -> str:
    """Writes what the lock names for this image into `context`. Returns the name of the file.

    A project that names an index of its own has each file from where the lock has it; any other from the
    indexes of this machine, compared with the digests of the lock.
    """
    own = _names_indexes(project, instruction.args)
    name = "pylock.toml" if own else "requirements.txt"
    args = uv_words.exported(uv_words.only(instruction.args, uv_words.CHOOSE))
    code, tail = await sources.uv.run(
        [
            *("export", "--quiet", "--frozen", "--no-emit-workspace", "--format", name),
            *("--cache-dir", str(sources.uv.cache), "--output-file", str(context / name)),
            *args,
        ],
        project,
        lambda line: None,
    )
    if code:
        raise failed(f"{builder.news.text}: reading uv.lock", code, tail)
    return name


def _names_indexes(project: Path, args: Sequence[str]) -> bool:
    if uv_words.only(args, uv_words.INDEX):
        return True
    try:
        content: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text())
    except ValueError as error:
        raise ImageError(f"uv_sync: pyproject.toml can't be read: {error}") from None
    tool: Any = content.get("tool")
    uv: Any = tool.get("uv") if isinstance(tool, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return isinstance(uv, dict) and any(name in uv for name in INDEXES)
