"""Runs what deployed apps have scheduled: once each, over crashes and restarts, by the clock on the wall."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import pickle
import time
from collections.abc import Awaitable, Callable, Iterable

from .. import faults
from ..protocol.batch import Batch
from ..protocol.calls import Spawn
from ..protocol.ids import ulid_of
from ..protocol.spec import FunctionSpec, Schedule
from ..protocol.stream import Refused
from .next_run import BadSchedule, next_run
from .store.schedules import Due, Schedules

log = logging.getLogger("ionian.server")

LONGEST_SLEEP_S = 30.0
"""The clock on the wall may be set while we sleep: it is looked at this often at least."""

AGAIN_S = 5.0
"""What could not be begun (the disk is full, say) is tried again after so long."""

Begin = Callable[[str, Due], Awaitable[None]]
"""Begins a kept call of a function without arguments; done when it is on disk. Repeated under one id it is one call."""


class Scheduler:
    """Begins a call each time a schedule is due.

    What was due while the server was down is begun once, however often it was due. The id of the call follows from
    the function and the time that it was due at, so a crash between the call and the note of it runs nothing twice.
    """

    def __init__(self, rows: Schedules, begin: Begin, clock: Callable[[], float] = time.time) -> None:
        self._rows = rows
        self._begin_call = begin
        self._clock = clock
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to run what is due."""
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Begins nothing more."""
        if self._task is not None:
            self._task.cancel()

    async def publish(self, app_id: str, specs: Iterable[FunctionSpec]) -> None:
        """These are the functions of a deployed app."""
        schedules = {spec.function_id: spec.schedule for spec in specs if spec.schedule is not None}
        await asyncio.to_thread(self._rows.keep, app_id, schedules, self._first)
        self._changed.set()

    async def drop(self, app_id: str) -> None:
        """The app has ended."""
        await asyncio.to_thread(self._rows.drop, app_id)

    def _first(self, schedule: Schedule) -> float:
        return next_run(schedule, self._clock())

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                pause = await self.look()
            except Exception:  # the disk is full, say: the next look may be luckier
                log.exception("running schedules")
                pause = AGAIN_S
            try:
                await asyncio.wait_for(self._changed.wait(), pause)
            except asyncio.TimeoutError:
                pass

    async def look(self) -> float:
        """Begins what is due now; returns for how many seconds nothing will be."""
        failed = False
        for due in await asyncio.to_thread(self._rows.due, self._clock()):
            failed = not await self._begin(due) or failed
        if failed:
            return AGAIN_S
        at = await asyncio.to_thread(self._rows.next_at)
        return LONGEST_SLEEP_S if at is None else min(max(at - self._clock(), 0.0), LONGEST_SLEEP_S)

    async def _begin(self, due: Due) -> bool:
        """Whether a call was begun, or never can be."""
        call_id = call_id_of(due.function_id, due.at)
        if faults.ARMED:
            faults.reach("schedule.due")
        try:
            await self._begin_call(call_id, due)
            log.info("scheduled function=%s app=%s call=%s", due.tag, due.app_id, call_id)
        except Refused as refused:  # its app was stopped in this very moment, say
            log.warning("scheduled function=%s app=%s: %s", due.tag, due.app_id, refused.message)
        except Exception:
            log.exception("scheduled function=%s app=%s", due.tag, due.app_id)
            return False
        if faults.ARMED:
            faults.reach("schedule.begun")
        await asyncio.to_thread(self._rows.ran, due.function_id, due.at, self._behind(due))
        if faults.ARMED:
            faults.reach("schedule.noted")
        return True

    def _behind(self, due: Due) -> float:
        """When it is due next. A period is counted from when it was due, so that it doesn't drift; what was missed
        in between is not caught up with."""
        now = self._clock()
        try:
            following = next_run(due.schedule, due.at)
            return following if following > now else next_run(due.schedule, now)
        except (
            BadSchedule
        ) as error:  # the last time that it comes; or its time zone was taken off this machine
            log.warning("schedule of function=%s: %s; looked at again in a day", due.tag, error)
            return now + 86_400.0


def call_id_of(function_id: str, due_at: float) -> str:
    """The id of the call that a function makes because it was due."""
    digest = hashlib.sha256(f"{function_id} {due_at!r}".encode()).digest()
    return f"fc-{ulid_of(int(due_at * 1000), digest[:10])}"


NO_ARGUMENTS = pickle.dumps(((), {}), 4)
"""An input of a function: the pickled (args, kwargs)."""


def scheduled_call(call_id: str, due: Due) -> tuple[Spawn, Batch]:
    """The call of a function that is due, and its one input."""
    inputs = Batch(call_id, [0], [len(NO_ARGUMENTS)], NO_ARGUMENTS)
    return Spawn(call_id, due.function_id, tag=due.tag), inputs
