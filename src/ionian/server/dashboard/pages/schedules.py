"""What runs by itself: when it will next, and what came of its last run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

from ionian.protocol.apps import ListApps
from ionian.protocol.batch import BLOB, ERROR, LOST

from ...handlers.context import in_thread
from ...schedules import call_id_of
from ...store.schedules import Planned
from .. import values
from ..describing import when
from ..rendering import page
from ..visit import Visit, page_route

if TYPE_CHECKING:
    from ...store import Store

READ_BYTES = 1 << 20
"""About so much is read of results."""


@dataclass
class Run:
    """The last run of a function: its call, while that is kept."""

    call_id: str
    at: float
    state: str = ""  # "pending", "success", "failure", "cancelled", or "" where it is not kept any more
    took_s: float = 0.0
    failure: str = ""  # the last line of it


async def schedules_page(visit: Visit) -> Response:
    """What runs by itself in an environment, the next one first."""
    environment = visit.word("environment")
    await visit.ask(ListApps(environment))  # whoever may list its apps
    planned = await in_thread(visit.context.store.schedules.of_environment, environment)
    runs = await in_thread(_last_runs, planned, visit.context.store)
    return await page(
        visit,
        "schedules.html",
        section="schedules",
        environment=environment,
        title="Schedules",
        rows=[(one, when(one.schedule), runs.get(one.function_id)) for one in planned],
    )


def _last_runs(planned: Sequence[Planned], store: Store) -> dict[str, Run]:
    runs = {
        one.function_id: Run(call_id_of(one.function_id, one.last_at), one.last_at)
        for one in planned
        if one.last_at
    }
    calls = store.call_reads.find_each([run.call_id for run in runs.values()])
    for run, call in zip(runs.values(), calls, strict=True):
        if call is not None:
            run.state = "cancelled" if call.cancelled else "success" if call.finished_at else "pending"
            run.took_s = (call.finished_at or 0.0) - call.created_at
    ended = [run for run in runs.values() if run.state == "success"]
    found = store.call_reads.results_each([(run.call_id, 0) for run in ended], READ_BYTES)
    for run, results in zip(ended, found, strict=False):
        if results is None or results.batch is None or not len(results.batch):
            continue
        code = results.batch.code[0]
        if code & ~BLOB in (ERROR, LOST):
            run.state, run.failure = "failure", values.failure(code, results.batch.payloads()[0])[0]
    return runs


routes = [page_route("/e/{environment}/schedules", schedules_page)]
