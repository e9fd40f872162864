"""The spawned calls of a server.

In the dispatcher their caller is `STORE`, played here: inputs that are on disk go there through `Windows`, results
that come back are recorded by the `Writer`, and only then confirmed, so that their workers may forget them. So a kill
of this process at any moment loses nothing that was acknowledged, and what has a recorded result is not run again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...protocol.batch import BLOB, Batch
from ...protocol.calls import Spawn, SpawnEach
from ...protocol.messages import Done, Failure
from ...protocol.stream import Refused, joined
from ..auth import Actor
from ..containers import digests
from ..store.call_tries import NewTry
from ..store.calls import EndCalls, NewResults, Write
from ..store.database import StoreError, StoreFull
from .calls import STORE, Kept
from .ends import Ends, stopped
from .intake import Answer, Intake, Spawning, inputs_of
from .outputs import Outputs
from .tries import Tries
from .unsent import Unsent
from .windows import Windows
from .writer import Writer

if TYPE_CHECKING:
    from ..server import Server

log = logging.getLogger("ionian.server")

RECLAIM_AFTER_S = (0.0, 1.0, 5.0, 12.0)
"""When, after a worker came, calls are opened of which it has inputs or results: results follow its inventory."""


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
        self.ends = Ends(self)
        self.unsent = Unsent(self)
        self.intake = Intake(server, time.time())
        self.tries = Tries({}, self.put)
        self.windows = Windows(self.engine, self.reads, time.time(), self.tries)
        self._writer: Writer | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- its life

    async def start(self) -> None:
        """Takes up what is unfinished. The functions of live apps are published already."""
        newest = max(time.time(), await asyncio.to_thread(self.reads.newest))
        self.intake = Intake(self.server, newest)
        self.tries = Tries(await asyncio.to_thread(self.server.store.call_tries.load), self.put)
        self.windows = Windows(self.engine, self.reads, newest, self.tries)
        self._writer = Writer(self.server.store.calls, self._committed)
        for function_id, _ in await asyncio.to_thread(self.reads.unfinished_functions):
            if function_id in self.engine.specs:
                self.windows.resume(function_id, newest)
            else:
                self.put(EndCalls(stopped(), function_id=function_id))
        await self.unsent.start()

    async def stop(self) -> None:
        """Writes what is to be written."""
        self.windows.stop()
        self.unsent.stop()
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
            write = self.intake.checked(message, batch, actor, self._open_writer(), answer)
        except Refused as refused:
            answer(Failure(refused.type, refused.message))
            return
        if self.engine.traces is not None:
            self.engine.traces.expect(message.trace, message.call_id)
        if any(code & BLOB for code in batch.code):
            self._begin(self._share_first(write, actor))
        else:
            self.put(write)

    def spawn_each(self, message: SpawnEach, payload: bytes, actor: Actor, answer: Answer) -> None:
        """Calls of one input each; `answer` gets SpawnedEach when all are on disk, or a Failure."""
        try:
            writer = self._open_writer()
            writes = self.intake.checked_each(message, payload, actor, writer, answer)
            if self.engine.traces is not None:
                self.engine.traces.expect(message.trace, *message.call_ids)
            writer.put(*writes)
        except Refused as refused:
            answer(Failure(refused.type, refused.message))

    async def keep(self, message: Spawn, batch: Batch) -> None:
        """Spawns inputs of the server's own (a schedule's); comes back when they are on disk. Raises Refused."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        actor = Actor("client", "")

        def heard(said: Any) -> None:
            if not future.done():
                future.set_result(said)

        self.put(self.intake.checked(message, batch, actor, self._open_writer(), heard))
        said = await future
        if isinstance(said, Failure):
            raise Refused(said.type, said.message)

    async def _share_first(self, write: Spawning, actor: Actor) -> None:
        """Whoever spawns hands on only blobs that it may read."""
        try:
            await self.server.share_blobs(actor, write.app_id, digests(write.batch))
        except Exception as error:
            kind = error.type if isinstance(error, Refused) else "InternalFailure"
            write.answer(Failure(kind, str(error)))
            return
        self.put(write)

    def put(self, write: Write) -> None:
        """Has something written."""
        self._open_writer().put(write)

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise Refused("InternalFailure", "the server is starting; try again")
        return self._writer

    # --- results

    def deliver(self, batch: Batch) -> None:
        """Results from the dispatcher: recorded, and then confirmed up to this one."""
        found = self.windows.take(batch)
        if found is None:  # every row is known, or nobody wants it any more
            empty = Batch(batch.call_id, (), (), b"")
            self.put(_Numbered(empty, 0, batch.seq))
        else:
            self.put(_Numbered(*found, batch.seq))
            self.tries.ended(found[0])

    def _committed(self, group: Sequence[Write], error: StoreError | None) -> None:
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
                        case NewTry():
                            pass
                        case _:
                            self.ends.ended(one)
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
            if one.outcome != "known" and one.app_id not in self.intake.closed:
                self.unsent.came(one)
                self.windows.arrived(one)
                kept = self.windows.calls.get(one.call_id)
                if kept is not None and kept.finished:
                    self.finished(kept)
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
            self.finished(finished)
        else:
            self.ends.recorded(call_id)

    def finished(self, kept: Kept) -> None:
        """A call is over."""
        self.ends.finished(kept.call_id)
        self.windows.forget(kept)
        self.engine.dispatcher.close_call(time.monotonic(), kept.call_id)

    # --- what is asked

    def wants(self, call_id: str) -> bool:
        """Whether results of a call are recorded: it is under way, and was not cancelled."""
        return call_id in self.windows.calls

    def age_s(self, call_id: str) -> float:
        """How long ago a call was made; 0 where it is not under way."""
        kept = self.windows.calls.get(call_id)
        return max(0.0, time.time() - kept.created_at) if kept is not None else 0.0

    async def has_calls(self, app_id: str) -> bool:
        """Whether an app has spawned calls that are not finished."""
        return await asyncio.to_thread(self.reads.has_unfinished, app_id)

    async def waiting_in_store(self, function_id: str) -> int:
        """How many inputs of a function wait in the store, and are not under way."""
        waiting = await asyncio.to_thread(self.reads.waiting_inputs, function_id)
        under_way = sum(k.under_way for k in self.windows.calls.values() if k.function_id == function_id)
        return max(0, waiting - under_way)

    async def waiting_by_function(self, function_ids: Collection[str] | None = None) -> dict[str, int]:
        """The same of each function that has such calls, or of these that have some, asked for at once: a question for each
        held others up."""
        under_way = Counter[str]()
        for call in self.windows.calls.values():
            if function_ids is None or call.function_id in function_ids:
                under_way[call.function_id] += call.under_way
        if not under_way:
            return {}
        waiting = await asyncio.to_thread(self.reads.waiting_by_function, list(under_way))
        return {key: max(0, waiting.get(key, 0) - count) for key, count in under_way.items()}

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("spawned calls", exc_info=task.exception())
