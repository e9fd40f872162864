"""Queues of the server: items that containers and programs hand to each other, first in, first out."""

from __future__ import annotations

import time
from collections.abc import Iterable
from queue import Empty, Full
from typing import TYPE_CHECKING, Any, ClassVar

from . import later
from .arguments import flag, integer, number, wrong
from .exception import InvalidError
from .items_object import ItemsObject
from .named_object import Ephemeral, NamedObjects
from .steps import Item, Steps, StepsMethod, StreamMethod

if TYPE_CHECKING:
    from typing_extensions import Self

    from .protocol.items import Done, Value

POLL_S = 30.0
"""How long one request waits: shorter than what proxies take for a dead connection."""

DAY_S = 24 * 3600

LONGEST_S = 365.0 * DAY_S


@later.fill
class Queue(ItemsObject):
    """A queue that the server keeps: an item is on disk when `put` returns, and one process gets it.

    ```python
    jobs = modal.Queue.from_name("jobs", create_if_missing=True)

    @app.function()
    def work() -> None:
        while (job := jobs.get(timeout=60)) is not None:
            ...
    ```

    Items are whatever can be pickled. A queue has partitions, each with an order of its own, that holds up to 100,000 items
    and is deleted with them 24 hours after the last `put`.
    """

    _kind = "queue"
    objects: ClassVar[NamedObjects[Queue]] = NamedObjects()
    """All queues of an environment: `create`, `list` and `delete`."""

    @classmethod
    def from_id(cls, queue_id: str, client: Any = None) -> Self:
        """The queue of an id, `qu-…`."""
        later.refuse("Queue.from_id", client=client)
        return cls._of_id("queue_id", queue_id)

    @classmethod
    def ephemeral(
        cls, client: Any = None, environment_name: str | None = None, _heartbeat_sleep: float = 300
    ) -> Ephemeral[Self]:
        """A block with a queue that has no name and is deleted at its end: `with modal.Queue.ephemeral() as q:`.

        Functions that are called within get the queue as an argument.
        """
        later.refuse("Queue.ephemeral", client=client)
        return Ephemeral(cls, environment_name)

    @staticmethod
    def validate_partition_key(partition: str | None) -> bytes:
        """A partition's key as bytes. Raises InvalidError for what is none."""
        if partition is None:
            return b""
        key = partition.encode() if isinstance(partition, str) else b""  # pyright: ignore[reportUnnecessaryIsInstance]
        if not 1 <= len(key) <= 64:
            raise wrong("partition", "a string of 1 to 64 bytes, or None", partition)
        return key

    # --- in

    @StepsMethod
    def put(
        self,
        v: Any,
        block: bool = True,
        timeout: float | None = None,
        *,
        partition: str | None = None,
        partition_ttl: int = DAY_S,
    ) -> Steps[None]:
        """Adds an item at the end.

        Args:
            block: a partition that is full is waited for, for `timeout` seconds or as long as it takes.
            partition: its key, of 1 to 64 bytes.
            partition_ttl: seconds after which the partition is deleted with all its items, unless more is put.

        Raises `queue.Full` where there is no room (in time), SerializationError for what can't be pickled,
        RequestSizeError for an item of more than 1 GiB.
        """
        yield from self._put([v], block, timeout, partition, partition_ttl)

    @StepsMethod
    def put_many(
        self,
        vs: list[Any],
        block: bool = True,
        timeout: float | None = None,
        *,
        partition: str | None = None,
        partition_ttl: int = DAY_S,
    ) -> Steps[None]:
        """Adds items at the end, in their order: all or none of up to 1,000 (4 MiB), more in parts of that size."""
        if isinstance(vs, (str, bytes)) or not isinstance(vs, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise wrong("vs", "a list of items", vs)
        yield from self._put(list(vs), block, timeout, partition, partition_ttl)

    def _put(
        self, items: list[Any], block: bool, timeout: float | None, partition: str | None, ttl: Any
    ) -> Steps[None]:
        from .gathering import Ask
        from .protocol.items import FULL, PUSH, Op
        from .stored_value import stored

        key = self.validate_partition_key(partition)
        keep_ms = 1000 * integer("partition_ttl", ttl, least=1, most=366 * DAY_S, unit="seconds")
        end = _end(block, timeout)
        object_id = yield from self._found()
        values: list[Value] = []
        for item in items:
            values.append((yield from stored(item)))
        for part in _parts(values):
            op = Op(PUSH, object_id, key, part, keep_ms)
            done: Done = yield Ask(op)
            while done.status == FULL:
                left = POLL_S if end is None else end - time.monotonic()
                if left <= 0:
                    raise Full(f"a partition of {self!r} is full: it has {done.number:,} items")
                done = yield Ask(op, min(left, POLL_S))

    # --- out

    @StepsMethod
    def get(
        self, block: bool = True, timeout: float | None = None, *, partition: str | None = None
    ) -> Steps[Any]:
        """Takes the first item.

        Args:
            block: waits for an item, for `timeout` seconds or as long as it takes; else None is returned where there
                is none.

        Raises `queue.Empty` where none came in time. An item goes back to the front if this process ends, or is cut off,
        before it has it.
        """
        items = yield from self._take(1, block, timeout, partition)
        return items[0] if items else None

    @StepsMethod
    def get_many(
        self, n_values: int, block: bool = True, timeout: float | None = None, *, partition: str | None = None
    ) -> Steps[list[Any]]:
        """Takes up to so many items: those that are there, at least one where it blocks. Raises `queue.Empty`."""
        return (yield from self._take(n_values, block, timeout, partition))

    def _take(
        self, count: Any, block: bool, timeout: float | None, partition: str | None
    ) -> Steps[list[Any]]:
        from .gathering import Ask
        from .protocol.items import ITEMS_MAX, TAKE, Op
        from .stored_value import loaded

        key = self.validate_partition_key(partition)
        count = min(integer("n_values", count, least=1), ITEMS_MAX)
        end = _end(block, timeout)
        object_id = yield from self._found()
        items: list[Any] = []
        wait_s = 0.0
        while True:
            done: Done = yield Ask(Op(TAKE, object_id, key, (), count - len(items)), wait_s)
            for value in done.values:
                items.append((yield from loaded(value)))
            if items:
                if done.status or not done.number or len(items) == count:
                    return items
                wait_s = 0.0  # there are more than fit into one answer
                continue
            left = POLL_S if end is None else end - time.monotonic()
            if left <= 0:
                if block:
                    raise Empty(f"nothing came into {self!r} within {timeout} s")
                return items
            wait_s = min(left, POLL_S)

    # --- the rest

    @StepsMethod
    def len(self, *, partition: str | None = None, total: bool = False) -> Steps[int]:
        """How many items a partition has; with `total`, all partitions."""
        from .protocol.items import LENGTH, TOTAL

        if flag("total", total):
            if partition is not None:
                raise InvalidError("partition: expected None with total=True, which counts all partitions")
            done = yield from self._on(TOTAL, b"")
        else:
            done = yield from self._on(LENGTH, self.validate_partition_key(partition))
        return done.number

    @StepsMethod
    def clear(self, *, partition: str | None = None, all: bool = False) -> Steps[None]:
        """Deletes the items of a partition; with `all`, of all partitions."""
        from .protocol.items import EMPTY, EMPTY_ALL

        if flag("all", all):
            if partition is not None:
                raise InvalidError("partition: expected None with all=True, which clears all partitions")
            yield from self._on(EMPTY_ALL, b"")
        else:
            yield from self._on(EMPTY, self.validate_partition_key(partition))

    def _on(self, kind: int, key: bytes) -> Steps[Done]:
        from .gathering import Ask
        from .protocol.items import Op

        object_id = yield from self._found()
        return (yield Ask(Op(kind, object_id, key)))

    @StreamMethod
    def iterate(self, *, partition: str | None = None, item_poll_timeout: float = 0.0) -> Steps[None]:
        """The items from the first on, which stay in the queue: `for item in q.iterate():`.

        Args:
            item_poll_timeout: how many seconds each next item is waited for before the iteration ends.
        """
        from .protocol.items import PeekQueue, unpack_values
        from .stored_value import loaded

        key = self.validate_partition_key(partition).decode()
        patience_s = number("item_poll_timeout", item_poll_timeout, least=0, most=LONGEST_S, unit="seconds")
        object_id = yield from self._found()
        after = ""
        end = time.monotonic() + patience_s
        while True:
            left = max(0.0, min(end - time.monotonic(), POLL_S))
            page, payload = yield PeekQueue(object_id, key, after, wait_s=left)
            for value in unpack_values(memoryview(payload), page.count):
                yield Item((yield from loaded(value)))
            after = page.after
            if page.count:
                end = time.monotonic() + patience_s
            if not page.more and not page.count and time.monotonic() >= end:
                return


def _end(block: bool, timeout: float | None) -> float | None:
    """Until when something is waited for, on the monotonic clock; None: as long as it takes."""
    if not flag("block", block):
        if timeout is not None:
            import warnings

            warnings.warn("timeout has no meaning with block=False", stacklevel=5)
        return 0.0
    if timeout is None:
        return None
    return time.monotonic() + number("timeout", timeout, least=0, most=LONGEST_S, unit="seconds")


def _parts(values: list[Value]) -> Iterable[list[Value]]:
    from .protocol.items import BYTES_MAX

    part: list[Value] = []
    size = 0
    for value in values:
        if part and (size + len(value.data) > BYTES_MAX or len(part) >= PART):
            yield part
            part, size = [], 0
        part.append(value)
        size += len(value.data)
    if part:
        yield part


PART = 1000
"""Items that one operation adds, at most."""
