"""Identifiers: a two-letter prefix, a dash, and a ULID (48 bits of time, 80 random bits, base 32)."""

from __future__ import annotations

import os
import time
from functools import lru_cache

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
LETTERS = (
    ALPHABET * 8
).encode()  # a letter for each byte, each for 8 of them: random bytes are random letters
CALL_ID_LENGTH = 29  # "fc-" and 26 characters


def ulid() -> str:
    """A new ULID: sorts by the millisecond in which it was made."""
    return _time(time.time_ns() // 1_000_000) + _random_part()


_random: list[str] = []
"""The random parts of the next ids. A system call for each would give the interpreter away to another thread that works,
and cost a program that spawns many calls some 100 µs. What copies a process must empty it, as a fork does."""

os.register_at_fork(after_in_child=_random.clear)

AHEAD = 64


def _random_part() -> str:
    while True:
        try:
            return _random.pop()
        except IndexError:
            letters = os.urandom(16 * AHEAD).translate(LETTERS).decode()
            _random.extend([letters[at : at + 16] for at in range(0, len(letters), 16)])


@lru_cache(maxsize=1)  # many are made in one millisecond: each spawned call has one
def _time(millisecond: int) -> str:
    return ulid_of(millisecond, b"")[:10]


def ulid_of(millisecond: int, ten_bytes: bytes) -> str:
    """The ULID of a time since 1970 and what stands in for randomness."""
    value = (millisecond << 80) | int.from_bytes(ten_bytes, "big")
    return "".join([PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)])


def new_id(prefix: str) -> str:
    """A new identifier such as `ap-01JD…`; prefixes: ap app, fu function, fc call, ta container, im image,
    vo volume, st secret, di dict, qu queue, wo worker, cl client, ti token, en environment, ex program run by
    a person."""
    return f"{prefix}-{ulid()}"


def derived_id(prefix: str, text: str) -> str:
    """The identifier that follows from a text: equal texts have equal ids."""
    import hashlib

    value = int.from_bytes(hashlib.sha256(text.encode()).digest()[:17], "big") >> 6
    return f"{prefix}-" + "".join([ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5)])


def input_id(call_id: str, index: int) -> str:
    """The id of one input of a call: it follows from the call, so sending it again needs no new id."""
    return f"in-{call_id[3:]}:{index}"
