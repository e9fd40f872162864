"""Messages to bytes and back in the outer ring: msgspec encodes, decodes and validates."""

from __future__ import annotations

from dataclasses import is_dataclass
from types import ModuleType
from typing import Any

import msgspec

from . import (
    apps,
    calls,
    clusters,
    dashboard,
    environment_roles,
    environments,
    images,
    items,
    layers,
    messages,
    metrics,
    objects,
    secrets,
    statistics,
    terminals,
    tokens,
    tunnels,
    usage,
    volumes,
    web,
    workers,
)
from .wire import CONTROL, pack_entry


def _classes(*modules: ModuleType) -> dict[str, type]:
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__
    }


MESSAGES = _classes(
    messages,
    calls,
    clusters,
    apps,
    dashboard,
    objects,
    items,
    metrics,
    environment_roles,
    environments,
    images,
    layers,
    secrets,
    statistics,
    terminals,
    tokens,
    tunnels,
    usage,
    volumes,
    web,
    workers,
)
"""Every message that may cross a stream, by the name it has there."""


class _Decoders(dict[str, "msgspec.json.Decoder[Any]"]):
    """A decoder by name, made when it is first needed: most processes need few."""

    def __missing__(self, name: str) -> msgspec.json.Decoder[Any]:
        decoder = self[name] = msgspec.json.Decoder(MESSAGES[name])
        return decoder


_decoders = _Decoders()
_envelope = msgspec.json.Decoder(tuple[str, int, msgspec.Raw])
_encoder = msgspec.json.Encoder()


class BadMessage(ValueError):
    """A peer sent something that is no message of this protocol."""


def encode(message: Any, request: int = 0, payload: bytes | memoryview = b"") -> bytes:
    """One CONTROL entry."""
    return pack_entry(CONTROL, _encoder.encode((type(message).__name__, request, message)), payload)


def decode(header: memoryview | bytes) -> tuple[Any, int]:
    """The message of a CONTROL entry's header, and its request id. Raises BadMessage."""
    try:
        name, request, body = _envelope.decode(header)
        return _decoders[name].decode(body), request
    except KeyError as error:
        raise BadMessage(f"expected a message of protocol {messages.PROTOCOL}, got {error}") from None
    except msgspec.MsgspecError as error:
        raise BadMessage(str(error)) from None
