"""The stream to the server, on a thread of its own: results in, inputs out, and everything again after a cut.

The user's thread packs and unpacks; the loop only moves bytes. What the server has not yet answered is kept by its
`Call` and is sent again, under the same ids, on the next connection.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import uvloop

from .. import exception, faults, link
from ..call import Call
from ..protocol.apps import FollowApp, StopApp
from ..protocol.batch import Batch
from ..protocol.calls import CloseCalls, Confirm, OpenCall
from ..protocol.codec import BadMessage, encode
from ..protocol.ids import new_id
from ..protocol.messages import Blob, Hello, ReadBlob, Welcome
from ..protocol.stream import LOCAL, ConnectionLost, Peer, Refused, dial, joined
from ..protocol.terminals import LendTerminal
from ..protocol.wire import OUTPUTS
from ..version import VERSION
from .asking import Asking
from .lane import Lane, Lanes
from .offering import Offering

log = logging.getLogger("ionian.client")

M = TypeVar("M")
T = TypeVar("T")

LAZY_S = 0.02
"""Confirmations and ends of calls are gathered for so long: nobody waits for them."""

STEADY_S = 5.0
"""A connection that lives for less is part of the same trouble as the one before it."""

PATIENCE_S = 60.0
"""For so long a lost server is looked for before the calls under way fail."""

BLOB_CHUNK = 1 << 20
LANE_SWEEP_S = 1.0

CLOSED = "the connection to the server is closed: this process is ending"

Target = tuple[str, str]  # url, token


class _Stream(Peer):
    """The client's end of one connection."""

    def __init__(self, owner: Connection) -> None:
        super().__init__()
        self._owner = owner
        self._seq = 0
        self.welcome: Welcome | None = None

    def closed(self) -> None:
        self._owner.lost(self)

    def received(self, message: Any, request: int, payload: bytes) -> None:
        self._owner.dispatch(message, payload)

    def batch(self, kind: int, header: memoryview, payload: memoryview) -> None:
        if kind != OUTPUTS:
            raise BadMessage(f"expected outputs, got a batch of kind {kind}")
        if faults.ARMED:
            faults.reach("client.result")
        batch = Batch.unpack(header, payload)
        self._seq = batch.seq or self._seq
        call = self._owner.calls.get(batch.call_id)
        if call is not None:
            call.receive(batch)

    def frame_done(self) -> None:
        if self._seq:
            self._owner.confirm(self._seq)
            self._seq = 0


