"""Bytes of a container's output, cut anywhere, put together to lines: one assembler for each stream."""

from __future__ import annotations

import codecs

LONGEST = 64 * 1024
"""A line is shown in pieces past this many characters, so that output without newlines can't fill the memory."""


class LineAssembler:
    """The lines of one descriptor of one container. Bytes that are no UTF-8 show as replacement characters."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""

    def feed(self, data: bytes) -> list[str]:
        """Takes bytes; returns the lines that they complete, without their newline."""
        *lines, self._pending = (self._pending + self._decoder.decode(data)).split("\n")
        if len(self._pending) > LONGEST:
            lines.append(self._pending)
            self._pending = ""
        return [shown(line) for line in lines]

    def flush(self) -> list[str]:
        """What stands there without a newline, when the stream has ended."""
        rest = self._pending + self._decoder.decode(b"", final=True)
        self._pending = ""
        return [shown(rest)] if rest else []


def shown(line: str) -> str:
    """A line as a terminal would leave it: what stands before a carriage return was overwritten."""
    line = line.rstrip("\r")
    return line.rpartition("\r")[2] if "\r" in line else line
