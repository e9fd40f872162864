"""The Python of an image: found on its PATH, asked once what it is, and its .pyc files made ahead."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from . import overlay
from .overlay import Owner
from .packages import Target
from .records import DEFAULT_PATH, Python
from .step import Command, ran, run

ASK = """
import json, platform, sys, sysconfig
libc = platform.libc_ver()
paths = sysconfig.get_paths()
print("PYTHON " + json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "release": "%d.%d.%d" % sys.version_info[:3],
    "tag": sys.implementation.cache_tag,
    "manylinux": libc[1].replace(".", "_") if libc[0] == "glibc" else "",
    **{name: paths[name] for name in ("purelib", "platlib", "scripts", "data")},
}))
"""

COMPILE = """
import compileall, sys
for path in sys.argv[1:]:
    compileall.compile_dir(path, maxlevels=100, quiet=2, workers=0) if not path.endswith(".py") \\
        else compileall.compile_file(path, quiet=2)
"""


def locate(layers: Sequence[Path], env: dict[str, str]) -> tuple[str, str] | None:
    """`python`, else `python3`, on the image's PATH: (that name, what it leads to)."""
    for name in ("python", "python3"):
        for folder in env.get("PATH", DEFAULT_PATH).split(":"):
            if not folder.startswith("/"):
                continue
            real, found = overlay.resolve(layers, f"{folder}/{name}")
            if found is not None and found.is_file() and os.access(found, os.X_OK):
                status = found.stat()
                return f"{folder}/{name}", f"{real} {status.st_size} {status.st_mtime_ns}"
    return None


async def find_python(
    layers: Sequence[Path], env: dict[str, str], known: Python | None, scratch: Path
) -> Python | None:
    """The image's Python; asked by running it, unless it is the `known` one. None where there is none that runs."""
    found = locate(layers, env)
    if found is None:
        return None
    if known is not None and (known.path, known.real) == found:
        return known
    lines: list[str] = []
    command = Command([found[0], "-I", "-c", ASK], layers, env=env)
    await run(command, scratch, lines.append)
    answers = [json.loads(line[7:]) for line in lines if line.startswith("PYTHON {")]
    return Python(path=found[0], real=found[1], **answers[-1]) if answers else None


class Bytecode:
    """The .pyc files of installed packages, made once per package, Python and base."""

    def __init__(self, kept: Path) -> None:
        self.kept = kept

    async def add(
        self,
        target: Target,
        packages: Sequence[Path],
        over: Sequence[Path],
        base: str,
        scratch: Path,
        log: Callable[[str], None],
    ) -> None:
        """Adds the .pyc files of the packages (their metadata folders) to the target's layer.

        They are compiled by the Python in the layers `over`, which `base` names: no other image takes them from
        the cache, so a Python that somebody tampered with reaches only itself.
        """
        missing = await asyncio.to_thread(self._linked, packages, target, base)
        if not missing:
            return
        site = "/" + str(next(iter(missing)).parent.relative_to(target.layer))
        log("compiling bytecode")
        names = {name.split("/")[0] for sources in missing.values() for name in sources}
        argv = [target.python.path, "-I", "-c", COMPILE, *(f"{site}/{name}" for name in sorted(names))]
        async with ran(Command(argv, [*over, target.layer]), scratch, lambda line: None) as outcome:
            made = outcome.upper / site.lstrip("/")  # a file that doesn't compile is no error
            for metadata, sources in missing.items():
                kept = self.place_of(metadata, target.python.tag, base)
                await asyncio.to_thread(self._keep, made, metadata, sources, target, kept)

    def _linked(self, packages: Sequence[Path], target: Target, base: str) -> dict[Path, list[str]]:
        """Links what is kept; the packages of which nothing is, each with its Python files."""
        missing: dict[Path, list[str]] = {}
        for metadata in packages:
            kept = self.place_of(metadata, target.python.tag, base)
            if kept.is_dir():
                link_tree(kept, metadata.parent, target.owner)
            elif sources := python_files(metadata):
                missing[metadata] = sources
        return missing

    def place_of(self, metadata: Path, tag: str, base: str) -> Path:
        """Where the .pyc files of a package are kept."""
        record = (metadata / "RECORD").read_bytes() if (metadata / "RECORD").exists() else os.urandom(16)
        return self.kept / hashlib.sha256(f"{tag} {base} ".encode() + record).hexdigest()[:32]

    def _keep(self, made: Path, metadata: Path, sources: list[str], target: Target, kept: Path) -> None:
        draft = kept.with_name(f"{kept.name}.{os.getpid()}")
        overlay.remove(draft)
        draft.mkdir(parents=True)
        for name in sources:
            cached = pyc_name(name, target.python.tag)
            source = made / cached
            if source.is_symlink() or not source.is_file():
                continue
            (draft / cached).parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, draft / cached)
        if kept.exists():
            shutil.rmtree(kept)
        draft.rename(kept)
        link_tree(kept, metadata.parent, target.owner)


def python_files(metadata: Path) -> list[str]:
    """The Python files of an installed package, relative to the folder of packages."""
    from .packages import installed_files

    names = [name for name in installed_files(metadata) if name.endswith(".py")]
    return [name for name in names if ".." not in name.split("/")]


def pyc_name(source: str, tag: str) -> str:
    """Where the .pyc of a source file lies."""
    folder, name = os.path.split(source)
    return os.path.join(folder, "__pycache__", f"{name[:-3]}.{tag}.pyc")


def link_tree(source: Path, target: Path, owner: Owner) -> None:
    """Hard-links the files below `source` to the same places below `target`."""
    for folder, _, names in os.walk(source):
        place = target / os.path.relpath(folder, source)
        if not place.is_dir():
            covered = os.path.lexists(
                place
            )  # whited out: what lies below must not come back with the new folder
            overlay.remove(place)
            place.mkdir()
            owner.take(place)
            if covered:
                overlay.make_opaque(place)
        for name in names:
            file, link = f"{folder}/{name}", f"{place}/{name}"
            try:
                overlay.link_or_copy(file, link)
            except FileExistsError:
                overlay.remove(place / name)
                overlay.link_or_copy(file, link)
