"""A function: how it is doing, what it did over a time, its containers and its newest calls."""

from __future__ import annotations

from starlette.responses import Response

from ionian.protocol.calls import CallList, ListCalls
from ionian.protocol.statistics import FunctionInspected, InspectFunction
from ionian.protocol.tags import shown

from ...handlers.context import in_thread
from ...standing import Standing, standings
from ..describing import asks_for, kind_of, scaled, schedule_of
from ..history import SPANS, Histories, charts
from ..rendering import page
from ..visit import Visit, go, page_route
from .containers import containers_of, end_route

NEWEST = 8
"""Calls that are shown."""


async def function_page(visit: Visit) -> Response:
    """One function."""
    found: FunctionInspected = await visit.ask(InspectFunction(visit.word("function_id")))
    spec = found.spec
    if spec.base_id:
        return go(f"/functions/{spec.base_id}")
    span = visit.chosen("over", SPANS, "hour")
    now = (await standings(visit.server, {found.app_id}))[found.app_id].get(spec.function_id, Standing())
    histories: Histories = visit.request.app.state.histories
    history = await histories.of(spec.function_id, span, now)
    due = await in_thread(visit.context.store.schedules.next_by_function, found.app_id)
    calls: CallList = await visit.ask(
        ListCalls(found.environment, found.app_id, shown(spec.tag), limit=NEWEST)
    )
    return await page(
        visit,
        "function.html",
        section="apps",
        environment=found.environment,
        title=f"{shown(spec.tag)} of {found.app_name}",
        found=found,
        function_id=spec.function_id,
        tag=shown(spec.tag),
        kind=kind_of(spec),
        resources=asks_for(spec.resources),
        scaling=scaled(spec.scaling),
        schedule=schedule_of(spec),
        next_at=due.get(spec.function_id, 0.0),
        urls=[urls[0] for urls in found.urls.values() if urls],
        standing=now,
        total=history.total,
        span=span,
        spans=list(SPANS.values()),
        charts=charts(history, spec, now),
        containers=await containers_of(visit, found.app_id, spec.tag),
        calls=calls.calls,
    )


routes = [
    page_route("/functions/{function_id}", function_page),
    end_route("/functions/{function_id}/containers/{container_id}/end", "/functions/{function_id}"),
]
