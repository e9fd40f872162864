"""Many spawned inputs wait in the store, not in memory, and a server that is killed loses none of them.

python -m benchmarks.spawn_soak [--inputs 1000000]

One call spawns them through the SDK to two containers. The server is killed (-9) when half of them are spawned, and again
when half of the results are read. Prints one line of JSON: how long it took, and the most memory that a server had.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ionian.machine.state import StateFolder

from .noop import app, nothing

LOOK_EVERY_S = 0.2


class ServerWatch:
    """The most memory that this machine's server had, whichever process it was."""

    def __init__(self) -> None:
        self.peak_mib = 0.0
        self.kills = 0
        self._facts = StateFolder.default().runtime / "server.json"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """Kills the server without a warning."""
        self._note()
        os.kill(self._pid(), signal.SIGKILL)
        self.kills += 1

    def stop(self) -> None:
        """Looks for the last time."""
        self._over.set()
        self._thread.join()
        self._note()

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self._note()

    def _note(self) -> None:
        try:
            status = Path(f"/proc/{self._pid()}/status").read_text()
        except (OSError, ValueError):
            return  # it was killed, and the next has not begun
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self.peak_mib = max(self.peak_mib, int(line.split()[1]) / 1024)

    def _pid(self) -> int:
        return int(json.loads(self._facts.read_text())["pid"])


def soak(count: int) -> dict[str, Any]:
    """Spawns so many inputs and reads their results; what came of it."""
    watch = ServerWatch()

    def numbers() -> Iterator[int]:
        for number in range(count):
            if number == count // 2:
                watch.kill()
            yield number

    began = time.monotonic()
    call = nothing.spawn_map(numbers())
    spawned = time.monotonic()
    right = 0
    for number, result in enumerate(call.iter()):
        right += number == result
        if number == count // 2:
            watch.kill()
    ended = time.monotonic()
    watch.stop()
    return {
        "inputs": count,
        "right": right,
        "kills": watch.kills,
        "spawn_s": round(spawned - began, 1),
        "results_s": round(ended - spawned, 1),
        "spawned_per_s": round(count / (spawned - began)),
        "server_peak_mib": round(watch.peak_mib),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    options = parser.parse_args()
    with app.run():
        nothing.remote(1)
        print(json.dumps(soak(options.inputs)), flush=True)


if __name__ == "__main__":
    main()
