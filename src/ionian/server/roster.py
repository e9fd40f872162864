"""The containers that are there, and those that are wanted and not there, with the reason: for people to read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..core.worker import Container as Place
from ..core.worker import State
from ..protocol.apps import ContainerInfo
from ..protocol.clusters import cluster_id_of, of_member
from .containers import Container

if TYPE_CHECKING:
    from .engine import Engine

STATES = {
    State.STARTING: "starting",
    State.READY: "ready",
    State.STOPPING: "stopping",
    State.GONE: "stopping",
}


def roster(engine: Engine, environment: str, app_id: str = "") -> list[ContainerInfo]:
    """The containers of an environment or app, longest there first, and behind them what is wanted.

    Names of apps are left out (the store has them), and `worker` is a worker's id.
    """
    now = time.monotonic()
    there = [
        _info(engine, container, now)
        for container in engine.containers.all()
        if container.actor.environment == environment and app_id in ("", container.app_id)
    ]
    there.sort(key=lambda info: -info.age_s)
    return there + _wanted(engine, environment, app_id)


def _info(engine: Engine, container: Container, now: float) -> ContainerInfo:
    place = _place(engine, container)
    info = ContainerInfo(
        container.container_id,
        container.app_id,
        "",
        container.tag,
        "stopping",
        container.worker_id,
        age_s=now - container.since,
        version=container.version,
        cluster_id=cluster_id_of(container.container_id) if container.cluster_size else "",
        rank=container.rank,
    )
    if place is None:
        info.reason = "its worker has not said yet whether it is still there"
        return info
    info.state = STATES[place.state]  # type: ignore[assignment]
    info.inputs = place.outstanding
    info.start = container.start
    share = len(place.reservation.devices) // max(1, container.cluster_size)
    info.devices = place.reservation.devices[container.rank * share :][:share]
    if not place.worker.present:
        info.reason = "its worker is out of reach"
    elif place.retired:
        info.reason = "it ends with what it runs, and gets no more inputs"
    return info


def _place(engine: Engine, container: Container) -> Place | None:
    """A container in the books of the dispatcher."""
    worker = engine.dispatcher.core.workers.get(container.worker_id)
    return worker.containers.get(of_member(container.number)[0]) if worker is not None else None


def _wanted(engine: Engine, environment: str, app_id: str) -> list[ContainerInfo]:
    """Containers that functions want and do not have: one row a function, with the reason."""
    found: list[ContainerInfo] = []
    for function_id, count, reason in engine.dispatcher.wanted(time.monotonic()):
        function = engine.dispatcher.core.functions[function_id]
        if function.environment != environment or app_id not in ("", function.app_id):
            continue
        if count > 1:
            reason = f"{count} containers: {reason}"
        found.append(
            ContainerInfo(
                "",
                function.app_id,
                "",
                function.spec.tag,
                "wanted",
                inputs=function.queued,
                reason=reason,
                version=function.spec.version,
            )
        )
    return found
