"""What makes two keys of a dict the same: equal values have equal digests, in every process and Python."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

from .serialization import PROTOCOL, dumps


def digest(key: Any) -> bytes:
    """32 bytes that stand for a key. Raises SerializationError for what can't be pickled.

    Strings, bytes, numbers, None, and tuples and frozensets of them are taken by their value and type; so 1, 1.0 and
    True are three keys. Anything else is taken by its pickle.
    """
    return hashlib.sha256(_spelled(key)).digest()


def _spelled(key: Any) -> bytes:
    """A key as bytes. Pickles won't do: one and the same tuple has two, by how its parts were made."""
    kind = key.__class__
    if kind is str:
        data, letter = key.encode("utf-8", "surrogatepass"), b"s"
    elif kind is bytes:
        data, letter = key, b"b"
    elif kind in (int, float, bool, complex) or key is None:
        data, letter = repr(key).encode(), kind.__name__[:1].upper().encode()
    elif kind is tuple:
        data, letter = b"".join([_spelled(part) for part in key]), b"t"
    elif kind is frozenset:
        data, letter = b"".join(sorted(_spelled(part) for part in key)), b"f"
    else:
        data, letter = _pickled(key), b"p"
    return b"%s%d:%s" % (letter, len(data), data)


def _pickled(key: Any) -> bytes:
    """The pickle of another object, without what depends on which of its parts are the same object."""
    import io

    file = io.BytesIO()
    pickler: Any = pickle.Pickler(file, PROTOCOL)
    pickler.fast = True
    try:
        pickler.dump(key)
    except Exception:
        return dumps(key, "the key")
    return file.getvalue()
