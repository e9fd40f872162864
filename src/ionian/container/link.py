"""The `Link` inside a container: requests and calls go over the agent's side socket, and the worker passes them on."""

from __future__ import annotations

import hashlib
import importlib
import json
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from .. import exception
from ..call import Call
from ..protocol.batch import Batch
from ..protocol.calls import CloseCalls, Confirm, OpenCall
from ..protocol.container import Again, Begin
from ..protocol.messages import Blob, ReadBlob
from ..protocol.wire import CONTROL, OUTPUTS
from .nested import made
from .wire import Messages, pack_message

M = TypeVar("M")
BLOB_CHUNK = 1 << 20
MODULES = (
    "messages",
    "calls",
    "clusters",
    "apps",
    "objects",
    "items",
    "environments",
    "secrets",
    "statistics",
    "metrics",
    "volumes",
    "tunnels",
    "terminals",
    "web",
    "dashboard",
)
"""Where the messages are that a container sends, and their answers."""


Reply = tuple[Any, bytes]


class ContainerLink:
    """Made when user code first asks for something; starts the thread that reads the answers."""

    def __init__(self, side: Messages, begin: Begin) -> None:
        self.functions = dict(begin.functions)
        self._side = side
        self._lock = threading.Lock()
        self._requests = 0
        self._waiting: dict[int, tuple[Callable[[Reply | None], None], bytes]] = {}  # with what was asked
        self._servers = 0  # how often a server was lost and came back
        self._calls: dict[str, Call] = {}
        threading.Thread(target=self._read, name="ionian-link", daemon=True).start()

    def request(self, message: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        answer: SimpleQueue[Reply | None] = SimpleQueue()
        self._ask(message, payload, answer.put)
        return _opened(answer.get())

    async def request_async(self, message: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        import asyncio

        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reply | None] = loop.create_future()

        def settle(reply: Reply | None) -> None:
            if not answer.done():
                answer.set_result(reply)

        def heard(reply: Reply | None) -> None:  # on the thread that reads
            try:
                loop.call_soon_threadsafe(settle, reply)
            except RuntimeError:
                pass  # the loop is closed: nobody waits any more

        self._ask(message, payload, heard)
        return _opened(await answer)

    def ask(
        self, message: Any, payload: bytes, heard: Callable[[tuple[Any, bytes] | BaseException], None]
    ) -> None:
        def opened(reply: Reply | None) -> None:
            try:
                answer: Reply | BaseException = _opened(reply)
            except Exception as error:
                answer = error
            heard(answer)

        self._ask(message, payload, opened)

    def _ask(self, message: Any, payload: bytes, heard: Callable[[Reply | None], None]) -> None:
        with self._lock:
            self._requests += 1
            number = self._requests
            entry = pack_message(message, number, payload)
            self._waiting[number] = (heard, entry)
            self._side.send_entry(entry)

    def post(self, message: Any, payload: bytes = b"") -> None:
        with self._lock:
            self._side.send(message, 0, payload)

    def subscribe(self, kind: type[M], handler: Callable[[M, bytes], None]) -> Callable[[], None]:
        return lambda: None  # nothing is sent to a container that it did not ask for

    def open_call(self, call: Call) -> None:
        self._calls[call.call_id] = call

    def send_inputs(self, call: Call, entry: bytes) -> None:
        with self._lock:
            if not call.opened:
                call.opened = True
                self._side.send(OpenCall(call.call_id, call.function_id, call.parent, trace=call.trace))
            self._side.send_entry(entry)

    def close_call(self, call: Call, *, finished: bool) -> None:
        self._calls.pop(call.call_id, None)
        self.post(CloseCalls([call.call_id]))

    def take_lane(self) -> None:
        return None

    def give_lane(self, lane: Any) -> None:
        pass

    def store_blob(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        while True:
            server = self._servers
            try:
                for at in range(0, max(len(content), 1), BLOB_CHUNK):
                    self.request(Blob(digest, len(content), at), content[at : at + BLOB_CHUNK])
                return digest
            except exception.InvalidError:
                if server == self._servers:
                    raise  # else it is another server, which lacks the chunks before

    def offering(self) -> None:
        return None

    def read_blob(self, digest: str, at: int, size: int) -> bytes:
        return self.request(ReadBlob(digest, at, size))[1]

    def _read(self) -> None:
        while True:
            entry = self._side.receive()
            if entry is None:
                break
            kind, header, payload = entry
            if kind == CONTROL and json.loads(header)[0] == Again.__name__:
                self._send_again()
            elif kind == CONTROL:
                self._answered(header, payload)
            elif kind == OUTPUTS:
                batch = Batch.unpack(memoryview(header), payload)
                call = self._calls.get(batch.call_id)
                if call is not None:
                    call.receive(batch)
                self.post(Confirm(batch.seq))
        for waiting, _ in list(self._waiting.values()):
            waiting(None)
        for call in list(self._calls.values()):
            call.receive(exception.ConnectionError("the container's worker is gone"))

    def _send_again(self) -> None:
        with self._lock:
            self._servers += 1
            for _, entry in list(self._waiting.values()):
                self._side.send_entry(entry)
            for call in list(self._calls.values()):
                call.opened = True
                self._side.send(OpenCall(call.call_id, call.function_id, call.parent, True, call.trace))
                for entry in call.unsent():
                    self._side.send_entry(entry)

    def _answered(self, header: bytes, payload: bytes) -> None:
        name, request, body = json.loads(header)
        waiting = self._waiting.pop(-request, None)
        if waiting is not None:
            waiting[0]((made(_message(name), body), payload))


def _opened(reply: Reply | None) -> Reply:
    """An answer, or the error that it stands for."""
    if reply is None:
        raise exception.ConnectionError("the container's worker is gone")
    if type(reply[0]).__name__ == "Failure":
        raise exception.named(reply[0].type)(reply[0].message)
    return reply


def _message(name: str) -> Any:
    for module in MODULES:
        found = getattr(importlib.import_module(f"ionian.protocol.{module}"), name, None)
        if found is not None:
            return found
    raise ValueError(f"the worker sent a {name}, which this version does not know")
