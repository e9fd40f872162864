"""The PYTHON step (`add_python=`): a Python that needs nothing of the image but its C library, placed in /usr/local.

The first of these that works: the standalone builds that uv manages, from where this machine's uv has them; then the Python of a
registry's `python:X-slim`, which needs libraries of Debian's in the image. What uv brought is kept, and stays the same here.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import overlay
from .copies import Copier
from .locks import locked
from .packages import Uv
from .records import ImageError, Record
from .registry import RegistryError
from .step import Command, run

if TYPE_CHECKING:
    from .builder import Builder, Draft

INTO = "/usr/local"
TERMINFO = "/etc/terminfo:/lib/terminfo:/usr/share/terminfo:/usr/lib/terminfo"
"""Where a standalone Python's readline finds what the image knows of terminals."""

PROBE = "import ctypes, ssl, zlib, lzma, sqlite3"
"""What a Python of another image may have no libraries for."""

PLACED = ("lib/python*/_sysconfigdata*.py", "lib/python*/_sysconfig_vars*.json", "lib/pkgconfig/*.pc")
PLACED_TOO = ("lib/python*/config-*/Makefile", "bin/python*-config")
"""Files in which uv wrote where it put a Python."""


async def added(builder: Builder, below: Record, version: str) -> Record:
    """The record after PYTHON: that version is first on the PATH."""
    store = builder.store
    async with store.layer(below.key, "python") as draft:
        if draft is not None:
            layers = store.paths(below)
            try:
                tree = await _managed(builder, version, layers)
            except ImageError as error:
                await _of_registry(builder, below, version, draft, str(error))
            else:
                await asyncio.to_thread(_copy, builder, [tree], "/", draft, layers)
    made = builder.on_top(below)
    made = await builder.with_python(made.but(env=made.env | {"TERMINFO_DIRS": TERMINFO}))
    python = made.python
    if python is None or python.version != version or not python.path.startswith(f"{INTO}/"):
        raise ImageError(
            f"add_python={version!r}: it is in {INTO}/bin and doesn't run as this image's Python; another on the "
            "PATH goes before it, or the image's C library is too old"
        )
    return made


def _copy(builder: Builder, tree: Sequence[Path], path: str, draft: Draft, layers: Sequence[Path]) -> None:
    draft.make(builder.store.owner)
    Copier(draft.folder, layers, builder.store.owner).copy(tree, path, INTO)


async def _managed(builder: Builder, version: str, layers: Sequence[Path]) -> Path:
    """The folder of a standalone build. Raises ImageError where this machine gets none."""
    musl = any(
        name.startswith("ld-musl-") for name in overlay.names(layers, overlay.resolve(layers, "/lib")[0])
    )
    wanted = f"cpython-{version}-linux-{platform.machine()}-{'musl' if musl else 'gnu'}"
    kept = builder.store.root / "cache" / "pythons"
    kept.mkdir(parents=True, exist_ok=True)
    home = kept / wanted
    async with locked(kept / f"{wanted}.lock"):
        if not home.is_dir():
            await _fetch(builder, wanted, home)
    return home


async def _fetch(builder: Builder, wanted: str, home: Path) -> None:
    draft = home.with_name(f"{wanted}.{os.getpid()}")
    await asyncio.to_thread(overlay.remove, draft)
    builder.news.log(f"fetching {wanted}")
    uv = Uv(builder.cache / "uv", builder.host, {}, "add_python")  # no variable of the step's has a say
    arguments = ["python", "install", "--no-bin", "--no-cache", "--install-dir", str(draft), wanted]
    try:
        code, tail = await uv.run(arguments, home.parent, lambda line: None, downloads=True)
        trees = [path for path in draft.glob("cpython-*") if path.is_dir() and not path.is_symlink()]
        if code or len(trees) != 1:
            said = tail[-1].strip().removeprefix("cause: ") if tail else f"exit code {code}"
            raise ImageError(f"no standalone build can be had ({said})")
        await asyncio.to_thread(_move, trees[0], home)
    finally:
        await asyncio.to_thread(overlay.remove, draft)


def _move(tree: Path, home: Path) -> None:
    """Makes a build one that lies in /usr/local, and whose pip may install there."""
    for marker in tree.glob("lib/python*/EXTERNALLY-MANAGED"):
        marker.unlink()
    overlay.remove(tree / "BUILD")
    for path in (path for pattern in (*PLACED, *PLACED_TOO) for path in tree.glob(pattern)):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(path.read_bytes().replace(str(tree).encode(), INTO.encode()))
    tree.rename(home)


async def _of_registry(builder: Builder, below: Record, version: str, draft: Draft, why: str) -> None:
    """Takes the Python of an image that has one. Raises ImageError where there is none that runs here."""
    name = f"python:{version}-slim"
    layers = builder.store.paths(below)
    try:
        base = await builder.bases().from_registry(name, builder.store.out_of_reach)
        source = await builder.make_base(base, "")
    except RegistryError as error:
        raise ImageError(f"add_python={version!r}: {why}, and {name}: {error}") from None
    builder.news.log(f"{why}; taking that of {name}")
    await asyncio.to_thread(_copy, builder, builder.store.paths(source), INTO, draft, layers)
    command = Command([f"{INTO}/bin/python{version}", "-I", "-c", PROBE], [*layers, draft.folder])
    code, tail = await run(command, draft.scratch / "probe", lambda line: None)
    if code:
        said = tail[-1] if tail else f"exit code {code}"
        raise ImageError(
            f"add_python={version!r}: {why}, and that of {name} doesn't run in this image: {said}"
        )
