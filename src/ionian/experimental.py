"""What Modal calls experimental, and is here: clusters by their earlier names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .arguments import integer
from .clusters import ClusterInfo, current, decorator
from .exception import DeprecationError, InvalidError

__all__ = ["ClusterInfo", "InvalidError", "clustered", "get_cluster_info", "get_fabric_peers"]

T = TypeVar("T")


def clustered(
    size: int, broadcast: bool = True, rdma: bool = False, fabric_size: int | None = None
) -> Callable[[T], T]:
    """Retired: write `modal.clustered(size=…)`."""
    import warnings

    warnings.warn(
        "modal.experimental.clustered is retired; write modal.clustered", DeprecationError, stacklevel=2
    )
    if not broadcast:
        raise InvalidError("broadcast: expected True; each input goes to all containers of a cluster")
    if fabric_size is not None and integer("size", size, least=1) % integer(
        "fabric_size", fabric_size, least=1
    ):
        raise InvalidError(
            f"fabric_size: expected a divisor of the cluster's size ({size}), got {fabric_size}"
        )
    return decorator(size, rdma, fabric_size or 0)


def get_cluster_info() -> ClusterInfo:
    """What this container knows of its cluster: rank, cluster_id, container_ips. Raises InvalidError outside one."""
    return current()


def get_fabric_peers() -> list[int]:
    """The ranks that share a fabric of GPUs with this container, as far as is known: itself."""
    return [current().rank]


def __getattr__(name: str) -> Any:
    """What comes later: it says so when it is used."""
    from . import later

    reason = later.NAMES.get(f"experimental.{name}")
    if reason is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return later.Later(f"experimental.{name}", reason)
