"""The inputs of one container: what it was given, what it claimed, what came back.

The worker holds both ends of the container's SOCK_SEQPACKET pair. A claim is one `recv` at the container's end, so
taking back is a `recv` at the same end: an input is either run or taken back, never both.
"""

from __future__ import annotations

import array
import asyncio
import logging
import mmap
import os
import socket
import struct
from collections import deque
from collections.abc import Callable

from ..protocol.batch import YIELD, Batch
from ..protocol.container import CELL_CALL_AT, CELL_FORMAT, CELL_SIZE, PACKET_MAX
from ..protocol.ids import CALL_ID_LENGTH
from ..protocol.shelf import on_shelf
from ..protocol.stream import joined
from ..protocol.wire import PREFIX, PREFIX_SIZE, entries
from ..protocol.workers import Held

BUFFER = 256 << 10
PACKETS_A_TURN = 32
SMALL = 512
FD_SPACE = socket.CMSG_SPACE(4)

log = logging.getLogger("ionian.worker")

_cell = struct.Struct(CELL_FORMAT)

Packet = tuple[bytes, bytes | None]  # the entry, or its prefix and header and the payload apart


class Feed:
    """Gives packets of inputs to a container and takes packets of results from it."""

    def __init__(self, results: Callable[[Batch], None]) -> None:
        self._results = results
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)
        for end in (self.ours, self.theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self.cell_fd = os.memfd_create("cell")
        os.ftruncate(self.cell_fd, CELL_SIZE)
        self._cell = mmap.mmap(self.cell_fd, CELL_SIZE)
        self._held: dict[str, dict[int, int]] = {}  # call → input → attempt
        self._queue: deque[Packet] = deque()  # what the socket had no room for
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(BUFFER)
        self._writing = False
        self._ending = False
        self.broken = False  # no more results can come
        self._loop.add_reader(self.ours.fileno(), self.read)

    # --- in

    def give(self, batch: Batch, entry: bytes) -> None:
        """Sends a packed batch to the container."""
        self._held.setdefault(batch.call_id, {}).update(zip(batch.index, batch.attempt, strict=True))
        if not self._queue and not self._writing and len(entry) <= PACKET_MAX:
            try:
                self.ours.send(entry)
                return
            except BlockingIOError:
                pass
            except OSError:
                return  # the container is gone; its end tells the rest
        if len(entry) <= PACKET_MAX:
            self._queue.append((entry, None))
        else:
            header_size = PREFIX.unpack_from(entry)[1]
            cut = PREFIX_SIZE + header_size
            self._queue.append((entry[:cut], entry[cut:]))
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
        taken: list[bytes] = [head for head, _ in self._queue]
        self._queue.clear()
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self.ours.fileno())
        while True:
            try:
                size, ancillary, _, _ = self.theirs.recvmsg_into(
                    [self._buffer], FD_SPACE, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
                )
            except OSError:
                break
            if size == 0:
                break
            for fd in _descriptors(ancillary):
                os.close(fd)
            taken.append(bytes(self._buffer[:size]))
        return [self._forget(head) for head in taken]

    def _forget(self, packet: bytes) -> Held:
        header_size = PREFIX.unpack_from(packet)[1]
        header = memoryview(packet)[PREFIX_SIZE : PREFIX_SIZE + header_size]
        batch = Batch.unpack_header(header)
        held = self._held.get(batch.call_id, {})
        for index in batch.index:
            held.pop(index, None)
        return Held(batch.call_id, list(batch.index), list(batch.attempt))

    # --- out

    def read(self) -> None:
        """Takes the packets of results that are there."""
        with joined():
            for _ in range(PACKETS_A_TURN):
                if self._receive() < SMALL:
                    return  # most likely the last: another look costs a system call, and the loop looks again anyway

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
            batch = self._unpack(bytes(self._buffer[:size]), _descriptors(ancillary))
        except (ValueError, OSError, struct.error) as error:  # user code can write here
            log.warning("a container sent what is no result: %s", error)
            return
        self._take(batch)

    def _take(self, batch: Batch) -> None:
        held = self._held.get(batch.call_id)
        if held is None:
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
        if len(news) < len(batch):  # the others were taken from the shelf before
            batch = some_rows(batch, news)
        if news:
            self._results(batch)

    def rescue(self) -> None:
        """Takes the results that the container has not sent, because it runs an input that takes long or has died."""
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

    def _unpack(self, data: bytes, descriptors: list[int]) -> Batch:
        if not descriptors:
            _, header, payload = next(entries(data))
            return Batch.unpack(header, bytes(payload))
        for fd in descriptors[1:]:
            os.close(fd)
        _, header_size, payload_size = PREFIX.unpack_from(data)
        header = memoryview(data)[PREFIX_SIZE : PREFIX_SIZE + header_size]
        return Batch.unpack(header, _read(descriptors[0], payload_size))

    # --- what is under way

    def held(self) -> list[Held]:
        """Everything that was given and has no result; what runs now comes first."""
        call_id, running = self._running()
        rows = [Held(call, list(held), list(held.values())) for call, held in self._held.items() if held]
        for at, row in enumerate(rows):
            if row.call_id == call_id and running in row.index:
                place = row.index.index(running)
                row.index.insert(0, row.index.pop(place))
                row.attempt.insert(0, row.attempt.pop(place))
                rows.insert(0, rows.pop(at))
                break
        return rows

    def running_since_ns(self) -> int:
        """CLOCK_MONOTONIC nanoseconds at which the input that runs now started; 0 where none does."""
        return _cell.unpack_from(self._cell)[0]

    def _running(self) -> tuple[str, int]:
        started, index = _cell.unpack_from(self._cell)
        if not started:
            return "", -1
        return self._call_id(), index

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


def some_rows(batch: Batch, rows: list[int]) -> Batch:
    """A batch of some of the rows of another."""
    payloads = batch.payloads()
    return Batch(
        batch.call_id,
        [batch.index[at] for at in rows],
        [batch.size[at] for at in rows],
        b"".join([payloads[at] for at in rows]),
        attempt=[batch.attempt[at] for at in rows],
        code=[batch.code[at] for at in rows],
        micros=[batch.micros[at] for at in rows],
    )


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for _, _, data in ancillary:
        fds.frombytes(data[: len(data) - len(data) % 4])
    return list(fds)


def _read(fd: int, size: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        return file.read(size)
