"""One connected peer, from its Hello on: what it says is authorised here and handed to the engine or a handler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..protocol.apps import (
    BuildImage,
    BuildStep,
    CheckResources,
    ExecData,
    ExecEnded,
    ExecTaken,
    FollowApp,
    KillExec,
    Log,
    ResizeExec,
    StartExec,
    StartReplay,
    StartShell,
)
from ..protocol.batch import Batch
from ..protocol.calls import CloseCalls, Confirm, OpenCall, Spawn, SpawnEach
from ..protocol.items import ItemOps, StopWaiting
from ..protocol.messages import PROTOCOL, Done, Hello, Welcome
from ..protocol.stream import Peer, Refused
from ..protocol.terminals import LendTerminal, TakeTerminal
from ..protocol.usage import Metered
from ..protocol.wire import CALL, INPUTS, RESULTS
from ..protocol.workers import ContainerState, FirstInput, FromContainer, Inventory, Sampled, TakenBack
from ..version import VERSION
from .auth import NOBODY, Actor, PermissionDenied, permit
from .builds import WORKER_WAIT_S
from .handlers.apps import app_of
from .roles import refusal
from .shells import start_shell

if TYPE_CHECKING:
    from .server import Server

log = logging.getLogger("ionian.server")

PROXIES = ("127.0.0.1", "::1")
"""Who is believed about for whom it opens a stream: what runs on this machine."""


def forwarded_for(headers: Mapping[str, str]) -> str:
    """The address that the nearest proxy saw, by X-Forwarded-For; "" where none says."""
    for name, value in headers.items():
        if name.lower() == "x-forwarded-for":
            return value.rpartition(",")[2].strip()[:64]
    return ""


class Session(Peer):
    """A client, a worker, or the second stream of one of them."""

    def __init__(self, server: Server, *, forwarded: str = "", local: bool = True) -> None:
        super().__init__()
        self.server = server
        self._forwarded = forwarded  # for whom a proxy says that it opened the stream
        self._local = local  # by the socket of this user's own processes
        self.actor: Actor = NOBODY
        self.role = ""
        self._calls = False  # it may send inputs
        self._tasks: set[asyncio.Task[None]] = set()

    # --- Peer

    def closed(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self.role == "client":
            self.server.engine.client_gone(self)
        elif self.role == "worker":
            self.server.engine.worker_gone(self)
        self.server.sessions.discard(self)
        self.server.context.uploads.abandon(self.actor)

    def batch(self, kind: int, header: memoryview, payload: memoryview) -> None:
        engine = self.server.engine
        if kind == CALL and self._calls:
            function_id, parent, batch = Batch.unpack_call(header, payload)
            engine.open_call(OpenCall(batch.call_id, function_id, parent), self.actor)
            engine.put(batch, self.actor.id)
        elif kind == INPUTS and self._calls:
            engine.put(Batch.unpack(header, payload), self.actor.id)
        elif kind == RESULTS and self.role == "worker":
            engine.results(self.actor.id, Batch.unpack(header, payload))
        else:
            super().batch(kind, header, payload)

    def frame_done(self) -> None:
        self.server.engine.pump()

    def received(self, message: Any, request: int, payload: bytes) -> None:
        if isinstance(message, Hello):
            self._run(self._hello(message, request), request)
            return
        try:
            permit(self.actor, message)
        except PermissionDenied as denied:
            self._refused(denied, request)
            return
        if self.role == "worker" and self._from_worker(message, payload):
            return
        if self.role == "client" and self._from_client(message, payload, request):
            return
        self._run(self._handle(message, request, payload), request)

    # --- the first message

    async def _hello(self, hello: Hello, request: int) -> None:
        if hello.protocol != PROTOCOL:
            raise Refused(
                "VersionError",
                f"the server is Ionian {VERSION} (protocol {PROTOCOL}), this is Ionian {hello.version} (protocol "
                f"{hello.protocol}); install the same version on both sides",
            )
        actor = await self._admitted(hello)
        if self.role:
            raise Refused("InvalidError", "expected one Hello on a stream, got another")
        self.actor, self.role = actor, hello.role
        self._calls = self.role == "client" and not refusal(self.actor.role, "INPUTS")
        state = self.server.state
        self.reply(
            request,
            Welcome(
                self.server.epoch,
                VERSION,
                self.actor.environment or "main",
                str(state.blobs),
                self.server.machine,
                str(state.volumes),
                await asyncio.to_thread(lambda: state.volume_mark) if self.role != "client" else "",
            ),
        )
        if self.role == "client":
            self.server.engine.client_joined(self)

    async def _admitted(self, hello: Hello) -> Actor:
        """Who comes with a token. One that is cut off while it is looked up is looked up again: nobody was there yet to cut off."""
        server = self.server
        while True:
            cuts = server.cuts
            actor = await asyncio.to_thread(
                server.attempts.authenticate,
                server.store,
                hello.token,
                self._address(),
                role=hello.role,
                peer_id=hello.peer_id,
            )
            if server.cuts == cuts:
                return actor

    def _address(self) -> str:
        """Whose wrong tokens are counted together; "": nobody's."""
        if self._local or self._transport is None:
            return ""
        name = self._transport.underlying_transport.get_extra_info("peername")
        address = str(name[0]) if name else "?"
        return self._forwarded or address if address in PROXIES else address

    # --- what is answered on the spot

    def _from_client(self, message: Any, payload: bytes, request: int) -> bool:
        engine = self.server.engine
        match message:
            case OpenCall():
                engine.open_call(message, self.actor)
            case CloseCalls():
                engine.close_calls(message.call_ids, self.actor.id)
                self.reply(request, Done())
            case Confirm():
                engine.confirm(self.actor.id, message.seq)
            case Spawn():
                self.server.durable.spawn(message, payload, self.actor, partial(self.reply, request))
            case ItemOps():
                self.server.desk.received(
                    message, payload, self.actor, partial(self.reply, request), lambda: self.connected
                )
            case StopWaiting():
                self.server.desk.stop_waiting(message.request_id, self.actor)
            case SpawnEach():
                self.server.durable.spawn_each(message, payload, self.actor, partial(self.reply, request))
            case FollowApp():
                self._run(self._follow(message.app_id), request)
            case BuildImage():
                self._run(self._build(message, request), request)
            case StartExec():
                self._run(self._exec(message, request), request)
            case StartReplay():
                self._run(self._replay(message, request), request)
            case StartShell():
                self._run(self._shell(message, request), request)
            case LendTerminal():
                self._run(self._lend(message, request), request)
            case TakeTerminal():
                self._run(self._terminal(message, request), request)
            case ExecData() | ExecTaken() | ResizeExec() | KillExec():
                engine.execs.from_client(self, message, payload)
            case CheckResources():
                self._run(self._check_resources(message, request), request)
            case _:
                return False
        return True

    def _from_worker(self, message: Any, payload: bytes) -> bool:
        engine = self.server.engine
        match message:
            case Inventory():
                engine.worker_joined(self, message)
            case ContainerState():
                engine.container_state(self.actor.id, message, payload)
            case FirstInput():
                engine.containers.first_input(self.actor.id, message)
            case Metered():
                self.server.metering.received(self, message)
            case Sampled():
                engine.samples.received(self.actor.id, message)
            case TakenBack():
                engine.taken_back(self.actor.id, message)
            case FromContainer():
                engine.from_container(self.actor.id, message.number, payload)
            case Log():
                engine.log(message, payload)
            case ExecData() | ExecTaken() | ExecEnded():
                engine.execs.from_worker(self.actor.id, message, payload)
            case BuildStep():
                self.server.builds.step(message)
            case _:
                return False
        return True

    # --- what takes time

    async def _follow(self, app_id: str) -> None:
        await app_of(self.actor, "FollowApp", app_id, self.server.context)
        self.server.engine.follow(app_id, self)

    async def _build(self, message: BuildImage, request: int) -> None:
        self.reply(request, await self.server.builds.build(message, self))

    async def _exec(self, message: StartExec, request: int) -> None:
        self.reply(request, await self.server.engine.execs.start(self, message))

    async def _replay(self, message: StartReplay, request: int) -> None:
        self.reply(request, await self.server.engine.replays.start(self, message))

    async def _shell(self, message: StartShell, request: int) -> None:
        self.reply(request, await start_shell(self.server.engine, self, message))

    async def _lend(self, message: LendTerminal, request: int) -> None:
        self.reply(request, await self.server.engine.terminals.lend(self, message))

    async def _terminal(self, message: TakeTerminal, request: int) -> None:
        self.reply(request, await self.server.engine.terminals.take(self, message))

    async def _check_resources(self, message: CheckResources, request: int) -> None:
        await self.server.engine.any_worker(WORKER_WAIT_S)
        self.reply(request, self.server.engine.check_resources(message.functions))

    async def _handle(self, message: Any, request: int, payload: bytes) -> None:
        # To its end, whether or not the peer is still there: half a change would never be completed.
        reply, out = await asyncio.shield(self.server.begin(self.actor, message, payload))
        self.reply(request, reply, out)

    def _run(self, work: Any, request: int) -> None:
        task = asyncio.ensure_future(self._guard(work, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Any, request: int) -> None:
        try:
            await work
        except Refused as refused:
            self._refused(refused, request)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("request failed")
            self.refuse(request, "InternalError", f"the server failed: {type(error).__name__}: {error}")
        self.server.engine.pump()

    def _refused(self, refused: Refused, request: int) -> None:
        log.info("refused peer=%s reason=%s", self.actor.id, refused.message)
        self.refuse(request, refused.type, refused.message)
        if not self.role:
            self.disconnect()
