"""Packages that must be built from source: their code runs in a sandbox, over the image's own layers and Python.

The sandbox has a cache of its own, thrown away with it. Of what it built, only whole wheels are kept, in a folder of
this one request; uv then places them like any other wheel, and nothing that a build wrote reaches other images.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from ..sandbox import Bind
from . import overlay
from .packages import NeedsBuild, Target, Uv, explain, find_uv, platform_of
from .records import ImageError
from .step import INSIDE, Command, ran

UV_INSIDE = f"{INSIDE}-uv"
"""Where a sandbox finds uv."""

ALONE = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_CONFIG": "1", "GIT_TERMINAL_PROMPT": "0"}

INDEX_OPTIONS = {
    **dict.fromkeys(
        ("--index-url", "-i", "--default-index", "--extra-index-url", "--index", "--find-links", "-f"), 1
    ),
    **dict.fromkeys(("--index-strategy", "--allow-insecure-host", "--trusted-host", "--keyring-provider"), 1),
    **dict.fromkeys(("--no-index", "--pre"), 0),
    "--prerelease": 1,
}
"""The options that still count when exact versions of wheels are asked for, and how many words follow them."""


@dataclass(frozen=True)
class Chosen:
    """A version of uv that the user chose: it runs in sandboxes alone, never beside the worker's cache."""

    version: str
    program: Path


class Sources:
    """Installs packages some of which have no wheel."""

    def __init__(self, uv: Uv, kept: Path, chosen: Chosen | None = None) -> None:
        self.uv = uv
        self.kept = kept  # a folder: what was built, by request
        self.chosen = chosen

    async def place(
        self,
        target: Target,
        args: Sequence[str],
        folder: Path,
        context: Path,
        env: dict[str, str],
        log: Callable[[str], None],
    ) -> list[Path]:
        """Like Uv.place, building what has no wheel. A version of uv that the user chose says what is placed, too."""
        home = self.kept / self.request_key(target, args, context)
        if not (home / "resolved.txt").exists():
            if self.chosen is None:
                try:
                    return await self.uv.place(target, args, folder / "wheels-only", context, log)
                except NeedsBuild:
                    log("no wheel for all of this: building from source, in a sandbox")
            else:
                log(f"resolving by uv {self.chosen.version}, in a sandbox")
            await self.build(target, args, folder / "sources", context, env, log, home)
        options = [*index_options(args), "--no-deps", *await asyncio.to_thread(exact, home)]
        try:
            placed = await self.uv.place(target, options, folder / "exact", context, log)
            await asyncio.to_thread(forget_places, placed)
            return placed
        except NeedsBuild as error:
            shutil.rmtree(home, ignore_errors=True)
            raise ImageError(
                f"{self.uv.method} {' '.join(args)}: no wheel came of the build: {error}"
            ) from None

    def request_key(self, target: Target, args: Sequence[str], context: Path) -> str:
        """What decides the outcome of a build from source, as a name."""
        files = [
            [str(path.relative_to(context)), _digest(path)]
            for path in sorted(context.rglob("*"))
            if path.is_file()
        ]
        what = [
            list(args),
            files,
            target.python.release,
            platform_of(target.python),
            self.uv.host.package_key(),
        ]
        if self.chosen is not None:
            what.append(self.chosen.version)
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:24]

    async def build(
        self,
        target: Target,
        args: Sequence[str],
        folder: Path,
        context: Path,
        env: dict[str, str],
        log: Callable[[str], None],
        home: Path,
    ) -> None:
        """Resolves and builds in a sandbox; keeps the wheels that were made, and the exact versions, in `home`."""
        if not target.python.manylinux:
            raise ImageError(
                f"{self.uv.method} {' '.join(args)}: it must be built from source, and this image's C library is musl; "
                f'use run_commands("pip install …") for it'
            )
        command = Command(
            argv=[
                *(UV_INSIDE, "pip", "install", "--no-progress", "--color", "never"),
                *("--python", target.python.path, "--target", "/tmp/out", "--cache-dir", "/tmp/cache"),
                *self.uv.host.pip.as_uv_options(args, self.uv.host.uv_env),
                *self.uv.filled_in(args),
            ],
            layers=target.below,
            env=env | self.uv.host.uv_env | ALONE,
            workdir=f"{INSIDE}-context",
            binds=[Bind(self.program(), UV_INSIDE), Bind(context, f"{INSIDE}-context")],
            host=self.uv.host,
        )
        async with ran(command, folder / "box", lambda line: log(self.uv.hidden(line))) as outcome:
            if outcome.code:
                explain(args, outcome.code, list(map(self.uv.hidden, outcome.tail)), self.uv.method)
            await asyncio.to_thread(admit, outcome.tmp, home)

    def program(self) -> Path:
        """The uv that runs in sandboxes."""
        return Path(find_uv()) if self.chosen is None else self.chosen.program


