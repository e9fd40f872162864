"""Values of dicts and queues as the server keeps them: pickled; what is large lies in the blob store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import link
from .blob_file import open_blob
from .exception import RequestSizeError
from .protocol.items import KEY_MAX, Value
from .protocol.wire import MAX_INLINE
from .serialization import dumps, load, loads
from .steps import Blocking

if TYPE_CHECKING:
    from .steps import Steps

VALUE_MAX = 1 << 30
"""Bytes of one pickled value (Modal's: 100 MiB)."""


def check_key(pickled: bytes) -> None:
    """Raises RequestSizeError for a key that is too large."""
    if len(pickled) > KEY_MAX:
        raise RequestSizeError(f"expected a key of up to {KEY_MAX:,} bytes, got {len(pickled):,}")


def stored(value: Any) -> Steps[Value]:
    """A value as it is kept. Raises SerializationError, RequestSizeError."""
    data = dumps(value, "the value")
    if len(data) > VALUE_MAX:
        raise RequestSizeError(f"expected a value of up to {VALUE_MAX:,} bytes, got {len(data):,}")
    if len(data) <= MAX_INLINE:
        return Value(data)
    digest = yield Blocking(lambda: link.current().store_blob(data))
    return Value(f"{digest} {len(data)}".encode(), True)


def loaded(value: Value) -> Steps[Any]:
    """The value again. Raises DeserializationError."""
    if not value.blob:
        return loads(value.data)
    digest, size = value.data.decode().split()
    return (yield Blocking(lambda: _load(digest, int(size))))


def _load(digest: str, size: int) -> Any:
    with open_blob(link.current(), digest, size) as file:
        return load(file)
