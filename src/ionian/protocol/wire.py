"""Framing: what every stream and socket of Ionian carries. Standard library only.

A frame is one or more *entries* one behind the other. An entry is a fixed prefix (kind, header length,
payload length), a header and a payload. The header of a CONTROL entry is JSON, `[name, id, body]`: the
message's class, a request id (0: nothing is answered, n > 0: a request, -n: the answer to it), its fields.
The headers of the other kinds are the columns of a `Batch` (see `batch.py`), packed by hand.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

CONTROL = 0  # a message of the protocol modules, both directions, everywhere
INPUTS = 1  # client → server, container → server: inputs of a call
RUN = 2  # server → worker → container: inputs to run now
RESULTS = 3  # container → worker → server: what became of them
OUTPUTS = 4  # server → client, container: results of the caller's own call
CALL = 5  # client → server: INPUTS that open their call; its function stands in front

PREFIX = struct.Struct("<BII")
PREFIX_SIZE = PREFIX.size

MAX_INLINE = 2 << 20
"""A payload longer than this (2 MiB) travels by the blob store; the batch then carries its digest."""

MAX_FRAME = 64 << 20
"""No frame is longer than this; a peer that announces more is cut off."""

Entry = tuple[int, memoryview, memoryview]


def pack_entry(kind: int, header: bytes, payload: bytes | bytearray | memoryview = b"") -> bytes:
    """One entry as bytes."""
    return b"".join((PREFIX.pack(kind, len(header), len(payload)), header, payload))


def entries(frame: bytes | bytearray | memoryview) -> Iterator[Entry]:
    """The entries of a frame: kind, header and payload (views into the frame).

    Raises ValueError where the frame is cut short.
    """
    view = memoryview(frame)
    at, end = 0, len(view)
    while at < end:
        if end - at < PREFIX_SIZE:
            raise ValueError(f"expected an entry of {PREFIX_SIZE} bytes or more, got {end - at}")
        kind, header_size, payload_size = PREFIX.unpack_from(view, at)
        start = at + PREFIX_SIZE
        middle = start + header_size
        at = middle + payload_size
        if at > end:
            raise ValueError(f"expected an entry of {at - start} bytes, got {end - start}")
        yield kind, view[start:middle], view[middle:at]