class Connection:
    """The `Link` of the user's side."""

    def __init__(self, find: Callable[[], Target]) -> None:
        self._find = find  # where the server is; starts one if need be
        self._peer_id = new_id("cl")
        self.calls: dict[str, Call] = {}
        self._stream: _Stream | None = None
        self._bulk: _Stream | None = None
        self._bulk_lock: asyncio.Lock | None = None
        self._up: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._closing = False
        self._outbox: deque[bytes] = deque()
        self._ended: deque[str] = deque()
        self._draining = False
        self._confirmed = 0
        self._timer: asyncio.TimerHandle | None = None
        self._handlers: dict[type, list[Callable[[Any, bytes], None]]] = {}
        self._follows: dict[str, FollowApp] = {}
        self._lent: dict[str, LendTerminal] = {}
        self._asking = Asking(self._begin_request, self._wake)
        self._lanes = Lanes(find)
        self._url = ""
        self._up_at = self._trouble_at = self._pause = 0.0
        self._plain = False  # no TLS: lanes are plain sockets
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="ionian-link", daemon=True)
        self._thread.start()
        try:
            self._submit(self._connect()).result()
        except BaseException:
            self.close()
            raise

    # --- Link

    def request(self, message: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        if isinstance(message, StopApp):
            self._follows.pop(message.app_id, None)
            self._lent.pop(message.app_id, None)
        elif isinstance(message, LendTerminal):
            self._lent[message.app_id] = message
        return self._submit(self._request(message, payload)).result()

    async def request_async(self, message: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        if self._closing:
            raise exception.ConnectionError(CLOSED)
        return await self._asking.ask(message, payload)

    def ask(
        self, message: Any, payload: bytes, heard: Callable[[tuple[Any, bytes] | BaseException], None]
    ) -> None:
        def answered(future: Future[tuple[Any, bytes]]) -> None:
            if future.cancelled():
                heard(exception.ConnectionError(CLOSED))
            else:
                heard(future.exception() or future.result())

        self._submit(self._request(message, payload)).add_done_callback(answered)

    def post(self, message: Any, payload: bytes = b"") -> None:
        if isinstance(message, FollowApp):
            self._follows[message.app_id] = message
        self._send(encode(message, 0, payload))

    def subscribe(self, kind: type[M], handler: Callable[[M, bytes], None]) -> Callable[[], None]:
        handlers = self._handlers.setdefault(kind, [])
        handlers.append(handler)
        return lambda: handlers.remove(handler)

    def open_call(self, call: Call) -> None:
        if self._failure is not None:
            raise exception.ConnectionError(str(self._failure))
        self.calls[call.call_id] = call

    def send_inputs(self, call: Call, entry: bytes) -> None:
        if not call.opened:
            call.opened = True
            entry = encode(OpenCall(call.call_id, call.function_id, call.parent, trace=call.trace)) + entry
        self._send(entry)

    def close_call(self, call: Call, *, finished: bool) -> None:
        self.calls.pop(call.call_id, None)
        self._ended.append(call.call_id)
        if not finished:  # else the timer of its confirmation takes it along
            self._loop.call_soon_threadsafe(self._drain)
            self._loop.call_soon_threadsafe(self._tell_ended)

    def take_lane(self) -> Lane | None:
        # Where logs are shown they come by the same stream as results: a result never overtakes what was printed.
        if self._follows or not self._plain:
            return None
        return self._lanes.take()

    def give_lane(self, lane: link.Lane) -> None:
        assert isinstance(lane, Lane)
        self._lanes.give(lane)

    def store_blob(self, content: bytes) -> str:
        return self._submit(self._store_blob(content)).result()

    def offering(self) -> Offering | None:
        return Offering(self._url) if self._url.startswith(LOCAL) else None

    def read_blob(self, digest: str, at: int, size: int) -> bytes:
        return self._submit(self._read_blob(digest, at, size)).result()

    def close(self) -> None:
        """Ends the connection and its thread; what was queued is sent first."""
        if self._closing:
            return
        self._closing = True
        self._lanes.close()
        self._loop.call_soon_threadsafe(self._shut)
        self._thread.join(timeout=5)

    def left_behind(self) -> None:
        """A forked child has no thread for this, and must not speak on its parent's sockets: it makes its own."""
        self._closing = True

    # --- the thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if self._closing:
            work.close()
            raise exception.ConnectionError(CLOSED)
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _shut(self) -> None:
        self._drain()
        for stream in (self._stream, self._bulk):
            if stream is not None:
                stream.disconnect()
        self._loop.call_later(0.01, self._loop.stop)

    def _send(self, entry: bytes) -> None:
        self._outbox.append(entry)
        self._wake()

    def _wake(self) -> None:
        if not self._draining:
            self._draining = True
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._draining = False
        self._asking.begin()
        stream = self._stream
        if stream is None:
            self._outbox.clear()  # calls are sent again when a connection is back
            return
        outbox = self._outbox
        with joined():
            while outbox:
                stream.send_entry(outbox.popleft())

    def _sweep(self) -> None:
        self._lanes.sweep()
        self._loop.call_later(LANE_SWEEP_S, self._sweep)

    def confirm(self, seq: int) -> None:
        """Results up to `seq` are here."""
        self._confirmed = seq
        if self._timer is None:
            self._timer = self._loop.call_later(LAZY_S, self._lazily)

    def _lazily(self) -> None:
        self._timer = None
        stream = self._stream
        if stream is None:
            return
        if self._confirmed:
            stream.send(Confirm(self._confirmed))
            self._confirmed = 0
        self._tell_ended()

    def _tell_ended(self) -> None:
        """Tells the server which calls are over, until it has heard it: else it would keep and run them."""
        stream = self._stream
        if stream is None:
            return  # told on the next one
        ended = [self._ended.popleft() for _ in range(len(self._ended))]
        if ended:
            answer = stream.request(CloseCalls(ended))
            answer.add_done_callback(lambda answer: self._told(answer, ended))

    def _told(self, answer: asyncio.Future[Any], ended: list[str]) -> None:
        if not answer.cancelled() and isinstance(answer.exception(), ConnectionLost):
            self._ended.extend(ended)

    def dispatch(self, message: Any, payload: bytes) -> None:
        """Gives a message to those who asked for its kind."""
        for handler in self._handlers.get(message.__class__, [])[:]:
            try:
                handler(message, payload)
            except Exception:  # what shows the news must not cost the results
                log.exception("showing %s", type(message).__name__)

    # --- connecting

    async def _connect(self) -> None:
        self._up = asyncio.Event()
        self._bulk_lock = asyncio.Lock()
        try:
            self._stream = await self._open("client")
        except exception.ConnectionError:
            url = self._url
            if (await asyncio.to_thread(self._find))[0] == url:
                raise
            self._stream = await self._open("client")  # it was just ending; another was started
        self._up_at = self._loop.time()
        self._up.set()
        self._sweep()

    async def _open(self, role: str) -> _Stream:
        url, token = await asyncio.to_thread(self._find)
        self._url, self._plain = url, url.startswith(("ws:", LOCAL))
        try:
            listener = await dial(url, lambda: _Stream(self))
        except Exception as error:
            raise exception.ConnectionError(f"no server answers at {url}: {error}") from None
        try:
            welcome, _ = await listener.request(Hello(role, token, VERSION, self._peer_id))
        except Refused as refused:
            listener.disconnect()
            raise _exception(refused) from None
        except ConnectionLost:
            raise exception.ConnectionError(f"the server at {url} closed the connection") from None
        if not listener.connected:  # lost behind the answer: nobody was told yet
            raise exception.ConnectionError(f"the server at {url} closed the connection")
        listener.welcome = welcome
        return listener

    def lost(self, stream: _Stream) -> None:
        """A connection ended."""
        if stream is self._bulk:
            self._bulk = None
        if stream is not self._stream or self._closing:
            return
        self._stream = None
        assert self._up is not None
        self._up.clear()
        now = self._loop.time()
        if now - self._up_at > STEADY_S or not self._trouble_at:
            self._trouble_at, self._pause = now, 0.0
        task = self._loop.create_task(self._reconnect())
        task.add_done_callback(lambda done: done.exception())

    async def _reconnect(self) -> None:
        end = self._trouble_at + PATIENCE_S
        if self._loop.time() > end:
            self._fail(exception.ConnectionError("it takes every connection and closes it again"))
            return
        while not self._closing:
            # None before the first try; longer and longer where the server takes us and drops us again.
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause + 0.01, 1.0)
            try:
                stream = await self._open("client")
                break
            except (exception.AuthError, exception.VersionError) as error:
                self._fail(error)
                return
            except Exception as error:
                if self._loop.time() > end:
                    self._fail(error)
                    return
        else:
            return
        self._confirmed = 0  # a server that was started anew counts anew
        self._stream = stream
        self._up_at = self._loop.time()
        assert self._up is not None
        self._up.set()
        self._send_again(stream)

    def _send_again(self, stream: _Stream) -> None:
        for follow in self._follows.values():
            stream.send(follow)
        for lent in self._lent.values():
            stream.send(lent)
        for call in list(self.calls.values()):
            call.opened = True
            stream.send(OpenCall(call.call_id, call.function_id, call.parent, True, call.trace))
            for entry in call.unsent():
                stream.send_entry(entry)
        self._drain()
        self._tell_ended()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        link.drop(self)
        text = f"the server was lost and did not come back within {PATIENCE_S:.0f} s: {error}"
        for call in list(self.calls.values()):
            call.receive(exception.ConnectionError(text))
        assert self._up is not None
        self._up.set()

    # --- requests and blobs

    def _begin_request(self, message: Any, payload: bytes) -> asyncio.Future[tuple[Any, bytes]]:
        return self._loop.create_task(self._request(message, payload))

    async def _request(self, message: Any, payload: bytes) -> tuple[Any, bytes]:
        while True:
            assert self._up is not None
            await self._up.wait()
            if self._failure is not None or self._stream is None:
                raise exception.ConnectionError(f"the server was lost: {self._failure}")
            try:
                return await self._stream.request(message, payload)
            except ConnectionLost:
                await asyncio.sleep(0.01)  # every request may be repeated
            except Refused as refused:
                raise _exception(refused) from None

    async def _bulk_stream(self) -> _Stream:
        assert self._bulk_lock is not None
        assert self._up is not None
        while True:
            await self._up.wait()
            if self._failure is not None:
                raise exception.ConnectionError(f"the server was lost: {self._failure}")
            async with self._bulk_lock:
                try:
                    if self._bulk is None:
                        self._bulk = await self._open("blobs")
                    return self._bulk
                except exception.ConnectionError:
                    await asyncio.sleep(0.05)  # the other stream, which is lost too, knows when to give up

    async def _store_blob(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        view = memoryview(content)
        while True:
            stream = await self._bulk_stream()
            try:
                for at in range(0, max(len(content), 1), BLOB_CHUNK):
                    await stream.request(Blob(digest, len(content), at), view[at : at + BLOB_CHUNK])
                return digest
            except ConnectionLost:
                await asyncio.sleep(0.05)
            except Refused as refused:
                raise _exception(refused) from None

    async def _read_blob(self, digest: str, at: int, size: int) -> bytes:
        while True:
            stream = await self._bulk_stream()
            try:
                return (await stream.request(ReadBlob(digest, at, size)))[1]
            except ConnectionLost:
                await asyncio.sleep(0.05)
            except Refused as refused:
                raise _exception(refused) from None


def _exception(refused: Refused) -> BaseException:
    return exception.named(refused.type)(refused.message)


def connect() -> link.Link:
    """The connection of this process, made on first use."""
    from . import local

    connection = Connection(local.find_server)
    os.register_at_fork(after_in_child=connection.left_behind)
    atexit.register(connection.close)
    link.use(connection)
    return connection
