"""Marks amid a container's output: which input wrote what.

A mark is an APC string, which terminals don't show: `ESC _ io: <kind> <key> ESC \\`. A key is a call and the index of
an input in it, `fc-01JD…:7`; without the index where a batch of one call wrote. A program can forge one, and then its
own lines stand at another call of its own app: nothing else hangs on them.
"""

from __future__ import annotations

import re

MARK = b"\x1b_io:"
TERMINATOR = b"\x1b\\"

BEGIN = b"="  # from here on this input writes,
OVER = b"."  # up to here
LENT = b"@"  # what stands between no two of those is, from here on, of this input (a program that it started)
ENDED = b"!"  # this input will write nothing more

_mark = re.compile(rb"\x1b_io:([=.@!])((?:fc-[0-9A-Za-z]{1,32}:[0-9]{0,12})?)\x1b\\")

LONGEST_MARK = len(MARK) + 1 + 48 + len(TERMINATOR)


def mark(kind: bytes, key: bytes = b"") -> bytes:
    """The bytes of a mark."""
    return MARK + kind + key + TERMINATOR


def mark_at(data: bytes, at: int) -> tuple[bytes, str, int] | None:
    """The kind and key of the mark there, and where it ends; an empty kind for what only begins like one; None where
    it is cut off."""
    found = _mark.match(data, at)
    if found is not None:
        return found[1], found[2].decode(), found.end()
    if len(data) - at < LONGEST_MARK and data.find(TERMINATOR, at + len(MARK)) < 0:
        return None
    return b"", "", at + len(MARK)


def cut_off(data: bytes, at: int) -> int:
    """Where the last bytes may be the beginning of a mark; the end where they are not."""
    for size in range(min(len(MARK) - 1, len(data) - at), 0, -1):
        if data.endswith(MARK[:size]):
            return len(data) - size
    return len(data)
