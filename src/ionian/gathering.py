"""Operations on dicts and queues on their way: many threads and coroutines ask, and their operations travel together.

While a few messages are under way, what is asked waits for the next one; so a lone operation leaves at once, and of
sixty-four at a time most share a message and a commit. An answer is confirmed to the server when all its operations have it:
what was taken from a queue for somebody who was cancelled meanwhile goes back.
"""

from __future__ import annotations

import os
import threading
from _thread import allocate_lock
from collections import deque
from typing import TYPE_CHECKING, Any

from . import link as links
from .exception import ConnectionError, Error
from .protocol.ids import new_id
from .protocol.items import (
    BYTES_MAX,
    LATER,
    OPS_MAX,
    READS,
    TAKE,
    Done,
    ItemOps,
    Op,
    StopWaiting,
    pack_ops,
    unpack_done,
)
from .steps import Own, current

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from .link import Link

UNDER_WAY = 2
"""Messages that are under way at once: more would each carry less."""

SPLIT = 32
"""From so many operations on two messages leave, and not one: while the server is busy with the first, this process is with
the answers to the second."""

CONFIRM_S = 0.02
"""What was taken is confirmed with the next message, or after so long without one."""

EXIT_S = 5.0


class Ask(Own):
    """The step of one operation. With `wait_s` a queue is waited for, if need be."""

    __slots__ = ("op", "wait_s")

    def __init__(self, op: Op, wait_s: float = 0.0) -> None:
        self.op = op
        self.wait_s = wait_s

    def run(self) -> Done:
        gathering = gathering_of(links.current())
        while True:
            ticket = Ticket(self.op)
            ready = allocate_lock()
            ready.acquire()
            gathering.submit(ticket, ready.release, self.wait_s)
            try:
                ready.acquire()
            except BaseException:  # Ctrl-C, or the input was cancelled
                gathering.settle(ticket, wanted=False)
                raise
            done = gathering.settle(ticket, wanted=True)
            if done.status != LATER:
                return done

    async def run_async(self) -> Done:
        import asyncio

        gathering = gathering_of(await current())
        loop = asyncio.get_running_loop()
        while True:
            ticket = Ticket(self.op)
            ready: asyncio.Future[None] = loop.create_future()
            gathering.submit_async(ticket, loop, ready, self.wait_s)
            try:
                await ready
            except BaseException:
                gathering.settle(ticket, wanted=False)
                raise
            done = gathering.settle(ticket, wanted=True)
            if done.status != LATER:
                return done


class AskAll(Own):
    """The step of many operations, none of which takes anything out. The answers, in their order."""

    __slots__ = ("ops",)

    def __init__(self, ops: Sequence[Op]) -> None:
        self.ops = ops

    def run(self) -> list[Done]:
        gathering = gathering_of(links.current())
        tickets = [Ticket(op) for op in self.ops]
        ready = allocate_lock()
        if tickets:
            ready.acquire()
            gathering.submit_all(tickets, ready.release)
        with ready:
            return [gathering.settle(ticket, wanted=True) for ticket in tickets]

    async def run_async(self) -> list[Done]:
        import asyncio

        gathering = gathering_of(await current())
        tickets = [Ticket(op) for op in self.ops]
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        if tickets:
            gathering.submit_all(tickets, lambda: _Woken.of(loop).wake(ready))
            await ready
        return [gathering.settle(ticket, wanted=True) for ticket in tickets]


class Ticket:
    """One operation that somebody waits for."""

    __slots__ = ("abandoned", "done", "failure", "message", "op", "place", "wake")

    def __init__(self, op: Op) -> None:
        self.op = op
        self.wake: Callable[[], None] | None = None
        self.message: Message | None = None  # in which it travels
        self.place = 0
        self.done: Done | None = None
        self.failure: BaseException | None = None
        self.abandoned = False


class Message:
    """Operations that travel together."""

    __slots__ = ("alone", "confirmed", "left", "request_id", "returned", "sent_returned", "tickets")

    def __init__(self, tickets: list[Ticket], *, alone: bool) -> None:
        self.request_id = new_id("io")
        self.tickets = tickets
        for place, ticket in enumerate(tickets):
            ticket.message, ticket.place = self, place
        self.alone = alone  # it waits, or says nothing: others need not wait until it is answered
        self.left = len(tickets)  # that nobody has picked up
        self.returned: list[int] = []
        self.confirmed: list[str] = []  # what it confirms
        self.sent_returned: dict[str, list[int]] = {}


