"""What this worker offers, and what a container with some of it gets."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...protocol.workers import Device
from ..sandbox import Bind
from . import cdi, libraries, nvml
from .cdi import CdiDevice, ContainerEdits
from .claims import Claims
from .models import model_of
from .nvml import Card, Gauge, GpuUse

log = logging.getLogger("ionian.worker")

MODEL = "ionian.dev/model"
MEMORY = "ionian.dev/memory-mib"
"""Annotations of a spec that tell what NVML can't: of other makers' cards."""

NVIDIA = "nvidia.com/"
SLICE = re.compile(r"(\d+):\d+")
NUMBERED = re.compile(r"/dev/nvidia(\d+)")
ACCESS = stat.S_IROTH | stat.S_IWOTH


@dataclass
class Edits:
    """What a container needs for its devices."""

    devices: list[Bind] = field(default_factory=list[Bind])
    binds: list[Bind] = field(default_factory=list[Bind])
    env: dict[str, str] = field(default_factory=dict[str, str])
    library_path: str = ""

    def search_path(self, own: str) -> dict[str, str]:
        """LD_LIBRARY_PATH with the driver's libraries before what the container has there by itself."""
        path = ":".join(part for part in (self.library_path, own) if part)
        return {"LD_LIBRARY_PATH": path} if path else {}


class Devices:
    """The devices that the CDI specs of this machine name."""

    def __init__(self, found: Iterable[CdiDevice], ask: Callable[[], Sequence[Card]] = nvml.cards) -> None:
        """`ask` tells what the driver knows; it is asked only where a spec names NVIDIA's cards."""
        self._by_name = {device.full_name: device for device in found}
        usable = [device for device in self._by_name.values() if _is_gpu(device) and _works(device)]
        offered = _distinct(usable)
        cards = ask() if any(device.kind.startswith(NVIDIA) for device in offered) else ()
        self._offered = [_described(device, cards) for device in offered]
        self._uuids = {d.full_name: card.uuid for d in offered if (card := _card_of(d, cards)) is not None}
        self._gauge = Gauge()
        self._claims = Claims(os.environ.get("IONIAN_CDI_DIRS", ""))

    @classmethod
    def found(cls) -> Devices:
        """Reads the specs. What is wrong with one is logged."""
        devices = cls(cdi.read(cdi.folders()))
        for device in devices.offered():
            log.info("gpu=%s model=%s memory_mib=%d", device.name, device.model, device.memory_mib)
        return devices

    def claim(self) -> None:
        """Offers from now on only what no other worker of this machine does."""
        self._offered = [device for device in self._offered if self._claims.take(self._by_name[device.name])]

    def release(self) -> None:
        """No container has a device any more: other workers may offer them."""
        self._claims.release()

    def offered(self) -> list[Device]:
        """What this worker offers."""
        return list(self._offered)

    def model_of(self, names: Sequence[str]) -> str:
        """The model of a container's devices, which are of one kind; "" where it has none."""
        models = {device.name: device.model for device in self._offered}
        return next((models[name] for name in names if name in models), "")

    def use(self, names: Sequence[str]) -> dict[str, GpuUse]:
        """What devices do now, by name; those of which nothing is known are left out. Blocks."""
        by_uuid = {self._uuids[name]: name for name in names if name in self._uuids}
        return {by_uuid[uuid]: use for uuid, use in self._gauge.use(list(by_uuid)).items()} if by_uuid else {}

    def edits(self, names: Sequence[str]) -> Edits:
        """What a container with exactly these devices gets. Raises KeyError for one that no spec names."""
        if not names:
            return Edits()
        chosen = [self._by_name[name] for name in names]
        parts = [part for device in chosen for part in (device.common, device.own)]
        binds = _binds(parts)
        shown = libraries.shown(binds, parts)
        return Edits(
            devices=_nodes(parts),
            binds=[*binds, *shown],
            env={**_variables(parts), **_visible(chosen)},
            library_path=libraries.FOLDER if shown else "",
        )


def _is_gpu(device: CdiDevice) -> bool:
    """Specs name network cards, too."""
    return device.kind.partition("/")[2] == "gpu" or MODEL in device.annotations


