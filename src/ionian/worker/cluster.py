"""A cluster: members on this machine that get the same inputs, and that end together.

The server knows it as one container. Here are its inputs: each goes to all members, the next when all are done with it, so what
waits can be taken back as one. The result is that of rank 0. A member that fails fails the input at once, as the others most
likely wait for it; they are interrupted.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..protocol.batch import DONE, OK, YIELD, Batch
from ..protocol.clusters import member_ids
from ..protocol.usage import Reading
from ..protocol.wire import RUN, entries
from ..protocol.workers import CancelInputs, ContainerState, Held, Running, StartContainer, TakenBack, Usage
from .container import Container, held_of
from .large_inputs import Part
from .member import Member
from .member_networks import Places, meeting
from .packets import LargeResult
from .recipe import slots_of
from .sandbox import Exit

if TYPE_CHECKING:
    from .worker import Worker

GRACE_S = 30.0
"""For what still runs of an input that has failed on another member; then the cluster ends."""


class Progress:
    """One input that members run."""

    def __init__(self, held: Held, size: int) -> None:
        self.held = held
        self.attempt = held.attempt[0]
        self.left = set(range(size))  # who is not done with it
        self.result: Batch | None = None  # of rank 0
        self.over = False  # its result was told, or it was taken back


class ClusterContainer(Container):
    """States: being made → its members import → ready → ended."""

    def __init__(self, worker: Worker, ask: StartContainer) -> None:
        self.size = ask.function.cluster_size
        self.places: Places | None = None
        self._members: list[Member] = []
        self._running: dict[tuple[str, int], Progress] = {}
        self._used = Usage()
        self._given = 0
        super().__init__(worker, ask)

    # --- for the worker

    def member(self, rank: int) -> Container | None:
        return self._members[rank] if rank < len(self._members) else None

    def members(self) -> list[Container]:
        return list(self._members)

    def reading(self) -> list[Reading]:
        return [reading for member in self._members for reading in member.reading()]

    def running(self) -> Running:
        told = super().running()
        told.held += [progress.held for progress in self._running.values() if not progress.over]
        told.held += [held_of(batch) for batch, *_ in self._waiting]
        told.cpu_milli *= self.size
        told.memory_mib *= self.size
        told.cluster_size = self.size
        return told

    def give(self, batch: Batch, entry: bytes, file: FileIO | None = None) -> None:
        if len(batch) == 1:
            self._waiting.append((batch, entry, file))
        else:
            whole = Batch.unpack(*next(entries(entry))[1:])
            for one in (whole.pick([row]) for row in range(len(whole))):
                self._waiting.append((one, one.pack(RUN), None))
        self._next()

    def take_back(self) -> list[Held]:
        """What no member was given."""
        waiting, self._waiting = self._waiting, []
        for *_, file in waiting:
            if file is not None:
                file.close()
        return [held_of(batch) for batch, *_ in waiting] + self._unclaimed()

    def cancel(self, message: CancelInputs) -> list[Held]:
        taken = super().cancel(message)
        for index in message.index:
            progress = self._running.get((message.call_id, index))
            if progress is not None:
                self._interrupt_members(progress, message.grace_s)
                if not progress.left and not progress.over:  # no member had begun
                    self._forget(progress)
                    taken.append(progress.held)
        self._next()
        return taken

    def again(self) -> None:
        for member in self._members:
            member.again()

    def stop(self, grace_s: float, reason: str) -> None:
        if self.ended:
            return
        self._why = self._why or "stopped"
        self._detail = self._detail or reason
        if grace_s <= 0 or not self.ready:
            self.kill()
            return
        if taken := self.take_back():
            self.worker.say(TakenBack(self.number, taken))
        for member in self._members:
            member.stop(grace_s, reason)

    def kill(self) -> None:
        self._hurry.set()
        for member in self._members:
            member.stop(0.0, self._detail)

    def check(self, now_ns: int) -> None:
        for member in self._members:
            member.check(now_ns)

    # --- its life

    async def _run(self, scratch: Path) -> Exit | None:
        del scratch
        image = await self._image_with_python()
        if image is None:
            return None
        async with AsyncExitStack() as stack:
            ask = self.ask
            self.places = await stack.enter_async_context(
                meeting(self.worker.network, ask.number, self.size, closed=ask.function.block_network)
            )
            self.origin.part("sandbox")
            if self._hurry.is_set():
                return None
            self._started = time.monotonic()
            self._members = [Member(self, image, rank) for rank in range(self.size)]
            await asyncio.wait([member.task for member in self._members])
        if not self._why:
            self._why, self._detail = "stopped", "it has run what it was made for"
        return None

    @property
    def container_ids(self) -> list[str]:
        """The ids of its members, by rank."""
        return member_ids(self.ask.container_id, self.size)

    # --- inputs

    def _next(self) -> None:
        """Gives members what comes next, while they have room for it."""
        function = self.ask.function
        while self._waiting and self.ready and len(self._running) < slots_of(function):
            if self._why or (function.single_use and self._given):
                return
            self._given += 1
            self._give(self._waiting.pop(0))

    def _give(self, part: Part) -> None:
        batch, entry, file = part
        self._running[batch.call_id, batch.index[0]] = Progress(held_of(batch), self.size)
        for member in self._members:
            # Each reads by itself: a descriptor that is shared has one place in its file.
            own = FileIO(f"/proc/self/fd/{file.fileno()}", "rb") if file is not None else None
            member.give(batch, entry, own)
        if file is not None:
            file.close()

    def result(self, rank: int, batch: Batch) -> None:
        """Results of a member."""
        for row in range(len(batch)):
            self._row(rank, batch.pick([row]))
        self._next()

    def _row(self, rank: int, one: Batch) -> None:
        progress = self._running.get((one.call_id, one.index[0]))
        code = one.code[0] & 0xFF
        if progress is None or progress.over or one.attempt[0] != progress.attempt:
            _drop(one)
            if progress is not None and code != YIELD:
                self._done(progress, rank)
        elif code == YIELD:
            if rank == 0:
                self._tell(one)
        elif code in (OK, DONE):
            if rank == 0:
                progress.result = one
            else:
                _drop(one)
            self._done(progress, rank)
        else:
            progress.over = True
            self._tell(one)
            self._done(progress, rank)
            self._interrupt_members(progress, GRACE_S)

    def _done(self, progress: Progress, rank: int) -> None:
        """A member is done with an input."""
        progress.left.discard(rank)
        if progress.left:
            return
        self._forget(progress)
        if progress.over:
            return
        if progress.result is not None:
            self._tell(progress.result)
        else:
            self.worker.say(
                TakenBack(self.number, [progress.held])
            )  # it was cancelled before rank 0 began it

    def _forget(self, progress: Progress) -> None:
        self._running.pop((progress.held.call_id, progress.held.index[0]), None)

    def _interrupt_members(self, progress: Progress, grace_s: float) -> None:
        """Those that are not done with an input are to end it. Who has not begun it never will."""
        ask = CancelInputs(self.number, progress.held.call_id, progress.held.index, grace_s)
        for rank in sorted(progress.left):
            if self._members[rank].cancel(ask):
                progress.left.discard(rank)
        if not progress.left and progress.over:
            self._forget(progress)

    def _tell(self, one: Batch) -> None:
        for member in self._members:
            member.catch_up()  # what an input printed goes ahead of its result
        self._results(one)

    # --- its members

    def member_ready(self, member: Member, state: ContainerState) -> None:
        """A member is ready; when all are, it is."""
        if not all(one.ready for one in self._members) or self.ended or self._why:
            return
        self.ready = True
        self._ready_at = time.monotonic()
        self.origin.parts |= {name: s for name, s in member.origin.parts.items() if name != "image"}
        state.number, state.start, state.seconds = (
            self.number,
            self.origin.told(),
            self._ready_at - self._started,
        )
        self._say_ready(state)
        self._next()

    def member_ended(self, member: Member, state: ContainerState, failure: bytes) -> None:
        """A member has ended, and with it all of them, unless it has run what it was made for."""
        used, more = self._used, state.usage
        used.wall_s += more.wall_s
        used.cpu_s += more.cpu_s
        used.memory_gib_s += more.memory_gib_s
        used.gpu_s += more.gpu_s
        awaited = any(member.rank in one.left for one in self._running.values())
        if self._why or (state.ended == "stopped" and not awaited):
            return
        self._why = state.ended or "exit"
        self._detail = f"rank {member.rank} of its cluster of {self.size} ended: {state.detail}"
        self._failure = failure
        self.kill()

    def _lost(self) -> tuple[list[Held], list[Held]]:
        running = [progress.held for progress in self._running.values() if not progress.over]
        return running, []

    def _usage(self) -> Usage:
        return self._used


def _drop(one: Batch) -> None:
    if isinstance(one, LargeResult):
        one.file.close()
