"""Inputs on their way to the store: checked, and refused where the disk has no room for them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ...protocol.batch import Batch
from ...protocol.calls import FailedSpawn, Spawn, SpawnEach, SpawnedEach
from ...protocol.messages import Failure
from ...protocol.spec import FunctionSpec
from ...protocol.stream import Refused
from ...protocol.wire import INPUTS, entries
from ..auth import Actor
from ..failures import gone
from ..handlers.names import check_id
from ..store.calls import NewInputs
from ..store.database import sqlite_folder

if TYPE_CHECKING:
    from ..server import Server
    from .writer import Writer

RESERVE_BYTES = 64 << 20
RESERVE_SHARE = 0.02
"""With less free than this, or than this share of the disk where that is less, inputs are refused and results kept."""

QUEUE_BYTES = 512 << 20
"""So much may wait for the disk; then inputs are refused."""

LOOK_EVERY_S = 0.5
"""How often the room on the disk is looked at, while inputs come."""

TICK = 1e-6
"""Two calls are made this far apart at least: the order of calls is that of these times."""

MOST_INPUTS = 100_000_000
"""Inputs of one call: what is under way of it is noted in a byte an input."""

Answer = Callable[[Any], None]


def _unheard(_: Any) -> None:
    pass


@dataclass(slots=True)
class Spawning(NewInputs):
    """Inputs on their way to the disk, and who hears of it."""

    answer: Answer = _unheard


class Intake:
    """What may be spawned."""

    def __init__(self, server: Server, newest: float) -> None:
        self._server = server
        self._newest = newest  # when the newest call was made
        self._looked_at = 0.0
        self._has_room = True
        self.closed: set[str] = set()  # apps that are ending

    def checked(self, message: Spawn, batch: Batch, actor: Actor, writer: Writer, answer: Answer) -> Spawning:
        """The inputs of a message, to be written. Raises Refused."""
        spec, app_id, environment = self._function(message.function_id, actor)
        self._check_room(writer)
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
            caller=actor.id,
        )

    def checked_each(
        self, message: SpawnEach, payload: bytes, actor: Actor, writer: Writer, answer: Answer
    ) -> list[Spawning]:
        """The same for calls of one input each."""
        _check_each(message, payload)
        spec, app_id, environment = self._function(message.function_id, actor)
        self._check_room(writer)
        tag, parent, answers = (
            (message.tag or spec.tag)[:255],
            message.parent[:255],
            _Answers(message, answer),
        )
        writes: list[Spawning] = []
        newest, at = max(time.time(), self._newest + TICK), 0
        for call_id, size in zip(message.call_ids, message.sizes, strict=True):
            batch = Batch(call_id, (0,), (size,), payload[at : at + size])
            at += size
            write = Spawning(
                call_id, message.function_id, app_id, environment, tag, parent, newest, batch, True
            )
            write.answer, write.caller = partial(answers.heard, call_id), actor.id
            writes.append(write)
            newest += TICK
        self._newest = newest
        return writes

    def _function(self, function_id: str, actor: Actor) -> tuple[FunctionSpec, str, str]:
        """A function that the actor may spawn calls of, with its app and environment."""
        found = self._server.engine.specs.get(function_id)
        if found is None or actor.environment not in ("", found[2]) or found[1] in self.closed:
            raise gone(function_id)
        if why := self._server.budgets.over.get(found[1]):
            raise Refused("ResourceExhaustedError", why)
        if found[0].is_generator:
            raise Refused(
                "InvalidError", f"expected a function that returns, got the generator {found[0].tag}"
            )
        return found

    def _check_room(self, writer: Writer) -> None:
        if writer.waiting_bytes > QUEUE_BYTES:
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
        database = self._server.store.database
        if not database.is_sqlite:
            return True
        folder = sqlite_folder(database.engine.url.render_as_string(hide_password=False))
        if folder is None:
            return True
        disk = shutil.disk_usage(folder)
        return disk.free > min(RESERVE_BYTES, disk.total * RESERVE_SHARE)


class _Answers:
    """The answer to a SpawnEach, once all its calls are on disk or refused."""

    def __init__(self, message: SpawnEach, answer: Answer) -> None:
        self._left = len(message.call_ids)
        self._answer = answer
        self._said = SpawnedEach()

    def heard(self, call_id: str, said: Any) -> None:
        """What became of a call."""
        if isinstance(said, Failure):
            self._said.failed.append(FailedSpawn(call_id, said.type, said.message))
        self._left -= 1
        if not self._left:
            self._answer(self._said)


def _check_each(message: SpawnEach, payload: bytes) -> None:
    _check_words(message)
    if not message.call_ids or len(message.call_ids) != len(message.sizes):
        raise Refused(
            "InvalidError",
            f"expected as many sizes as calls in a SpawnEach, one or more, got {len(message.call_ids)} calls and "
            f"{len(message.sizes)} sizes",
        )
    if min(message.sizes) < 0 or sum(message.sizes) != len(payload):
        raise Refused(
            "InvalidError",
            f"expected inputs of {len(payload)} bytes in a SpawnEach, got sizes of {sum(message.sizes)}",
        )
    for call_id in message.call_ids:
        check_id("fc", call_id)


def _check_words(message: Spawn | SpawnEach) -> None:
    for name in ("tag", "parent"):
        if "\0" in getattr(message, name):
            raise Refused(
                "InvalidError", f"expected a {name} without NUL characters in a {type(message).__name__}"
            )


def inputs_of(message: Spawn, payload: bytes) -> Batch:
    """The inputs of a Spawn, checked. Raises Refused."""
    check_id("fc", message.call_id)
    _check_words(message)
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
    if len(index) and index[-1] >= MOST_INPUTS:
        raise Refused(
            "InvalidError", f"expected up to {MOST_INPUTS:,} inputs in a call, got one {index[-1]:,}"
        )
    return batch
