"""What is in dicts and queues: operations, many in one message, and what came of them. Standard library only.

The payload of `ItemOps` holds one record an operation, and behind them all the keys and values, in their order; that of the
answer likewise. Values stand one behind the other, their sizes in front.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

# Operations on dicts; the key is its digest, and behind that, where it is to be kept, itself.
GET, HAS, PUT, ADD, POP, SIZE, CLEAR = range(1, 8)  # ADD: only where there is none
# Operations on queues; the key is that of the partition.
PUSH, TAKE, LENGTH, TOTAL, EMPTY, EMPTY_ALL = range(16, 22)

READS = frozenset({GET, HAS, SIZE, LENGTH, TOTAL})
OF_QUEUES = 16
"""From this number on operations are on queues."""

# What came of one.
OK, MISSING, TAKEN, FULL, LATER = range(5)
"""MISSING: no such key, no item. TAKEN: an ADD whose key is there. FULL: the partition has no room. LATER: the answer would
be too large; it was not carried out, and is to be asked for again."""

DIGEST_SIZE = 32

KEY_MAX = 1 << 20
PARTITION_MAX = 64

ITEMS_MAX = 100_000
"""Items that a partition holds (Modal's: 5,000)."""

OPS_MAX = 4096
"""Operations in one message."""

BYTES_MAX = 4 << 20
"""A message is closed at this size, and an answer at twice that."""

_OP = struct.Struct("<BHIIq")
_DONE = struct.Struct("<BIq")
_BLOB = 1 << 31  # in the size of a value: it stands for its blob


class Value(NamedTuple):
    """A pickled value; with `blob` its digest and size, in a text, as in a batch."""

    data: bytes
    blob: bool = False


class Op(NamedTuple):
    """An operation. `number`: how many items to take; for how many milliseconds a partition is kept after this."""

    kind: int
    object_id: str
    key: bytes = b""
    values: Sequence[Value] = ()
    number: int = 0


class Done(NamedTuple):
    """What came of an operation. `number`: how many there are."""

    status: int
    number: int = 0
    values: Sequence[Value] = ()


@dataclass
class ItemOps:
    """Operations on dicts and queues: carried out in their order, all in one commit. Answered by ItemsDone.

    What is sent again under its id is carried out once, and what was taken from a queue is given to another unless the
    answer is confirmed within a minute: so neither a lost connection nor a process that ends loses an item.
    """

    request_id: str
    objects: list[str]  # ids, which the operations name by their place
    count: int
    confirmed: list[str] = field(default_factory=list[str])  # requests whose answers are here
    returned: dict[str, list[int]] = field(
        default_factory=dict[str, list[int]]
    )  # of these, the operations whose items nobody wants any more: they go back
    wait_s: float = 0.0  # of a single TAKE or PUSH: for so long it waits for an item, or for room


@dataclass
class ItemsDone:
    """The answer to ItemOps."""

    count: int


@dataclass
class StopWaiting:
    """Nobody waits for what this request waits for."""

    request_id: str


@dataclass
class ReadDict:
    """Asks for entries of a dict, in no order that means anything. Answered by ItemPage: what was asked for, behind each
    other."""

    object_id: str
    what: Literal["keys", "values", "items"]
    after: str = ""  # the last answer's


@dataclass
class PeekQueue:
    """Asks for items of a partition, which stay there. Answered by ItemPage."""

    object_id: str
    partition: str = ""
    after: str = ""
    limit: int = 1000
    wait_s: float = 0.0  # so long for a first item


@dataclass
class MeasureQueue:
    """Asks how much is in a queue. Answered by QueueMeasured."""

    object_id: str


@dataclass
class QueueMeasured:
    """The answer to MeasureQueue."""

    partitions: int
    items: int


@dataclass
class ItemPage:
    """The answer to ReadDict and PeekQueue."""

    count: int
    after: str = ""  # what asks for those that follow
    more: bool = False


def pack_values(values: Sequence[Value]) -> bytes:
    """Values as bytes."""
    sizes = [len(value.data) | (_BLOB if value.blob else 0) for value in values]
    return b"".join([struct.pack(f"<{len(sizes)}I", *sizes), *[value.data for value in values]])


def unpack_values(data: memoryview, count: int) -> list[Value]:
    """Values from their bytes. Raises ValueError where these are cut short or too long."""
    at = 4 * count
    if at > len(data):
        raise ValueError(f"expected the sizes of {count} values, got {len(data)} bytes")
    values: list[Value] = []
    for size in struct.unpack_from(f"<{count}I", data):
        end = at + (size & ~_BLOB)
        values.append(Value(bytes(data[at:end]), bool(size & _BLOB)))
        at = end
    if at != len(data):
        raise ValueError(f"expected {at} bytes of values, got {len(data)}")
    return values


def pack_ops(ops: Iterable[Op], objects: list[str]) -> bytes:
    """Operations as a payload; `objects` gets the ids of what they are on."""
    places = {object_id: place for place, object_id in enumerate(objects)}
    records: list[bytes] = []
    rest: list[bytes] = []
    for op in ops:
        place = places.get(op.object_id)
        if place is None:
            place = places[op.object_id] = len(objects)
            objects.append(op.object_id)
        values = _counted(op.values)
        records.append(_OP.pack(op.kind, place, len(op.key), len(values), op.number))
        rest += (op.key, values)
    return b"".join([*records, *rest])


def unpack_ops(payload: bytes, count: int, objects: Sequence[str]) -> list[Op]:
    """Operations from a payload. Raises ValueError for what is none."""
    view = memoryview(payload)
    at = _OP.size * count
    if not 0 <= count <= OPS_MAX or at > len(view):
        raise ValueError(f"expected {count} operations, up to {OPS_MAX}, got {len(view)} bytes")
    ops: list[Op] = []
    place: int
    for kind, place, key_size, size, number in _OP.iter_unpack(view[:at]):
        if place >= len(objects):
            raise ValueError(f"expected one of {len(objects)} objects, got number {place}")
        middle, end = at + key_size, at + key_size + size
        values = _uncounted(view[middle:end])
        ops.append(Op(kind, objects[place], bytes(view[at:middle]), values, number))
        at = end
    if at != len(view):
        raise ValueError(f"expected {at} bytes of operations, got {len(view)}")
    return ops


def pack_done(done: Sequence[Done]) -> bytes:
    """What came of operations, as a payload; nothing where all is well and there is nothing to say."""
    if all(one == _PLAIN for one in done):
        return b""
    values = [_counted(one.values) for one in done]
    records = [_DONE.pack(one.status, len(part), one.number) for one, part in zip(done, values, strict=True)]
    return b"".join([*records, *values])


def unpack_done(payload: bytes, count: int) -> list[Done]:
    """What came of so many operations. Raises ValueError for what is none."""
    if not payload:
        return [_PLAIN] * count
    view = memoryview(payload)
    at = _DONE.size * count
    if at > len(view):
        raise ValueError(f"expected answers to {count} operations, got {len(view)} bytes")
    done: list[Done] = []
    for status, size, number in _DONE.iter_unpack(view[:at]):
        done.append(Done(status, number, _uncounted(view[at : at + size])))
        at += size
    return done


_PLAIN = Done(OK)


def _counted(values: Sequence[Value]) -> bytes:
    return struct.pack("<I", len(values)) + pack_values(values) if values else b""


def _uncounted(data: memoryview) -> Sequence[Value]:
    if not len(data):
        return ()
    if len(data) < 4:
        raise ValueError(f"expected a number of values, got {len(data)} bytes")
    return unpack_values(data[4:], struct.unpack_from("<I", data)[0])
