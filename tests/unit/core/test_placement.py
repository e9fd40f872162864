"""Where containers go, and why they don't."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ionian.core.placement import Node, Reservation, model_matches, why_never
from ionian.protocol.spec import GpuRequest, Resources
from ionian.protocol.workers import Capacity, Device


def gpus(model: str, count: int, memory_mib: int = 0) -> list[Device]:
    return [Device(f"nvidia.com/gpu={model}-{n}", model, memory_mib) for n in range(count)]


def test_models_of_gpus_match_as_users_expect() -> None:
    small, large, h200 = Device("a", "A100-40GB"), Device("b", "A100-80GB"), Device("c", "H200")
    assert model_matches(GpuRequest("A100"), small)
    assert model_matches(GpuRequest("A100"), large)
    assert not model_matches(GpuRequest("A100-80GB"), small)
    assert model_matches(GpuRequest("H100"), h200)
    assert not model_matches(GpuRequest("H100", exact=True), h200)
    assert model_matches(GpuRequest("ANY"), h200)
    assert not model_matches(GpuRequest("A10"), small)


def test_a_container_gets_devices_of_one_model_and_they_are_given_once() -> None:
    node = Node(Capacity(64000, 65536, [*gpus("A100-40GB", 1), *gpus("A100-80GB", 2)]))
    pair = node.find(Resources(gpus=[GpuRequest("A100", 2)]))
    assert pair is not None
    assert all("80GB" in name for name in pair.devices)
    node.take(pair)
    assert node.find(Resources(gpus=[GpuRequest("A100-80GB")])) is None
    node.give_back(pair)
    assert node.find(Resources(gpus=[GpuRequest("A100-80GB")])) is not None


def test_alternatives_are_tried_in_order() -> None:
    node = Node(Capacity(64000, 65536, [*gpus("T4", 1), *gpus("L4", 1)]))
    found = node.find(Resources(gpus=[GpuRequest("H100"), GpuRequest("L4"), GpuRequest("T4")]))
    assert found is not None
    assert "L4" in found.devices[0]


def test_what_can_never_be_is_told_from_what_has_to_wait() -> None:
    capacity = Capacity(2000, 4096, gpus("T4", 1))
    assert why_never([], Resources()).startswith("no worker is connected")
    assert why_never([capacity], Resources(cpu_milli=3000)).endswith("the largest worker has 2")
    assert why_never([capacity], Resources(memory_mib=9000)).endswith("the largest worker has 4096 MiB")
    assert "T4 (up to 1)" in why_never([capacity], Resources(gpus=[GpuRequest("H100", 8)]))
    assert why_never([capacity], Resources()) == ""


requests = st.builds(
    Resources, cpu_milli=st.integers(1, 4000), memory_mib=st.integers(1, 8192),
    gpus=st.lists(st.builds(GpuRequest, st.sampled_from(["ANY", "T4", "A100"]), st.integers(1, 3)), max_size=2),
)  # fmt: skip


@given(st.lists(st.tuples(requests, st.booleans()), max_size=40))
def test_no_worker_gives_more_than_it_has(changes: list[tuple[Resources, bool]]) -> None:
    node = Node(Capacity(8000, 16384, [*gpus("T4", 2), *gpus("A100-40GB", 3)]))
    taken: list[Reservation] = []
    for resources, keep in changes:
        reservation = node.find(resources)
        if reservation is not None:
            node.take(reservation)
            taken.append(reservation)
        if taken and not keep:
            node.give_back(taken.pop(0))
        devices = [name for one in taken for name in one.devices]
        assert len(devices) == len(set(devices))
        assert sum(one.cpu_milli for one in taken) == 8000 - node.cpu_milli <= 8000
        assert sum(one.memory_mib for one in taken) == 16384 - node.memory_mib <= 16384
        assert set(node.devices) | set(devices) == {device.name for device in node.capacity.devices}
