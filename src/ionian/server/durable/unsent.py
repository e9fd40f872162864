"""Spawned calls of which inputs are still to come. Where the caller goes away for good before it has sent them, the call
takes no more: what came is run, and what lacks between it ends in a failure that says so."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.failures import failure
from ...protocol.batch import Batch
from ...protocol.messages import Failure
from ..store.call_reads import UnsentCall
from ..store.calls import EndCall
from .intake import Spawning

if TYPE_CHECKING:
    from .durable import Durable

log = logging.getLogger("ionian.server")

GONE_S = float(os.environ.get("IONIAN_CALLER_GONE_S") or 600)
"""A client that was cut off, or whose machine slept, may go on with its inputs for so long."""

LOOK_EVERY_S = 2.0
"""How often it is looked whether the rest of a call that was given up has ended."""


@dataclass(slots=True)
class _Closing(Spawning):
    """The end of a call's inputs, said for its caller."""


class Unsent:
    """The calls that lack inputs, and whether their callers are there."""

    def __init__(self, durable: Durable) -> None:
        self._durable = durable
        self._calls: dict[str, UnsentCall] = {}
        self._given_up: set[str] = set()
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Takes up what the last server left. Its callers have the time to come back."""
        for call in await asyncio.to_thread(self._durable.reads.unsent):
            self._calls[call.call_id] = call
        for caller in {call.caller for call in self._calls.values()}:
            asyncio.get_running_loop().call_later(GONE_S, self._give_up, caller)

    def stop(self) -> None:
        """No more."""
        if self._looking is not None:
            self._looking.cancel()

    def came(self, one: Spawning) -> None:
        """Inputs, or the end of them, were stored just now."""
        if one.complete and one.total == len(one.batch):
            return  # nearly always: all of them at once
        call = self._calls.get(one.call_id)
        if call is None:
            call = UnsentCall(one.call_id, one.function_id, one.app_id, one.environment, one.caller)
            self._calls[one.call_id] = call
        call.received += len(one.batch)
        if one.complete and call.received >= one.total:
            del self._calls[one.call_id]

    def caller_gone(self, caller: str) -> None:
        """The connection of a client ended; it may come back."""
        if any(call.caller == caller for call in self._calls.values()):
            asyncio.get_running_loop().call_later(GONE_S, self._give_up, caller)

    def caller_over(self, caller: str) -> None:
        """A container ended."""
        if self._calls:
            self._give_up(caller)

    def _give_up(self, caller: str) -> None:
        engine = self._durable.engine
        if caller in engine.clients or engine.containers.find(caller) is not None:
            return
        for call in [call for call in self._calls.values() if call.caller == caller]:
            log.info("call=%s gets no more inputs: its caller=%s is gone", call.call_id, caller)
            empty = Batch(call.call_id, (), (), b"")
            end = _Closing(
                call.call_id, call.function_id, call.app_id, call.environment, "", "", 0.0, empty, True
            )
            end.answer = partial(self._closed, call.call_id)
            self._durable.put(end)

    def _closed(self, call_id: str, said: Any) -> None:
        if isinstance(said, Failure):  # the disk is full, say, or it has ended
            log.warning("call=%s: %s", call_id, said.message)
        self._given_up.add(call_id)
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        while self._given_up:
            for call_id in list(self._given_up):
                try:
                    await self._end(call_id)
                except Exception:
                    log.exception("ending call=%s", call_id)
            await asyncio.sleep(LOOK_EVERY_S)
        self._looking = None

    async def _end(self, call_id: str) -> None:
        """Ends what lacks of a call, once all that came has ended."""
        row = await asyncio.to_thread(self._durable.reads.find, call_id)
        call = self._calls.get(call_id)
        if row is None or row.finished_at is not None or call is None:
            self._given_up.discard(call_id)
            self._calls.pop(call_id, None)
        elif row.complete and row.done >= call.received:
            kept = self._durable.windows.calls.get(call_id)
            if kept is not None:
                self._durable.finished(kept)
            self._durable.put(EndCall(call_id, _never_sent()))


def _never_sent() -> bytes:
    return failure(
        "RemoteError",
        "this input never came: who spawned the call went away before it had sent all inputs. The others were run; "
        "spawn this one again",
    )
