"""Which worker gets the next container, and that workers that are alike are looked at once."""

from __future__ import annotations

import random

import pytest

from ionian.core.placement import Node, Reservation
from ionian.core.places import Places
from ionian.core.worker import Worker
from ionian.protocol.spec import GpuRequest, Resources
from ionian.protocol.workers import Capacity, Device


def cluster(*capacities: Capacity) -> tuple[Places, list[Worker]]:
    places = Places()
    workers = [Worker(f"wo-{number}", Node(capacity)) for number, capacity in enumerate(capacities)]
    for worker in workers:
        places.add(worker)
    return places, workers


def chosen(places: Places, resources: Resources, image_id: str = "") -> Worker | None:
    found = places.find(resources, image_id)
    return found[0] if found is not None else None


def cards(count: int) -> list[Device]:
    return [Device(f"gpu={number}", "A100-40GB", 40960) for number in range(count)]


def test_the_most_free_worker_is_chosen() -> None:
    places, (small, large) = cluster(Capacity(2000, 4096), Capacity(8000, 16384))
    large.node.take(Reservation(7000, 1024))
    assert chosen(places, Resources()) is small


def test_a_function_without_gpu_leaves_gpu_workers_alone_where_it_can() -> None:
    places, (plain, gpu) = cluster(Capacity(2000, 4096), Capacity(64000, 65536, cards(4)))
    assert chosen(places, Resources()) is plain
    plain.node.take(Reservation(2000, 0))
    assert chosen(places, Resources()) is gpu


def test_a_worker_that_has_the_image_comes_first() -> None:
    places, (one, two) = cluster(Capacity(2000, 4096), Capacity(8000, 16384))
    one.node.take(Reservation(1000, 0))
    assert chosen(places, Resources(), "im-1") is two
    one.images.add("im-1")
    one.moved()
    assert chosen(places, Resources(), "im-1") is one


def test_who_starts_many_already_or_is_out_of_reach_is_passed_over() -> None:
    places, (one, two) = cluster(Capacity(2000, 4096), Capacity(8000, 16384))
    two.node.starting = two.node.most_starting
    assert chosen(places, Resources()) is one
    one.present = False
    one.moved()
    assert chosen(places, Resources()) is None
    assert places.has_room(Resources()), "it fits, though not now"
    places.remove(two)
    assert not places.has_room(Resources())


def test_where_others_have_a_claim_it_starts_only_beside_it() -> None:
    places, (one, two) = cluster(Capacity(2000, 4096), Capacity(8000, 16384))
    one.node.take(Reservation(1000, 0))
    found = places.find(Resources(), claimed={two}, spares=lambda worker: False)
    assert found is not None
    assert found[0] is one
    found = places.find(Resources(), claimed={two}, spares=lambda worker: True)
    assert found is not None
    assert found[0] is two


@pytest.mark.parametrize("seed", range(20))
def test_it_finds_what_a_look_at_all_workers_finds(seed: int) -> None:
    draw = random.Random(seed)
    capacities = [Capacity(draw.choice([2000, 8000]), 8192, cards(draw.choice([0, 0, 4]))) for _ in range(30)]
    places, workers = cluster(*capacities)
    there: list[tuple[Worker, Reservation]] = []
    for _ in range(300):
        asked = Resources(draw.choice([125, 1000, 3000]), draw.choice([128, 2048]))
        if draw.random() < 0.3:
            asked.gpus = [GpuRequest("A100", draw.choice([1, 2, 4]))]
        able = [worker for worker in workers if worker.node.find(asked)]
        found = places.find(asked)
        if found is None:
            assert not able
            for worker, reservation in draw.sample(there, len(there) // 2):
                there.remove((worker, reservation))
                worker.node.give_back(reservation)
            continue
        worker, reservation = found
        best = max((bool(asked.gpus) or not w.node.capacity.devices, w.node.free_share()) for w in able)
        assert (bool(asked.gpus) or not worker.node.capacity.devices, worker.node.free_share()) == best
        worker.node.take(reservation)
        there.append(found)
