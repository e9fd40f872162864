"""Operations on dicts and queues as they come in: who may do them, their answers, and who waits for an item.

An answer to what changed something is kept until it is confirmed: who asks again under the same id gets it again. What was
taken from a queue and is not confirmed within a minute, or by a container that is gone, goes back to where it was.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...protocol.items import EMPTY_ALL, FULL, MISSING, OF_QUEUES, PUSH, TAKE, ItemOps, ItemsDone, unpack_done
from ...protocol.messages import Failure
from ...protocol.stream import Refused, joined
from ..auth import Actor, Target, authorise
from ..containers import THE_SERVER
from ..store.database import StoreError, StoreFull
from ..store.item_work import Request
from ..store.items import Forget, Write
from .carrier import Carrier
from .checks import blobs_of, checked, digest_of
from .purge import Purge
from .waiting import Answer, Asked, Waiting

if TYPE_CHECKING:
    from ..server import Server

log = logging.getLogger("ionian.server")

TAKEN_S = 60.0
"""What was taken is given back after so long without a word from who took it."""

ANSWER_S = 600.0
"""Other answers are kept for so long."""

LOOK_EVERY_S = 2.0

KNOWN_S = 60.0
"""For so long it is not asked again of which environment an object is."""

WAIT_MAX_S = 60.0
"""The longest time that one request waits."""


class Desk:
    """What is done with dicts and queues. All its methods are called on the event loop."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._store = server.store
        self._known: dict[str, tuple[str, str]] = {}  # object id → kind, environment
        self._known_until = 0.0
        self._unconfirmed: dict[str, tuple[float, str]] = {}  # request id → when it is forgotten, by whom
        self.waiting = Waiting(self._put, self._reply)
        self._carrier: Carrier | None = None
        self._purge = Purge(server.context)
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        server.context.on_deleted.append(self._deleted)

    # --- its life

    async def start(self) -> None:
        """Takes up what is not confirmed."""
        unconfirmed = await asyncio.to_thread(self._store.items.load)
        until = time.monotonic() + TAKEN_S
        self._unconfirmed = dict.fromkeys(unconfirmed, (until, ""))
        self._carrier = Carrier(self._store.items, self._committed)
        await self._purge.keep_all()
        await self._purge.drop_drafts()
        self._purge.start()
        self._look()

    async def stop(self) -> None:
        """Carries out what was asked for."""
        if self._timer is not None:
            self._timer.cancel()
        self._purge.stop()
        for task in self._tasks:
            task.cancel()
        if self._carrier is not None:
            await self._carrier.stop()

    # --- what comes in

    def received(
        self, message: ItemOps, payload: bytes, actor: Actor, answer: Answer, present: Callable[[], bool]
    ) -> None:
        """Operations; `answer` gets ItemsDone and what came of them when that is on disk, or a Failure."""
        try:
            ops = checked(message, payload)
            asked = Asked(
                *(message.request_id, ops, message.confirmed, message.returned),
                actor=actor,
                answer_with=answer,
                present=present,
            )
            if message.wait_s > 0:
                now = asyncio.get_running_loop().time()
                asked.deadline = now + min(message.wait_s, WAIT_MAX_S)
            if any(object_id not in self._known for object_id in message.objects) or blobs_of(ops):
                self._begin(self._look_first(asked, message.objects))
            else:
                self._admit(asked, message.objects)
        except Refused as refused:
            answer(Failure(refused.type, refused.message))

    async def _look_first(self, asked: Asked, objects: Sequence[str]) -> None:
        try:
            for object_id in objects:
                if object_id not in self._known:
                    found = await asyncio.to_thread(self._store.objects.by_id, object_id)
                    if found is not None:
                        self._known[object_id] = found.kind, found.environment
            await self._check_blobs(asked)
            self._admit(asked, objects)
        except Refused as refused:
            asked.answer_with(Failure(refused.type, refused.message))
        except Exception as error:
            log.exception("operations on dicts and queues")
            asked.answer_with(Failure("InternalFailure", f"the server failed: {error}"))

    async def _check_blobs(self, asked: Asked) -> None:
        """Whoever hands on a blob has it, and may read it."""
        digests = blobs_of(asked.ops)
        if not digests:
            return
        missing = await asyncio.to_thread(self._server.context.blobs.missing, digests)
        if missing:
            raise Refused("InvalidError", f"expected a blob that is here, got {missing[0]}")
        if asked.actor.kind == "container":
            await self._server.share_blobs(asked.actor, asked.actor.app_id, digests)

    def _admit(self, asked: Asked, objects: Sequence[str]) -> None:
        for object_id in objects:
            kind, environment = self._known.get(object_id, ("", ""))
            authorise(asked.actor, "ItemOps", Target(environment))
            if not kind:
                what = "dict or queue"
                raise Refused(
                    "NotFoundError", f"there is no {what} {object_id[:80]}; it may have been deleted"
                )
        for op in asked.ops:
            kind, _ = self._known[op.object_id]
            if kind != ("queue" if op.kind >= OF_QUEUES else "dict"):
                raise Refused("InvalidError", f"expected an operation on a {kind}, got one on another kind")
        self._put(asked)

    def _put(self, asked: Asked) -> None:
        if self._carrier is None:
            asked.answer_with(Failure("InternalFailure", "the server is starting; try again"))
        else:
            self._carrier.put(asked)

    def stop_waiting(self, request_id: str, actor: Actor) -> None:
        """Nobody waits behind this request any more."""
        self.waiting.stop(request_id, actor)

    # --- what was committed

    def _committed(self, group: Sequence[Write], error: StoreError | None) -> None:
        with joined():
            for one in group:
                try:
                    if not isinstance(one, Asked):
                        if error is not None and isinstance(one, Forget):
                            self._forget_later(one.request_ids)
                    elif error is not None:
                        full = isinstance(error, StoreFull)
                        one.answer_with(
                            Failure("ResourceExhaustedError" if full else "InternalFailure", str(error))
                        )
                    elif self._waits(one):
                        self.waiting.add(one)
                    else:
                        self._reply(one)
                except Exception:
                    log.exception("after operations on dicts and queues")
            if error is None:
                for one in group:
                    self._wake(one)
        self._server.engine.pump()

    def _waits(self, one: Asked) -> bool:
        if not one.deadline or one.deadline <= asyncio.get_running_loop().time() or not one.present():
            return False
        return unpack_done(one.answer, 1)[0].status in (MISSING, FULL)

    def _wake(self, one: Write) -> None:
        for key, number in one.pushed.items():
            self.waiting.wake(TAKE, key, number)
        if not isinstance(one, Request):
            return
        for request_id in one.confirmed:
            self._unconfirmed.pop(request_id, None)
        for key in one.freed:
            self.waiting.wake(PUSH, key, 1)
        for object_id in {op.object_id for op in one.ops if op.kind == EMPTY_ALL}:
            for key in self.waiting.of_object(PUSH, object_id):
                self.waiting.wake(PUSH, key, 1)
        if isinstance(one, Asked) and one.tried and one.changed:  # who was woken wakes the next
            kind, key = one.place
            self.waiting.wake(kind, key, 1)

    def _reply(self, one: Asked) -> None:
        if one.timer is not None:
            one.timer.cancel()
        if one.changed:
            until = time.monotonic() + (TAKEN_S if one.took else ANSWER_S)
            self._unconfirmed[one.request_id] = until, one.actor.id if one.took else ""
            if one.took and not one.present() and one.actor.kind == "container":
                self.gone(one.actor.id)
        done = ItemsDone(len(one.ops))
        if one.answer:
            digests = [
                digest_of(value)
                for each in unpack_done(one.answer, len(one.ops))
                for value in each.values
                if value.blob
            ]
            if digests:
                self._begin(self._share_and_reply(one, digests))
                return
        one.answer_with(done, one.answer)

    async def _share_and_reply(self, one: Asked, digests: list[str]) -> None:
        try:
            await asyncio.to_thread(self._server.context.blobs.missing, digests)  # as new: not garbage soon
            if one.actor.kind == "container":
                await self._server.share_blobs(THE_SERVER, one.actor.app_id, digests)
        except Exception:  # its own request for the blob then says why it can't have it
            log.exception("sharing blobs with app=%s", one.actor.app_id)
        one.answer_with(ItemsDone(len(one.ops)), one.answer)

    # --- what is not confirmed, and what is gone

    def gone(self, container_id: str) -> None:
        """A container has ended: what it took and has not confirmed goes back."""
        due = [each for each, (_, actor_id) in self._unconfirmed.items() if actor_id == container_id]
        self._forget(due)

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)
        now = time.monotonic()
        if now > self._known_until:  # an environment may have another name by now
            self._known, self._known_until = {}, now + KNOWN_S
        self._forget([each for each, (until, _) in self._unconfirmed.items() if until <= now])

    def _forget(self, request_ids: list[str]) -> None:
        if request_ids and self._carrier is not None:
            for request_id in request_ids:
                del self._unconfirmed[request_id]
            self._carrier.put(Forget(request_ids))

    def _forget_later(self, request_ids: Sequence[str]) -> None:
        """The database could not give back what was taken: it is tried again."""
        for request_id in request_ids:
            self._unconfirmed[request_id] = time.monotonic() + LOOK_EVERY_S, ""

    def _deleted(self, object_id: str) -> None:
        self._known.pop(object_id, None)
        for asked in self.waiting.end(object_id):
            asked.answer_with(Failure("NotFoundError", f"queue {object_id} was deleted"))

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
