"""Clusters: containers that get the same inputs together and reach each other; what makes one, and what members know of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from . import later
from .arguments import flag, integer, wrong
from .dashboard_link import OnDashboard
from .exception import InvalidError
from .execution import is_local
from .partial_function import (
    METHOD,
    PartialFunction,
    check_unmarked,
    over_the_class,
    partial_of,
    with_parentheses,
)
from .steps import Steps, StepsMethod

if TYPE_CHECKING:
    from typing import Literal

    from .class_definition import ClassDefinition
    from .options import FunctionOptions
    from .protocol.spec import MethodSpec, WebSpec

T = TypeVar("T")

CLUSTER = "__ionian_cluster__"
"""The attribute of a class that `@modal.clustered` leaves there: (size, rdma, fabric_size)."""

COUNTED = ("min_containers", "max_containers", "buffer_containers")


def clustered(_raw: None = None, *, size: int, rdma: bool = False) -> Callable[[T], T]:
    """Has `size` containers get each input together, and reach each other. The result is that of rank 0.

    Stands under `@app.function()`, or under `@app.cls()` over a class with one method. All are on one worker's machine,
    each with the cores, memory and GPUs that the function asks for; they start together and end together.

    ```python
    @app.function(gpu="H100:2")
    @modal.clustered(size=4)
    def train(steps: int) -> float:
        cluster = modal.Cluster.from_context()
        rank, addresses = cluster.container_rank(), cluster.container_ips("ipv4")
        ...
    ```

    Args:
        size: how many containers, 1 to 128. `min_containers` and its kin count containers, so they are multiples of it.
        rdma: taken, and without effect: on one machine nothing of it is needed.

    Raises InvalidError for a wrong argument, over what is batched, and over what answers web requests.
    """
    with_parentheses("clustered", _raw)
    return decorator(size, rdma, 0)


def decorator(size: Any, rdma: Any, fabric_size: int) -> Callable[[T], T]:
    """The decorator with checked arguments."""
    from .protocol.clusters import MOST_MEMBERS

    given = (integer("size", size, least=1, most=MOST_MEMBERS), flag("rdma", rdma), fabric_size)

    def decorate(raw: Any) -> Any:
        if isinstance(raw, type):
            setattr(raw, CLUSTER, given)  # pyright: ignore[reportUnknownArgumentType]
            return raw  # pyright: ignore[reportUnknownVariableType]
        made = partial_of(raw)
        if made is None:
            check_unmarked("clustered", raw)
            made = PartialFunction[..., Any, Any](raw, frozenset())
        elif METHOD in made.kinds and made.batching is None and made.web is None:
            raise over_the_class("clustered", made.__name__)
        made.cluster = given
        return made

    return decorate


def take(options: FunctionOptions, given: tuple[int, bool, int] | None) -> None:
    """Puts what `clustered` said into the options of a function or class."""
    if given is not None:
        options.cluster_size, options.rdma, options.fabric_size = given


def check(name: str, options: FunctionOptions, web: WebSpec | None) -> None:
    """Raises InvalidError for what a cluster can't be."""
    size = options.cluster_size
    if not size or not is_local():
        return
    if options.batch_size:
        raise InvalidError(f"{name}: what has @modal.clustered can't be batched; leave @modal.batched out")
    if web is not None:
        raise InvalidError(
            f"{name}: what has @modal.clustered can't answer web requests; leave one of both out"
        )
    for argument in COUNTED:
        value: int = getattr(options, argument)
        if value % size:
            raise wrong(
                argument, f"a multiple of the cluster's size ({size}), as it counts containers", value
            )


def check_class(definition: ClassDefinition, options: FunctionOptions, methods: list[MethodSpec]) -> None:
    """The same for a class."""
    if options.cluster_size and len(methods) > 1:
        names = ", ".join(method.name for method in methods)
        raise InvalidError(
            f"{definition.name}: a class with @modal.clustered has one method for callers, got {len(methods)} ({names})"
        )
    check(definition.name, options, next((method.web for method in methods if method.web is not None), None))


# --- inside


class ClusterInfo:
    """What a member of a cluster knows of it, without asking: `modal.experimental.get_cluster_info()`."""

    def __init__(
        self,
        rank: int,
        cluster_id: str,
        container_ips: list[str],
        container_ipv4_ips: list[str],
        fabric_ids: list[str],
        container_ids: list[str],
    ) -> None:
        self.rank = rank
        self.cluster_id = cluster_id
        self.container_ips = container_ips
        self.container_ipv4_ips = container_ipv4_ips
        self.fabric_ids = fabric_ids
        self.container_ids = container_ids

    def __repr__(self) -> str:
        return f"ClusterInfo(rank={self.rank}, cluster_id={self.cluster_id!r}, container_ips={self.container_ips!r})"


