"""What this machine has to give."""

from __future__ import annotations

import os

from ..protocol.workers import Capacity
from .devices import Devices
from .memory import Memory


def capacity(devices: Devices, ignore_gpu: bool) -> Capacity:
    """Cores (those this process may use) and memory (that it may use, less a twentieth for everything else)."""
    try:
        memory = Memory.now().total
    except (OSError, KeyError, ValueError):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    cores = len(os.sched_getaffinity(0))
    return Capacity(cores * 1000, memory * 95 // 100, devices.offered(), ignore_gpu)
