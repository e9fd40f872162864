"""A link in memory: runs the inputs of calls in this process, and answers in any order, in pieces, some twice."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from ionian import link as links
from ionian.call import Call
from ionian.protocol.batch import ERROR, OK, Batch
from ionian.protocol.wire import entries
from ionian.serialization import dump_failure, dumps, loads

Waiting = tuple[Call, int, bytes]  # an input: its index and payload


class MemoryLink:
    """`batch`: no answer goes out before so many inputs wait, or the caller has said that no more come."""

    def __init__(self, function: Callable[..., Any], *, seed: int = 0, batch: int = 1) -> None:
        self.closed: list[tuple[str, bool]] = []
        self.most_waiting = 0
        self._function = function
        self._random = random.Random(seed)
        self._batch = batch
        self._inputs: queue.SimpleQueue[tuple[Call, Batch] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def open_call(self, call: Call) -> None: ...

    def send_inputs(self, call: Call, entry: bytes) -> None:
        self.most_waiting = max(self.most_waiting, len(call.unfinished))
        ((_, header, payload),) = entries(entry)
        self._inputs.put((call, Batch.unpack(header, bytes(payload))))

    def close_call(self, call: Call, *, finished: bool) -> None:
        self.closed.append((call.call_id, finished))

    def end(self) -> None:
        self._inputs.put(None)
        self._thread.join()

    def _run(self) -> None:
        waiting: list[Waiting] = []
        while True:
            got = self._inputs.get()
            if got is None:
                return
            call, batch = got
            waiting += [
                (call, index, payload) for index, payload in zip(batch.index, batch.payloads(), strict=True)
            ]
            if len(waiting) >= self._batch:
                self._answer(waiting)
                waiting = []

    def _answer(self, waiting: list[Waiting]) -> None:
        self._random.shuffle(waiting)
        while waiting:
            some = [waiting.pop() for _ in range(min(len(waiting), self._random.randint(1, 20)))]
            for _ in range(self._random.choice((1, 1, 2))):  # some answers come twice
                some[0][0].receive(self._results(some))

    def _results(self, rows: list[Waiting]) -> Batch:
        code: list[int] = []
        payloads: list[bytes] = []
        for _, _, payload in rows:
            args, kwargs = loads(payload)
            try:
                payloads.append(dumps(self._function(*args, **kwargs)))
                code.append(OK)
            except Exception as error:
                payloads.append(dump_failure(error))
                code.append(ERROR)
        sizes = [len(payload) for payload in payloads]
        return Batch(
            rows[0][0].call_id, [index for _, index, _ in rows], sizes, b"".join(payloads), code=code
        )


@contextmanager
def memory_link(function: Callable[..., Any], *, seed: int = 0, batch: int = 1) -> Generator[MemoryLink]:
    """Makes such a link the one of this process."""
    link = MemoryLink(function, seed=seed, batch=batch)
    links.use(link)  # type: ignore[arg-type]  # the part of a link that maps use
    try:
        yield link
    finally:
        links.use(None)
        link.end()
