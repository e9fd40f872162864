"""Spawned calls: kept in the store from before their caller hears of it until their results expire.

In the dispatcher their caller is `STORE`, played here: inputs that are on disk go there through `Windows`, results
that come back are recorded by the `Writer`, and only then confirmed, so that their workers may forget them. So a kill
of this process at any moment loses nothing that was acknowledged, and what has a recorded result is not run again.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.failures import failure
from ..protocol.batch import BLOB, Batch
from ..protocol.calls import Spawn
from ..protocol.messages import Done, Failure
from ..protocol.stream import Refused, joined
from ..protocol.wire import INPUTS, entries
from .auth import Actor
from .containers import digests
from .durable_outputs import Outputs
from .durable_windows import STORE, Kept, Windows
from .durable_writer import Writer
from .handlers.names import check_id
from .store.calls import EndCall, EndCalls, NewInputs, NewResults, Write
from .store.database import StoreError, StoreFull, sqlite_folder

if TYPE_CHECKING:
    from .server import Server

log = logging.getLogger("ionian.server")

RESERVE_BYTES = 64 << 20
RESERVE_SHARE = 0.02
"""With less free than this, or than this share of the disk where that is less, inputs are refused and results kept."""

QUEUE_BYTES = 512 << 20
"""So much may wait for the disk; then inputs are refused."""

LOOK_EVERY_S = 0.5
"""How often the room on the disk is looked at, while inputs come."""

RECLAIM_AFTER_S = (0.0, 1.0, 5.0, 12.0)
"""When, after a worker came, calls are opened of which it has inputs or results: results follow its inventory."""

TICK = 1e-6
"""Two calls are made this far apart at least: the order of calls is that of these times."""

Answer = Callable[[Any], None]


def _unheard(_: Any) -> None:
    pass


@dataclass(slots=True)
class Spawning(NewInputs):
    """Inputs on their way to the disk, and who hears of it."""

    answer: Answer = _unheard


@dataclass(slots=True)
class _Numbered(NewResults):
    seq: int = 0


class Durable:
    """The spawned calls of a server. All its methods are called on the event loop."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.engine = server.engine
        self.reads = server.store.call_reads
        self.outputs = Outputs(self)
        self.windows = Windows(self.engine, self.reads, time.time())
        self._writer: Writer | None = None
        self._newest = 0.0
        self._ending: set[str] = set()  # apps
        self._failing: dict[str, bytes] = {}  # calls of functions that are no more: how they end
        self._waiting: dict[int, asyncio.Future[None]] = {}  # for a write, by its id()
        self._looked_at = 0.0
        self._has_room = True
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- its life

    async def start(self) -> None:
        """Takes up what is unfinished. The functions of live apps are published already."""
        self._newest = max(time.time(), await asyncio.to_thread(self.reads.newest))
        self.windows = Windows(self.engine, self.reads, self._newest)
        self._writer = Writer(self.server.store.calls, self._committed)
        for function_id, _ in await asyncio.to_thread(self.reads.unfinished_functions):
            if function_id in self.engine.specs:
                self.windows.resume(function_id, self._newest)
            else:
                self._put(EndCalls(_stopped(), function_id=function_id))

    async def stop(self) -> None:
        """Writes what is to be written."""
        self.windows.stop()
        for task in self._tasks:
            task.cancel()
        if self._writer is not None:
            await self._writer.stop()

    def worker_joined(self) -> None:
        """A worker said what it has; its results follow."""
        for after_s in RECLAIM_AFTER_S:
            asyncio.get_running_loop().call_later(after_s, self._reclaim)

    def _reclaim(self) -> None:
        core = self.engine.dispatcher.core
        call_ids = {*core.early_held, *core.early_results}
        if call_ids and self._writer is not None:
            self._begin(self.windows.reclaim(sorted(call_ids)))

    # --- inputs

    def spawn(self, message: Spawn, payload: bytes, actor: Actor, answer: Answer) -> None:
        """Inputs to keep; `answer` gets Done when they are on disk, or a Failure."""
        try:
            batch = inputs_of(message, payload)
            write = self._spawning(message, batch, actor, answer)
        except Refused as refused:
            answer(Failure(refused.type, refused.message))
            return
        if any(code & BLOB for code in batch.code):
            self._begin(self._share_first(write, actor))
        else:
            self._put(write)

    async def keep(self, message: Spawn, batch: Batch) -> None:
        """Spawns inputs of the server's own (a schedule's); comes back when they are on disk. Raises Refused."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        actor = Actor("client", "")

        def heard(said: Any) -> None:
            if not future.done():
                future.set_result(said)

        self._put(self._spawning(message, batch, actor, heard))
        said = await future
        if isinstance(said, Failure):
            raise Refused(said.type, said.message)

    def _spawning(self, message: Spawn, batch: Batch, actor: Actor, answer: Answer) -> Spawning:
        found = self.engine.specs.get(message.function_id)
        if found is None or (actor.environment and found[2] != actor.environment) or found[1] in self._ending:
            raise Refused(
                "NotFoundError",
                f"there is no function {message.function_id[:80]!r}: its app was stopped; run the app again",
            )
        spec, app_id, environment = found
        if spec.is_generator:
            raise Refused("InvalidError", f"expected a function that returns, got the generator {spec.tag}")
        self._check_room()
        self._newest = max(time.time(), self._newest + TICK)
        return Spawning(
            message.call_id,
            message.function_id,
            app_id,
            environment,
            (message.tag or spec.tag)[:255],
            message.parent[:255],
            self._newest,
            batch,
            message.last,
            answer=answer,
        )

    def _check_room(self) -> None:
        if self._writer is not None and self._writer.waiting_bytes > QUEUE_BYTES:
            raise Refused(
                "ResourceExhaustedError", "the server's disk can't keep up with spawned inputs; try again"
            )
        now = time.monotonic()
        if now - self._looked_at > LOOK_EVERY_S:
            self._looked_at, self._has_room = now, self._look_for_room()
        if not self._has_room:
            raise Refused(
                "ResourceExhaustedError",
                "the disk of the server's database is nearly full, so it keeps no new inputs; free some space there, "
                "then try again",
            )

    def _look_for_room(self) -> bool:
        database = self.server.store.database
        if not database.is_sqlite:
            return True
        folder = sqlite_folder(database.engine.url.render_as_string(hide_password=False))
        if folder is None:
            return True
        disk = shutil.disk_usage(folder)
        return disk.free > min(RESERVE_BYTES, disk.total * RESERVE_SHARE)

    async def _share_first(self, write: Spawning, actor: Actor) -> None:
        """Whoever spawns hands on only blobs that it may read."""
        try:
            await self.server.share_blobs(actor, write.app_id, digests(write.batch))
        except Exception as error:
            kind = error.type if isinstance(error, Refused) else "InternalFailure"
            write.answer(Failure(kind, str(error)))
            return
        self._put(write)

    def _put(self, write: Write) -> None:
        if self._writer is None:
            raise Refused("InternalFailure", "the server is starting; try again")
        self._writer.put(write)

    # --- results

    def deliver(self, batch: Batch) -> None:
        """Results from the dispatcher: recorded, and then confirmed up to this one."""
        found = self.windows.take(batch)
        if found is None:  # every row is known, or nobody wants it any more
            empty = Batch(batch.call_id, (), (), b"")
            self._put(_Numbered(empty, 0, batch.seq))
        else:
            self._put(_Numbered(*found, batch.seq))

    def _committed(self, group: list[Write], error: StoreError | None) -> None:
        with joined():
            seq = 0
            for one in group:
                try:
                    match one:
                        case Spawning():
                            self._spawned(one, error)
                        case _Numbered():
                            seq = max(seq, one.seq)
                            self._recorded(one)
                        case _:
                            self._ended(one)
                except Exception:
                    log.exception("after a commit")
            if seq:
                self.engine.confirm(STORE, seq)
            self.engine.pump()

    def _spawned(self, one: Spawning, error: StoreError | None) -> None:
        if error is not None:
            full = isinstance(error, StoreFull)
            one.answer(Failure("ResourceExhaustedError" if full else "InternalFailure", str(error)))
        elif one.outcome == "foreign":
            one.answer(Failure("NotFoundError", f"call {one.call_id} is of another function"))
        elif one.outcome == "closed":
            one.answer(
                Failure(
                    "ConflictError",
                    f"call {one.call_id} takes no more inputs: it has ended, or its last one came",
                )
            )
        else:
            one.answer(Done())
            if one.outcome != "known" and one.app_id not in self._ending:
                self.windows.arrived(one)
                kept = self.windows.calls.get(one.call_id)
                if kept is not None and kept.finished:
                    self._finished(kept)
                self.outputs.grown(one.call_id)

    def _recorded(self, one: _Numbered) -> None:
        call_id, count = one.batch.call_id, len(one.batch)
        if not count:
            return
        kept = self.windows.calls.get(call_id)
        finished = self.windows.recorded(call_id, count, one.fed)
        if kept is not None:
            self.outputs.came(one.batch, kept)
        if finished is not None:
            self._finished(finished)
        elif call_id in self._failing:
            self._end_failing(call_id)

    def _finished(self, kept: Kept) -> None:
        self._failing.pop(kept.call_id, None)
        self.windows.forget(kept)
        self.engine.dispatcher.close_call(_now(), kept.call_id)

    # --- ends

    async def cancel(self, call_id: str, *, terminate: bool) -> None:
        """Ends a call; recorded before anything else happens."""
        kept = self.windows.calls.get(call_id)
        if kept is not None:
            self.windows.forget(kept)
        await self._written(EndCall(call_id, cancelled(), cancelled=True))
        self.windows.over(call_id)
        kept = self.windows.calls.get(call_id)
        if kept is not None:  # it was read meanwhile
            self.windows.forget(kept)
        self.engine.dispatcher.cancel_call(_now(), call_id, terminate)
        self.engine.pump()

    async def end_app(self, app_id: str, *, ephemeral: bool) -> None:
        """An app ends: so do its calls. To be called before its functions go."""
        self._ending.add(app_id)
        functions = {function_id for function_id, found in self.engine.specs.items() if found[1] == app_id}
        for function_id in functions:
            self.windows.close_line(function_id, forget_calls=True)
        how = app_ended() if ephemeral else _stopped()
        await self._written(EndCalls(how, app_id=app_id, cancelled=ephemeral))
        self._failing = {key: value for key, value in self._failing.items() if key in self.windows.calls}

    def app_ended(self, app_id: str) -> None:
        """The functions of an app are gone."""
        self._ending.discard(app_id)

    def function_removed(self, function_id: str, tag: str) -> None:
        """A deploy dropped a function: what of it runs may end, and all else ends in a failure that says so."""
        how = failure(
            "NotFoundError", f"the function {tag} was removed by a deploy of its app before this input ended"
        )
        running = self.windows.close_line(function_id, forget_calls=False)
        going_on = frozenset(kept.call_id for kept in running)
        for kept in running:
            self._failing[kept.call_id] = how
            self._end_failing(kept.call_id)
        self._put(EndCalls(how, function_id=function_id, but=going_on))

    def _end_failing(self, call_id: str) -> None:
        """Ends a call whose function is gone, once nothing of it runs."""
        kept = self.windows.calls.get(call_id)
        if kept is None or not kept.under_way:
            how = self._failing.pop(call_id)
            if kept is not None:
                self._finished(kept)
                self._put(EndCall(call_id, how))

    def _ended(self, one: Write) -> None:
        if isinstance(one, EndCalls):
            self.outputs.ended(app_id=one.app_id, function_id=one.function_id)
            if one.left:
                future = self._waiting.pop(id(one), None)
                again = EndCalls(one.failure, one.app_id, one.function_id, one.but, one.cancelled)
                if future is not None:
                    self._waiting[id(again)] = future
                self._put(again)
                return
        elif isinstance(one, EndCall):
            self.outputs.grown(one.call_id)
        future = self._waiting.pop(id(one), None)
        if future is not None and not future.done():
            future.set_result(None)

    async def _written(self, write: Write) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[id(write)] = future
        self._put(write)
        await future

    async def has_calls(self, app_id: str) -> bool:
        """Whether an app has spawned calls that are not finished."""
        return await asyncio.to_thread(self.reads.has_unfinished, app_id)

    async def waiting_in_store(self, function_id: str) -> int:
        """How many inputs of a function wait in the store, and are not under way."""
        waiting = await asyncio.to_thread(self.reads.waiting_inputs, function_id)
        under_way = sum(k.under_way for k in self.windows.calls.values() if k.function_id == function_id)
        return max(0, waiting - under_way)

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("spawned calls", exc_info=task.exception())


def inputs_of(message: Spawn, payload: bytes) -> Batch:
    """The inputs of a Spawn, checked. Raises Refused."""
    check_id("fc", message.call_id)
    found = list(entries(payload))
    if len(found) != 1 or found[0][0] != INPUTS:
        raise Refused("InvalidError", f"expected one entry of inputs in a Spawn, got {len(found)} entries")
    batch = Batch.unpack(found[0][1], bytes(found[0][2]))
    if batch.call_id != message.call_id:
        raise Refused(
            "InvalidError", f"expected inputs of call {message.call_id}, got some of {batch.call_id}"
        )
    index = batch.index
    if len(index) > 1 and list(index) != list(range(index[0], index[0] + len(index))):
        raise Refused("InvalidError", "expected inputs of consecutive indexes in a Spawn, got gaps")
    return batch


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


def _stopped() -> bytes:
    return failure("RemoteError", "the app of this input was stopped before the input ended")


_now = time.monotonic
