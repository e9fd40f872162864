"""How spawned calls end otherwise than by their last result: cancelled, or with their app or their function."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ...core.failures import dropped, failure
from ...protocol.spec import FunctionSpec
from ..store.calls import EndCall, EndCalls, Write

if TYPE_CHECKING:
    from .durable import Durable


class Ends:
    """What ends calls, and who waits until that is on disk."""

    def __init__(self, durable: Durable) -> None:
        self._durable = durable
        self._failing: dict[str, bytes] = {}  # calls of functions that are no more: how they end
        self._waiting: dict[int, asyncio.Future[None]] = {}  # for a write, by its id()

    async def cancel(self, call_id: str, *, terminate: bool) -> None:
        """Ends a call; recorded before anything else happens."""
        windows, engine = self._durable.windows, self._durable.engine
        self._forget(call_id)
        await self._written(EndCall(call_id, cancelled(), cancelled=True))
        windows.over(call_id)
        self._forget(call_id)  # it was read meanwhile
        engine.dispatcher.cancel_call(time.monotonic(), call_id, terminate)
        engine.pump()

    def _forget(self, call_id: str) -> None:
        kept = self._durable.windows.calls.get(call_id)
        if kept is not None:
            self._durable.windows.forget(kept)

    async def end_app(self, app_id: str, *, ephemeral: bool) -> None:
        """An app ends: so do its calls. To be called before its functions go."""
        durable = self._durable
        durable.intake.closed.add(app_id)
        for function_id in [key for key, found in durable.engine.specs.items() if found[1] == app_id]:
            durable.windows.close_line(function_id, forget_calls=True)
        how = app_ended() if ephemeral else stopped()
        await self._written(EndCalls(how, app_id=app_id, cancelled=ephemeral))
        self._failing = {key: how for key, how in self._failing.items() if key in durable.windows.calls}

    def app_ended(self, app_id: str) -> None:
        """The functions of an app are gone."""
        self._durable.intake.closed.discard(app_id)

    def function_removed(self, spec: FunctionSpec) -> None:
        """A deploy dropped a function: what of it runs may end, and all else ends in a failure that says so."""
        how = dropped(spec)
        running = self._durable.windows.close_line(spec.function_id, forget_calls=False)
        going_on = frozenset(kept.call_id for kept in running)
        for kept in running:
            self._failing[kept.call_id] = how
            self._end_failing(kept.call_id)
        self._durable.put(EndCalls(how, function_id=spec.function_id, but=going_on))

    # --- what the writer says

    def recorded(self, call_id: str) -> None:
        """Results of a call that goes on are in the store."""
        if call_id in self._failing:
            self._end_failing(call_id)

    def finished(self, call_id: str) -> None:
        """A call has all its results."""
        self._failing.pop(call_id, None)

    def ended(self, one: Write) -> None:
        """An end is in the store."""
        outputs, counts = self._durable.outputs, self._durable.engine.counts
        if isinstance(one, (EndCall, EndCalls)) and (
            one.cancelled or (isinstance(one, EndCalls) and one.app_id)
        ):
            for function_id, inputs in one.ended.items():
                counts.cancelled(function_id, inputs)
        if isinstance(one, EndCalls):
            outputs.ended(app_id=one.app_id, function_id=one.function_id)
            if one.left:
                future = self._waiting.pop(id(one), None)
                again = EndCalls(one.failure, one.app_id, one.function_id, one.but, one.cancelled)
                if future is not None:
                    self._waiting[id(again)] = future
                self._durable.put(again)
                return
        elif isinstance(one, EndCall):
            outputs.grown(one.call_id)
        future = self._waiting.pop(id(one), None)
        if future is not None and not future.done():
            future.set_result(None)

    def _end_failing(self, call_id: str) -> None:
        """Ends a call whose function is gone, once nothing of it runs."""
        kept = self._durable.windows.calls.get(call_id)
        if kept is None or not kept.under_way:
            how = self._failing.pop(call_id)
            if kept is not None:
                self._durable.finished(kept)
                self._durable.put(EndCall(call_id, how))

    async def _written(self, write: Write) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[id(write)] = future
        self._durable.put(write)
        await future


def cancelled() -> bytes:
    """How the inputs of a cancelled call end."""
    return failure("RemoteError", "Input was cancelled by user")


def app_ended() -> bytes:
    """How the inputs of an ephemeral app end with it."""
    return failure(
        "RemoteError",
        "Input was cancelled: its app was an ephemeral one and has ended. Deploy the app, or run it with --detach, for "
        "spawned calls that outlive it",
    )


def stopped() -> bytes:
    """How the inputs of another app end with it."""
    return failure("RemoteError", "the app of this input was stopped before the input ended")
