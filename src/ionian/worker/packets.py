"""Packets of a container's socket, as the worker handles them: a batch, whose payload may travel as a descriptor."""

from __future__ import annotations

import array
import os
import stat
from io import FileIO

from ..protocol.batch import Batch
from ..protocol.container import PACKET_MAX
from ..protocol.wire import MAX_INLINE, PREFIX, PREFIX_SIZE, entries

Packet = tuple[bytes, bytes | FileIO | None]
"""The entry; or its prefix and header, and the payload apart: as bytes, or as the file that it is sent by."""


BATCH_MAX = 16 << 20
"""No batch of several results is larger, by far; user code may say so, and a file of any size takes no room."""


class LargeResult(Batch):
    """One result that stays in the file by which it came: a worker has less memory than all its containers. User code
    may still write there, so what is read twice may differ."""

    __slots__ = ("file",)

    def __init__(self, columns: Batch, file: FileIO) -> None:
        c = columns
        super().__init__(c.call_id, c.index, c.size, b"", attempt=c.attempt, code=c.code, micros=c.micros)
        self.file = file


def results_of(packet: bytes, fds: list[int]) -> list[Batch]:
    """The batches of a packet of results; of one the payload may have come by a descriptor."""
    if fds:
        return [_result_of(packet, fds)]
    return [Batch.unpack(header, bytes(payload)) for _, header, payload in entries(packet)]


def _result_of(packet: bytes, fds: list[int]) -> Batch:
    for fd in fds[1:]:
        os.close(fd)
    file = FileIO(fds[0], "rb")
    try:
        batch = header_of(packet)
        _check_file(file, sum(batch.size))
        file.seek(0)  # its writer stands at the end
    except BaseException:
        file.close()
        raise
    if len(batch) == 1 and batch.size[0] > MAX_INLINE:
        return LargeResult(batch, file)
    with file:
        if sum(batch.size) > BATCH_MAX:
            raise ValueError(f"expected at most {BATCH_MAX} bytes in a batch, got {sum(batch.size)}")
        batch.payload = file.read(sum(batch.size))
    if len(batch.payload) != sum(batch.size):
        raise ValueError(f"expected a payload of {sum(batch.size)} bytes, got {len(batch.payload)}")
    return batch


def _check_file(file: FileIO, size: int) -> None:
    """User code may send any descriptor: a read of some never ends (an eventfd), of others never enough (/dev/zero)."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("expected the payload in a file, got another kind of descriptor")
    if status.st_size < size:
        raise ValueError(f"expected a payload of {size} bytes, got {status.st_size}")


def header_of(packet: bytes) -> Batch:
    """The columns of a packet, given its prefix and header."""
    header_size = PREFIX.unpack_from(packet)[1]
    return Batch.unpack_header(memoryview(packet)[PREFIX_SIZE : PREFIX_SIZE + header_size])


def batch_of(packet: Packet) -> Batch:
    """The batch of a packet, whose file is closed."""
    head, payload = packet
    if payload is None:
        return Batch.unpack(*next(entries(head))[1:])
    batch = header_of(head)
    batch.payload = payload if isinstance(payload, bytes) else _content(payload, sum(batch.size))
    return batch


def packet_of(entry: bytes) -> Packet:
    """A packed batch as it fits into the socket."""
    if len(entry) <= PACKET_MAX:
        return entry, None
    cut = PREFIX_SIZE + PREFIX.unpack_from(entry)[1]
    return entry[:cut], entry[cut:]


def descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors that came with a packet."""
    fds = array.array("i")
    for _, _, data in ancillary:
        fds.frombytes(data[: len(data) - len(data) % 4])
    return list(fds)


def received(packet: bytes, ancillary: list[tuple[int, int, bytes]]) -> Packet:
    """A packet as it was read from a socket."""
    fds = descriptors(ancillary)
    return packet, FileIO(fds[0], "rb") if fds else None


def _content(file: FileIO, size: int) -> bytes:
    with file:
        file.seek(0)
        return file.read(size)
