"""Where a container can be: what workers have, what is taken, and why nothing fits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ..protocol.spec import GpuRequest, Resources
from ..protocol.workers import Capacity, Device


@dataclass(slots=True)
class Reservation:
    """What one container takes of a worker."""

    cpu_milli: int = 0
    memory_mib: int = 0
    devices: list[str] = field(default_factory=list[str])


class Node:
    """What a worker has, and what is left of it. Requests are reserved; limits are not."""

    __slots__ = ("_starting", "capacity", "cpu_milli", "devices", "memory_mib", "moved")

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.cpu_milli = capacity.cpu_milli
        self.memory_mib = capacity.memory_mib
        self.devices = {device.name: device for device in capacity.devices}
        self.moved: dict[Node, None] | None = None  # notes itself there when it has other things left
        self._starting = 0

    @property
    def starting(self) -> int:
        """How many containers start there now."""
        return self._starting

    @starting.setter
    def starting(self, count: int) -> None:
        self._starting = count
        self.note()

    def note(self) -> None:
        """What is left, or who it is, has changed."""
        if self.moved is not None:
            self.moved[self] = None

    def kind(self) -> tuple[object, ...]:
        """Two nodes of the same kind have room for the same."""
        capacity = self.capacity
        devices = tuple(sorted((d.name, d.model, d.memory_mib) for d in self.devices.values()))
        full = self._starting >= self.most_starting
        whole = (capacity.cpu_milli, capacity.memory_mib, len(capacity.devices), capacity.ignore_gpu)
        return self.cpu_milli, self.memory_mib, devices, full, whole

    @property
    def most_starting(self) -> int:
        """How many containers may start at once: imports are work, and too many at a time are all late."""
        return max(4, self.capacity.cpu_milli // 500)

    def change(self, capacity: Capacity, kept: Iterable[Reservation]) -> None:
        """The worker came back, perhaps with other resources; what is kept there stays reserved."""
        self.capacity = capacity
        self.cpu_milli, self.memory_mib = capacity.cpu_milli, capacity.memory_mib
        self.devices = {device.name: device for device in capacity.devices}
        for reservation in kept:
            self.take(reservation)
        self.note()

    def find(self, resources: Resources) -> Reservation | None:
        """What a container of these resources would take here now; None where it doesn't fit."""
        if resources.cpu_milli > self.cpu_milli or resources.memory_mib > self.memory_mib:
            return None
        if not resources.gpus or self.capacity.ignore_gpu:
            return Reservation(resources.cpu_milli, resources.memory_mib)
        for request in resources.gpus:
            devices = pick_devices(request, self.devices.values())
            if devices:
                return Reservation(resources.cpu_milli, resources.memory_mib, devices)
        return None

    def take(self, reservation: Reservation) -> None:
        """Reserves it."""
        self.cpu_milli -= reservation.cpu_milli
        self.memory_mib -= reservation.memory_mib
        for name in reservation.devices:
            self.devices.pop(name, None)
        self.note()

    def give_back(self, reservation: Reservation) -> None:
        """Frees it."""
        self.cpu_milli += reservation.cpu_milli
        self.memory_mib += reservation.memory_mib
        wanted = set(reservation.devices)
        self.devices.update({d.name: d for d in self.capacity.devices if d.name in wanted})
        self.note()

    def free_share(self) -> float:
        """How free it is, 0 to 1, by its scarcer resource."""
        return min(
            self.cpu_milli / max(1, self.capacity.cpu_milli),
            self.memory_mib / max(1, self.capacity.memory_mib),
        )


def lacking(node: Node, resources: Resources) -> float:
    """How much a node lacks of a request: 0 where it fits, 1 for each kind of which nothing is there."""
    lack = max(0, resources.cpu_milli - node.cpu_milli) / max(1, resources.cpu_milli)
    lack += max(0, resources.memory_mib - node.memory_mib) / max(1, resources.memory_mib)
    if resources.gpus and not node.capacity.ignore_gpu:
        lack += min(
            1 - matching(request, node.devices.values()) / request.count for request in resources.gpus
        )
    return lack


def matching(request: GpuRequest, devices: Iterable[Device]) -> int:
    """How many devices of one model meet a request, at most as many as it asks for."""
    by_model: dict[str, int] = {}
    for device in devices:
        if model_matches(request, device):
            by_model[device.model] = by_model.get(device.model, 0) + 1
    return min(request.count, max(by_model.values(), default=0))