class Gathering:
    """The operations of one process."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._queue: deque[Ticket] = deque()
        self._under_way = 0
        self._flushing: set[asyncio.AbstractEventLoop] = set()
        self._confirmed: list[str] = []
        self._returned: dict[str, list[int]] = {}
        self._urgent = threading.Event()
        self._confirming = False
        self._pid = os.getpid()

    # --- who asks

    def submit(self, ticket: Ticket, wake: Callable[[], None], wait_s: float) -> None:
        """Sends an operation, or has it wait for the next message; `wake` is called on the link's thread."""
        ticket.wake = wake
        if wait_s > 0:
            self._send(Message([ticket], alone=True), wait_s)
            return
        with self._lock:
            self._queue.append(ticket)
        self._pump()

    def submit_all(self, tickets: list[Ticket], wake: Callable[[], None]) -> None:
        """Sends many operations; `wake` is called when all are answered."""
        left = len(tickets)

        def answered() -> None:
            nonlocal left
            with self._lock:
                left -= 1
                last = not left
            if last:
                wake()

        for ticket in tickets:
            ticket.wake = answered
        with self._lock:
            self._queue.extend(tickets)
        self._pump()

    def submit_async(
        self, ticket: Ticket, loop: asyncio.AbstractEventLoop, ready: asyncio.Future[None], wait_s: float
    ) -> None:
        """The same for a coroutine: all that is asked in one turn of its loop travels together."""
        woken = _Woken.of(loop)
        ticket.wake = lambda: woken.wake(ready)
        if wait_s > 0:
            self._send(Message([ticket], alone=True), wait_s)
            return
        with self._lock:
            self._queue.append(ticket)
            first = loop not in self._flushing
            self._flushing.add(loop)
        if first:
            loop.call_soon(self._flush, loop)

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._flushing.discard(loop)
        self._pump()

    def settle(self, ticket: Ticket, *, wanted: bool) -> Done:
        """Whoever waited has the answer, or does not want it any more. Raises what the server refused it with."""
        with self._lock:
            if ticket.done is None and ticket.failure is None:  # it is not there yet
                ticket.abandoned = True
                message = ticket.message
                if message is None:
                    self._queue.remove(ticket)
            else:
                self._settled(ticket, wanted)
                message = None
        if message is not None and message.alone:
            self._link.post(StopWaiting(message.request_id))
        if wanted and ticket.failure is not None:
            raise ticket.failure
        return ticket.done or _NOTHING

    def _settled(self, ticket: Ticket, wanted: bool) -> None:
        message, done = ticket.message, ticket.done
        if message is None or done is None:
            return
        if not wanted and ticket.op.kind == TAKE and done.values:
            message.returned.append(ticket.place)
        message.left -= 1
        if message.left or not any(_changed(each) for each in message.tickets):
            return
        self._confirmed.append(message.request_id)
        if message.returned:
            self._returned[message.request_id] = message.returned
        if any(each.op.kind == TAKE for each in message.tickets):
            self._confirm_soon()

    # --- messages

    def _pump(self) -> None:
        while True:
            with self._lock:
                if not self._queue or self._under_way >= UNDER_WAY:
                    return
                count = len(self._queue)
                if count >= SPLIT and not self._under_way:
                    count = (count + 1) // 2
                message = Message(self._next(count), alone=False)
                self._under_way += 1
            self._send(message, 0.0)

    def _next(self, count: int) -> list[Ticket]:
        tickets: list[Ticket] = []
        size = 0
        while self._queue and len(tickets) < min(count, OPS_MAX) and size < BYTES_MAX:
            ticket = self._queue.popleft()
            size += len(ticket.op.key) + sum(len(value.data) for value in ticket.op.values)
            tickets.append(ticket)
        return tickets

    def _send(self, message: Message, wait_s: float) -> None:
        with self._lock:
            message.confirmed, self._confirmed = self._confirmed, []
            message.sent_returned, self._returned = self._returned, {}
        objects: list[str] = []
        payload = pack_ops([ticket.op for ticket in message.tickets], objects)
        ops = ItemOps(
            message.request_id,
            objects,
            len(message.tickets),
            message.confirmed,
            message.sent_returned,
            wait_s,
        )
        try:
            self._link.ask(ops, payload, lambda answer: self._heard(message, answer))
        except Error as error:
            self._heard(message, error)

    def _heard(self, message: Message, answer: tuple[Any, bytes] | BaseException) -> None:
        """An answer; called on the link's thread."""
        tickets = message.tickets
        alone: list[Ticket] = []
        with self._lock:
            if not message.alone:
                self._under_way -= 1
            if isinstance(answer, BaseException):
                self._confirmed += message.confirmed
                self._returned.update(message.sent_returned)
                if len(tickets) > 1 and not isinstance(answer, ConnectionError):
                    alone = tickets  # one of them may be to blame for all
                else:
                    for ticket in tickets:
                        ticket.failure = answer
            else:
                for ticket, done in zip(tickets, unpack_done(answer[1], len(tickets)), strict=True):
                    ticket.done = done
                for ticket in tickets:
                    if ticket.abandoned:
                        self._settled(ticket, False)
        for ticket in alone:
            self._send(Message([ticket], alone=True), 0.0)
        if not alone:
            for ticket in tickets:
                if ticket.wake is not None and not ticket.abandoned:
                    ticket.wake()
        self._pump()

    # --- confirming

    def _confirm_soon(self) -> None:
        self._urgent.set()
        if not self._confirming:
            import atexit

            self._confirming = True
            threading.Thread(target=self._confirm, name="ionian-confirm", daemon=True).start()
            atexit.register(self._at_exit)

    def _confirm(self) -> None:
        import time

        while True:
            self._urgent.wait()
            self._urgent.clear()
            time.sleep(CONFIRM_S)
            if self._confirmed:
                self._send(Message([], alone=True), 0.0)

    def _at_exit(self) -> None:
        """What this process took is its own also if it ends now."""
        if not self._confirmed or self._pid != os.getpid():
            return
        ready = threading.Event()
        with self._lock:
            ops = ItemOps(new_id("io"), [], 0, self._confirmed, self._returned)
            self._confirmed, self._returned = [], {}
        try:
            self._link.ask(ops, b"", lambda _: ready.set())
            ready.wait(EXIT_S)
        except Error:
            pass


