"""Which calls are traced, and what became of their inputs: noted on the event loop, beside the dispatcher, and handed over
once it is known. Of calls that are not traced nothing is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...core.function import runs_several
from ...protocol.batch import BLOB, ERROR, OK, YIELD, Batch
from ...protocol.calls import OpenCall
from ...protocol.spec import FunctionSpec
from ...protocol.traces import TraceContext, derived_trace_id, parse
from .spans import ContainerStart, Input, Run, Span, Traced, failed, of_call, of_input

if TYPE_CHECKING:
    from ..containers import Container
    from ..engine import Engine

MOST_CALLS = 10_000
"""Calls under way that are traced; what begins beside them is not."""

MOST_INPUTS = 128
"""Inputs of one call whose waiting and running have spans of their own: who looks at a trace reads no more."""

Sample = Callable[[TraceContext | None, int, str], bool]

_wall = time.time


class Traces:
    """The calls under way that are traced. All on the event loop."""

    def __init__(self, engine: Engine, sample: Sample, export: Callable[[list[Span]], None]) -> None:
        self._engine = engine
        self._sample = sample
        self._export = export
        self._calls: dict[str, Traced] = {}
        self._expected: dict[str, str] = {}  # spawned calls, that the dispatcher has not yet → traceparent

    # --- what happens to calls

    def expect(self, traceparent: str, *call_ids: str) -> None:
        """Spawned calls were made in a span: the dispatcher has them later, and does not know of it."""
        if not traceparent:
            return
        for call_id in call_ids:
            if call_id not in self._calls:  # else it is sent again
                self._expected[call_id] = traceparent
        while len(self._expected) > MOST_CALLS:
            del self._expected[next(iter(self._expected))]

    def opened(self, message: OpenCall, spec: FunctionSpec, app_id: str, environment: str) -> None:
        """A call begins."""
        call_id = message.call_id
        if call_id in self._calls or len(self._calls) >= MOST_CALLS:
            return
        parent = parse(message.trace or self._expected.pop(call_id, "")) or self._running(message.parent)
        trace_id = parent.trace_id if parent is not None else derived_trace_id(call_id)
        if not self._sample(parent, trace_id, spec.tag):
            return
        attributes = {
            "ionian.app": app_id,
            "ionian.environment": environment,
            "ionian.function": spec.tag,
            "ionian.function_id": spec.function_id,
            "ionian.call": call_id,
        }
        parent_id = parent.span_id if parent is not None else 0
        self._calls[call_id] = Traced(call_id, spec.tag, {**attributes}, trace_id, parent_id, _wall())

    def _running(self, input_id: str) -> TraceContext | None:
        """The run in which a call was made, if that is traced."""
        name, _, index = input_id.removeprefix("in-").rpartition(":")
        call = self._calls.get(f"fc-{name}")
        one = call.inputs.get(int(index)) if call is not None and index.isdecimal() else None
        if call is None or one is None or not one.runs:
            return None
        return call.context_of(int(index), one.runs[-1].attempt)

    def put(self, batch: Batch) -> None:
        """Inputs of a call arrive."""
        call = self._calls.get(batch.call_id)
        if call is None:
            return
        now = _wall()
        for index in batch.index:
            if index >= call.arrived:  # else it is sent again
                call.arrived = index + 1
                if index < MOST_INPUTS:
                    call.inputs[index] = Input(now)

    def sent(self, worker_id: str, batch: Batch) -> None:
        """Inputs go to a container."""
        call = self._calls.get(batch.call_id)
        if call is None:
            return
        now = _wall()
        container = self._engine.containers.numbered(worker_id, batch.container)
        name = container.container_id if container is not None else ""
        for index, attempt in zip(batch.index, batch.attempt, strict=True):
            if (one := call.inputs.get(index)) is not None:
                one.runs.append(Run(attempt, name, now))

    def results(self, worker_id: str, batch: Batch) -> None:
        """A container has run inputs."""
        call = self._calls.get(batch.call_id)
        if call is None:
            return
        container = self._engine.containers.numbered(worker_id, batch.container)
        spec = self._engine.specs.get(container.function_id) if container is not None else None
        one_by_one = spec is not None and not runs_several(spec[0])
        ended = _wall()
        for row in reversed(range(len(batch.index))):
            code, one = batch.code[row], call.inputs.get(batch.index[row])
            if one is None or code & ~BLOB == YIELD:
                continue
            for run in one.runs:
                if run.attempt == batch.attempt[row]:
                    took_s = batch.micros[row] / 1e6 if code & ~BLOB in (OK, ERROR) else ended - run.sent
                    run.began, run.ended, run.code = max(run.sent, ended - took_s), ended, code
                    if container is not None and one.start is None:
                        one.start = self._start(call, container, one)
                    if one_by_one:
                        ended = run.began  # the one before it in the batch had ended by then

    def _start(self, call: Traced, container: Container, one: Input) -> ContainerStart | None:
        """The start of a container, if an input of the call waited for it; of several that did the first one has it."""
        if container.start is None or container.container_id in call.starts:
            return None
        began = _wall() - (time.monotonic() - container.since)
        start = ContainerStart(
            container.container_id, began, container.start.kind, dict(container.start.parts)
        )
        if start.ready < one.arrived:
            return None
        call.starts.add(container.container_id)
        return start

    def delivered(self, batch: Batch) -> None:
        """Results go to the caller: these inputs are over."""
        call = self._calls.get(batch.call_id)
        if call is None:
            return
        spans: list[Span] = []
        for index, code in zip(batch.index, batch.code, strict=True):
            if code & ~BLOB == YIELD:
                continue
            call.failed += failed(code)
            one = call.inputs.pop(index, None)
            if one is not None:
                spans += of_input(call, index, one)
        call.ended = _wall()
        if spans:
            self._export(spans)

    def closed(self, call_id: str) -> None:
        """A call is over, or nobody wants more of it."""
        self._expected.pop(call_id, None)
        call = self._calls.pop(call_id, None)
        if call is None:
            return
        spans = [span for index, one in call.inputs.items() for span in of_input(call, index, one)]
        if call.inputs or not call.ended:
            call.ended = _wall()
        self._export([*spans, of_call(call)])

    def sweep(self) -> None:
        """Calls that ended otherwise: with their callers, their app, or as all their results are there."""
        known = self._engine.dispatcher.core.calls
        for call_id in [key for key in self._calls if key not in known]:
            self.closed(call_id)
