"""Clusters: containers that are started together, get the same inputs, and end together.

To the decisions of the server a cluster is one container, with the resources of all its members. Its worker knows it by one
number and its members by theirs, which follow from it, as their ids do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .spec import FunctionSpec, Resources, Scaling

MOST_MEMBERS = 128
"""Of one cluster: they are on one worker's machine."""

_RANK_BITS = 32
"""A container's number has as many, and a member's has its rank above them."""


@dataclass
class GetCluster:
    """Asks which containers a cluster has. Answered by ClusterMembers."""

    cluster_id: str


@dataclass
class ClusterMembers:
    """The ids of its containers, by rank."""

    container_ids: list[str] = field(default_factory=list[str])


@dataclass
class Membership:
    """What a member is told of its cluster, the others by rank. `ipv6` is empty where its machine has none."""

    cluster_id: str
    rank: int
    container_ids: list[str]
    ipv4: list[str]
    ipv6: list[str] = field(default_factory=list[str])


# --- ids and numbers


def member_id(container_id: str, rank: int) -> str:
    """The id of a member; the first has that of the cluster's container."""
    return f"{container_id}-{rank}" if rank else container_id


def member_ids(container_id: str, size: int) -> list[str]:
    """The ids of all of them, by rank."""
    return [member_id(container_id, rank) for rank in range(size)]


def first_of(container_id: str) -> str:
    """The container that stands for the cluster of a member, or that is none's."""
    return "-".join(container_id.split("-")[:2])


def cluster_id_of(container_id: str) -> str:
    """The id of a member's cluster."""
    return "cu-" + first_of(container_id).partition("-")[2]


def container_of(cluster_id: str) -> str:
    """The container that stands for a cluster."""
    return "ta-" + cluster_id.partition("-")[2]


def member_number(number: int, rank: int) -> int:
    """The number of a member of the container that has this one."""
    return number | rank << _RANK_BITS


def of_member(number: int) -> tuple[int, int]:
    """The number of the container that stands for it, and its rank."""
    return number & ((1 << _RANK_BITS) - 1), number >> _RANK_BITS


# --- what it takes


def whole(spec: FunctionSpec) -> FunctionSpec:
    """The function as the server's decisions see it: each of its containers is a cluster."""
    if not spec.cluster_size:
        return spec
    return replace(
        spec,
        resources=whole_resources(spec.resources, spec.cluster_size),
        scaling=clusters_of(spec.scaling, spec.cluster_size),
    )


def whole_resources(resources: Resources, size: int) -> Resources:
    """What all members ask for together. Limits stay those of each."""
    return replace(
        resources,
        cpu_milli=resources.cpu_milli * size,
        memory_mib=resources.memory_mib * size,
        gpus=[replace(gpu, count=gpu.count * size) for gpu in resources.gpus],
    )


def share_of(given: Resources, asked: Resources, size: int) -> Resources:
    """The part of one member of what is given to all of them, which may be less than all asked for."""
    return replace(
        asked,
        cpu_milli=min(asked.cpu_milli, max(1, given.cpu_milli // size)),
        memory_mib=min(asked.memory_mib, max(1, given.memory_mib // size)),
        gpus=[] if not given.gpus else asked.gpus,
    )


def clusters_of(scaling: Scaling, size: int) -> Scaling:
    """How many clusters there are where people say how many containers."""
    if size < 2:
        return scaling
    return replace(
        scaling,
        min_containers=-(-scaling.min_containers // size),
        max_containers=-(-scaling.max_containers // size),
        buffer_containers=-(-scaling.buffer_containers // size),
    )
