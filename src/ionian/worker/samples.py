"""What containers use just now, for people who look: a message every few seconds, for all containers of the worker."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ..protocol.workers import Sampled
from .devices import GpuUse

if TYPE_CHECKING:
    from .worker import Worker

EVERY_S = 5.0


class Samples:
    """The samples of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._at = time.monotonic()
        self._cpu_s: dict[int, float] = {}  # container → at the sample before
        self._asking: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Takes a sample, where it is time and somebody hears of it."""
        now = time.monotonic()
        passed = now - self._at
        if passed < EVERY_S or (self._asking is not None and not self._asking.done()):
            return
        self._at, before, self._cpu_s = now, self._cpu_s, {}
        said = Sampled([], [], [])
        names: list[list[str]] = []
        for number, use, devices in self._worker.uses():
            self._cpu_s[number] = use.cpu_s
            said.numbers.append(number)
            said.cores.append(round(max(0.0, use.cpu_s - before.get(number, 0.0)) / passed, 4))
            said.memory_bytes.append(use.memory_bytes)
            names.append(devices)
        if any(names):
            self._asking = asyncio.ensure_future(self._with_cards(said, names))
        elif said.numbers:
            self._send(said)

    async def _with_cards(self, said: Sampled, names: list[list[str]]) -> None:
        """The driver may take its time: it is asked in a thread."""
        wanted = {name for of_one in names for name in of_one}
        found = await asyncio.to_thread(self._worker.devices.use, sorted(wanted))
        for of_one in names:
            uses = [found[name] for name in of_one if name in found]
            said.gpu.append(_mean(uses))
            said.gpu_memory_bytes.append(sum(use.memory_bytes for use in uses))
        self._send(said)

    def _send(self, said: Sampled) -> None:
        stream = self._worker.uplink.stream
        if stream is not None:
            stream.send(said)


def _mean(uses: list[GpuUse]) -> float:
    known = [use.share for use in uses if use.share >= 0]
    return round(sum(known) / len(known), 3) if known else -1.0
