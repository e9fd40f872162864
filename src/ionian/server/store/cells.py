"""Values that operations of a group have to do with: some are read from the store, and only if somebody gets them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ionian.protocol.items import BYTES_MAX, Done, Value

ANSWER_MAX = 2 * BYTES_MAX
"""Bytes of values that the answer to one request holds at most, unless it is a single value."""

GROUP_MAX = 64 << 20
"""The same for all answers of a group, so that they fit into memory."""


SMALL = 4096
"""A value of up to so many bytes is read at once, whether or not somebody gets it."""


@dataclass(slots=True)
class Cell:
    """A value."""

    place: Any  # where it is in the store
    size: int
    blob: bool
    data: bytes | None = None  # None: it is to be read from there

    @property
    def value(self) -> Value:
        """The value, which is here."""
        assert self.data is not None
        return Value(self.data, self.blob)


@dataclass(slots=True)
class Result:
    """What came of an operation."""

    status: int
    number: int = 0
    cells: list[Cell] = field(default_factory=list[Cell])

    def done(self) -> Done:
        """The same as it is answered."""
        return Done(self.status, self.number, [cell.value for cell in self.cells])


class Room:
    """How much more fits into answers."""

    def __init__(self) -> None:
        self._group = GROUP_MAX
        self._request = ANSWER_MAX
        self._used = False

    def next_request(self) -> None:
        """From here on it is another request's."""
        self._request, self._used = ANSWER_MAX, False

    def take(self, size: int) -> bool:
        """Whether a value fits: then it has its room. The first of a request does while the group has any left."""
        if self._group <= 0 or (self._used and size > self._request):
            return False
        self._used = True
        self._request -= size
        self._group -= size
        return True