_NOTHING = Done(LATER)


def _changed(ticket: Ticket) -> bool:
    return ticket.op.kind not in READS and ticket.done is not None and ticket.done.status == 0


class _Woken:
    """Wakes coroutines of one loop: many by one wake of its thread."""

    _all: dict[asyncio.AbstractEventLoop, _Woken] = {}  # noqa: RUF012

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._ready: list[asyncio.Future[None]] = []

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Woken:
        """Of this loop."""
        found = cls._all.get(loop)
        if found is None:
            for other in [each for each in cls._all if each.is_closed()]:
                del cls._all[other]
            found = cls._all[loop] = cls(loop)
        return found

    def wake(self, ready: asyncio.Future[None]) -> None:
        """Has a coroutine go on; called on the link's thread."""
        with self._lock:
            self._ready.append(ready)
            first = len(self._ready) == 1
        if first:
            try:
                self._loop.call_soon_threadsafe(self._settle)
            except RuntimeError:  # it is closed: nobody waits any more
                self._ready = []

    def _settle(self) -> None:
        with self._lock:
            ready, self._ready = self._ready, []
        for future in ready:
            if not future.done():
                future.set_result(None)


class _Current:
    gathering: Gathering | None = None
    link: Link | None = None


_current = _Current()
_making = threading.Lock()


def gathering_of(link: Link) -> Gathering:
    """The gathering of a link."""
    if _current.link is not link:
        with _making:
            if _current.link is not link:
                _current.gathering, _current.link = Gathering(link), link
    assert _current.gathering is not None
    return _current.gathering


def _forked() -> None:
    global _making
    _making = threading.Lock()
    _current.gathering = _current.link = None


os.register_at_fork(after_in_child=_forked)
