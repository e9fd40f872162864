"""Identifiers: a two-letter prefix, a dash, and a ULID (48 bits of time, 80 random bits, base 32)."""

from __future__ import annotations

import os
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
CALL_ID_LENGTH = 29  # "fc-" and 26 characters


def ulid() -> str:
    """A new ULID: sorts by the millisecond in which it was made."""
    value = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10), "big")
    return "".join([PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)])


def new_id(prefix: str) -> str:
    """A new identifier such as `ap-01JD…`; prefixes: ap app, fu function, fc call, ta container, im image,
    vo volume, st secret, wo worker, cl client, tk token, ex program run by a person."""
    return f"{prefix}-{ulid()}"


def input_id(call_id: str, index: int) -> str:
    """The id of one input of a call: it follows from the call, so sending it again needs no new id."""
    return f"in-{call_id[3:]}:{index}"
