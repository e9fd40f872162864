"""Which cards meet a request, and what is said where none does."""

from __future__ import annotations

import pytest

from ionian.core.actions import Start, Stop
from ionian.core.dispatcher import Dispatcher
from ionian.core.placement import model_matches, pick_devices
from ionian.protocol.spec import GpuRequest, Resources, Scaling
from ionian.protocol.workers import Capacity, Device, Running

from .rig import WORKER, Rig


def cards(*models: str) -> list[Device]:
    return [Device(f"nvidia.com/gpu={number}", model) for number, model in enumerate(models)]


def dispatcher(*workers: Capacity) -> Dispatcher:
    made = Dispatcher(epoch=1)
    for number, capacity in enumerate(workers):
        made.worker_joined(0.0, f"wo-{number}", capacity)
    return made


def asking(*gpus: GpuRequest) -> Resources:
    return Resources(gpus=list(gpus))


@pytest.mark.parametrize(
    ("asked", "model", "meets"),
    [
        ("ANY", "RTX-4090", True),
        ("A100", "A100-40GB", True),
        ("A100", "A100-80GB", True),
        ("A100-40GB", "A100-80GB", False),
        ("H100", "H200", True),
        ("H200", "H100", False),
        ("B200+", "B300", True),
        ("B200", "B300", False),
        ("A10", "A10G", True),
        ("A10G", "A10", True),
        ("L4", "L40S", False),
        ("A100", "MIG-1G.5GB", False),
    ],
)
def test_a_card_meets_a_request_by_name_size_or_upgrade(asked: str, model: str, meets: bool) -> None:
    assert model_matches(GpuRequest(asked), Device("x", model)) is meets


def test_an_exact_request_takes_no_upgrade() -> None:
    assert not model_matches(GpuRequest("H100", exact=True), Device("x", "H200"))
    assert model_matches(GpuRequest("H100", exact=True), Device("x", "H100"))


def test_cards_of_one_container_are_of_one_model() -> None:
    assert pick_devices(GpuRequest("A100", 2), cards("A100-80GB", "A100-40GB", "A100-40GB")) == [
        "nvidia.com/gpu=1",
        "nvidia.com/gpu=2",
    ]
    assert pick_devices(GpuRequest("A100", 2), cards("A100-80GB", "A100-40GB")) == []


def test_a_gpu_that_no_worker_has_is_refused_with_what_there_is() -> None:
    none = dispatcher(Capacity(2000, 4096))
    assert none.why_never(asking(GpuRequest("A100", 4))) == (
        "it asks for the GPU A100:4, and no worker has a GPU; `--no-gpu` runs it on the CPU"
    )
    others = dispatcher(Capacity(2000, 4096, cards("L4", "T4", "L4")), Capacity(2000, 4096))
    assert others.why_never(asking(GpuRequest("A100"), GpuRequest("H100", 2))) == (
        "it asks for the GPU A100 or H100:2, and the workers have L4 (up to 2), T4 (up to 1); "
        "`--no-gpu` runs it on the CPU"
    )
    assert others.why_never(asking(GpuRequest("A100"), GpuRequest("L4", 2))) == ""


def test_workers_without_gpu_requests_run_it_and_that_is_known() -> None:
    ignoring = Capacity(2000, 4096, ignore_gpu=True)
    some = dispatcher(ignoring, Capacity(2000, 4096))
    assert some.why_never(asking(GpuRequest("A100"))) == ""
    assert some.ignores_gpu(asking(GpuRequest("A100")))
    assert not dispatcher(ignoring, Capacity(2000, 4096, cards("A100-40GB"))).ignores_gpu(
        asking(GpuRequest("A100"))
    )


def test_a_request_larger_than_any_worker_is_cut_to_most_of_the_largest() -> None:
    two = dispatcher(Capacity(8000, 4096), Capacity(2000, 16384))
    assert two.fitted(Resources(cpu_milli=1000, memory_mib=65536)) == Resources(1000, memory_mib=12288)
    assert two.fitted(Resources(cpu_milli=64000, memory_mib=4096)) == Resources(6000, memory_mib=4096)
    assert two.fitted(Resources(cpu_milli=8000, memory_mib=4096)) == Resources(8000, memory_mib=4096)


def test_it_is_cut_to_a_worker_that_has_the_gpu() -> None:
    two = dispatcher(Capacity(2000, 32768), Capacity(2000, 16384, cards("A100-40GB")))
    asked = Resources(memory_mib=65536, gpus=[GpuRequest("A100")])
    assert two.fitted(asked).memory_mib == 12288
    assert two.why_never(two.fitted(asked)) == ""
    missing = Resources(memory_mib=65536, gpus=[GpuRequest("H100")])
    assert two.fitted(missing) == missing


def test_without_workers_nothing_is_cut() -> None:
    assert dispatcher().fitted(Resources(memory_mib=65536)).memory_mib == 65536


# --- who has which card


def test_a_restarted_server_knows_which_cards_its_containers_have() -> None:
    rig = Rig(
        epoch=2,
        known_workers={WORKER},
        resources=asking(GpuRequest("A100")),
        scaling=Scaling(min_containers=2),
        join=False,
    )
    there = Running(7, "ta-7", "fu-1", "ap-1", ready=True, devices=["nvidia.com/gpu=1"])
    rig.join(Capacity(4000, 4096, cards("A100-40GB", "A100-40GB")), [there])
    rig.wait(1.0)
    assert [start.devices for start in rig.get(Start)] == [["nvidia.com/gpu=0"]]


def test_the_card_of_a_container_that_nobody_knows_is_free_once_it_has_ended() -> None:
    rig = Rig(
        resources=asking(GpuRequest("A100")), worker=Capacity(4000, 4096, cards("A100-40GB")), join=False
    )
    unknown = Running(7, "ta-7", "fu-gone", "ap-2", ready=True, devices=["nvidia.com/gpu=0"])
    rig.join(Capacity(4000, 4096, cards("A100-40GB")), [unknown])
    assert [stop.number for stop in rig.get(Stop)] == [7]
    rig.open()
    rig.put(0)
    rig.wait(1.0)
    assert rig.get(Start) == []
    rig.ended(7, "stopped")
    rig.wait(1.0)
    assert [start.devices for start in rig.get(Start)] == [["nvidia.com/gpu=0"]]


def test_the_card_of_a_replay_is_free_once_it_has_ended_although_its_worker_came_back_before() -> None:
    rig = Rig(resources=asking(GpuRequest("A100")), worker=Capacity(4000, 4096, cards("A100-40GB")))
    guest = rig.dispatcher.guests.take(asking(GpuRequest("A100")), "")
    assert guest is not None
    rig.dispatcher.worker_gone(rig.now, WORKER)
    rig.dispatcher.guests.all_leave(WORKER)
    there = Running(guest.number, "ta-r", "fu-1", "ap-1", ready=True, devices=guest.reservation.devices)
    capacity = Capacity(4000, 4096, cards("A100-40GB"))
    rig.dispatcher.worker_joined(rig.now, WORKER, capacity, [], ending=[there])
    rig.open()
    rig.put(0)
    rig.wait(1.0)
    assert rig.get(Start) == []
    rig.ended(guest.number, "stopped")
    rig.wait(1.0)
    assert len(rig.get(Start)) == 1
