"""What NVIDIA's driver says about its cards, by its management library (NVML), which comes with the driver."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

log = logging.getLogger("ionian.worker")

LIBRARY = "libnvidia-ml.so.1"
TEXT = 96
"""Bytes that hold any name or UUID: the library's own limit for both."""


@dataclass
class Card:
    """A GPU, or a slice of one: `minor` is the number in /dev/nvidiaN, `index` is "0", or "0:1" for a slice."""

    index: str
    minor: int
    uuid: str
    name: str
    memory_mib: int


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Rates(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Silent(Exception):
    """The library has no answer."""


def cards(library: str = LIBRARY) -> list[Card]:
    """All cards and their slices; none where there is no driver, or it doesn't answer."""
    try:
        with _opened(library) as nvml:
            return list(_cards(nvml))
    except (OSError, AttributeError):
        return []
    except _Silent as error:
        log.warning("NVIDIA's driver doesn't answer (%s): models and memory of GPUs are not known", error)
        return []


@contextmanager
def _opened(library: str) -> Generator[ctypes.CDLL]:
    nvml = ctypes.CDLL(library)
    _ask(nvml.nvmlInit_v2)
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()


def _cards(nvml: ctypes.CDLL) -> Iterator[Card]:
    count = ctypes.c_uint()
    _ask(nvml.nvmlDeviceGetCount_v2, ctypes.byref(count))
    for number in range(count.value):
        handle = ctypes.c_void_p()
        minor = ctypes.c_uint()
        try:
            _ask(nvml.nvmlDeviceGetHandleByIndex_v2, ctypes.c_uint(number), ctypes.byref(handle))
            _ask(nvml.nvmlDeviceGetMinorNumber, handle, ctypes.byref(minor))
            yield _card(nvml, handle, str(number), minor.value)
            yield from _slices(nvml, handle, number, minor.value)
        except _Silent as error:  # one broken card: the others work
            log.warning("GPU %d doesn't answer (%s)", number, error)


@dataclass
class GpuUse:
    """What a card does now: the part of the time in which it computed, -1 where that is not known, and its memory."""

    share: float
    memory_bytes: int


class Gauge:
    """Asks the driver again and again. Blocks, the first time for as long as the driver takes to wake."""

    def __init__(self, library: str = LIBRARY) -> None:
        self._library = library
        self._nvml: ctypes.CDLL | None = None

    def use(self, uuids: Sequence[str]) -> dict[str, GpuUse]:
        """By UUID; a card that does not answer is left out."""
        found: dict[str, GpuUse] = {}
        try:
            if self._nvml is None:
                nvml = ctypes.CDLL(self._library)
                _ask(nvml.nvmlInit_v2)
                self._nvml = nvml
            for uuid in uuids:
                with suppress(_Silent):
                    found[uuid] = _use(self._nvml, uuid)
        except (OSError, AttributeError, _Silent):
            pass
        return found


def _use(nvml: ctypes.CDLL, uuid: str) -> GpuUse:
    handle, memory, rates = ctypes.c_void_p(), _Memory(), _Rates()
    _ask(nvml.nvmlDeviceGetHandleByUUID, ctypes.c_char_p(uuid.encode()), ctypes.byref(handle))
    _ask(nvml.nvmlDeviceGetMemoryInfo, handle, ctypes.byref(memory))
    share = -1.0
    with suppress(_Silent):  # of a slice it is not known
        _ask(nvml.nvmlDeviceGetUtilizationRates, handle, ctypes.byref(rates))
        share = rates.gpu / 100
    return GpuUse(share, memory.used)


def _slices(nvml: ctypes.CDLL, parent: ctypes.c_void_p, number: int, minor: int) -> Iterator[Card]:
    most = ctypes.c_uint()
    try:
        _ask(nvml.nvmlDeviceGetMaxMigDeviceCount, parent, ctypes.byref(most))
    except (_Silent, AttributeError):  # a card or a driver that knows no slices
        return
    for part in range(most.value):
        handle = ctypes.c_void_p()
        try:
            _ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, parent, ctypes.c_uint(part), ctypes.byref(handle))
            yield _card(nvml, handle, f"{number}:{part}", minor)
        except _Silent:  # a place for a slice where there is none
            continue


def _card(nvml: ctypes.CDLL, handle: ctypes.c_void_p, index: str, minor: int) -> Card:
    memory = _Memory()
    _ask(nvml.nvmlDeviceGetMemoryInfo, handle, ctypes.byref(memory))
    uuid, name = _text(nvml.nvmlDeviceGetUUID, handle), _text(nvml.nvmlDeviceGetName, handle)
    return Card(index, minor, uuid, name, memory.total >> 20)


def _text(function: Callable[..., int], handle: ctypes.c_void_p) -> str:
    buffer = ctypes.create_string_buffer(TEXT)
    _ask(function, handle, buffer, ctypes.c_uint(TEXT))
    return buffer.value.decode(errors="replace")


def _ask(function: Callable[..., int], *args: object) -> None:
    code = function(*args)
    if code != 0:
        raise _Silent(f"NVML error {code}")
