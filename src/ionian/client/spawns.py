"""Calls of one input that many coroutines spawn at once: one message to the server, and one answer for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import exception
from ..protocol.batch import BLOB, ONE, Batch
from ..protocol.calls import Spawn, SpawnEach, SpawnedEach
from ..protocol.messages import Done
from ..protocol.wire import PREFIX, PREFIX_SIZE

MOST = 500
"""Calls in one message: some 5 ms of the server's time."""

SMALL = 8 << 10
"""Bytes of an input that goes together with others: 4 MiB in one message."""

_HEAD = PREFIX_SIZE + ONE.size

Request = tuple[Any, bytes]
Kind = tuple[str, str, str, str]


def kind_of(message: Any, payload: bytes) -> Kind | None:
    """What calls have in common that go together; None for a message that goes alone."""
    if message.__class__ is not Spawn or not message.last or len(payload) > SMALL:
        return None
    if len(payload) < _HEAD or PREFIX.unpack_from(payload)[1] != ONE.size:
        return None
    batch = Batch.unpack_header(memoryview(payload)[PREFIX_SIZE:_HEAD])
    if batch.index[0] or batch.code[0] & BLOB:
        return None
    return message.function_id, message.parent, message.tag, message.trace


def joined(requests: Sequence[Request]) -> Request:
    """One message for calls of a kind."""
    first: Spawn = requests[0][0]
    inputs = [payload[_HEAD:] for _, payload in requests]
    message = SpawnEach(
        first.function_id,
        [message.call_id for message, _ in requests],
        [len(one) for one in inputs],
        first.parent,
        first.tag,
        first.trace,
    )
    return message, b"".join(inputs)


def answers(requests: Sequence[Request], answer: SpawnedEach) -> list[Request | BaseException]:
    """What each of them is answered."""
    failed = {one.call_id: one for one in answer.failed}
    done: Request = (Done(), b"")
    found: list[Request | BaseException] = []
    for message, _ in requests:
        one = failed.get(message.call_id) if failed else None
        if one is None:
            found.append(done)
        else:
            found.append(getattr(exception, one.type, exception.RemoteError)(one.message))
    return found
