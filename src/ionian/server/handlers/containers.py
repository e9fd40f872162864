"""Containers, as people see them: ListContainers, EndContainer."""

from __future__ import annotations

from ionian.protocol.apps import ContainerInfo, ContainerList, EndContainer, ListContainers
from ionian.protocol.clusters import ClusterMembers, GetCluster, container_of, member_ids
from ionian.protocol.messages import Done
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from .apps import app_of
from .context import Context, in_thread
from .names import environment_of


async def list_containers(
    actor: Actor, message: ListContainers, _: bytes, context: Context
) -> tuple[ContainerList, bytes]:
    """The containers of an environment or of one app, and those that are wanted."""
    if message.app_id:
        environment = (await app_of(actor, "ListContainers", message.app_id, context)).environment
    else:
        authorise(actor, "ListContainers", Target(message.environment))
        environment = await environment_of(actor, message.environment, context)
    await context.engine.workers_back()
    containers = context.engine.roster(environment, message.app_id)
    await in_thread(_name, containers, context)
    return ContainerList(containers), b""


def _name(containers: list[ContainerInfo], context: Context) -> None:
    """Fills in what the store knows: the names of apps and workers."""
    workers = {worker.worker_id: worker.name for worker in context.store.workers.alive()}
    names: dict[str, str] = {}
    for info in containers:
        info.worker = workers.get(info.worker) or info.worker
        if info.app_id not in names:
            app = context.store.apps.find(info.app_id)
            names[info.app_id] = app.name if app is not None else ""
        info.app_name = names[info.app_id]


async def get_cluster(
    actor: Actor, message: GetCluster, _: bytes, context: Context
) -> tuple[ClusterMembers, bytes]:
    """The containers of a cluster that is there."""
    await context.engine.workers_back()
    first = container_of(message.cluster_id)
    environment = context.engine.environment_of_container(first)
    authorise(actor, "GetCluster", Target(environment or ""))
    size = context.engine.cluster_size(first)
    if environment is None or not size:
        raise Refused(
            "NotFoundError",
            f"there is no cluster {message.cluster_id[:80]!r}: it has ended, or never was; `ionian container list` shows those "
            "that run",
        )
    return ClusterMembers(member_ids(first, size)), b""


async def end_container(
    actor: Actor, message: EndContainer, _: bytes, context: Context
) -> tuple[Done, bytes]:
    """Ends a container; what it runs runs elsewhere, unless it may end first."""
    await context.engine.workers_back()
    environment = context.engine.environment_of_container(message.container_id)
    authorise(actor, "EndContainer", Target(environment or ""))
    if environment is None or not context.engine.end_container(message.container_id, message.graceful):
        raise no_container(message.container_id, actor, context)
    return Done(), b""


def no_container(container_id: str, actor: Actor, context: Context) -> Refused:
    """Says that no such container is there, and which are."""
    roster = context.engine.roster(actor.environment or "main", "")
    ids = [info.container_id for info in roster if info.container_id]
    shown = ", ".join(ids[:8]) + (f" and {len(ids) - 8} others" if len(ids) > 8 else "")
    return Refused(
        "NotFoundError",
        f"there is no container {container_id[:80]!r} now; {'there are: ' + shown if ids else 'none is there'}",
    )
