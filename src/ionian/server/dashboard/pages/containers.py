"""Containers: those of an environment, an app or a function, and one with what it uses and writes."""

from __future__ import annotations

import time
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from ionian.protocol.apps import (
    ContainerInfo,
    ContainerList,
    EndContainer,
    ListContainers,
    LogLines,
    ReadLogs,
)
from ionian.protocol.stream import Refused
from ionian.protocol.tags import shown

from ...auth import Target, authorise
from ...containers import Container
from ...handlers.apps import app_of
from ...handlers.context import in_thread
from ...samples import Ended, Sample
from ...starts import PARTS
from .. import curves
from ..describing import asks_for
from ..rendering import page
from ..visit import Visit, go, page_route
from .logs import lines_behind

TAIL = 200
"""Lines of its log that the page of a container begins with."""

HOW = {
    "": "ended",
    "stopped": "stopped",
    "exit": "its process ended",
    "signal": "a signal ended it",
    "memory": "out of memory",
    "timeout": "an input ran too long",
    "import": "its code did not import",
    "startup": "it was not ready in time",
    "start": "it could not be made",
    "lost": "its worker is gone",
}


@dataclass
class ContainerRow:
    """A container, or what is wanted and not there."""

    container: ContainerInfo
    since: float  # seconds since 1970
    use: Sample | None = None


@dataclass
class EndedRow:
    """A container that is gone."""

    ended: Ended
    how: str
    app: str


async def containers_of(
    visit: Visit, app_id: str, tag: str = "", *, environment: str = ""
) -> list[ContainerRow]:
    """Those of an app, of one function of it, or of an environment."""
    listed: ContainerList = await visit.ask(ListContainers(environment, app_id))
    now, samples = time.time(), visit.server.engine.samples
    return [
        ContainerRow(
            one,
            round(now - one.age_s) if one.container_id else 0.0,
            samples.of(one.container_id).last() if one.container_id else None,
        )
        for one in listed.containers
        if tag in ("", one.tag)
    ]


async def containers_page(visit: Visit) -> Response:
    """Those of an environment that are there or wanted, and those that ended in the last hour."""
    environment = visit.word("environment")
    rows = await containers_of(visit, "", environment=environment)
    ended = [one for one in visit.server.engine.samples.all_ended(environment) if not one.container.guest]
    names = await in_thread(visit.context.store.apps.names, {one.container.app_id for one in ended})
    return await page(
        visit,
        "all_containers.html",
        section="containers",
        environment=environment,
        title="Containers",
        rows=rows,
        ended=[
            EndedRow(one, HOW.get(one.how, one.how), names.get(one.container.app_id, "")) for one in ended
        ],
    )


async def container_page(visit: Visit) -> Response:
    """One container, while it is there and for an hour after."""
    container_id = visit.word("container_id")
    container, ended = _found(visit, container_id)
    app = await app_of(visit.actor, "FindApp", container.app_id, visit.context)
    rows = await containers_of(visit, app.app_id) if ended is None else []
    row = next((one for one in rows if one.container.container_id == container_id), None)
    known = visit.server.engine.specs.get(container.function_id)
    lines = LogLines()
    if visit.live is None:  # an open page follows them itself
        lines = await visit.ask(ReadLogs(app.app_id, container_id, tail=TAIL))
    start = container.start
    return await page(
        visit,
        "container.html",
        section="containers",
        environment=app.environment,
        title=container_id,
        container=container,
        root_id=known[0].base_id or container.function_id if known is not None else "",
        tag=shown(container.tag),
        app=app,
        info=row.container if row is not None else None,
        began_at=row.since if row is not None else ended.began_at if ended is not None else 0.0,
        ended=ended,
        how=HOW.get(ended.how, ended.how) if ended is not None else "",
        use=visit.server.engine.samples.of(container_id).last() if ended is None else None,
        resources=asks_for(known[0].resources) if known is not None else "",
        start=start,
        start_parts=[(name, start.parts[name]) for name in PARTS if name in start.parts]
        if start is not None
        else [],
        charts=curves.charts(
            list(visit.server.engine.samples.of(container_id).samples()),
            None if ended is None else ended.ended_at,
            known[0].resources if known is not None else None,
        ),
        lines=lines,
    )


def _found(visit: Visit, container_id: str) -> tuple[Container, Ended | None]:
    """A container that is there, or was in the last hour."""
    ended = None
    container = visit.server.engine.containers.find(container_id)
    if container is None and (ended := visit.server.engine.samples.find_ended(container_id)) is not None:
        container = ended.container
    authorise(visit.actor, "ListContainers", Target("" if container is None else container.actor.environment))
    if container is None or container.guest:
        raise Refused(
            "NotFoundError", f"there is no container {container_id[:80]!r}, and was none in the last hour"
        )
    return container, ended


async def next_lines(visit: Visit) -> Response:
    """The lines of its log behind a cursor, once there are some."""
    container, _ = _found(visit, visit.word("container_id"))
    question = ReadLogs(container.app_id, container.container_id)
    return await lines_behind(visit, question, container.actor.environment)


def end_route(path: str, back: str) -> Route:
    """What ends a container once it has ended what it runs, and leads back to the page on which that was asked for."""

    async def end_container(visit: Visit) -> Response:
        await visit.ask(EndContainer(visit.word("container_id"), graceful=True))
        return go(back.format_map(visit.request.path_params))

    return page_route(path, end_container, post=True)


routes = [
    page_route("/e/{environment}/containers", containers_page),
    end_route("/e/{environment}/containers/{container_id}/end", "/e/{environment}/containers"),
    page_route("/containers/{container_id}", container_page),
    page_route("/containers/{container_id}/next", next_lines),
    end_route("/containers/{container_id}/end", "/containers/{container_id}"),
]
