"""A batch: inputs or results of one call, column by column. The only messages packed by hand.

The same layout crosses every border, so a relay forwards the bytes and looks at the columns it needs. A batch
of one costs about a microsecond to pack, one of a hundred hardly more.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from itertools import accumulate

from .ids import CALL_ID_LENGTH
from .wire import pack_entry

# What a result's code says. An input's code is 0, or BLOB.
OK = 0  # payload: the pickled result
ERROR = 1  # payload: a pickled failure (see serialization.py)
YIELD = 2  # payload: one pickled item of a generator; `micros` holds its index; the input goes on
DONE = 3  # a generator has ended; `micros` holds how many items it yielded
LOST = 4  # payload: a JSON failure made by worker or server: {"type": exception class, "message": …}
BACK = 5  # no result: a container gives an input back that it has claimed and not begun; goes no further than the worker
BLOB = 0x100  # flag: the payload is `digest size` (ASCII) of a blob and not the data itself

HEAD = struct.Struct(f"<{CALL_ID_LENGTH}sIQ")
COLUMNS = 5
OPENING = struct.Struct(f"<{CALL_ID_LENGTH}sB")
"""In front of the columns of a CALL: the function's id and the length of the caller's input id, which follows."""

ONE = struct.Struct(f"<{CALL_ID_LENGTH}sIQ{COLUMNS}I")
"""A batch of one row: every blocking call makes four of them, so they skip the columns."""


class Batch:
    """Rows of one call. `container` is a number that server and worker agreed on (0 elsewhere); `seq` the
    sender's running number of the batch, by which it is confirmed (0: needs no confirmation)."""

    __slots__ = ("attempt", "call_id", "code", "container", "index", "micros", "payload", "seq", "size")

    def __init__(
        self,
        call_id: str,
        index: Sequence[int],
        size: Sequence[int],
        payload: bytes | memoryview,
        *,
        attempt: Sequence[int] | None = None,
        code: Sequence[int] | None = None,
        micros: Sequence[int] | None = None,
        container: int = 0,
        seq: int = 0,
    ) -> None:
        self.call_id = call_id
        self.container = container
        self.seq = seq
        self.index = index  # the input's place in its call, from 0
        self.size = size  # bytes of each row's payload, in order
        self.payload = payload
        if attempt is None or code is None or micros is None:
            zeros = [0] * len(index)
            attempt, code, micros = attempt or zeros, code or zeros, micros or zeros
        self.attempt = attempt  # which dispatch of the input this is, from 1
        self.code = code
        self.micros = micros  # µs that the input ran

    def __len__(self) -> int:
        return len(self.index)

    def payloads(self) -> list[bytes]:
        """The payload of each row."""
        at, payload = 0, bytes(self.payload)
        out: list[bytes] = []
        for size in self.size:
            out.append(payload[at : at + size])
            at += size
        return out

    def pick(self, rows: Sequence[int]) -> Batch:
        """Some rows of it, by their places. All of them: the batch itself, its payload untouched."""
        if len(rows) == len(self.index):
            return self
        payload, offsets = memoryview(self.payload), [0, *accumulate(self.size)]
        return Batch(
            self.call_id,
            [self.index[row] for row in rows],
            [self.size[row] for row in rows],
            b"".join([payload[offsets[row] : offsets[row + 1]] for row in rows]),
            attempt=[self.attempt[row] for row in rows],
            code=[self.code[row] for row in rows],
            micros=[self.micros[row] for row in rows],
            container=self.container,
            seq=self.seq,
        )

    def header(self) -> bytes:
        """The columns, packed."""
        if len(self.index) == 1:
            return ONE.pack(
                self.call_id.encode(),
                self.container,
                self.seq,
                self.index[0],
                self.attempt[0],
                self.code[0],
                self.micros[0],
                self.size[0],
            )
        head = HEAD.pack(self.call_id.encode(), self.container, self.seq)
        columns = (self.index, self.attempt, self.code, self.micros, self.size)
        return head + b"".join([array("I", column).tobytes() for column in columns])

    def pack(self, kind: int, opening: bytes = b"") -> bytes:
        """The batch as one entry of a frame."""
        return pack_entry(kind, opening + self.header(), self.payload)

    @classmethod
    def unpack_call(cls, header: memoryview, payload: memoryview | bytes) -> tuple[str, str, Batch]:
        """The function, the caller's input id and the batch of a CALL entry. Raises ValueError."""
        function_id, length = OPENING.unpack_from(header)
        start = OPENING.size + length
        parent = bytes(header[OPENING.size : start]).decode()
        return function_id.decode(), parent, cls.unpack(header[start:], payload)

    @classmethod
    def unpack(cls, header: memoryview, payload: memoryview | bytes) -> Batch:
        """The batch of an entry. Raises ValueError where the columns don't add up."""
        batch = cls.unpack_header(header)
        if sum(batch.size) != len(payload):
            raise ValueError(f"expected {sum(batch.size)} bytes in a batch, got {len(payload)}")
        batch.payload = payload
        return batch

    @classmethod
    def unpack_header(cls, header: memoryview) -> Batch:
        """The columns of a batch whose payload is elsewhere. Raises ValueError."""
        if len(header) == ONE.size:
            call_id, container, seq, index, attempt, code, micros, size = ONE.unpack(header)
            return cls(
                call_id.decode(),
                (index,),
                (size,),
                b"",
                attempt=(attempt,),
                code=(code,),
                micros=(micros,),
                container=container,
                seq=seq,
            )
        call_id, container, seq = HEAD.unpack_from(header)
        rows, rest = divmod(len(header) - HEAD.size, 4 * COLUMNS)
        if rest:
            raise ValueError(f"expected whole columns in a batch, got {len(header)} bytes")
        numbers = array("I", bytes(header[HEAD.size :])).tolist()
        return cls(
            call_id.decode(),
            numbers[:rows],
            numbers[4 * rows :],
            b"",
            attempt=numbers[rows : 2 * rows],
            code=numbers[2 * rows : 3 * rows],
            micros=numbers[3 * rows : 4 * rows],
            container=container,
            seq=seq,
        )
