"""The CONDA step: packages of conda in an environment of the image.

rattler, the library of conda's own community, chooses and places them (`conda_solver.py`), outside of the image and without running any
of their code; then the image's own Python compiles what came, in a sandbox. The layer has the whole environment, as links to the files
of the layers below and of the cache: what a package replaced or removed is gone then.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from ionian.protocol.spec import Instruction

from . import overlay
from .records import DEFAULT_PATH, ImageError, Record
from .step import Command, failed, run_outside

if TYPE_CHECKING:
    from .builder import Builder, Draft

PREFIX = "/opt/conda"
"""Where the images of micromamba have theirs."""

ALIAS = "https://conda.anaconda.org/"
COMPILE = (
    f"{PREFIX}/bin/python -m compileall -q -j 0 --invalidation-mode checked-hash {PREFIX}/lib/python*/site-packages "
    ">/dev/null 2>&1 || true"
)
"""Some packages hold files of other Pythons, which don't compile: no import needs these. By content: files of two versions of a package
may have one time and one size."""


async def installed(builder: Builder, below: Record, instruction: Instruction) -> Record:
    """The record after a CONDA."""
    store = builder.store
    async with store.layer(below.key, "conda") as draft:
        if draft is not None:
            draft.make(store.owner)
            await _place(builder, below, instruction, draft)
    env = {
        "PATH": _first(f"{PREFIX}/bin", below.env.get("PATH", DEFAULT_PATH)),
        "CONDA_PREFIX": PREFIX,
        "MAMBA_ROOT_PREFIX": PREFIX,
    }
    ready = builder.on_top(below).but(env=below.env | env)
    compiled = hashlib.sha256(json.dumps([below.key, "compiled"]).encode()).hexdigest()
    async with store.layer(compiled, "conda") as draft:
        if draft is not None:
            command = Command(
                ["/bin/sh", "-c", COMPILE], store.paths(ready), env=builder.env_of(ready, instruction)
            )
            await builder.carry_out(command, draft, 0)
    return await builder.with_python(builder.on_top(ready, compiled[:12]))


async def _place(builder: Builder, below: Record, instruction: Instruction, draft: Draft) -> None:
    store = builder.store
    layers = store.paths(below)
    real, _ = overlay.resolve(layers, PREFIX)
    if real != PREFIX:
        raise ImageError(
            f"{builder.news.text}: {PREFIX} is a link to {real} in this image, and can hold no environment"
        )
    prefix = overlay.make_folders(draft.folder, PREFIX, store.owner, layers)
    await asyncio.to_thread(_merge, layers, prefix)
    code, tail = await _solve(builder, below, instruction, prefix)
    if code:
        raise failed(builder.news.text, code, tail)
    overlay.make_opaque(prefix)  # all of it is here
    await asyncio.to_thread(_own, builder, prefix)


def _merge(layers: list[Path], prefix: Path) -> None:
    """The environment that the layers have, to be changed: files are links, but for the notes about packages."""
    place = PREFIX.strip("/")
    above: list[Path] = []
    for layer in reversed(layers):
        if overlay.lstat([layer], place) is not None:
            above.insert(0, layer / place)
        parents = [layer / place, (layer / place).parent]
        if any(os.path.lexists(each) and (not each.is_dir() or overlay.is_opaque(each)) for each in parents):
            break  # it hides what is below
    overlay.merge(above, prefix)
    for note in prefix.glob("conda-meta/*"):
        content = note.read_bytes()
        note.unlink()
        note.write_bytes(content)


async def _solve(
    builder: Builder, below: Record, instruction: Instruction, prefix: Path
) -> tuple[int, list[str]]:
    given = builder.secrets | instruction.env
    words, specs, channels = iter(instruction.args), list[str](), list[str]()
    for word in words:
        if word == "--channel":
            channels.append(Template(next(words)).safe_substitute(given))
        else:
            specs.append(word)
    task = {
        "prefix": str(prefix),
        "inside": PREFIX,
        "cache": str(builder.cache / "conda"),
        "specs": specs,
        "channels": channels,
        "alias": os.environ.get("CONDA_CHANNEL_ALIAS") or ALIAS,
        "glibc": below.python.manylinux.replace("_", ".") if below.python else "",
        "with_gpu": bool(instruction.resources and instruction.resources.gpus),
        "secrets": [value for value in builder.secrets.values() if value],
    }
    environment = os.environ | builder.host.proxies
    if builder.host.ca:
        environment.setdefault("SSL_CERT_FILE", builder.host.ca)
    solver = [sys.executable, "-m", "ionian.worker.images.conda_solver"]
    return await run_outside(solver, environment, builder.news.log, given=json.dumps(task).encode())


def _own(builder: Builder, prefix: Path) -> None:
    """What was placed belongs to the image's root, and may be read by all. Files of layers below stay as they are."""
    (prefix / "CACHEDIR.TAG").unlink(missing_ok=True)
    for note in prefix.glob("conda-meta/*"):
        note.chmod(0o644)
    owner, ours = builder.store.owner, os.geteuid()
    if not owner.active:
        return
    for folder, names, files in os.walk(prefix):
        for name in (*names, *files):
            path = os.path.join(folder, name)
            if os.lstat(path).st_uid == ours:
                owner.take(path)


def _first(name: str, path: str) -> str:
    return ":".join([name, *(each for each in path.split(":") if each != name)])
