"""Rows a second of the dispatcher alone: `python tests/simulation/bench.py [rows] [containers]`."""

from __future__ import annotations

import sys
import time
from collections import deque

from ionian.core.actions import Deliver, Run, Start
from ionian.core.dispatcher import Dispatcher
from ionian.protocol.batch import Batch
from ionian.protocol.spec import FunctionSpec, Scaling
from ionian.protocol.workers import Capacity, ContainerState

CALL = "fc-" + "0" * 26
PUT_ROWS = 256
WINDOW = 4096
PAYLOAD = 40


def main(rows: int = 1_000_000, containers: int = 2) -> None:
    """One call of `rows` inputs, by a caller that keeps a window of inputs under way and confirms every batch."""
    dispatcher = Dispatcher(epoch=1)
    scaling = Scaling(min_containers=containers, max_containers=containers)
    dispatcher.worker_joined(0.0, "wo-1", Capacity(64_000, 64_000))
    dispatcher.add_function(0.0, FunctionSpec("fu-1", "f", "m", "f", scaling=scaling), "ap-1", "main")
    for action in dispatcher.take():
        if isinstance(action, Start):
            dispatcher.container_state(0.0, "wo-1", ContainerState(action.number, "ready"))
    dispatcher.open_call(0.0, CALL, "fu-1", "cl-1")
    runs: deque[Batch] = deque()
    sent = received = seq = 0
    spent = 0.0
    batches = 0
    while received < rows:
        while sent < rows and sent - received < WINDOW:
            batch = Batch(
                CALL, list(range(sent, sent + PUT_ROWS)), [PAYLOAD] * PUT_ROWS, bytes(PAYLOAD * PUT_ROWS)
            )
            sent += PUT_ROWS
            begin = time.perf_counter()
            dispatcher.put(begin, batch)
            actions = dispatcher.take()
            spent += time.perf_counter() - begin
            runs.extend([action.batch for action in actions if isinstance(action, Run)])
        run = runs.popleft()
        seq += 1
        count = len(run)
        batches += 1
        result = Batch(CALL, list(run.index), [8] * count, bytes(8 * count), attempt=list(run.attempt),
                       micros=[2] * count, container=run.container, seq=seq)  # fmt: skip
        begin = time.perf_counter()
        dispatcher.results(begin, "wo-1", result)
        actions = dispatcher.take()
        spent += time.perf_counter() - begin
        delivered = [action.batch for action in actions if isinstance(action, Deliver)]
        runs.extend([action.batch for action in actions if isinstance(action, Run)])
        received += sum(len(batch) for batch in delivered)
        begin = time.perf_counter()
        dispatcher.confirm(begin, "cl-1", delivered[-1].seq)
        dispatcher.take()
        if (when := dispatcher.next_tick()) is not None and when <= begin:
            dispatcher.tick(begin)
            dispatcher.take()
        spent += time.perf_counter() - begin
    print(f"{rows:,} inputs, {containers} containers, {rows / batches:.1f} rows a batch:", end=" ")
    print(f"{rows / spent:,.0f} rows/s, {spent / rows * 1e6:.3f} µs a row")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
