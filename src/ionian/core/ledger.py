"""What became of each input of a call: one byte an input, whole ranges at a time.

A call may have millions of inputs, so there is no object an input: pages of 512 bytes, and a page whose
inputs have all ended is replaced by one that is shared by all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

UNKNOWN = 0
QUEUED = 1
HELD = 2  # a container has it
ENDED = 3  # its result is recorded
DELAYED = 4  # it failed, and waits until it is tried again

PAGE = 512
_FULL = bytes([ENDED]) * PAGE
_ROWS = [bytes([state]) * PAGE for state in range(5)]


class Ledger:
    """The states of a call's inputs."""

    __slots__ = ("_ended", "_pages")

    def __init__(self) -> None:
        self._pages: dict[int, bytearray | bytes] = {}
        self._ended: dict[int, int] = {}  # page → how many of its inputs have ended

    def state(self, index: int) -> int:
        """The state of one input."""
        page = self._pages.get(index // PAGE)
        return page[index % PAGE] if page is not None else UNKNOWN

    def all_are(self, start: int, stop: int, state: int) -> bool:
        """Whether every input of a range is in this state."""
        for number, low, high in _split(start, stop):
            page = self._pages.get(number)
            if page is None:
                if state != UNKNOWN:
                    return False
            elif page[low:high] != _ROWS[state][: high - low]:
                return False
        return True

    def mark(self, start: int, stop: int, state: int) -> None:
        """Puts a range into a state. None of it may have ended before."""
        for number, low, high in _split(start, stop):
            page = self._pages.get(number)
            if page is None:
                page = self._pages[number] = bytearray(PAGE)
            assert isinstance(page, bytearray), "an input that has ended can't go on"
            page[low:high] = _ROWS[state][: high - low]
            if state == ENDED:
                ended = self._ended.get(number, 0) + high - low
                if ended == PAGE:
                    self._pages[number] = _FULL
                    self._ended.pop(number, None)
                else:
                    self._ended[number] = ended

    def ranges(self, start: int, stop: int, state: int) -> Iterator[tuple[int, int]]:
        """The parts of a range that are in this state."""
        if self.all_are(start, stop, state):
            if start < stop:
                yield start, stop
            return
        yield from ranges([index for index in range(start, stop) if self.state(index) == state])

    def indexes(self, state: int) -> list[int]:
        """Every input in this state, in order."""
        found: list[int] = []
        for number, page in sorted(self._pages.items()):
            at = page.find(state)
            while at >= 0:
                found.append(number * PAGE + at)
                at = page.find(state, at + 1)
        return found

    @property
    def pages(self) -> int:
        """How many pages hold memory of their own."""
        return sum(page is not _FULL for page in self._pages.values())


def _split(start: int, stop: int) -> Sequence[tuple[int, int, int]]:
    number, low = divmod(start, PAGE)
    if low + stop - start <= PAGE:  # nearly always: one page
        return ((number, low, low + stop - start),)
    parts: list[tuple[int, int, int]] = []
    while start < stop:
        number, low = divmod(start, PAGE)
        high = min(PAGE, low + stop - start)
        parts.append((number, low, high))
        start += high - low
    return parts


def ranges(indexes: Sequence[int]) -> list[tuple[int, int]]:
    """Distinct, sorted numbers as ranges [start, stop)."""
    count = len(indexes)
    if not count:
        return []
    first = indexes[0]
    if indexes[-1] - first == count - 1:
        return [(first, first + count)]
    found: list[tuple[int, int]] = []
    start = last = first
    for index in indexes[1:]:
        if index != last + 1:
            found.append((start, last + 1))
            start = index
        last = index
    found.append((start, last + 1))
    return found