def _works(device: CdiDevice) -> bool:
    for path in device.nodes:
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            log.warning("%s is not offered: %s names its node, and %s", device.full_name, device.file, error)
            return False
        if mode & ACCESS != ACCESS:
            log.warning("%s is for some users only (mode %o): containers may not open it", path, mode & 0o777)
    return True


def _distinct(devices: list[CdiDevice]) -> list[CdiDevice]:
    """Each card once: specs name it by number and by UUID, and all of them as "all"; a card in slices is its slices."""
    alone = len(devices) == 1
    taken: dict[tuple[str, ...], CdiDevice] = {}
    for device in sorted(devices, key=_order):
        if device.name != "all" or alone:
            taken.setdefault(device.nodes or (device.full_name,), device)
    sliced = {f"{d.kind}={found[1]}" for d in taken.values() if (found := SLICE.fullmatch(d.name))}
    return [device for device in taken.values() if device.full_name not in sliced]


def _order(device: CdiDevice) -> tuple[str, bool, list[int], str]:
    """Short names before UUIDs, 2 before 10."""
    numbers = [int(text) for text in re.findall(r"\d+", device.name)]
    is_uuid = device.name.count("-") >= 4
    return device.kind, is_uuid, [] if is_uuid else numbers, device.name


def _described(device: CdiDevice, cards: Sequence[Card]) -> Device:
    card = _card_of(device, cards)
    model = device.annotations.get(MODEL, "").upper()
    memory = device.annotations.get(MEMORY, "")
    if memory and not memory.isdecimal():
        log.warning("%s: expected %s in MiB, got %r", device.file, MEMORY, memory)
        memory = ""
    memory_mib = int(memory) if memory else card.memory_mib if card else 0
    if not model:
        model = model_of(card.name, card.memory_mib) if card else device.kind.partition(".")[0].upper()
    return Device(device.full_name, model, memory_mib)


def _card_of(device: CdiDevice, cards: Sequence[Card]) -> Card | None:
    """By UUID or slice where the name is one, else by the number in /dev/nvidiaN: other orders may have changed."""
    if not device.kind.startswith(NVIDIA):
        return None
    by_name = next((card for card in cards if device.name == card.uuid), None)
    if by_name is None and SLICE.fullmatch(device.name):
        by_name = next((card for card in cards if device.name == card.index), None)
    if by_name is not None:
        return by_name
    minors = [int(found[1]) for node in device.nodes if (found := NUMBERED.fullmatch(node))]
    if len(minors) != 1:
        return None
    return next((card for card in cards if card.minor == minors[0] and ":" not in card.index), None)


# --- edits


def _nodes(parts: Iterable[ContainerEdits]) -> list[Bind]:
    """The device nodes; common ones that a driver makes later (nvidia-modeset) may be missing."""
    nodes = {node.path: node.here for part in parts for node in part.device_nodes}
    return [Bind(Path(here), path, read_only=False) for path, here in nodes.items() if os.path.exists(here)]


def _binds(parts: Iterable[ContainerEdits]) -> list[Bind]:
    found: dict[str, Bind] = {}
    for mount in (mount for part in parts for mount in part.mounts):
        if mount.type in ("", "bind", "none") and os.path.exists(mount.host_path):
            found[mount.container_path] = Bind(
                Path(mount.host_path), mount.container_path, read_only="ro" in mount.options
            )
        else:
            log.warning(
                "a mount of a CDI spec is left out: %s (%s)", mount.host_path, mount.type or "not there"
            )
    return list(found.values())


def _variables(parts: Iterable[ContainerEdits]) -> dict[str, str]:
    pairs = (text.partition("=") for part in parts for text in part.env)
    return {name: value for name, sign, value in pairs if name and sign}


def _visible(chosen: Sequence[CdiDevice]) -> dict[str, str]:
    """The cards as the container counts them: from 0, for it sees no others. Many programs take numbers only."""
    nvidia = [device for device in chosen if device.kind.startswith(NVIDIA)]
    if not nvidia or any(SLICE.fullmatch(device.name) for device in nvidia):
        return {}
    numbers = ",".join(str(number) for number in range(len(nvidia)))
    return {"CUDA_VISIBLE_DEVICES": numbers, "NVIDIA_VISIBLE_DEVICES": numbers}
