"""What a peer says about dicts and queues, looked at before anything is done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ...protocol.items import (
    ADD,
    CLEAR,
    DIGEST_SIZE,
    EMPTY,
    EMPTY_ALL,
    GET,
    HAS,
    ITEMS_MAX,
    KEY_MAX,
    LENGTH,
    PARTITION_MAX,
    POP,
    PUSH,
    PUT,
    SIZE,
    TAKE,
    TOTAL,
    ItemOps,
    Op,
    Value,
    unpack_ops,
)
from ...protocol.stream import Refused
from ...protocol.wire import MAX_INLINE

ON_KEYS = frozenset({GET, HAS, PUT, ADD, POP})
ON_DICTS = frozenset({SIZE, CLEAR})
ON_PARTITIONS = frozenset({PUSH, TAKE, LENGTH, EMPTY})
ON_QUEUES = frozenset({TOTAL, EMPTY_ALL})

KEEP_MAX_MS = 366 * 86_400_000

BLOB = re.compile(rb"[0-9a-f]{64} [0-9]{1,15}\Z")


def checked(message: ItemOps, payload: bytes) -> list[Op]:
    """The operations of a message. Raises Refused for what no client of ours sends."""
    try:
        ops = unpack_ops(payload, message.count, message.objects)
    except ValueError as error:
        raise Refused("InvalidError", str(error)) from None
    if not message.request_id.startswith("io-") or len(message.request_id) > 40:
        raise Refused("InvalidError", f"expected an id like io-01JD…, got {message.request_id[:80]!r}")
    if message.wait_s and (len(ops) != 1 or ops[0].kind not in (TAKE, PUSH)):
        raise Refused("InvalidError", "expected a single operation of a queue to wait for")
    for op in ops:
        _check(op)
    return ops


def _check(op: Op) -> None:
    fine = False
    if op.kind in ON_KEYS:
        stored = op.kind in (PUT, ADD)
        fine = len(op.values) == stored and DIGEST_SIZE + stored <= len(op.key) <= DIGEST_SIZE + KEY_MAX
    elif op.kind in ON_PARTITIONS:
        fine = len(op.key) <= PARTITION_MAX and bool(op.values) == (op.kind == PUSH)
        if op.kind == PUSH:
            fine = fine and 0 < op.number <= KEEP_MAX_MS
        elif op.kind == TAKE:
            fine = fine and 0 < op.number <= ITEMS_MAX
    elif op.kind in ON_DICTS or op.kind in ON_QUEUES:
        fine = not op.key and not op.values
    if not fine:
        raise Refused("InvalidError", f"expected an operation on a dict or queue, got one of kind {op.kind}")
    for value in op.values:
        if len(value.data) > MAX_INLINE or (value.blob and not BLOB.match(value.data)):
            raise Refused(
                "InvalidError",
                f"expected a value of up to {MAX_INLINE} bytes, or a blob; got {len(value.data)}",
            )


def digest_of(value: Value) -> str:
    """The blob that a value stands for."""
    return value.data.decode().split()[0]


def blobs_of(ops: Iterable[Op] | Sequence[Op]) -> list[str]:
    """The blobs that operations hand over."""
    return [digest_of(value) for op in ops for value in op.values if value.blob]
