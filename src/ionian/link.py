"""How an object of the SDK reaches the server: one small interface with two implementations.

On the user's side it is the stream (`client/connection.py`), in a container the agent's socket
(`container/link.py`), where the worker passes it on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .execution import is_local

if TYPE_CHECKING:
    from .call import Call

M = TypeVar("M")


class Link(Protocol):
    """The way to the server. Safe to use from any thread."""

    def request(self, message: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        """Sends a request and waits for its answer. Raises the `ionian.exception` that the server names."""
        ...

    async def request_async(self, message: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        """The same for a coroutine."""
        ...

    def ask(
        self, message: Any, payload: bytes, heard: Callable[[tuple[Any, bytes] | BaseException], None]
    ) -> None:
        """Sends a request and does not wait: `heard` gets the answer, or the error, on the link's thread."""
        ...

    def post(self, message: Any, payload: bytes = b"") -> None:
        """Sends what wants no answer."""
        ...

    def subscribe(self, kind: type[M], handler: Callable[[M, bytes], None]) -> Callable[[], None]:
        """Calls `handler(message, payload)` on the link's thread for each such message; returns how to stop."""
        ...

    def open_call(self, call: Call) -> None:
        """Registers a call: its results go to `call.receive`, and it is sent again after a lost connection."""
        ...

    def send_inputs(self, call: Call, entry: bytes) -> None:
        """Sends a packed batch of inputs; opens the call on the server where that was not done yet."""
        ...

    def close_call(self, call: Call, *, finished: bool) -> None:
        """Forgets a call. Unless all of it is `finished`, the server drops what has not started."""
        ...

    def take_lane(self) -> Lane | None:
        """A way of the calling thread's own for one blocking call; None where there is none: then `open_call` does."""
        ...

    def give_lane(self, lane: Lane) -> None:
        """The call is done."""
        ...

    def store_blob(self, content: bytes) -> str:
        """Keeps content too large for a message; returns its digest."""
        ...

    def offering(self) -> Offering | None:
        """A way to give open files to a server on this machine; None: it is on another, or not to be reached from here so."""
        ...

    def read_blob(self, digest: str, at: int, size: int) -> bytes:
        """A part of a blob: `size` bytes, or fewer, from `at` on."""
        ...


class Offering(Protocol):
    """Gives open files to the server."""

    def offer(self, descriptor: int) -> str:
        """Offers an open file; returns the key under which messages speak of it. Raises OSError."""
        ...

    def close(self) -> None:
        """What has no place by now is dropped."""
        ...


class Lane(Protocol):
    """Runs one input at a time, in the thread that waits for it."""

    def run(self, function_id: str, parent: str, payload: bytes) -> tuple[int, bytes]:
        """Runs a pickled input; returns the code and payload of its result."""
        ...


class Progress(Protocol):
    """What shows how a map is doing."""

    def update(self, done: int, total: int | None) -> None:
        """So many results are in the caller's hands; `total` is None while inputs are still read."""
        ...

    def close(self) -> None:
        """The map has ended."""
        ...


CHILD = (
    "a child process of a container can't call functions: only the process that runs the function has the way to the "
    "server; call from there, or from a thread of it"
)


class _Current:
    def __init__(self) -> None:
        self.link: Link | None = None
        self.make: Callable[[], Link] | None = None
        self.making = threading.Lock()


_current = _Current()


progress: Callable[[Any], Progress] | None = None
"""Set by `enable_output` on a terminal: makes the progress of one map, given the function."""

shown: Callable[[], None] | None = None
"""Set by `enable_output`: waits until what containers printed so far is shown. Each result does so before it is had: the
thread that shows and the one that takes the result are woken together, and on a busy machine the wrong one may be first."""


def current() -> Link:
    """The link of this process; the first use on the user's side connects (and starts a local server)."""
    found = _current.link
    if found is not None:
        return found
    with _current.making:  # of several threads one makes it
        if _current.link is None:
            _current.link = (_current.make or _connect)()
        return _current.link


def existing() -> Link | None:
    """The link of this process, if it was made already."""
    return _current.link


def _connect() -> Link:
    if not is_local():
        from .exception import ExecutionError

        raise ExecutionError(CHILD)
    from .client.connection import connect

    return connect()


def connect_by(connect: Callable[[], Link]) -> None:
    """Makes this the way in which the link is made on first use."""
    _current.make = connect


def use(link: Link | None) -> None:
    """Makes this the link of the process."""
    _current.link = link


def drop(link: Link) -> None:
    """This link is of no use any more: the next use makes another."""
    if _current.link is link:
        _current.link = None


def _forked() -> None:
    """A forked child has neither the thread that reads the link, nor a right to what the parent's socket brings."""
    global shown
    _current.link = shown = None
    _current.making = threading.Lock()
    if not is_local():
        _current.make = None


os.register_at_fork(after_in_child=_forked)
