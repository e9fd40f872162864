"""The inner ring for an image's Python: `ionian` and cloudpickle with their .pyc files, to be bound into containers."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import sys
from importlib.util import find_spec
from pathlib import Path

from ionian.protocol.container import RING

from ..sandbox import Bind, IdMap, remove_folders
from .locks import locked
from .overlay import Owner
from .records import BuiltImage, ImageError
from .step import Command, failed, run

OUTER = {"protocol/codec.py"}
"""Files of the inner ring's folders that need a dependency."""

MODAL = "container/modal.py"
"""What a child process of user code gets for `import modal`; the agent has a finder of its own."""

SUPPLIED = ("h11", "wsproto")
"""Packages of pure Python, of which web servers in containers need the protocol alone."""

COMPILE = """
import compileall, py_compile, sys
sys.exit(not compileall.compile_dir(
    sys.argv[1], quiet=1, ddir=sys.argv[2], invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
))
"""


async def inner_ring(root: Path, built: BuiltImage) -> Path:
    """A read-only folder for `built`'s Python, to be bound at RING: made once per content of ours and Python version.

    `root`: the folder of images. Raises ImageError where the image has no Python.
    """
    if not built.python:
        raise ImageError("expected Python in the image: containers of functions need one on the PATH")
    files = ring_files()
    key = ring_key(files, built.python_version)
    place = root / "ring" / key
    if place.is_dir():
        return place
    async with locked(root / "locks" / f"ring-{key}"):
        if place.is_dir():
            return place
        scratch = root / "tmp" / f"ring-{os.getpid()}-{secrets.token_hex(3)}"
        try:
            ids = IdMap.current()
            await asyncio.to_thread(write_ring, files, scratch / "ring", Owner(ids.host_uid, ids.host_gid))
            await _compile(built, scratch)
            place.parent.mkdir(exist_ok=True)
            (scratch / "ring").rename(place)
        finally:
            await asyncio.shield(remove_folders([scratch], IdMap.current()))
    return place


def ring_files() -> dict[str, Path]:
    """The files of the inner ring, by their place in it."""
    ours = Path(sys.modules["ionian"].__file__ or "").parent
    out = {f"ionian/{path.name}": path for path in ours.iterdir() if path.suffix in (".py", ".typed")}
    for folder in ("protocol", "container"):
        for path in (ours / folder).rglob("*.py"):
            name = str(path.relative_to(ours))
            if name not in OUTER:
                out[f"ionian/{name}"] = path
    out["modal/__init__.py"] = ours / MODAL
    spec = find_spec("cloudpickle")
    if spec is None or spec.origin is None:
        raise ImageError("expected cloudpickle beside Ionian on the worker: `pip install cloudpickle` there")
    theirs = Path(spec.origin).parent
    out |= {f"cloudpickle/{path.name}": path for path in theirs.glob("*.py")}
    for package in SUPPLIED:  # what @modal.web_server speaks HTTP with, where the image has none
        found = find_spec(package)
        if found is not None and found.origin is not None:
            folder = Path(found.origin).parent
            out |= {f"supplied/{package}/{path.relative_to(folder)}": path for path in folder.rglob("*.py")}
    return out


def ring_key(files: dict[str, Path], version: str) -> str:
    """The name of a ring."""
    digest = hashlib.sha256(f"{RING} {version}".encode())
    for name, path in sorted(files.items()):
        digest.update(f"\n{name} ".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def write_ring(files: dict[str, Path], folder: Path, owner: Owner) -> None:
    """Writes the sources of a ring."""
    folder.mkdir(parents=True)
    for name, path in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
        place.chmod(0o444)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    owner.take_tree(folder)


async def _compile(built: BuiltImage, scratch: Path) -> None:
    """The .pyc files, by the image's Python. Nothing checks them against their source: both are read-only."""
    command = Command(
        argv=[built.python, "-I", "-c", COMPILE, "/tmp/ring", RING],
        layers=built.layers,
        env=built.env,
        binds=[Bind(scratch / "ring", "/tmp/ring", read_only=False)],
    )
    code, tail = await run(command, scratch / "box", lambda line: None)
    if code:
        raise failed(f"compiling Ionian's own modules with {built.python}", code, tail)
    if not list((scratch / "ring/ionian").glob("__pycache__/*.pyc")):
        raise failed(f"compiling Ionian's own modules with {built.python} made nothing", code, tail)
