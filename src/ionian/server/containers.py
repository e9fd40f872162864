"""The containers that the server knows of, and what user code in them asks for."""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..core import actions
from ..protocol.apps import STARTED, ContainerNews, Log
from ..protocol.batch import BLOB, Batch
from ..protocol.calls import CloseCalls, Confirm, OpenCall, Spawn
from ..protocol.clusters import member_id, member_number
from ..protocol.codec import BadMessage, decode, encode
from ..protocol.items import ItemOps, StopWaiting
from ..protocol.messages import Failure
from ..protocol.spec import FunctionSpec
from ..protocol.stream import Refused
from ..protocol.wire import CONTROL, INPUTS, OUTPUTS, entries
from ..protocol.workers import ContainerState, FirstInput, Running, Start, ToContainer
from .auth import Actor, Target, authorise, container_actor
from .failures import lost
from .starts import line, measured

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger("ionian.server")


THE_SERVER = Actor("worker", "")
"""Who shares what a worker stored as the result of a container."""


def digests(batch: Batch) -> list[str]:
    """The blobs that the rows of a batch name."""
    rows = zip(batch.code, batch.payloads(), strict=True)
    return [payload.decode().split()[0] for code, payload in rows if code & BLOB]


@dataclass(slots=True)
class Container:
    """A container as the server sees it."""

    number: int
    container_id: str
    worker_id: str
    app_id: str
    function_id: str
    tag: str
    actor: Actor
    version: int = 0  # of the deployed app
    since: float = field(default_factory=time.monotonic)  # when it was asked for
    guest: bool = False  # a person's: nobody else hears of it or waits for it
    start: Start | None = None  # once it is ready
    said: bool = False  # its log has the line of its start
    cluster_size: int = 0  # 0: it is of no cluster
    rank: int = 0  # in it
    followers: list[Container] = field(
        default_factory=lambda: list[Container]()
    )  # of the one that stands for a cluster

    def lead(self, size: int) -> None:
        """It stands for a cluster of so many from here on, and has rank 0."""
        self.cluster_size = size
        self.followers = [self._follower(rank) for rank in range(1, size)]

    def _follower(self, rank: int) -> Container:
        container_id, actor = member_id(self.container_id, rank), self.actor
        actor = container_actor(
            container_id, environment=actor.environment, app_id=actor.app_id, restricted=actor.restricted
        )
        number = member_number(self.number, rank)
        return replace(self, number=number, container_id=container_id, actor=actor, followers=[], rank=rank)


