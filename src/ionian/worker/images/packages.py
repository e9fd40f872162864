"""The PIP step: uv places wheels straight into the layer, outside user code and without running any of it.

uv installs into a *prefix*: a folder of ours that holds, besides what it will add, the metadata of the packages that
the layers below already have, so uv sees them as installed. What it adds moves into the layer; what it removed is
whited out there. What must be built from source is built in a sandbox that doesn't see the cache (`sources.py`).
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from . import overlay
from .host import HostSettings
from .overlay import Owner
from .records import ImageError, Python
from .step import failed, run_outside

GLIBCS = (17, 28, *range(31, 41))
"""The glibc 2.x that uv has names for."""

EPOCH = 1_577_836_800
"""The time of every placed source file (2020-01-01): a .pyc that was made once then fits wherever the file goes."""

NOT_FOUND = re.compile(r"Because (\S+) was not found in the package registry")
NEEDS_BUILD = re.compile(
    r"building from source is disabled|no usable wheels|has no wheels? with|transport '\w+' not allowed",
    re.IGNORECASE,
)
GIVEN = re.compile(
    r"UV_(INDEX|DEFAULT_INDEX|INDEX_\w+|EXTRA_INDEX_URL|FIND_LINKS|RESOLUTION|PRERELEASE|EXCLUDE_NEWER)"
)
"""The variables of a step that uv sees where it runs beside the worker. Others could have it, or git, run a program there."""


@dataclass
class Target:
    """Where packages go: a new layer over others."""

    layer: Path
    below: Sequence[Path]
    python: Python
    owner: Owner


def find_uv() -> str:
    """The uv that came with Ionian, else the one on the PATH."""
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
        if found is None:
            raise ImageError(
                "pip_install needs uv on the worker, and there is none: `pip install uv` there"
            ) from None
        return found


def platform_of(python: Python) -> str:
    """uv's name of an image's platform."""
    if not python.manylinux:
        return f"{platform.machine()}-unknown-linux-musl"
    minor = int(python.manylinux.partition("_")[2] or 17)
    return f"{platform.machine()}-manylinux_2_{max(have for have in GLIBCS if have <= max(minor, 17))}"


class Uv:
    """uv with one cache, this machine's settings and the variables of a step (secrets among them)."""

    def __init__(
        self, cache: Path, host: HostSettings, given: dict[str, str], method: str = "pip_install"
    ) -> None:
        self.cache = cache
        self.host = host
        self.given = given
        self.method = method  # of an image, for messages
        self.used: set[str] = set()  # values that are in arguments

    async def place(
        self, target: Target, args: Sequence[str], folder: Path, context: Path, log: Callable[[str], None]
    ) -> list[Path]:
        """Installs what `args` (options and requirements of `uv pip install`) ask for into the target's layer.

        `folder` is for drafts; `context` is where files that the arguments name lie. Returns the metadata
        folders (….dist-info) that are new in the layer. Raises NeedsBuild, ImageError.
        """
        prefix = folder / "prefix"
        site = prefix / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
        had = await asyncio.to_thread(seed, site, target)
        code, tail = await self.run(
            ["pip", "install", "--prefix", str(prefix), *self.options(target.python, args)], context, log
        )
        if code:
            explain(args, code, tail, self.method)
        return await asyncio.to_thread(move, prefix, site, had, target)

    def options(self, python: Python, args: Sequence[str]) -> list[str]:
        """The arguments of `uv pip install` for an image's Python."""
        return [
            *("--python", sys.executable, "--python-version", python.release),
            *("--python-platform", platform_of(python), "--no-build", "--cache-dir", str(self.cache)),
            *self.host.pip.as_uv_options(args, self.host.uv_env),
            *self.filled_in(args),
        ]

    def filled_in(self, args: Sequence[str]) -> list[str]:
        """The arguments with `$NAME` of the step's own variables filled in, as a shell would: tokens in URLs."""
        for arg in args:
            self.used |= {value for name, value in self.given.items() if value and name in arg and "$" in arg}
        return [Template(arg).safe_substitute(self.given) if "$" in arg else arg for arg in args]

    async def run(
        self, args: Sequence[str], context: Path, log: Callable[[str], None], *, downloads: bool = False
    ) -> tuple[int, list[str]]:
        """Runs uv: its exit code and last lines. `downloads`: of a Python that is asked for."""
        code, tail = await run_outside(
            [find_uv(), "--no-progress", "--color", "never", *args],
            self.environment() | ({"UV_PYTHON_DOWNLOADS": "manual"} if downloads else {}),
            lambda line: None if _silent(line) else log(self.hidden(line)),
            cwd=context,
        )
        return code, [self.hidden(line) for line in tail if not _noise(line)]

    def environment(self) -> dict[str, str]:
        """What uv sees of our environment: all but what names our own Python."""
        ours = ("PYTHON", "VIRTUAL_ENV", "CONDA", "IONIAN_", "UV_CACHE_DIR", "UV_SYSTEM_PYTHON", "UV_PROJECT")
        env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        if self.host.ca:
            env.setdefault("SSL_CERT_FILE", self.host.ca)
        given = {name: value for name, value in self.given.items() if GIVEN.fullmatch(name)}
        # No protocol for git: what is in a repository is fetched and built in a sandbox.
        always = {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never", "GIT_ALLOW_PROTOCOL": "none"}
        return env | given | self.host.proxies | always

    def hidden(self, line: str) -> str:
        """A line without the values that `$NAME` in an argument stands for: tokens in URLs, which git may repeat."""
        for value in self.used:
            line = line.replace(value, "***")
        return line


COMPLAINTS = ("error:", "  cause:", "hint:")
"""How uv begins what becomes an error of ours."""


class NeedsBuild(Exception):
    """Something that was asked for has no wheel for this Python."""


def explain(args: Sequence[str], code: int, tail: Sequence[str], method: str = "pip_install") -> None:
    """Raises what an end of uv means."""
    said = "\n".join(tail)
    missing = NOT_FOUND.search(said)
    if missing:
        name = missing[1].rstrip(",")
        raise ImageError(
            f"{method}: there is no package {name!r} in the package index that this worker uses. Check the name; "
            "for an index of your own, give index_url= or extra_index_url="
        )
    if NEEDS_BUILD.search(said):
        raise NeedsBuild(said)
    raise failed(f"{method} {' '.join(args)}", code, tail)


@dataclass
class Had:
    """A package of the layers below, as uv was shown it."""

    inode: int  # of its metadata folder: another one means that uv installed it anew
    files: list[str]


def seed(site: Path, target: Target) -> dict[str, Had]:
    """Writes the metadata of the packages below into `site`. Returns them by the name of their metadata folder."""
    site.mkdir(parents=True)
    had: dict[str, Had] = {}
    for purelib in dict.fromkeys((target.python.purelib, target.python.platlib)):
        real, _ = overlay.resolve(target.below, purelib)
        for name in overlay.names(target.below, real):
            if not name.endswith(".dist-info") or name in had:
                continue
            (site / name).mkdir()
            files = overlay.names(target.below, f"{real}/{name}")
            for file, source in files.items():
                if source.is_file() and not source.is_symlink():
                    shutil.copyfile(source, site / name / file)
            had[name] = Had((site / name).stat().st_ino, installed_files(site / name))
    return had


def installed_files(metadata: Path) -> list[str]:
    """The files that a package's RECORD lists, relative to the folder of packages."""
    try:
        lines = (metadata / "RECORD").read_text(errors="replace").splitlines()
    except OSError:
        return []
    names = [line.rsplit(",", 2)[0].strip('"') for line in lines]
    return [name for name in names if name and not name.startswith("/")]


def move(prefix: Path, site: Path, had: dict[str, Had], target: Target) -> list[Path]:
    """Moves what uv installed into the layer, and whites out what it removed. Returns the new metadata folders."""
    kept = [name for name in had if (site / name).exists() and (site / name).stat().st_ino == had[name].inode]
    removed = [name for name in had if name not in kept]
    for name in kept:
        overlay.remove(site / name)
    new = [entry.name for entry in site.iterdir() if entry.name.endswith(".dist-info")]
    mend_scripts(prefix / "bin", target.python)
    below, owner = target.below, target.owner
    real, _ = overlay.resolve(below, target.python.purelib)
    places = [(site, real), (prefix / "bin", overlay.resolve(below, target.python.scripts)[0])]
    data = overlay.resolve(below, target.python.data)[0].rstrip("/")
    places += [
        (entry, f"{data}/{entry.name}") for entry in prefix.iterdir() if entry.name not in ("lib", "bin")
    ]
    for source, name in places:
        if source.is_dir():
            _move_tree(source, name, target)
    for name in removed:
        hide(target, real, name, had[name].files)
    packages = overlay.make_folders(target.layer, real, owner, below)
    return [packages / name for name in new]


def _move_tree(source: Path, name: str, target: Target) -> None:
    if not any(source.iterdir()):
        return
    place = overlay.make_folders(target.layer, name, target.owner, target.below)
    for entry in list(os.scandir(source)):
        if entry.is_dir(follow_symlinks=False):
            inside = f"{name}/{entry.name}"
            if overlay.lstat(target.below, inside) is not None or (place / entry.name).exists():
                _move_tree(Path(entry.path), inside, target)
                continue
            target.owner.take(entry.path)
            _settle(entry.path, target.owner)
        else:
            target.owner.take(entry.path)
            os.utime(entry.path, (EPOCH, EPOCH), follow_symlinks=False)
        os.replace(entry.path, place / entry.name)


def _settle(folder: str, owner: Owner) -> None:
    """Makes all in a folder the owner's, and gives its files the time of all. Most came from the cache by a link, and have had
    both since a layer got them first."""
    for entry in list(os.scandir(folder)):
        status = entry.stat(follow_symlinks=False)
        owner.take(entry.path, status)
        if entry.is_dir(follow_symlinks=False):
            _settle(entry.path, owner)
        elif status.st_mtime_ns != EPOCH * 10**9:
            os.utime(entry.path, (EPOCH, EPOCH), follow_symlinks=False)


def mend_scripts(folder: Path, image: Python) -> None:
    """Makes scripts start with the image's Python: uv wrote the one that it ran with."""
    ours, python = sys.executable.encode(), image.path.encode()
    versioned = folder / "pip{}.{}".format(*sys.version_info)
    if versioned.exists():  # pip's own script with a version in its name: uv gives it ours
        versioned.rename(folder / f"pip{image.version}")
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            if file.read(2) != b"#!":
                continue
        head, newline, rest = path.read_bytes().partition(b"\n")
        if ours in head:
            head = b"#!" + python
        elif head == b"#!/bin/sh" and ours in rest:  # uv's form for a path that is too long for the kernel
            rest = rest.replace(ours, python, 1)
        else:
            continue
        mode = path.stat().st_mode & 0o7777
        path.unlink()  # a link to the cache, perhaps
        path.write_bytes(head + newline + rest)
        path.chmod(mode)


def hide(target: Target, site: str, metadata: str, files: Sequence[str]) -> None:
    """Whites out the files of a package that was removed, and the folders that are left empty by it."""
    gone = {os.path.normpath(f"{site}/{name}") for name in files}
    for name in list(gone):
        if name.endswith(".py"):
            folder, base = os.path.split(name)
            gone.add(f"{folder}/__pycache__/{base[:-3]}.{target.python.tag}.pyc")
    meta = f"{site}/{metadata}"
    gone |= {f"{meta}/{name}" for name in overlay.names(target.below, meta)}
    folders = {os.path.dirname(name) for name in gone}
    for name in gone:
        _white_out(target, name)
    for folder in sorted(folders, key=len, reverse=True):
        while folder.startswith(f"{site}/"):
            if overlay.names([*target.below, target.layer], folder):
                break
            overlay.remove(target.layer / folder.lstrip("/"))
            _white_out(target, folder)
            folder = os.path.dirname(folder)


def _white_out(target: Target, name: str) -> None:
    place = target.layer / name.lstrip("/")
    if os.path.lexists(place) or overlay.lstat(target.below, name) is None:
        return
    overlay.make_folders(target.layer, os.path.dirname(name), target.owner, target.below)
    overlay.white_out(place)


def _silent(line: str) -> bool:
    return _noise(line) or line.startswith(COMPLAINTS)


def _noise(line: str) -> bool:
    return line.startswith(("Using ", "warning: The requested Python version")) or line == "Checked in"
