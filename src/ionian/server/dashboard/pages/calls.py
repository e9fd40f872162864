"""Spawned and scheduled calls: the newest of an environment, page by page, and one with its inputs and what they called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.responses import Response

from ionian.protocol.apps import AppList, ListApps
from ionian.protocol.calls import (
    CallExplained,
    CallGraph,
    CallInfo,
    CallList,
    CancelCall,
    ExplainCall,
    GetCallGraph,
    GetCallInfo,
    InputNode,
    ListCalls,
)
from ionian.protocol.stream import Refused

from ...handlers.apps import app_of
from ...handlers.context import in_thread
from .. import values
from ..rendering import page
from ..visit import Visit, go, page_route

if TYPE_CHECKING:
    from ...store import Store

PAGE = 100
"""Calls on a page."""

INPUTS = 100
"""Inputs of a call that are shown, each with its value and its result."""

READ_BYTES = 2 << 20
"""About so much is read of them."""

GRAPH = 500
"""Inputs of a call graph that are shown."""


@dataclass
class InputRow:
    """An input of a call."""

    index: int
    node: InputNode
    given: str = ""
    result: str = ""
    traceback: str = ""


@dataclass
class Branch:
    """An input in the call graph, and what it called."""

    node: InputNode
    below: list[Branch] = field(default_factory=lambda: list[Branch]())


async def calls_page(visit: Visit) -> Response:
    """The newest calls, or those behind one of an earlier page."""
    environment = visit.word("environment")
    asked = {name: visit.asked(name).strip() for name in ("app", "function", "status")}
    status = asked["status"] if asked["status"] in ("pending", "done", "cancelled") else ""
    before_at, _, before_id = visit.asked("before").partition("~")
    listed: CallList = await visit.ask(
        ListCalls(
            environment,
            asked["app"],
            asked["function"],
            status,  # type: ignore[arg-type]
            PAGE + 1,
            _number(before_at),
            before_id,
        )
    )
    apps: AppList = await visit.ask(ListApps(environment))
    calls, older = listed.calls[:PAGE], ""
    if len(listed.calls) > PAGE:
        last = calls[-1]
        kept = {name: value for name, value in asked.items() if value}
        older = "?" + urlencode({**kept, "before": f"{last.created_at!r}~{last.call_id}"})
    return await page(
        visit,
        "calls.html",
        section="calls",
        environment=environment,
        title="Calls",
        calls=calls,
        apps=apps.apps,
        asked=asked,
        older=older,
        first=not before_id,
    )


async def call_page(visit: Visit) -> Response:
    """One call."""
    call: CallInfo = await visit.ask(GetCallInfo(visit.word("call_id")))
    app = await app_of(visit.actor, "FindApp", call.app_id, visit.context)
    graph: CallGraph = await visit.ask(GetCallGraph(call.call_id))
    explained: CallExplained = await visit.ask(ExplainCall(call.call_id))
    row = await in_thread(visit.context.store.call_reads.find, call.call_id)
    own = [node for node in graph.inputs if node.call_id == call.call_id][:INPUTS]
    rows = [InputRow(index, node) for index, node in enumerate(own)]
    await in_thread(_fill, call.call_id, rows, visit.context.store)
    finished_at = (row.finished_at if row is not None else None) or 0.0
    return await page(
        visit,
        "call.html",
        section="calls",
        environment=app.environment,
        title=f"{call.tag} {call.call_id}",
        call=call,
        app=app,
        finished_at=finished_at,
        status="cancelled" if call.cancelled else "done" if finished_at else "pending",
        reasons=[reason for reason in explained.reasons if reason.state != "done"],
        inputs=rows,
        branches=_tree(graph.inputs[:GRAPH]) if len(graph.inputs) > len(own) else [],
        graph_size=len(graph.inputs),
        graph_shown=GRAPH,
    )


def _fill(call_id: str, rows: list[InputRow], store: Store) -> None:
    """What the store has of inputs: as they came, and what came of them."""
    if not rows:
        return
    reads = store.call_reads
    wanted: list[tuple[str, int]] = []
    size = 0
    for span in reads.spans(call_id, -1):
        size += span.size
        if span.start >= len(rows) or (wanted and size > READ_BYTES):
            break
        wanted.append((call_id, span.start))
    for batch in reads.inputs(wanted).values():
        for index, code, payload in zip(batch.index, batch.code, batch.payloads(), strict=True):
            if index < len(rows):
                rows[index].given = values.arguments(code, payload)
    ended = [row for row in rows if row.node.status not in ("pending", "running")]
    found = reads.results_each([(call_id, row.index) for row in ended], READ_BYTES)
    for row, results in zip(ended, found, strict=False):
        if results is None or results.batch is None or not len(results.batch):
            continue
        code, payload = results.batch.code[0], results.batch.payloads()[0]
        row.result = values.result(code, payload)
        if row.node.status != "success":
            row.traceback = values.failure(code, payload)[1]


def _tree(nodes: list[InputNode]) -> list[Branch]:
    found: dict[str, Branch] = {}
    roots: list[Branch] = []
    for node in nodes:
        branch = found[node.input_id] = Branch(node)
        above = found.get(node.parent)
        (roots if above is None else above.below).append(branch)
    return roots


def _number(text: str) -> float:
    try:
        return float(text or 0)
    except ValueError:
        raise Refused(
            "InvalidError", f"before: expected a page that a link leads to, got {text[:40]!r}"
        ) from None


async def cancel_call(visit: Visit) -> Response:
    """Ends a call."""
    call_id = visit.word("call_id")
    await visit.ask(CancelCall(call_id))
    return go(f"/calls/{call_id}")


routes = [
    page_route("/e/{environment}/calls", calls_page),
    page_route("/calls/{call_id}", call_page),
    page_route("/calls/{call_id}/cancel", cancel_call, post=True),
]
