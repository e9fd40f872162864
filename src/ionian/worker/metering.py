"""What containers and templates here used, told to the server every few seconds and at the end of each.

Each reading says what was used since the one before. It is kept, and told again after a cut, until the server has it on disk;
numbers let the server count each once.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..protocol.usage import Amounts, Metered, Reading

if TYPE_CHECKING:
    from .worker import Worker

EVERY_S = 10.0
"""Between readings. What was used since the last one is lost with a worker that is killed."""

MOST_KEPT = 1000
"""While no server listens, so many are kept one by one (almost three hours); what follows is added up in the last."""


@dataclass
class _Told:
    seq: int
    at: float
    readings: dict[str, Reading]
    sent: bool = False


class Metering:
    """The readings of one worker process."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._source = secrets.token_hex(12)
        self._seq = 0
        self._kept: deque[_Told] = deque()
        self._read_at = time.monotonic()

    def check(self) -> None:
        """Takes the readings, where it is time."""
        now = time.monotonic()
        if now - self._read_at >= EVERY_S:
            self._read_at = now
            self.say(self._worker.readings())

    def say(self, readings: list[Reading]) -> None:
        """Tells readings, those of what has ended among them."""
        readings = [reading for reading in readings if reading.lines]
        if not readings:
            return
        last = self._kept[-1] if self._kept else None
        if last is not None and not last.sent and len(self._kept) >= MOST_KEPT:
            for reading in readings:
                _put(last.readings, reading)
            last.at = time.monotonic()
        else:
            self._seq += 1
            told = _Told(self._seq, time.monotonic(), {})
            for reading in readings:
                _put(told.readings, reading)
            self._kept.append(told)
            self._send(told)

    def connected(self) -> None:
        """A server listens: what it may not have is told again."""
        for told in self._kept:
            self._send(told)

    def kept(self, seq: int) -> None:
        """The server has these."""
        while self._kept and self._kept[0].seq <= seq:
            self._kept.popleft()

    def _send(self, told: _Told) -> None:
        stream = self._worker.uplink.stream
        if stream is not None:
            told.sent = True
            age_s = time.monotonic() - told.at
            stream.send(Metered(self._source, told.seq, age_s, list(told.readings.values())))


def _put(known: dict[str, Reading], reading: Reading) -> None:
    """Two readings of one are one; of its calls those are told that both have, or one."""
    there = known.setdefault(reading.id, reading)
    if there is reading:
        return
    before = there.lines.get("calls", Amounts()).wall_s
    more = reading.lines.get("calls", Amounts()).wall_s
    for line, used in reading.lines.items():
        there.lines.setdefault(line, Amounts()).add(used)
    if before + more > 0:
        both = {call: share * before for call, share in there.calls.items()}
        for call, share in reading.calls.items():
            both[call] = both.get(call, 0.0) + share * more
        there.calls = {call: share / (before + more) for call, share in both.items()}
