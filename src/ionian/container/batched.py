"""Runs inputs in batches: the function takes a list for each parameter, and returns a list of as many results.

A batch is as large as what came within the wait of its first input, and at most `size`. One batch runs at a time, on the
main thread or the loop; with concurrency several do, sync ones in threads.
"""

from __future__ import annotations

import contextvars
import select
import time
from collections.abc import Generator
from queue import SimpleQueue
from typing import Any

from .. import execution, faults
from ..exception import InputCancellation, InvalidError
from ..protocol.batch import ERROR
from ..protocol.ids import input_id
from ..protocol.slots import LEFT_ALONE, Slots
from . import loop
from .group import Group
from .job import Job, claimed
from .kinds import ASYNC, ASYNC_GENERATOR, GENERATOR, Kinds
from .lifecycle import Callables
from .payloads import Row
from .results import Results
from .threads import Threads, forget_interrupt, interrupt, this_thread
from .wire import NO_WAIT, Packets

_now = time.monotonic_ns


class BatchedRunner:
    """The loop of a container that runs batches of up to `size` inputs, `most` batches at once."""

    def __init__(
        self,
        packets: Packets,
        slots: Slots,
        results: Results,
        callables: Callables,
        size: int,
        wait_ms: int,
        most: int,
    ) -> None:
        self._packets = packets
        self._slots = slots
        self._results = results
        self._kinds = Kinds(callables)
        self._size = size
        self._wait_ns = wait_ms * 1_000_000
        self._most = most
        self._free: SimpleQueue[int] = SimpleQueue()  # numbers of batches: each has `size` slots of its own
        for number in range(most):
            self._free.put(number)
        self._groups: dict[int, Group] = {}  # what runs, by number
        self._threads = Threads(most)
        self._context = contextvars.copy_context()
        self._poll = select.poll()
        self._poll.register(packets.fileno(), select.POLLIN)
        self._ahead: Job | None = None  # claimed, and of another method than the batch before it
        self._ended = False  # no more inputs come
        self._waiting = False
        self._stopping = False
        self._server: Any = None  # the task that serves, of async functions

    def serve(self) -> None:
        """Runs batches until the worker closes its end and all have ended, or until it says stop."""
        try:
            while not self._ended or self._ahead is not None:
                number, jobs = self._next()
                if self._stopping:
                    return
                if jobs and jobs[0].kind == ASYNC:
                    self._server = loop.get().create_task(self._serve_on_loop(number, jobs))
                    loop.get().run_until_complete(self._server)
                    return
                if not self._begin(number, jobs):
                    self._free.put(number)
            self._drain()
        except BaseException as error:
            if not self._stopping or not (isinstance(error, KeyboardInterrupt) or loop.is_cancelled(error)):
                raise

    def _drain(self) -> None:
        """Waits until all batches have ended: then all numbers are back. stop() ends the wait."""
        self._waiting = True
        try:
            for _ in range(0 if self._stopping else self._most):
                self._free.get()
        finally:
            self._waiting = False

    # --- collecting

    def _collect(self) -> Generator[float, None, list[Job]]:
        """The inputs of the next batch; empty where none come any more. Yields for how long (seconds; -1: for ever) it
        has to wait for the socket, so that it serves a thread that blocks and a loop."""
        jobs = [] if self._ahead is None else [self._ahead]
        self._ahead = None
        due = _now() + self._wait_ns
        while len(jobs) < self._size and not self._ended and not self._stopping:
            try:
                packet = self._packets.receive(NO_WAIT)
            except BlockingIOError:
                left = (due - _now()) / 1e9 if jobs else -1
                if jobs and left <= 0:
                    break
                yield left
                continue
            if packet is None:
                self._ended = True
                break
            job = self._job(packet)
            if job is None:
                continue
            if jobs and job.function is not jobs[0].function:
                self._ahead = job
                break
            if not jobs:
                due = _now() + self._wait_ns
            jobs.append(job)
        return jobs

    def _next(self) -> tuple[int, list[Job]]:
        """Waits for room, and then for a batch."""
        self._waiting = True  # first: stop() either finds it, or was before the look at `_stopping`
        try:
            number = -1 if self._stopping else self._free.get()
            steps = self._collect()
            while True:
                try:
                    left = next(steps)
                except StopIteration as end:
                    return number, end.value
                self._poll.poll(-1 if left < 0 else left * 1000)
        finally:
            self._waiting = False

    def _job(self, packet: Any) -> Job | None:
        """The input of a packet. None where it can't run."""
        found = claimed(packet)
        if found is None:
            return None
        job, payload = found
        if faults.ARMED:
            faults.reach("container.claimed")
        try:
            job.open(self._kinds, payload)
            if job.kind in (GENERATOR, ASYNC_GENERATOR):
                raise InvalidError(
                    "a batched function returns a list of results; it can't be a generator, which yields them"
                )
        except BaseException as error:
            self._results.send(job.call_id, [job.row(ERROR, self._results.failure(error))])
            return None
        return job

    # --- running

    def _begin(self, number: int, jobs: list[Job]) -> bool:
        """Runs a batch, or begins to; False where nothing of it runs any more."""
        group = self._group(number, jobs)
        if group is None:
            return False
        if self._most == 1:
            self._context.copy().run(self._run, group)
        else:
            self._threads.start(self._context.copy().run, self._run, group)
        return True

    def _group(self, number: int, jobs: list[Job]) -> Group | None:
        if not jobs:
            return None
        group = Group(number, jobs)
        for job, error in group.bind():
            self._results.send(job.call_id, [job.row(ERROR, self._results.failure(error))])
        if not group.jobs:
            return None
        started = _now()
        for at, job in enumerate(group.jobs):
            job.slot, job.started = number * self._size + at, started
            self._slots.begin(job.slot, job.call_id, job.index, started)
        self._groups[number] = group
        return group

    def _run(self, group: Group) -> None:
        """On the main thread where one batch runs at a time, as user code may need it; else in a thread."""
        group.enter()
        try:
            try:
                group.thread = this_thread()
                value = group.call()
            finally:
                with group.lock:
                    group.thread = 0
                    if group.interrupted and self._most > 1:
                        forget_interrupt()
            rows = group.rows(value)
        except BaseException as error:
            rows = self._failures(group, error)
        self._end(group, rows)

    def _failures(self, group: Group, error: BaseException) -> list[Row] | None:
        """One exception is that of each input; None where they are to run again elsewhere."""
        if self._stopping and (isinstance(error, KeyboardInterrupt) or loop.is_cancelled(error)):
            return None
        if group.interrupted and (isinstance(error, InputCancellation) or loop.is_cancelled(error)):
            first = group.jobs[0]
            payload = self._results.cancelled(input_id(first.call_id, first.index), error)
        else:
            payload = self._results.failure(error)
        return [job.row(ERROR, payload) for job in group.jobs]

    def _end(self, group: Group, rows: list[Row] | None) -> None:
        """The results go out; only then are the slots free."""
        if execution.after_input is not None:
            execution.after_input(group.call_id, group.index)
        if rows is None:
            return
        calls: dict[str, list[Row]] = {}
        for job, row in zip(group.jobs, rows, strict=True):
            calls.setdefault(job.call_id, []).append(row)
        for call_id, some in calls.items():
            self._results.send(call_id, some)
        del self._groups[group.number]
        for job in group.jobs:
            self._slots.end(job.slot)
        self._free.put(group.number)

    # --- async

    async def _serve_on_loop(self, number: int, jobs: list[Job]) -> None:
        """The same for async functions, from the first batch on."""
        import asyncio

        room = asyncio.Semaphore(self._most - 1)
        tasks: set[asyncio.Task[None]] = set()

        async def run(group: Group) -> None:
            group.enter()
            try:
                rows = group.rows(await group.call())
            except BaseException as error:
                rows = self._failures(group, error)
            self._end(group, rows)
            room.release()

        try:
            while jobs and not self._stopping:
                group = self._group(number, jobs)
                if group is None:
                    room.release()
                else:
                    task = group.task = self._context.copy().run(asyncio.ensure_future, run(group))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                await room.acquire()
                jobs = await self._collect_on_loop()
                number = next(n for n in range(self._most) if n not in self._groups)
        finally:
            while tasks:
                try:
                    await asyncio.wait(tasks)
                except asyncio.CancelledError:
                    pass  # by stop(), which has cancelled them as well: they clean up

    async def _collect_on_loop(self) -> list[Job]:
        steps = self._collect()
        while True:
            try:
                left = next(steps)
            except StopIteration as end:
                return end.value
            await loop.readable(self._packets.fileno(), left)

    # --- signals

    def cancel(self, *_: object) -> None:
        """The worker asks for the end of some inputs: a batch is interrupted where it is all of its inputs."""
        for group in list(self._groups.values()):
            asked = [job for job in group.jobs if self._slots.asked(job.slot) == job.started]
            if not asked or group.interrupted:
                continue
            if len(asked) < len(group.jobs):
                for job in asked:
                    self._slots.answer(job.slot, LEFT_ALONE)
                continue
            if not self._interrupt(group):
                continue
            for job in asked:
                self._slots.answer(job.slot, job.started)
            if self._most == 1 and group.task is None:
                raise InputCancellation("the inputs of the batch were cancelled")

    def _interrupt(self, group: Group) -> bool:
        """Interrupts a batch, unless its user code does not run; one on this very thread is left to the caller."""
        if group.task is not None:
            group.interrupted = True
            loop.get().call_soon_threadsafe(group.task.cancel)
            return True
        with group.lock:
            if group.thread:
                group.interrupted = True
                if self._most > 1:
                    interrupt(group.thread, InputCancellation)
        return group.interrupted

    def stop(self, *_: object) -> None:
        """The container ends: what runs on the main thread is interrupted, tasks are cancelled."""
        self._stopping = True
        if self._server is not None:
            for task in [self._server, *(group.task for group in self._groups.values())]:
                loop.get().call_soon_threadsafe(task.cancel)
        elif self._waiting or (self._most == 1 and any(group.thread for group in self._groups.values())):
            raise KeyboardInterrupt("the container is stopped")
