"""Native libraries that are loaded in this process, and their functions (in templates only: `ctypes` takes its time)."""

from __future__ import annotations

import ctypes
import os
from typing import Any

RTLD_NOLOAD = 4


def libraries(*names: str) -> list[Any]:
    """Those whose file's name starts with one of these: each is there already, none is loaded by this."""
    found: list[Any] = []
    for path in sorted(mapped()):
        if os.path.basename(path).startswith(names):
            try:
                found.append(ctypes.CDLL(path, mode=ctypes.DEFAULT_MODE | RTLD_NOLOAD))
            except OSError:
                pass  # a file of data that is named like one, or a library that was replaced on the disk
    return found


def mapped() -> set[str]:
    """The files that are in this process's memory."""
    with open("/proc/self/maps") as file:
        return {fields[5].rstrip("\n") for line in file if len(fields := line.split(None, 5)) == 6}


def function(library: Any, *names: str) -> Any:
    """The first of these functions that a library has; None where it has none."""
    for name in names:
        found = getattr(library, name, None)
        if found is not None:
            return found
    return None


def trim_memory() -> None:
    """Gives back to the kernel what `malloc` holds and nothing uses: else each fork has it too. Where libc can."""
    trim = function(ctypes.CDLL(None), "malloc_trim")
    if trim is not None:
        trim(0)


_flush = ctypes.CDLL(None).fflush  # once: each CDLL is a cycle, and a template's are never collected


def flush_streams() -> None:
    """Has what native code printed leave its buffers."""
    _flush(None)
