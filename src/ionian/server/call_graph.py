"""The inputs of a call, those that they called, and so on: from the store, from memory, and from the dispatcher."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..core.ledger import ENDED, HELD
from ..protocol.calls import CallGraph, InputNode, InputStatus
from ..protocol.ids import input_id
from .call_records import Record, status_of, statuses
from .store.call_reads import CallReads
from .store.call_rows import CallRow

if TYPE_CHECKING:
    from .engine import Engine

MOST_NODES = 5000
"""A graph has no more inputs than this: the first ones of each call, level by level."""

MOST_OF_CALL = 1000


async def call_graph(root: CallRow, engine: Engine, reads: CallReads) -> CallGraph:
    """The graph of a spawned call, parents before children."""
    graph = CallGraph()
    level: list[Record] = [await _record(root, engine, reads)]
    seen = {root.call_id}
    while level and len(graph.inputs) < MOST_NODES:
        for record in level:
            graph.inputs += _nodes(record, engine)[: MOST_NODES - len(graph.inputs)]
        parents = [input_id(record.call_id, index) for record in level for index in range(_count(record))]
        kept = await asyncio.to_thread(reads.children, parents[:MOST_NODES], MOST_NODES)
        below = [await _record(call, engine, reads) for call in kept if call.call_id not in seen]
        for record in level:
            below += [child for child in engine.records.children(record.call_id) if child.call_id not in seen]
        # Only calls of the root's own environment: ids of parents are what callers say.
        level = [record for record in below if record.environment == root.environment]
        seen.update(record.call_id for record in level)
    return graph


def _count(record: Record) -> int:
    return min(record.inputs, MOST_OF_CALL)


async def _record(call: CallRow, engine: Engine, reads: CallReads) -> Record:
    """What the store has of a call."""
    spec = engine.specs.get(call.function_id)
    module = spec[0].module if spec is not None else ""
    record = Record(
        call.call_id, call.parent, call.function_id, call.tag, module, call.environment, call.total
    )
    codes, rest = await asyncio.to_thread(reads.ends, call.call_id, MOST_OF_CALL)
    for batch in codes:
        record.ended.update(statuses(batch))
    if rest is not None:
        for index in range(_count(record)):
            record.ended.setdefault(index, status_of(rest))
    return record


def _nodes(record: Record, engine: Engine) -> list[InputNode]:
    call = engine.dispatcher.core.calls.get(record.call_id)
    running: dict[int, str] = {}
    if call is not None:
        for container in call.function.containers:
            running.update(dict.fromkeys(container.held.get(record.call_id, ()), container.id))
    nodes: list[InputNode] = []
    for index in range(_count(record)):
        status: InputStatus | None = record.ended.get(index)
        if status is None:
            state = call.ledger.state(index) if call is not None else None
            over = state == ENDED or (call is None and record.call_id in engine.records.calls)
            status = "running" if state == HELD else "success" if over else "pending"
        nodes.append(
            InputNode(
                input_id(record.call_id, index),
                record.call_id,
                record.parent,
                status,
                record.tag,
                record.module,
                running.get(index, ""),
            )
        )
    return nodes
