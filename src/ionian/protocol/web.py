"""Web requests: what server and container say of one while it runs, and how its events are packed.

A request is an input of its function. What its container answers comes as items of a generator, which are packed here and not
pickled: the server reads them, and trusts no container. What comes after the beginning of a request the container asks for.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

INLINE_BODY = 256 << 10
"""A body up to this goes with its request (bytes); of a larger one the rest is asked for, part by part."""

PART = 256 << 10
"""The most of a body that goes in one piece (bytes)."""

WINDOW = 4 << 20
"""So much of a response may be under way: then its container waits until its client has taken some (bytes)."""

MOST_MESSAGE = 16 << 20
"""The most that one message of a WebSocket may have, in both directions (bytes): what uvicorn takes, too."""

MESSAGE_PART = 1 << 20
"""The most of a client's message that goes in one piece (bytes): each is asked for, which takes a way there and back."""

MESSAGE_TOO_LARGE = f"a message of a WebSocket may have {MOST_MESSAGE >> 20} MiB"

_length = struct.Struct("<I")

_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps makes another for each event


@dataclass
class TakePart:
    """Container → server: the next part of a request of its own, or of a message of its WebSocket. Answered by Part, when it
    is there; asked for again under its number, as after a cut of the worker's stream, it is the same one."""

    call_id: str
    number: int


@dataclass
class Part:
    """The answer to TakePart; the payload is the part.

    kind: "body"; "text" or "bytes", of a message of a WebSocket; "disconnect", the client has gone (`code`: of a WebSocket).
    `more`: of this body, or message.
    """

    kind: str
    more: bool = False
    code: int = 1005


@dataclass
class AwaitTaken:
    """Container → server: wait until the client has all but WINDOW of `sent` bytes of the response. Answered by Done."""

    call_id: str
    sent: int


@dataclass
class FindEndpoints:
    """Asks for the addresses of a function, or of a class's methods. Answered by Endpoints."""

    function_id: str


@dataclass
class Endpoints:
    """The answer to FindEndpoints: by method ("" for a function), the best address first."""

    urls: dict[str, list[str]]


@dataclass
class FindEndpoint:
    """Asks whether a URL is one of a web endpoint of the server. Answered by Done, or refused with NotFoundError."""

    url: str


def pack_event(event: dict[str, Any], body: bytes | memoryview = b"") -> bytes:
    """An event of a response: a few words as JSON, and bytes.

    {"t": "began"}; {"t": "start", "s": status, "h": headers, "m": more}; {"t": "body", "m": more};
    {"t": "accept", "p": subprotocol, "h": headers}; {"t": "text", "m": more}; {"t": "bytes", "m": more}; {"t": "close", "c": code, "r": reason}.
    """
    return pack_words(event) + body


def pack_words(event: dict[str, Any]) -> bytes:
    """The same without its bytes, which follow."""
    words = _encode(event).encode()
    return _length.pack(len(words)) + words


W = TypeVar("W")


def unpack_event(packed: bytes | memoryview, decode: Callable[[bytes], W]) -> tuple[W, memoryview]:
    """The event again, as `decode` has its words. Raises ValueError for anything else: a container's user code can write
    what it likes."""
    view = memoryview(packed)
    if len(view) < _length.size:
        raise ValueError("expected an event, got less than its length")
    (size,) = _length.unpack_from(view)
    if size > len(view) - _length.size:
        raise ValueError("expected an event, got less than it says")
    return decode(bytes(view[_length.size : _length.size + size])), view[_length.size + size :]


def pack_headers(headers: Any) -> list[list[str]]:
    """Headers, pairs of bytes, as JSON can hold them."""
    return [[bytes(name).decode("latin-1"), bytes(value).decode("latin-1")] for name, value in headers]


def unpack_headers(headers: Any) -> list[tuple[bytes, bytes]]:
    """The pairs again. Raises ValueError for what is none."""
    try:
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    except (AttributeError, TypeError, UnicodeError) as error:
        raise ValueError(f"expected headers: {error}") from None
