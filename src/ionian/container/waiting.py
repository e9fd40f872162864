"""The first program of a container in which a person runs another: it waits for the end."""

from __future__ import annotations

import signal


def main() -> None:
    """Waits for a signal to end."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        signal.pause()
