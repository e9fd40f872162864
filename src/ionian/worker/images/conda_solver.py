"""Solves and links packages of conda, by rattler, in a process of its own: `python -m ionian.worker.images.conda_solver`.

It reads one JSON object from its standard input, and no package's code is run: neither link scripts nor programs. What it prints is
for people; where it can't do what was asked it prints one sentence last and exits with 1.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rattler import Channel, GenericVirtualPackage, PrefixRecord, VirtualPackage

MISSING = "packages of conda need py-rattler on the worker, which is not there: install ionian[conda] with Ionian on it"


@dataclass
class Task:
    """What is asked for."""

    prefix: str  # where the files go
    inside: str  # where they will be in the image
    cache: str
    specs: list[str]
    channels: list[str]
    alias: str  # the URL before the names of channels
    glibc: str = ""  # of the image, "2.36"
    with_gpu: bool = False
    secrets: list[str] = field(default_factory=list[str])  # what of the URLs nobody is to see


class CondaError(Exception):
    """It can't be done. The message says why."""


async def solve_and_link(task: Task) -> int:
    """Brings a prefix to what is asked for; the number of packages there. Raises CondaError."""
    from rattler import Channel, ChannelConfig, Gateway, MatchSpec, PrefixRecord, install, solve
    from rattler.platform import Subdir

    config = ChannelConfig(task.alias, "/")
    channels = [Channel(name, config) for name in task.channels]
    there = [PrefixRecord.from_path(path) for path in sorted(Path(task.prefix, "conda-meta").glob("*.json"))]
    specs = [*_staying(there, {MatchSpec(spec).name.normalized for spec in task.specs}), *task.specs]
    try:
        records = await solve(
            channels,
            specs,
            gateway=Gateway(cache_dir=Path(task.cache, "repodata")),
            platforms=[Subdir.current(), "noarch"],
            locked_packages=list(there),
            virtual_packages=_virtual_packages(task),
        )
    except Exception as error:
        raise CondaError(_why(error, channels)) from None
    known = {record.file_name for record in there}
    for record in records:
        if record.file_name not in known:
            print(f"{record.name.normalized} {record.version} from {_short(record.channel)}", flush=True)
    try:
        await install(
            records,
            task.prefix,
            cache_dir=Path(task.cache, "packages"),
            installed_packages=there,
            execute_link_scripts=False,
            show_progress=False,
            alternative_target_prefix=task.inside,
        )
    except Exception as error:
        raise CondaError(f"packages could not be fetched or placed: {error}") from None
    return len(records)


def _staying(there: list[PrefixRecord], asked: set[str]) -> list[str]:
    """What is there stays there, and Python the one that it is: as micromamba has it."""
    specs: list[str] = []
    for record in there:
        name = record.name.normalized
        if name not in asked:
            series = ".".join(str(record.version).split(".")[:2])
            specs.append(f"python {series}.*" if name == "python" else name)
    return specs


def _virtual_packages(task: Task) -> list[GenericVirtualPackage | VirtualPackage]:
    """What the image's system is to a solver: this machine's kind, the image's C library, and its driver where it has GPUs."""
    from rattler import GenericVirtualPackage, PackageName, Version, VirtualPackage
    from rattler.package import BuildString

    found: list[GenericVirtualPackage | VirtualPackage] = []
    for package in VirtualPackage.detect():
        generic = package.into_generic()
        name = generic.name.normalized
        if name in ("__unix", "__linux", "__archspec") or (name == "__cuda" and task.with_gpu):
            found.append(generic)
    if task.glibc:
        found.append(GenericVirtualPackage(PackageName("__glibc"), Version(task.glibc), BuildString("0")))
    return found


def _why(error: Exception, channels: list[Channel]) -> str:
    said = " ".join(str(error).split())
    names = ", ".join(channel.base_url for channel in channels)
    if "Cannot solve" not in said:
        return (
            f"the channels {names} can't be read from here: {said}; name others by channels=, or a mirror of their "
            "names by CONDA_CHANNEL_ALIAS on the worker"
        )
    return f"{names} has no such packages that fit together: {said.removeprefix('Cannot solve the request because of: ')}"


def _short(channel: str | None) -> str:
    return (channel or "").rstrip("/").rpartition("/")[2]


def main() -> None:
    task = Task(**json.load(sys.stdin))
    if find_spec("rattler") is None:
        sys.exit(MISSING)
    try:
        count = asyncio.run(solve_and_link(task))
    except CondaError as error:
        text = str(error)
        for secret in task.secrets:
            text = text.replace(secret, "…")
        print(text, flush=True)
        os._exit(1)
    print(f"{count} packages in {task.inside}", flush=True)
    # rattler's threads may reach for Python while it is torn down, which aborts the process: seen once.
    os._exit(0)


if __name__ == "__main__":
    main()