_current: ClusterInfo | None = None


def enter(membership: dict[str, Any] | None) -> None:
    """For the container's agent: this process is a member of a cluster from here on."""
    global _current
    if membership is not None:
        _current = ClusterInfo(
            membership["rank"],
            membership["cluster_id"],
            membership["ipv6"] or membership["ipv4"],
            membership["ipv4"],
            [],
            membership["container_ids"],
        )


def current() -> ClusterInfo:
    """What this container knows of its cluster. Raises InvalidError outside one."""
    if _current is None:
        raise InvalidError(
            "this is no container of a cluster: only functions and classes with @modal.clustered have one"
        )
    return _current


@later.fill
class Cluster(OnDashboard):
    """A cluster of containers: `Cluster.from_context()` in one of them, `Cluster.from_id("cu-…")` elsewhere.

    ```python
    cluster = modal.Cluster.from_context()
    os.environ["MASTER_ADDR"] = cluster.container_ips()[0]
    os.environ["RANK"] = str(cluster.container_rank())
    ```
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise InvalidError(
            'a Cluster is had by modal.Cluster.from_context() in one of its containers, or by modal.Cluster.from_id("cu-…")'
        )

    _cluster_id: str

    @staticmethod
    def from_context() -> Cluster:
        """The cluster of this container. Raises InvalidError in one that is of none, and outside of containers."""
        return _made(current().cluster_id)

    @staticmethod
    def from_id(cluster_id: str, *, client: Any = None) -> Cluster:
        """The cluster of that id. Nothing is asked before it is used. Raises InvalidError for what is no id of one."""
        later.refuse("Cluster.from_id", client=client)
        if not isinstance(cluster_id, str) or not cluster_id.startswith("cu-"):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise wrong("cluster_id", 'the id of a cluster, "cu-…"', cluster_id)
        return _made(cluster_id)

    @property
    def object_id(self) -> str:
        """The cluster's id, `cu-…`."""
        return self._cluster_id

    def _shown_id(self) -> str:
        return self._cluster_id

    @StepsMethod
    def hydrate(self, client: Any = None) -> Steps[Cluster]:
        """Sees to it that there is such a cluster, and returns it. Raises NotFoundError where there is none any more."""
        later.refuse("Cluster.hydrate", client=client)
        yield from _members(self._cluster_id)
        return self

    @StepsMethod
    def container_ids(self) -> Steps[list[str]]:
        """The ids of its containers, by rank. Raises NotFoundError where it has ended."""
        return (yield from _ids(self))

    @StepsMethod
    def container_ips(self, family: Literal["ipv4", "ipv6"] = "ipv6") -> Steps[list[str]]:
        """The addresses of its containers, by rank: nobody else reaches them. On a machine without IPv6 they are those of
        IPv4 for either family.

        Raises InvalidError for another family, and outside its containers.
        """
        yield from ()
        if family not in ("ipv4", "ipv6"):
            raise wrong("family", '"ipv4" or "ipv6"', family)
        found = self._own("container_ips")
        return list(found.container_ipv4_ips if family == "ipv4" else found.container_ips)

    @StepsMethod
    def container_rank(self, container_id: str | None = None) -> Steps[int]:
        """The rank of this container, or of that with an id: 0 is the one whose result counts.

        Raises InvalidError for a container that is none of the cluster's.
        """
        if container_id is None:
            return self._own("container_rank").rank
        known = yield from _ids(self)
        if container_id not in known:
            raise wrong(
                "container_id", f"a container of {self._cluster_id} ({', '.join(known)})", container_id
            )
        return known.index(container_id)

    def _own(self, method: str) -> ClusterInfo:
        found = current()
        if found.cluster_id != self._cluster_id:
            raise InvalidError(
                f"{method}() is for containers of the cluster itself; this one is of {found.cluster_id}, not of "
                f"{self._cluster_id}"
            )
        return found

    def __reduce__(self) -> Any:
        return _made, (self._cluster_id,)

    def __repr__(self) -> str:
        return f"Cluster.from_id({self._cluster_id!r})"


def _made(cluster_id: str) -> Cluster:
    made = Cluster.__new__(Cluster)
    made._cluster_id = cluster_id
    return made


def _members(cluster_id: str) -> Steps[list[str]]:
    from .protocol.clusters import GetCluster

    answer, _ = yield GetCluster(cluster_id)
    return list(answer.container_ids)


def _ids(cluster: Cluster) -> Steps[list[str]]:
    if _current is not None and _current.cluster_id == cluster.object_id:
        return list(_current.container_ids)
    return (yield from _members(cluster.object_id))
