"""What NVIDIA's driver says about its cards, by its management library (NVML), which comes with the driver."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
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
