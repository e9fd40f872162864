"""Points at which a test kills a process: `IONIAN_FAULT=name:count` kills it at the count-th time it gets there.

With `IONIAN_FAULT_ONCE=FILE` that happens once, whatever is started again: the file is made at the kill.
"""

from __future__ import annotations

import os
import signal

_name, _, _count = os.environ.get("IONIAN_FAULT", "").partition(":")

ARMED = bool(_name)
"""False but in a test: the call path asks this before it calls `reach`."""


class _State:
    left = int(_count or 1)


def reach(name: str) -> None:
    """Says that the process is at a point."""
    if name != _name:
        return
    _State.left -= 1
    if _State.left > 0:
        return
    once = os.environ.get("IONIAN_FAULT_ONCE")
    if once:
        try:
            os.close(os.open(once, os.O_CREAT | os.O_EXCL, 0o666))
        except OSError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