def exact(home: Path) -> list[str]:
    """What to install of a build: the wheels that it made, as files, so that no index has another of that name; versions
    of the rest."""
    made = {"-".join(path.name.lower().split("-")[:2]): str(path) for path in home.glob("*.whl")}
    pins = [pin.partition("==") for pin in (home / "resolved.txt").read_text().split()]
    return [
        made.get(f"{re.sub('[-_.]+', '_', name)}-{version.replace('-', '_')}".lower(), f"{name}=={version}")
        for name, _, version in pins
    ]


def forget_places(placed: Sequence[Path]) -> None:
    """Removes from the metadata of packages that they were installed from a file of this worker."""
    for metadata in placed:
        place, record = metadata / "direct_url.json", metadata / "RECORD"
        if place.is_file() and '"file://' in place.read_text() and record.is_file():
            place.unlink()
            lines = record.read_text().splitlines(keepends=True)
            record.unlink()  # a link to the cache, perhaps
            record.write_text("".join(line for line in lines if f"{metadata.name}/{place.name}," not in line))


def index_options(args: Sequence[str]) -> list[str]:
    """Of the arguments of `uv pip install`, those that say where packages come from."""
    out: list[str] = []
    words = iter(args)
    for word in words:
        name, equals, _ = word.partition("=")
        if name not in INDEX_OPTIONS:
            continue
        out.append(word)
        if INDEX_OPTIONS[name] and not equals:
            out.append(next(words, ""))
    return out


def admit(tmp: Path, home: Path) -> None:
    """Keeps what a build made: its wheels, each checked to be what its name says, and the versions it chose."""
    draft = home.with_name(f"{home.name}.{os.getpid()}")
    overlay.remove(draft)
    draft.mkdir(parents=True)
    for path in _real_files(tmp / "cache"):
        if path.suffix == ".whl":
            check_wheel(path)
            shutil.copyfile(path, draft / path.name)
    exact = [pin for entry in sorted(_real_folders(tmp / "out")) if (pin := _pin(entry))]
    (draft / "resolved.txt").write_text("\n".join(exact))
    overlay.remove(home)
    draft.rename(home)


def check_wheel(path: Path) -> None:
    """Raises ImageError where a file is no wheel of its name, or leads out of its folder."""
    match = re.fullmatch(r"([A-Za-z0-9._]+)-([A-Za-z0-9._+!]+)(-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl", path.name)
    try:
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
    except zipfile.BadZipFile:
        names = []
    metadata = f"{match[1]}-{match[2]}.dist-info/METADATA".lower() if match else ""
    inside = all(not name.startswith("/") and ".." not in name.split("/") for name in names)
    if not inside or metadata not in [name.lower() for name in names]:
        raise ImageError(f"pip_install: the build made {path.name}, which is not a wheel of that name")


def _pin(entry: Path) -> str:
    metadata = entry / "METADATA"
    if not entry.name.endswith(".dist-info") or metadata.is_symlink() or not metadata.is_file():
        return ""
    head = HeaderParser().parsestr(metadata.read_text(errors="replace"))
    pin = f"{head['Name']}=={head['Version']}"
    return pin if re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+", pin) else ""


def _real_files(root: Path) -> list[Path]:
    """The files below a folder that user code wrote; nothing that a link leads to."""
    return [
        Path(folder) / name
        for folder, _, names in os.walk(root)
        for name in names
        if (Path(folder) / name).is_file() and not (Path(folder) / name).is_symlink()
    ]


def _real_folders(root: Path) -> list[Path]:
    if root.is_symlink() or not root.is_dir():
        return []
    return [entry for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink()]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
