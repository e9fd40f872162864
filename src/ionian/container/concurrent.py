"""Runs several inputs at once: async ones as tasks of one loop, sync ones in threads.

The main thread claims packets, only while a slot is free. It reads the socket itself until the first async input comes;
from then on the loop does, on the same thread. So a container without async code never imports asyncio.
"""

from __future__ import annotations

import contextvars
from queue import Empty, SimpleQueue
from typing import Any

from .. import execution, faults
from ..exception import InputCancellation
from ..protocol.batch import DONE, ERROR, OK, YIELD
from ..protocol.ids import input_id
from ..protocol.slots import Slots
from . import loop
from .job import Job, claimed
from .kinds import ASYNC, ASYNC_GENERATOR, PLAIN, WEB, Kinds
from .lifecycle import Callables
from .payloads import Raw, Row, pickled
from .results import Results
from .threads import Threads, forget_interrupt, interrupt, this_thread
from .wire import NO_WAIT, Packets
from .written import marks

CLAIMS_A_TURN = 32
"""Then the tasks of the loop have their turn."""


class ConcurrentRunner:
    """The loop of a container that runs up to `most` inputs at once."""

    def __init__(
        self, packets: Packets, slots: Slots, results: Results, callables: Callables, most: int
    ) -> None:
        self._packets = packets
        self._slots = slots
        self._results = results
        self._kinds = Kinds(callables)
        self._most = most
        self._free: SimpleQueue[int] = SimpleQueue()
        for slot in range(most):
            self._free.put(slot)
        self._jobs: dict[int, Job] = {}  # by slot
        self._threads = Threads(most)
        self._context = contextvars.copy_context()  # what imports and @enter set, each input sees a copy of
        self._on_loop = False
        self._stopping = False
        self._waiting = False  # the main thread, for a slot or a packet
        # Of the loop:
        self._reading = False
        self._ended: Any = None  # a future: no more inputs come
        self._rows: dict[
            str, list[Row]
        ] = {}  # of tasks, not sent yet; sent together at the end of the loop's turn
        self._over: list[Job] = []  # whose last row is among them

    def serve(self) -> None:
        """Runs inputs until the worker closes its end and all have ended, or until it says stop."""
        try:
            while not self._on_loop:
                slot, packet = self._next()
                if packet is None:
                    break
                self._claimed(slot, packet)
            if self._on_loop:
                loop.run(self._serve_on_loop())
            self._drain()
        except KeyboardInterrupt:
            if not self._stopping:
                raise

    def _drain(self) -> None:
        """Waits until all inputs have ended: then all slots are back. stop() ends the wait."""
        self._waiting = True
        try:
            for _ in range(0 if self._stopping else self._most):
                self._free.get()
        finally:
            self._waiting = False

    # --- claims

    def _next(self) -> tuple[int, Any]:
        self._waiting = True  # first: stop() either finds it, or was before the look at `_stopping`
        try:
            if self._stopping:
                return 0, None
            slot = self._free.get()
            packet = self._packets.receive()
            if packet is None:
                self._free.put(slot)
            return slot, packet
        finally:
            self._waiting = False

    def _claimed(self, slot: int, packet: Any) -> None:
        """Begins the input of a packet."""
        found = claimed(packet, slot)
        if found is None:
            self._free.put(slot)
            return
        job, payload = found
        self._slots.begin(slot, job.call_id, job.index, job.started)
        self._jobs[slot] = job
        if faults.ARMED:
            faults.reach("container.claimed")
        try:
            job.open(self._kinds, payload)
        except BaseException as error:
            self._end(job, job.row(ERROR, self._results.failure(error)))
            return
        context = self._context.copy()
        context.run(execution.set_input, job.call_id, job.index)
        if job.kind in (ASYNC, ASYNC_GENERATOR, WEB):
            self._on_loop = True
            job.task = context.run(loop.get().create_task, self._as_task(job))
        else:
            self._threads.start(context.run, self._in_thread, job)

    # --- sync

    def _in_thread(self, job: Job) -> None:
        try:
            with job.lock:
                job.thread = this_thread()
            try:
                row = self._run(job)
            finally:
                with job.lock:
                    job.thread = 0
                    if job.interrupted:
                        forget_interrupt()
        except BaseException as error:
            row = job.row(ERROR, self._failure(job, error))
        self._end(job, row)

    def _run(self, job: Job) -> Row:
        value = job.function(*job.args, **job.kwargs)
        if job.kind == PLAIN:
            return job.row(OK, pickled(value, "the result of the function"))
        number = 0
        for item in value:
            self._item(job, number, item)
            number += 1
        return job.row(DONE, b"", number)

    def _item(self, job: Job, number: int, item: Any) -> None:
        self._results.send(job.call_id, [job.row(YIELD, pickled(item, "an item of the generator"), number)])

    def _end(self, job: Job, row: Row) -> None:
        """The result goes out; only then is the slot free, so that a container that dies between has run the input."""
        if marks.wrote:
            marks.settle(job.call_id, job.index)
        if execution.after_input is not None:
            execution.after_input(job.call_id, job.index)
        self._results.send(job.call_id, [row])
        self._leave_slot(job)
        if self._on_loop:
            loop.get().call_soon_threadsafe(self._look)

    def _leave_slot(self, job: Job) -> None:
        self._jobs.pop(job.slot, None)
        self._slots.end(job.slot)
        self._free.put(job.slot)

    def _failure(self, job: Job, error: BaseException) -> bytes:
        if job.interrupted and (isinstance(error, InputCancellation) or loop.is_cancelled(error)):
            return self._results.cancelled(input_id(job.call_id, job.index), error)
        return self._results.failure(error)

    # --- async

    async def _serve_on_loop(self) -> None:
        self._ended = loop.get().create_future()
        self._look()
        if self._stopping:
            self._stop_on_loop()
        await self._ended
        self._read(False)
        tasks = self._tasks()
        if tasks:
            import asyncio

            await asyncio.wait(tasks)
        self._flush()

    async def _as_task(self, job: Job) -> None:
        try:
            if job.kind == ASYNC:
                value = await job.function(*job.args, **job.kwargs)
                row = job.row(OK, pickled(value, "the result of the function"))
            elif job.kind == WEB:
                row = await self._answer(job)
            else:
                number = 0
                async for item in job.function(*job.args, **job.kwargs):
                    self._item(job, number, item)
                    number += 1
                row = job.row(DONE, b"", number)
        except BaseException as error:
            if self._stopping and loop.is_cancelled(error):
                return  # without a result: it is run again elsewhere
            row = job.row(ERROR, self._failure(job, error))
        if marks.wrote:
            marks.settle(job.call_id, job.index)
        if execution.after_input is not None:
            execution.after_input(job.call_id, job.index)
        self._over.append(job)
        self._later(job.call_id, row)

    async def _answer(self, job: Job) -> Row:
        """Runs a web request. What it says in one turn of the loop leaves together, and if it ends in it, as one row."""
        number = 0
        opening: Row | None = None

        def emit(event: Raw) -> None:
            nonlocal number, opening
            rows = self._rows.get(job.call_id)
            if rows and rows[-1] is opening:
                rows.clear()
                number = 0
            row = job.row(YIELD, event, number)
            if event.opening:
                opening = row
            self._later(job.call_id, row)
            number += 1

        await job.function(emit, *job.args)
        rows = self._rows.get(job.call_id)
        if rows:
            *_, event = rows.pop()
            return job.row(DONE, event, number - 1)
        return job.row(DONE, b"", number)

    def _later(self, call_id: str, row: Row) -> None:
        if not self._rows:
            loop.get().call_soon(self._flush)
        self._rows.setdefault(call_id, []).append(row)

    def _flush(self) -> None:
        rows, self._rows = self._rows, {}
        over, self._over = self._over, []
        self._results.send_together(rows)
        for job in over:
            self._leave_slot(job)
        if not self._reading:
            self._look()

    def _look(self) -> None:
        """Claims what is there, as long as slots are free; looks again when the socket, or a slot, has news."""
        if self._ended is None or self._ended.done():
            return
        for _ in range(CLAIMS_A_TURN):
            try:
                slot = self._free.get_nowait()
            except Empty:
                self._read(False)
                return
            try:
                packet = self._packets.receive(NO_WAIT)
            except BlockingIOError:
                self._free.put(slot)
                break
            if packet is None:
                self._free.put(slot)
                self._ended.set_result(None)
                return
            self._claimed(slot, packet)
        self._read(True)

    def _read(self, reading: bool) -> None:
        if reading != self._reading:
            self._reading = reading
            if reading:
                loop.get().add_reader(self._packets.fileno(), self._look)
            else:
                loop.get().remove_reader(self._packets.fileno())

    # --- signals

    def cancel(self, *_: object) -> None:
        """The worker asks, in their slots, for the end of some inputs."""
        for job in list(self._jobs.values()):
            if self._slots.asked(job.slot) != job.started or job.interrupted:
                continue
            if job.task is not None:
                job.interrupted = True
                loop.get().call_soon_threadsafe(job.task.cancel)
            else:
                with job.lock:
                    if job.thread:
                        job.interrupted = True
                        interrupt(job.thread, InputCancellation)
            if job.interrupted:
                self._slots.answer(job.slot, job.started)

    def stop(self, *_: object) -> None:
        """The container ends: tasks are cancelled, threads end with the process."""
        self._stopping = True
        if self._on_loop:
            loop.get().call_soon_threadsafe(self._stop_on_loop)
        if self._waiting:
            raise KeyboardInterrupt("the container is stopped")

    def _stop_on_loop(self) -> None:
        if self._ended is None:
            return  # the loop begins, and looks whether it shall end
        if not self._ended.done():
            self._ended.set_result(None)
        for task in self._tasks():
            task.cancel()

    def _tasks(self) -> list[Any]:
        return [job.task for job in self._jobs.values() if job.task is not None]