MEETS = {
    "H100": ("H200",),
    "B200+": ("B200", "B300"),
    "A10": ("A10G",),
    "A10G": ("A10",),
}
"""Cards that meet a request of another name, by Modal's rules; A10G is the name of an A10 at one cloud."""


def model_matches(request: GpuRequest, device: Device) -> bool:
    """Whether a device is what was asked: its model, a memory size of it ("A100" is met by "A100-80GB"), or an
    upgrade where the request is not exact (an H200 for an H100)."""
    asked, model = request.model.upper(), device.model.upper()
    if asked in ("ANY", model):
        return True
    if request.exact:
        return False
    return model.startswith(asked + "-") or model in MEETS.get(asked, ())


def pick_devices(request: GpuRequest, devices: Iterable[Device]) -> list[str]:
    """Names of as many devices of one model as asked; empty where there are not enough. The asked model itself
    comes before its upgrades, the smaller memory before the larger."""
    by_model: dict[str, list[Device]] = {}
    for device in devices:
        if model_matches(request, device):
            by_model.setdefault(device.model, []).append(device)
    enough = [group for group in by_model.values() if len(group) >= request.count]
    if not enough:
        return []
    best = min(
        enough, key=lambda group: (group[0].model.upper() != request.model.upper(), group[0].memory_mib)
    )
    return sorted(device.name for device in best)[: request.count]


FITTED = 0.75
"""A request larger than any worker is cut to this share of one: what it calls needs room, too."""


def fitted(capacities: Iterable[Capacity], resources: Resources) -> Resources:
    """What is asked; where no worker is that large, what the largest that has the GPU can give.

    A program written for a machine of 64 GiB runs on a laptop, too: a request is no limit.
    """
    able = [capacity for capacity in capacities if Node(capacity).find(_gpus_alone(resources))]
    if not able or any(Node(capacity).find(resources) for capacity in able):
        return resources
    largest = max(
        able,
        key=lambda capacity: (
            min(capacity.memory_mib, resources.memory_mib),
            min(capacity.cpu_milli, resources.cpu_milli),
        ),
    )
    cpu, memory = resources.cpu_milli, resources.memory_mib
    return replace(
        resources,
        cpu_milli=cpu if cpu <= largest.cpu_milli else int(largest.cpu_milli * FITTED),
        memory_mib=memory if memory <= largest.memory_mib else int(largest.memory_mib * FITTED),
    )


def why_never(capacities: Iterable[Capacity], resources: Resources) -> str:
    """Why no worker could hold such a container, even an empty one: a sentence; "" where one could."""
    known = list(capacities)
    if not known:
        return "no worker is connected: start one with `ionian worker`"
    if any(Node(capacity).find(resources) for capacity in known):
        return ""
    if not any(Node(capacity).find(_gpus_alone(resources)) for capacity in known):
        return _why_no_gpu(known, resources)
    cpu = max(capacity.cpu_milli for capacity in known)
    memory = max(capacity.memory_mib for capacity in known)
    if resources.cpu_milli > cpu:
        return f"it asks for {resources.cpu_milli / 1000:g} cores, and the largest worker has {cpu / 1000:g}"
    if resources.memory_mib > memory:
        return f"it asks for {resources.memory_mib} MiB of memory, and the largest worker has {memory} MiB"
    with_gpu = " beside such a GPU" if resources.gpus else ""
    return f"no single worker has that many cores and that much memory together{with_gpu}"


def _gpus_alone(resources: Resources) -> Resources:
    return replace(resources, cpu_milli=0, memory_mib=0)


def _why_no_gpu(capacities: list[Capacity], resources: Resources) -> str:
    asked = " or ".join(
        request.model + (f":{request.count}" if request.count > 1 else "") for request in resources.gpus
    )
    offers: dict[str, int] = {}
    for capacity in capacities:
        own: dict[str, int] = {}
        for device in capacity.devices:
            own[device.model] = own.get(device.model, 0) + 1
        for model, count in own.items():
            offers[model] = max(count, offers.get(model, 0))
    if not offers:
        return f"it asks for the GPU {asked}, and no worker has a GPU; `--no-gpu` runs it on the CPU"
    there = ", ".join(f"{model} (up to {count})" for model, count in sorted(offers.items()))
    return f"it asks for the GPU {asked}, and the workers have {there}; `--no-gpu` runs it on the CPU"
