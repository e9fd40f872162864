"""Bytes of a container's output, cut anywhere, put together to lines: one assembler for each stream."""

from __future__ import annotations

import codecs
from typing import NamedTuple

from .marks import BEGIN, ENDED, LENT, MARK, OVER, cut_off, mark_at

LONGEST = 64 * 1024
"""A line is shown in pieces past this many characters, so that output without newlines can't fill the memory."""

MOST_PENDING = 2048
"""Inputs of one container whose last line has no newline yet; with more, the oldest is shown as it is."""


class Written(NamedTuple):
    """A line, and the input that wrote it, where that is known: `number` is -1 where only the call is, or nothing."""

    text: str
    call_id: str = ""
    number: int = -1


class LineAssembler:
    """The lines of one descriptor of one container. Bytes that are no UTF-8 show as replacement characters.

    What several inputs write is told apart by its marks (`marks.py`): a line that one has begun is never joined with
    what another writes.
    """

    def __init__(self) -> None:
        self._torn = b""  # of a mark that was cut
        self._begun = ""  # whose bytes these are: an input's key, while one writes,
        self._lent = ""  # else who the pipe was lent to
        self._pending: dict[str, _Pending] = {}  # lines without their end, by key

    def feed(self, data: bytes) -> list[Written]:
        """Takes bytes; returns the lines that they complete, without their newline."""
        found: list[Written] = []
        data, self._torn = self._torn + data, b""
        at = 0
        while (begin := data.find(MARK, at)) >= 0:
            mark = mark_at(data, begin)
            if mark is None:  # the rest of it is to come
                self._take(data[at:begin], found)
                self._torn = data[begin:]
                return found
            kind, key, end = mark
            self._take(data[at:begin] if kind else data[at:end], found)
            at = end
            self._marked(kind, key, found)
        cut = cut_off(data, at)
        self._take(data[at:cut], found)
        self._torn = data[cut:]
        return found

    def flush(self) -> list[Written]:
        """What stands there without a newline, when the stream has ended."""
        found: list[Written] = []
        torn, self._torn = self._torn, b""
        self._take(torn, found)
        for key in list(self._pending):
            self._flush(key, found)
        return found

    def _marked(self, kind: bytes, key: str, found: list[Written]) -> None:
        if kind == BEGIN:
            self._begun = key
        elif kind == OVER:
            self._begun = ""
        elif kind == LENT:
            self._flush(self._lent, found)
            self._lent = key
        elif kind == ENDED:
            self._flush(key, found)

    def _take(self, data: bytes, found: list[Written]) -> None:
        if not data:
            return
        key = self._begun or self._lent
        pending = self._pending.get(key)
        if pending is None:
            if data.endswith(b"\n"):  # the usual case
                found += _written(data[:-1].decode("utf-8", "replace").split("\n"), key)
                return
            pending = self._pending[key] = _Pending()
        found += _written(pending.feed(data), key)
        if pending.is_empty:
            del self._pending[key]
        elif len(self._pending) > MOST_PENDING:
            self._flush(next(iter(self._pending)), found)

    def _flush(self, key: str, found: list[Written]) -> None:
        pending = self._pending.pop(key, None)
        if pending is not None and (rest := pending.rest()):
            found += _written([rest], key)


class _Pending:
    """A line that has no end yet."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""

    def feed(self, data: bytes) -> list[str]:
        *lines, self._text = (self._text + self._decoder.decode(data)).split("\n")
        if len(self._text) > LONGEST:
            lines.append(self._text)
            self._text = ""
        return lines

    @property
    def is_empty(self) -> bool:
        return not self._text and not self._decoder.getstate()[0]

    def rest(self) -> str:
        return self._text + self._decoder.decode(b"", final=True)


def _written(lines: list[str], key: str) -> list[Written]:
    if not key:
        return [Written(shown(line)) for line in lines]
    call_id, _, index = key.partition(":")
    number = int(index) if index else -1
    return [Written(shown(line), call_id, number) for line in lines]


def shown(line: str) -> str:
    """A line as a terminal would leave it: what stands before a carriage return was overwritten."""
    line = line.rstrip("\r")
    return line.rpartition("\r")[2] if "\r" in line else line
