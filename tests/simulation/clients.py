"""Simulated clients: they hold their inputs, and send again what no result came for."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from ionian.core.actions import Action, Deliver
from ionian.core.dispatcher import Dispatcher
from ionian.protocol.batch import BLOB, DONE, ERROR, LOST, OK, YIELD, Batch

from .world import World

REMEMBERED = 20_000
"""Batches: more than are ever unconfirmed."""


@dataclass
class SimCall:
    """A call of a client."""

    id: str
    function_id: str
    count: int
    window: int = 200
    sent: int = 0
    results: dict[int, int] = field(default_factory=dict[int, int])
    items: dict[int, int] = field(default_factory=dict[int, int])
    opened: bool = False
    closed: bool = False
    refused: bool = False  # its function was removed before
    breaks_at: int = 1 << 60  # so many results are enough
    ends: str = "close"  # or "cancel", or "terminate"


class SimClient:
    """A caller: sends again what no result came for, and confirms what it got.

    What it got before its connection broke is no business of the next one: the server may count anew.
    """

    def __init__(self, world: World, id: str, calls: list[SimCall]) -> None:
        self.world = world
        self.id = id
        self.calls = {call.id: call for call in calls}
        world.owners.update(dict.fromkeys(self.calls, id))
        self.alive = True
        self.seq = 0  # of the last batch that this connection brought; 0: none yet
        self._got: dict[
            int, Batch
        ] = {}  # the last ones: their confirmation may be lost, they come again then

    @property
    def done(self) -> bool:
        """Everything that it wanted came."""
        return not self.alive or all(call.closed for call in self.calls.values())

    def connected(self) -> None:
        """Opens its calls, again if need be."""
        server, self.seq = self.world.server, 0
        generation = self.world.links[self.id].generation

        def back(d: Dispatcher, now: float) -> None:
            self.world.back(self.id, generation)
            d.caller_back(now, self.id)

        server.hear(self, back)
        for call in self.calls.values():
            if not call.closed:
                self._open(call)
            elif call.opened:
                self._close(call)

    def _open(self, call: SimCall) -> None:
        resumed, call.opened = call.opened, True

        def opened(d: object, now: float) -> None:
            opened = self.world.server.dispatcher.open_call(now, call.id, call.function_id, self.id, resumed)
            assert opened or call.function_id in self.world.server.dropped
            if not opened:
                call.refused = call.closed = True

        self.world.server.hear(self, opened)
        self._put(call, [index for index in range(call.sent) if index not in call.results])
        self._send_more(call)

    def _send_more(self, call: SimCall) -> None:
        while call.sent < call.count and call.sent - len(call.results) < call.window:
            upto = min(call.count, call.sent + self.world.random.randint(1, 64))
            self._put(call, list(range(call.sent, upto)))
            call.sent = upto

    def _put(self, call: SimCall, indexes: list[int]) -> None:
        if indexes:
            count = len(indexes)
            batch = Batch(call.id, indexes, [4] * count, b"".join(i.to_bytes(4, "little") for i in indexes))
            self.world.server.hear(self, lambda d, now: d.put(now, batch))

    def _close(self, call: SimCall) -> None:
        call.closed = True
        if call.ends == "close":
            self.world.server.hear(self, lambda d, now: d.close_call(now, call.id))
        else:
            terminate = call.ends == "terminate"
            self.world.server.hear(self, lambda d, now: d.cancel_call(now, call.id, terminate))

    def count(self, function_id: str) -> int:
        """A client has no containers."""
        return 0

    def waiting_since(self) -> float:
        """A client runs nothing."""
        return inf

    def receive(self, action: Action) -> None:
        """Results."""
        assert isinstance(action, Deliver)
        batch = action.batch
        last = self.seq
        assert not last or batch.seq == last + 1, f"{self.world.where}: {batch.seq} comes behind {last}"
        self.seq = seq = batch.seq
        if id(batch) not in self._got:
            self._take(batch)
        call = self.calls[batch.call_id]
        self.world.server.hear(self, lambda d, now: d.confirm(now, self.id, seq))
        if not call.closed:
            self._send_more(call)
            if len(call.results) >= min(call.count, call.breaks_at):
                self._close(call)

    def _take(self, batch: Batch) -> None:
        self._got[id(batch)] = batch
        if len(self._got) > REMEMBERED:
            del self._got[next(iter(self._got))]
        call = self.calls[batch.call_id]
        assert len(set(batch.index)) == len(batch)
        for index, code, micros, payload in zip(
            batch.index, batch.code, batch.micros, batch.payloads(), strict=True
        ):
            self._row(call, index, code & ~BLOB, micros, payload)

    def _row(self, call: SimCall, index: int, code: int, micros: int, payload: bytes) -> None:
        world = self.world
        if code == YIELD:
            assert index not in call.results or world.server.epoch > 1 or world.excused(call.id, "", 0.0)
            call.items[index] = max(call.items.get(index, 0), micros + 1)
            return
        again = index in call.results
        assert not again or world.server.epoch > 1 or world.excused(call.id, "", 0.0), (
            f"{world.where}: two results for {call.id}:{index}"
        )
        if not again:
            call.results[index] = code
        if code in (OK, DONE):
            assert int.from_bytes(payload, "little") == index
        else:
            assert code in (LOST, ERROR)

    def repeat(self) -> None:
        """Says something again that it has said."""
        server, seq = self.world.server, self.seq - self.world.random.randint(0, 3)
        if seq > 0:
            server.hear(self, lambda d, now: d.confirm(now, self.id, seq))
        for call in self.calls.values():
            if call.opened and not call.closed:
                self._put(call, [index for index in range(call.sent) if index not in call.results])

    def kill(self) -> None:
        """The client dies."""
        self.alive = False
        self.world.links[self.id].cut(1.0)
