"""Where an image begins: `debian_slim` from the first source that works, `from_registry`, scratch."""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import debian, machine, overlay
from .host import HostSettings
from .overlay import Owner
from .records import DEFAULT_PATH, ImageError, Record
from .registry import Found, OutOfReach, Registry, RegistryError, Unreachable
from .unpack import unpack

REGISTRY_S = 6.0
"""Finding a tag takes a few requests; past this the registry counts as out of reach (a resolver may hang, too)."""

BASES = "registry,mirrors,machine"
"""The sources of `debian_slim`, best first. $IONIAN_BASES names fewer, or others first."""

APT_CONF = 'Acquire::Languages "none";\nAcquire::GzipIndexes "true";\n'
"""What makes `apt-get update` quick and small, as in Debian's own images."""

SLIM_ENV = {"PATH": DEFAULT_PATH, "LANG": "C.UTF-8"}


@dataclass
class Base:
    """A base that can be made: what names its content, and how it is written into a folder."""

    identity: str
    source: str  # for people
    make: Callable[[Path, Path], Any]  # (folder of the layer, scratch) → coroutine
    record: Record
    needs_pip: bool = False


class Bases:
    """The sources of bases on this machine."""

    def __init__(self, owner: Owner, host: HostSettings, log: Callable[[str], None]) -> None:
        self.owner = owner
        self.host = host
        self.log = log

    async def slim(self, version: str, out_of_reach: OutOfReach) -> list[Base]:
        """The ways to `debian_slim(version)`, best first. Raises ImageError where there is none."""
        ways: list[Base] = []
        reasons: list[str] = []
        for kind in os.environ.get("IONIAN_BASES", BASES).split(","):
            try:
                if kind == "registry":
                    ways.append(await self.from_registry(f"python:{version}-slim", out_of_reach))
                    continue
                why_not, make = {
                    "mirrors": (debian.why_not, self._bootstrap),
                    "machine": (machine.why_not, self._copy),
                }[kind]
            except KeyError:
                raise ImageError(f"expected IONIAN_BASES to be of {BASES}, got {kind!r}") from None
            except RegistryError as error:
                reasons.append(f"{kind}: {error}")
                continue
            reason = why_not(version)
            if reason:
                reasons.append(f"{kind}: {reason}")
            else:
                ways.append(make(version))
        if not ways:
            raise ImageError(
                f"debian_slim(python_version={version!r}): no source of this base works here; "
                + "; ".join(reasons)
            )
        return ways

    async def from_registry(self, name: str, out_of_reach: OutOfReach, login: str = "") -> Base:
        """An image of an OCI registry. Raises RegistryError."""
        try:
            registry, found = await asyncio.wait_for(
                asyncio.to_thread(out_of_reach.find, name, login), REGISTRY_S
            )
        except TimeoutError:
            raise Unreachable(f"no answer within {REGISTRY_S:.0f} s") from None
        return self._pulled(name, registry, found)

    def _pulled(self, name: str, registry: Registry, found: Found) -> Base:
        async def make(folder: Path, scratch: Path) -> None:
            for again in (True, False):
                folder.mkdir()
                self.owner.take(folder)
                try:
                    await asyncio.to_thread(unpack, registry, found.layers, folder, self.owner.give)
                    return
                except RegistryError as error:
                    # What a bad line or a bad disk changed is likely to be right the second time.
                    if not again:
                        raise
                    self.log(f"{error}; fetching the image again")
                    await asyncio.to_thread(overlay.remove, folder)

        source = f"{found.reference.registry} {found.reference.repository}@{found.digest[:19]}"
        return Base(found.digest, source, make, configured(found.config))

    def _bootstrap(self, version: str) -> Base:
        async def make(folder: Path, scratch: Path) -> None:
            await debian.bootstrap(version, folder, scratch, self.owner, self.host, self.log)
            await asyncio.to_thread(finish_slim, folder, version, self.owner)

        name, _ = debian.distribution()
        suite = debian.suite_for(version, name)
        return Base(f"{name} {suite}", f"{name} {suite} by mmdebstrap", make, slim_record(), needs_pip=True)

    def _copy(self, version: str) -> Base:
        async def make(folder: Path, scratch: Path) -> None:
            await asyncio.to_thread(machine.copy_machine, version, folder, self.owner)
            await asyncio.to_thread(finish_slim, folder, version, self.owner)

        status = hashlib.sha256((machine.DPKG / "status").read_bytes()).hexdigest()
        source = "this machine's own packages"
        return Base(f"machine {status}", source, make, slim_record(), needs_pip=True)


def slim_record() -> Record:
    """The settings of `debian_slim`."""
    return Record("", env=dict(SLIM_ENV), cmd=["python3"])


def configured(config: dict[str, Any]) -> Record:
    """The settings that an image of a registry brings."""
    pairs: list[str] = config.get("Env") or []
    env = {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
    env.setdefault("PATH", DEFAULT_PATH)
    workdir = config.get("WorkingDir") or ""
    return Record(
        "",
        env=env,
        workdir="" if workdir == "/" else workdir,
        shell=config.get("Shell") or ["/bin/sh", "-c"],
        entrypoint=config.get("Entrypoint") or [],
        cmd=config.get("Cmd") or [],
    )


def finish_slim(folder: Path, version: str, owner: Owner) -> None:
    """Makes a Debian base look like python:X-slim: `python` and `python3` in /usr/local/bin, pip free to install."""
    programs = overlay.make_folders(folder, "/usr/local/bin", owner)
    for name in ("python", "python3", f"python{version}"):
        if not os.path.lexists(programs / name):
            (programs / name).symlink_to(f"../../bin/python{version}")
            owner.take(programs / name)
    for marker in folder.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    (folder / "root").chmod(0o755)  # source lies there, and not every function runs as root
    for name in ("etc/resolv.conf", "etc/hostname"):
        overlay.remove(folder / name)
    # mmdebstrap's own record of how this machine reached its mirrors
    for path in (folder / "etc/apt/apt.conf.d").glob("99mmdebstrap"):
        path.unlink()
    for pattern in ("var/cache/apt/archives/*.deb", "var/lib/apt/lists/*_*"):
        for path in folder.glob(pattern):
            overlay.remove(path)
    (folder / "etc/apt/apt.conf.d/10ionian").write_text(APT_CONF)
    owner.take(folder / "etc/apt/apt.conf.d/10ionian")


def architecture() -> str:
    """This machine's, as part of every key."""
    return platform.machine()
