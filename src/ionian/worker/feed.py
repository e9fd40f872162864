"""The inputs of one container: what it was given, what it claimed, what came back.

The worker holds both ends of the container's SOCK_SEQPACKET pair. A claim is one `recv` at the container's end, so
taking back is a `recv` at the same end: an input is either run or taken back, never both.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import mmap
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from io import FileIO

from ..protocol.batch import BACK, YIELD, Batch
from ..protocol.container import CELL_CALL_AT, CELL_FORMAT, PACKET_MAX
from ..protocol.ids import CALL_ID_LENGTH
from ..protocol.shelf import on_shelf
from ..protocol.slots import Run, ask, cell_size, runs, want_back, wanted_back
from ..protocol.stream import joined
from ..protocol.wire import RUN, entries
from ..protocol.workers import Held
from .packets import Packet, batch_of, descriptors, header_of, packet_of, received, results_of

BUFFER = 256 << 10
PACKETS_A_TURN = 32
SMALL = 512
FD_SPACE = socket.CMSG_SPACE(4)

log = logging.getLogger("ionian.worker")

_cell = struct.Struct(CELL_FORMAT)


def _cell_of(size: int) -> int:
    """A cell, which user code can't make smaller: the worker would die where it reads what is not there any more."""
    fd = os.memfd_create("cell", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


class Feed:
    """Gives packets of inputs to a container and takes packets of results from it.

    `slots`: how many inputs the container runs at once. One that runs several claims them one by one, so it is given
    packets of one row.
    """

    def __init__(
        self,
        results: Callable[[Batch], None],
        slots: int = 1,
        gave_back: Callable[[Held], None] = lambda held: None,
    ) -> None:
        self._results = results
        self._gave_back = gave_back
        self._slow_since = 0  # the start of the input behind which others are wanted back
        self._many = slots > 1
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)
        for end in (self.ours, self.theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self.cell_fd = _cell_of(cell_size(slots))
        self._cell = mmap.mmap(self.cell_fd, cell_size(slots))
        self._held: dict[str, dict[int, int]] = {}  # call → input → attempt
        self._queue: deque[Packet] = deque()  # what the socket had no room for
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(BUFFER)
        self._writing = False
        self._ending = False
        self.broken = False  # no more results can come
        self._loop.add_reader(self.ours.fileno(), self.read)

    # --- in

    def give(self, batch: Batch, entry: bytes, file: FileIO | None = None) -> None:
        """Sends a packed batch to the container. `file`: the payload of its one row, which the entry lacks; it is closed
        when it was sent."""
        if self._many and len(batch) > 1:
            whole = Batch.unpack(*next(entries(entry))[1:])
            for row in range(len(whole)):
                one = whole.pick([row])
                self.give(one, one.pack(RUN))
            return
        self._held.setdefault(batch.call_id, {}).update(zip(batch.index, batch.attempt, strict=True))
        if file is None and not self._queue and not self._writing and len(entry) <= PACKET_MAX:
            try:
                self.ours.send(entry)
                return
            except BlockingIOError:
                pass
            except OSError:
                return  # the container is gone; its end tells the rest
        self._queue.append(packet_of(entry) if file is None else (entry, file))
        if not self._writing:
            self._write()

    def _write(self) -> None:
        queue = self._queue
        while queue:
            try:
                self._send(queue[0])
            except BlockingIOError:
                if not self._writing:
                    self._writing = True
                    self._loop.add_writer(self.ours.fileno(), self._write)
                return
            except OSError:
                queue.clear()  # the container is gone; its end tells the rest
                break
            queue.popleft()
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self.ours.fileno())
        if self._ending:
            self._shut()

    def _send(self, packet: Packet) -> None:
        head, payload = packet
        if payload is None:
            self.ours.send(head)
            return
        if isinstance(payload, FileIO):
            socket.send_fds(self.ours, [head], [payload.fileno()])
            payload.close()
            return
        fd = os.memfd_create("payload")
        try:
            view = memoryview(payload)
            while view:
                view = view[os.write(fd, view) :]
            socket.send_fds(self.ours, [head], [fd])
        finally:
            os.close(fd)

    def end(self) -> None:
        """Says that no more inputs come: the container ends when it has run what it has."""
        self._ending = True
        if not self._queue:
            self._shut()

    def _shut(self) -> None:
        try:
            self.ours.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def take_back(self) -> list[Held]:
        """What the container has not claimed; it will not run it."""
        taken: list[Held] = []
        for head, payload in self._unclaimed():
            if isinstance(payload, FileIO):
                payload.close()
            taken.append(self._forget(head))
        return taken

    def take_back_some(self, call_id: str, indexes: set[int]) -> list[Held]:
        """The same for some inputs of a call; the others are the container's again. All, where the feed has ended: its
        socket takes no more."""
        if self._ending:
            return self.take_back()
        taken: list[Held] = []
        for packet in self._unclaimed():
            batch = header_of(packet[0])
            if batch.call_id != call_id or indexes.isdisjoint(batch.index):
                self._queue.append(packet)
                continue
            taken.append(self._forget(packet[0], indexes))
            kept = [row for row, index in enumerate(batch.index) if index not in indexes]
            if kept:
                self._queue.append(packet_of(batch_of(packet).pick(kept).pack(RUN)))
            elif isinstance(packet[1], FileIO):
                packet[1].close()
        if self._queue:
            self._write()
        return taken

    def _unclaimed(self) -> list[Packet]:
        """Takes every packet that the container has not claimed, in order."""
        queued = list(self._queue)
        self._queue.clear()
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self.ours.fileno())
        taken: list[Packet] = []
        while True:
            try:
                size, ancillary, _, _ = self.theirs.recvmsg_into(
                    [self._buffer], FD_SPACE, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
                )
            except OSError:
                break
            if size == 0:
                break
            taken.append(received(bytes(self._buffer[:size]), ancillary))
        if self._ending:
            self._shut()
        return taken + queued

    def wants_back(self) -> bool:
        """Asks for what the container has claimed and not begun, because of the input that runs now; whether it is to
        be told by a signal. What it gives back comes as results do."""
        self._slow_since = 0
        if self._many:  # it claims no more than it runs
            return False
        since = self.running_since_ns()
        if since and sum(map(len, self._held.values())) > 1:
            self._slow_since = since
            want_back(self._cell, True)
        return self.waits_for_back()

    def waits_for_back(self) -> bool:
        """Whether it was asked, and has not answered, while the same input runs."""
        if not self._slow_since:
            return False
        if self._slow_since != self.running_since_ns() or not wanted_back(self._cell):
            self._slow_since = 0
            want_back(self._cell, False)
        return bool(self._slow_since)

    def _forget(self, packet: bytes, only: set[int] | None = None) -> Held:
        return self._let_go(header_of(packet), only)

    def _let_go(self, batch: Batch, only: set[int] | None = None) -> Held:
        held = self._held.get(batch.call_id, {})
        rows = [row for row in zip(batch.index, batch.attempt, strict=True) if only is None or row[0] in only]
        for index, _ in rows:
            held.pop(index, None)
        return Held(batch.call_id, [index for index, _ in rows], [attempt for _, attempt in rows])

    # --- out

    def read(self) -> None:
        """Takes the packets of results that are there."""
        with joined():
            for _ in range(PACKETS_A_TURN):
                size = self._receive()
                if not size or (size < SMALL and len(self._held) < 2):
                    return  # most likely the last: another look costs a system call, and the loop looks again anyway
                # Single inputs of many calls give a packet each: those that are here leave in one frame.

    def drain(self) -> None:
        """Takes every packet of results that is there: the container has ended, and nothing comes behind them."""
        with joined():
            while self._receive():
                pass

    def _receive(self) -> int:
        """Takes one packet; its size, or 0 where there is none."""
        try:
            size, ancillary, _, _ = self.ours.recvmsg_into([self._buffer], FD_SPACE, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return 0
        except OSError:
            size, ancillary = 0, []
        if size == 0:  # we hold the other end too: only the container can have shut it
            self.broken = True
            self._loop.remove_reader(self.ours.fileno())
            return 0
        self._packet(size, ancillary)
        return size

    def _packet(self, size: int, ancillary: list[tuple[int, int, bytes]]) -> None:
        try:
            batches = results_of(bytes(self._buffer[:size]), descriptors(ancillary))
        except (ValueError, OSError, struct.error, StopIteration) as error:  # user code can write here
            log.warning("a container sent what is no result: %s", error)
            return
        for batch in batches:
            if len(batch):
                self._take(batch)

    def _take(self, batch: Batch) -> None:
        held = self._held.get(batch.call_id)
        if held is None:
            return
        if batch.code[0] & 0xFF == BACK:
            self._back(batch, held)
            return
        if len(batch) == 1 and batch.code[0] & 0xFF != YIELD:
            if held.pop(batch.index[0], None) is not None:
                if not held:
                    del self._held[batch.call_id]
                self._results(batch)
            return
        news = [
            at
            for at, (index, code) in enumerate(zip(batch.index, batch.code, strict=True))
            if code & 0xFF == YIELD or held.pop(index, None) is not None
        ]
        if not held:
            del self._held[batch.call_id]
        if news:  # the others were taken from the shelf before
            self._results(batch.pick(news))

    def _back(self, batch: Batch, held: dict[int, int]) -> None:
        """The container gives inputs back: those that it has, as user code may say anything."""
        known = {i for i, n in zip(batch.index, batch.attempt, strict=True) if held.get(i) == n}
        if known:
            self._gave_back(self._let_go(batch, known))

    def rescue(self) -> None:
        """Takes the results that the container has not sent, because it runs an input that takes long or has died."""
        if self._many:
            return  # it keeps none back
        since = self.running_since_ns()
        call_id = self._call_id()
        rows = on_shelf(self._cell)
        held = self._held.get(call_id)
        if since != self.running_since_ns() or held is None:
            return  # it went on meanwhile, and sends them itself
        rows = [row for row in rows if held.get(row[0]) == row[1]]
        if rows:
            index, attempt, code, micros, payloads = zip(*rows, strict=True)
            sizes = [len(payload) for payload in payloads]
            self._take(
                Batch(call_id, index, sizes, b"".join(payloads), attempt=attempt, code=code, micros=micros)
            )

    # --- what is under way

    def held(self) -> list[Held]:
        """Everything that was given and has no result; what runs now comes first, the oldest before the others."""
        first: dict[str, dict[int, int]] = {}
        for _, _, call_id, index in self.runs():
            if (attempt := self._held.get(call_id, {}).get(index)) is not None:
                first.setdefault(call_id, {})[index] = attempt
        rows = [(call_id, {**some, **self._held[call_id]}) for call_id, some in first.items()]
        rows += [(call_id, held) for call_id, held in self._held.items() if call_id not in first]
        return [Held(call_id, list(some), list(some.values())) for call_id, some in rows if some]

    def lost(self) -> tuple[list[Held], list[Held]]:
        """What was running in a container that has died, the oldest first, and what it never ran. One that runs an input
        at a time says of a packet only which input it is at: all of it may have run."""
        if not self._many:
            return self.held(), []
        running: list[Held] = []
        for _, _, call_id, index in self.runs():
            attempt = self._held.get(call_id, {}).pop(index, None)
            if attempt is not None:
                running.append(Held(call_id, [index], [attempt]))
        return running, self.held()

    def runs(self) -> list[Run]:
        """What runs now, the oldest first."""
        return runs(self._cell)

    def ask(self, run: Run) -> int:
        """Asks for the end of what runs: see slots.ask."""
        return ask(self._cell, run[0], run[1])

    def holds(self, call_id: str, index: int) -> bool:
        """Whether the container has this input, and no result of it came back."""
        return index in self._held.get(call_id, ())

    def running_since_ns(self) -> int:
        """CLOCK_MONOTONIC nanoseconds at which the input that runs longest started; 0 where none does."""
        if not self._many:
            return _cell.unpack_from(self._cell)[0]
        now = self.runs()
        return now[0][1] if now else 0

    def _call_id(self) -> str:
        return self._cell[CELL_CALL_AT : CELL_CALL_AT + CALL_ID_LENGTH].decode(errors="replace")

    def close(self) -> None:
        """Lets go of everything."""
        self._loop.remove_reader(self.ours.fileno())
        self._loop.remove_writer(self.ours.fileno())
        self.ours.close()
        self.theirs.close()
        self._cell.close()
        os.close(self.cell_fd)
