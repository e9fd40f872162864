"""The CDI specs of this machine: which devices there are, and what a container needs for each."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

log = logging.getLogger("ionian.worker")

FOLDERS = ("/etc/cdi", "/var/run/cdi")
"""Those of the CDI standard; a later one has the last word about a device that both name."""

KIND = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
NAME = re.compile(r"[A-Za-z0-9][\w.:-]*")


class _Shape(msgspec.Struct, rename="camel"):
    """A part of a spec as the standard writes it; what is not used here is not read."""


class Node(_Shape):
    """A device node: `path` in the container, `host_path` here where that is another."""

    path: str
    host_path: str = ""

    @property
    def here(self) -> str:
        """Its path on this machine."""
        return self.host_path or self.path


class Mount(_Shape):
    """A file or folder of this machine that is shown in the container."""

    host_path: str
    container_path: str
    options: list[str] = []
    type: str = ""


class Hook(_Shape):
    """A program that the standard lets run while a container is made. None is run here: see `libraries`."""

    path: str = ""
    args: list[str] = []


class ContainerEdits(_Shape):
    """What a container needs."""

    device_nodes: list[Node] = []
    mounts: list[Mount] = []
    env: list[str] = []
    hooks: list[Hook] = []


class _Device(_Shape):
    name: str
    annotations: dict[str, str] = {}
    container_edits: ContainerEdits = msgspec.field(default_factory=ContainerEdits)


class _Spec(_Shape):
    kind: str
    devices: list[_Device] = []
    annotations: dict[str, str] = {}
    container_edits: ContainerEdits = msgspec.field(default_factory=ContainerEdits)


@dataclass
class CdiDevice:
    """A device by its full name ("nvidia.com/gpu=0")."""

    kind: str
    name: str
    file: Path
    own: ContainerEdits
    common: ContainerEdits  # what its whole spec needs
    annotations: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def full_name(self) -> str:
        """As a person asks for it."""
        return f"{self.kind}={self.name}"

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes of this machine that are this device's and not all devices'."""
        return tuple(sorted({node.here for node in self.own.device_nodes}))


def folders() -> list[Path]:
    """Where specs lie: IONIAN_CDI_DIRS (with colons between), else the standard's folders."""
    chosen = os.environ.get("IONIAN_CDI_DIRS")
    return [Path(text) for text in (chosen.split(os.pathsep) if chosen else FOLDERS) if text]


def read(places: Iterable[Path]) -> list[CdiDevice]:
    """The devices that the specs in these folders name. A spec that can't be read is logged, and left out."""
    found: dict[str, CdiDevice] = {}
    for place in places:
        here: dict[str, CdiDevice] = {}
        for file in _files(place):
            try:
                devices = read_file(file)
            except ValueError as error:
                log.warning("the CDI spec %s is left out: %s", file, error)
                continue
            for device in devices:
                first = here.setdefault(device.full_name, device)
                if first is not device:
                    log.warning(
                        "%s is named by %s and %s: the first counts", device.full_name, first.file, file
                    )
        found.update(here)
    return list(found.values())


def read_file(file: Path) -> list[CdiDevice]:
    """The devices of one spec. Raises ValueError with what is wrong."""
    try:
        spec = msgspec.convert(_parse(file), _Spec)
    except msgspec.ValidationError as error:
        raise ValueError(f"expected a CDI spec: {error}") from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if not KIND.fullmatch(spec.kind):
        raise ValueError(f'expected a kind such as "nvidia.com/gpu", got {spec.kind!r}')
    for device in spec.devices:
        if not NAME.fullmatch(device.name):
            raise ValueError(f"expected a device's name of letters, digits and _.:-, got {device.name!r}")
    return [
        CdiDevice(
            spec.kind,
            device.name,
            file,
            device.container_edits,
            spec.container_edits,
            {**spec.annotations, **device.annotations},
        )
        for device in spec.devices
    ]


def _files(place: Path) -> list[Path]:
    try:
        return sorted(file for file in place.iterdir() if file.suffix in (".json", ".yaml", ".yml"))
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("the CDI specs in %s can't be read: %s", place, error)
        return []


def _parse(file: Path) -> Any:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".json":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"expected JSON: {error}") from None
    import yaml  # slow to import, and most machines have no GPU

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(f"expected YAML: {' '.join(str(error).split())}") from None