class Containers:
    """Containers by number and by id."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._by_number: dict[tuple[str, int], Container] = {}  # each worker has numbers of its own
        self._by_id: dict[str, Container] = {}
        self._missing: set[tuple[str, int]] = set()  # at the last sweep
        self._gone: dict[str, list[asyncio.Future[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- their lives

    def starting(
        self, start: actions.Start, spec: FunctionSpec, app_id: str, environment: str, *, guest: bool = False
    ) -> None:
        """A container was asked for."""
        actor = container_actor(
            start.container_id, environment=environment, app_id=app_id, restricted=spec.restricted
        )
        container = Container(
            start.number,
            start.container_id,
            start.worker_id,
            app_id,
            start.function_id,
            spec.tag,
            actor,
            spec.version,
            guest=guest,
        )
        if not guest:
            container.lead(spec.cluster_size)
        self._add(container)

    def found(self, worker_id: str, running: list[Running]) -> None:
        """A worker came with containers that an earlier start of this server had asked for."""
        for one in running:
            spec = self._engine.specs.get(one.function_id)
            environment = spec[2] if spec is not None else ""
            tag = spec[0].tag if spec is not None else ""
            actor = container_actor(
                one.container_id, environment=environment, app_id=one.app_id, restricted=one.restricted
            )
            container = Container(
                one.number,
                one.container_id,
                worker_id,
                one.app_id,
                one.function_id,
                tag,
                actor,
                one.version,
                _now() - one.age_s,
            )
            container.lead(one.cluster_size)
            self._add(container)
            for member in (container, *container.followers):
                self._engine.dispatcher.caller_back(_now(), member.container_id)

    def _add(self, container: Container) -> None:
        for one in (container, *container.followers):
            self._by_number[one.worker_id, one.number] = one
            self._by_id[one.container_id] = one

    def state(self, worker_id: str, message: ContainerState) -> None:
        """A container's state changed."""
        container = self._by_number.get((worker_id, message.number))
        if container is None:
            return
        if message.state == "ended":
            self._ended(container, message)
        if container.guest:
            return
        if message.state == "ready" and message.start is not None:
            container.start = measured(message.start, _now() - container.since)
        state = {"starting": "starting", "ready": "ready", "ended": "gone"}[message.state]
        if message.ended in ("import", "startup", "start"):
            state = "failed"
        detail = message.detail if message.state == "ended" else message.safety
        if message.state == "ended":
            self._say_start(container)
            self._say_last(container, "" if message.ended == "stopped" else message.detail)
        self._engine.news.container(
            ContainerNews(container.app_id, container.tag, container.container_id, state, detail)  # type: ignore[arg-type]
        )

    def first_input(self, worker_id: str, message: FirstInput) -> None:
        """A container has done its first input: its start is over, and is written to its log."""
        container = self._by_number.get((worker_id, message.number))
        if container is not None and container.start is not None and not container.said:
            container.start.parts["first input"] = max(0.0, message.seconds)
            self._say_start(container)

    def _say_start(self, container: Container) -> None:
        if container.start is None or container.said:
            return
        container.said = True
        self._engine.server.metrics.started(container.start)
        took_s = sum(container.start.parts.values())
        self._engine.counts.container_ready(container.function_id, took_s)
        self._engine.counts.of_containers.ready(container, took_s)
        about = Log(container.app_id, container.tag, container.container_id, STARTED)
        self._engine.server.context.logbook.write(about, f"{line(container.start)}\n".encode())

    def _ended(self, container: Container, message: ContainerState) -> None:
        self._remove(container)
        for one in (container, *container.followers):
            self._engine.samples.ended(one, message.ended, message.detail)
        self._engine.server.record_usage(container, message)
        if message.ended not in ("", "stopped") and not container.guest:
            self._engine.counts.container_failed(container.function_id)
            self._engine.counts.of_containers.ended(container, message)

    def lost(self, worker_id: str) -> None:
        """A worker ended, and its containers with it."""
        for container in [c for c in self._by_number.values() if c.worker_id == worker_id and not c.rank]:
            self._lose(container)

    def sweep(self) -> None:
        """Forgets the containers whose end was lost on the way: the dispatcher gave them up, twice in a row."""
        has = self._engine.dispatcher.has_container
        missing = {key for key, container in self._by_number.items() if not container.rank and not has(*key)}
        for key in missing & self._missing:
            self._lose(self._by_number[key])
        self._missing = missing

    def _say_last(self, container: Container, last: str) -> None:
        logbook = self._engine.server.context.logbook
        logbook.ended(container.app_id, container.tag, container.container_id, last)

    def _lose(self, container: Container) -> None:
        self._remove(container)
        for one in (container, *container.followers):
            self._engine.samples.ended(one, "lost", "its worker is gone")
        if container.guest:
            return
        self._engine.counts.container_failed(container.function_id)
        self._say_last(container, "its worker is gone")
        self._engine.news.container(
            ContainerNews(
                container.app_id, container.tag, container.container_id, "gone", "its worker is gone"
            )
        )

    def _remove(self, container: Container) -> None:
        for follower in container.followers:
            self._say_last(follower, "")
            self._remove(follower)
        self._by_number.pop((container.worker_id, container.number), None)
        self._by_id.pop(container.container_id, None)
        self._engine.caller_over(container.container_id)
        self._engine.server.desk.gone(container.container_id)
        self._engine.server.tunnels.gone(container.container_id)
        self._engine.terminals.container_gone(container.container_id)
        self._engine.server.context.uploads.abandon(container.actor)
        if not self._has_of(container.app_id):
            for waiting in self._gone.pop(container.app_id, []):
                if not waiting.done():
                    waiting.set_result(None)

    def _has_of(self, app_id: str) -> bool:
        return any(c.app_id == app_id and not c.guest for c in self._by_number.values())

    def all(self) -> list[Container]:
        """Every container."""
        return list(self._by_id.values())

    def find(self, container_id: str) -> Container | None:
        """A container by its id."""
        return self._by_id.get(container_id)

    def numbered(self, worker_id: str, number: int) -> Container | None:
        """A container by its worker and that one's number of it."""
        return self._by_number.get((worker_id, number))

    def count_of(self, app_id: str) -> int:
        """How many containers an app has."""
        return sum(container.app_id == app_id for container in self._by_number.values())

    async def all_gone(self, app_id: str, patience_s: float) -> None:
        """Waits until no container of an app is left."""
        if not self._has_of(app_id):
            return
        future = asyncio.get_running_loop().create_future()
        self._gone.setdefault(app_id, []).append(future)
        try:
            await asyncio.wait_for(future, patience_s)
        except asyncio.TimeoutError:
            log.warning("containers of app=%s did not end in time", app_id)

    # --- what their user code asks for

    def deliver(self, container_id: str, batch: Batch) -> None:
        """Sends results to a caller in a container, who may read the blobs that they name."""
        container = self._by_id.get(container_id)
        if container is None:
            return
        if not any(code & BLOB for code in batch.code):
            self.send(container_id, batch.pack(OUTPUTS))
        else:
            self._later(self._deliver_blobs(container, batch))

    async def _deliver_blobs(self, container: Container, batch: Batch) -> None:
        try:
            await self._engine.server.share_blobs(THE_SERVER, container.app_id, digests(batch))
        except Exception:  # its own request for the blob then says why it can't have it
            log.exception("sharing blobs with container=%s", container.container_id)
        self.send(container.container_id, batch.pack(OUTPUTS))

    async def _put_blobs(self, container: Container, batch: Batch) -> None:
        """A container may hand on only what its own app may read."""
        try:
            await self._engine.server.share_blobs(container.actor, container.app_id, digests(batch))
        except Exception as error:
            log.warning("container=%s: %s", container.container_id, error)
            type, text = (
                (error.type, str(error)) if isinstance(error, Refused) else ("InternalFailure", repr(error))
            )
            self.deliver(container.container_id, lost(batch, type, text))
            return
        self._engine.put(batch, container.container_id)
        self._engine.pump()

    def _deny_inputs(self, container: Container, batch: Batch) -> None:
        """Inputs have no answer but results: who may not call has those, in place of waiting for ever."""
        try:
            authorise(container.actor, "INPUTS", Target("", container.app_id))
        except Refused as refused:
            self.deliver(container.container_id, lost(batch, refused.type, refused.message))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def send(self, container_id: str, entry: bytes) -> None:
        """Sends an entry to the agent of a container."""
        container = self._by_id.get(container_id)
        if container is not None:
            session = self._engine.workers.get(container.worker_id)
            if session is not None:
                session.send(ToContainer(container.number), entry)

    def received(self, worker_id: str, number: int, frame: bytes) -> None:
        """An entry from the agent of a container, where user code can write what it likes."""
        container = self._by_number.get((worker_id, number))
        if container is None:
            return
        try:
            self._received(container, frame)
        except (ValueError, struct.error) as error:
            log.warning("container=%s sent nonsense: %s", container.container_id, error)

    def _received(self, container: Container, frame: bytes) -> None:
        for kind, header, payload in entries(frame):
            if kind == INPUTS:
                batch = Batch.unpack(header, bytes(payload))
                if container.actor.restricted:
                    self._deny_inputs(container, batch)
                elif any(code & BLOB for code in batch.code):
                    self._later(self._put_blobs(container, batch))
                else:
                    self._engine.put(batch, container.container_id)
            elif kind == CONTROL:
                self._control(container, header, bytes(payload))
            else:
                log.warning("container=%s sent a batch of kind %d", container.container_id, kind)

    def _control(self, container: Container, header: memoryview, payload: bytes) -> None:
        request, id = 0, container.container_id
        try:
            message, request = decode(header)
            authorise(container.actor, type(message).__name__, Target("", container.app_id))
        except BadMessage as error:
            log.warning("container=%s sent no message: %s", container.container_id, error)
            return
        except Refused as refused:
            self._answer(container, request, Failure(refused.type, refused.message), b"")
            return
        match message:
            case OpenCall():
                self._engine.open_call(message, container.actor)
            case CloseCalls():
                self._engine.close_calls(message.call_ids, container.container_id)
            case Confirm():
                self._engine.confirm(container.container_id, message.seq)
            case Spawn():

                def answer(said: Any) -> None:
                    self._answer(container, request, said, b"")

                self._engine.server.durable.spawn(message, payload, container.actor, answer)
            case ItemOps():

                def answered(said: Any, out: bytes = b"") -> None:
                    self._answer(container, request, said, out)

                self._engine.server.desk.received(
                    message, payload, container.actor, answered, lambda: self.find(id) is container
                )
            case StopWaiting():
                self._engine.server.desk.stop_waiting(message.request_id, container.actor)
            case _:
                self._later(self._handle(container, message, request, payload))

    async def _handle(self, container: Container, message: Any, request: int, payload: bytes) -> None:
        try:
            reply, out = await self._engine.server.handle(container.actor, message, payload)
        except Refused as refused:
            reply, out = Failure(refused.type, refused.message), b""
        except Exception as error:
            log.exception("request of container=%s failed", container.container_id)
            reply, out = Failure("InternalError", f"the server failed: {type(error).__name__}: {error}"), b""
        self._answer(container, request, reply, out)

    def _answer(self, container: Container, request: int, reply: Any, payload: bytes) -> None:
        if request > 0:
            self.send(container.container_id, encode(reply, -request, payload))


_now = time.monotonic
