"""Clusters: ids and numbers of members, and what a cluster takes as a whole."""

from __future__ import annotations

from ionian.protocol.clusters import (
    cluster_id_of,
    clusters_of,
    container_of,
    first_of,
    member_id,
    member_ids,
    member_number,
    of_member,
    share_of,
    whole,
    whole_resources,
)
from ionian.protocol.ids import new_id
from ionian.protocol.spec import FunctionSpec, GpuRequest, Resources, Scaling


def test_ids_of_members_and_of_their_cluster_follow_from_each_other() -> None:
    first = new_id("ta")
    ids = member_ids(first, 3)
    assert ids == [first, member_id(first, 1), f"{first}-2"]
    assert {first_of(one) for one in ids} == {first}
    assert {cluster_id_of(one) for one in ids} == {f"cu-{first[3:]}"}
    assert container_of(cluster_id_of(ids[2])) == first


def test_numbers_of_members_are_those_of_no_other_container() -> None:
    largest = (1 << 32) - 1
    numbers = {member_number(number, rank) for number in (1, 2, largest) for rank in range(128)}
    assert len(numbers) == 3 * 128
    assert member_number(7, 0) == 7
    assert of_member(member_number(largest, 127)) == (largest, 127)


def test_a_cluster_takes_what_all_its_members_ask_for() -> None:
    asked = Resources(2000, 3000, 1024, 2048, 10, [GpuRequest("H100", 8)])
    taken = whole_resources(asked, 4)
    assert (taken.cpu_milli, taken.memory_mib, taken.gpus) == (8000, 4096, [GpuRequest("H100", 32)])
    assert (taken.cpu_limit_milli, taken.memory_limit_mib, taken.ephemeral_disk_mib) == (3000, 2048, 10)
    assert asked.gpus == [GpuRequest("H100", 8)]


def test_a_member_has_its_part_of_what_is_given() -> None:
    asked = Resources(2000, 0, 1024, 0, 0, [GpuRequest("H100", 1)])
    assert share_of(whole_resources(asked, 4), asked, 4) == asked
    less = share_of(Resources(4000, 0, 2048), asked, 4)
    assert (less.cpu_milli, less.memory_mib, less.gpus) == (1000, 512, [])


def test_numbers_of_containers_become_those_of_clusters_and_never_fewer() -> None:
    assert clusters_of(Scaling(8, 16, 4), 4) == Scaling(2, 4, 1)
    assert clusters_of(Scaling(1, 3, 0), 4) == Scaling(1, 1, 0)
    assert clusters_of(Scaling(0, 0, 0), 4) == Scaling(0, 0, 0)
    assert clusters_of(Scaling(3, 5, 1), 1) == Scaling(3, 5, 1)


def test_a_function_that_is_no_cluster_is_itself() -> None:
    spec = FunctionSpec("fu-1", "f", "m", "f")
    assert whole(spec) is spec
    spec.cluster_size, spec.scaling = 2, Scaling(2, 4)
    found = whole(spec)
    assert (found.resources.cpu_milli, found.scaling) == (250, Scaling(1, 2))
    assert spec.resources.cpu_milli == 125
