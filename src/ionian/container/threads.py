"""Threads for sync inputs that run beside each other: as many as were ever needed at once, kept for the next ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

this_thread = threading.get_ident

at_start: Callable[[], None] | None = None
"""Called in each new thread before its first function; set in containers that are forks (see pools.py)."""


class Threads:
    """Runs functions. The threads are daemons: they don't keep the process alive."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._free = 0  # threads that wait, less what is queued for them
        self._lock = threading.Lock()
        self._queue: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()

    def start(self, function: Callable[..., Any], *args: Any) -> None:
        """Runs `function(*args)` in a thread, soon."""
        with self._lock:
            grow = self._free <= 0 and self._count < self._most
            if grow:
                self._count += 1
            else:
                self._free -= 1
        self._queue.put((function, args))
        if grow:
            threading.Thread(target=self._work, name=f"ionian-input-{self._count}", daemon=True).start()

    def _work(self) -> None:
        if at_start is not None:
            at_start()
        while True:
            function, args = self._queue.get()
            try:
                function(*args)
            finally:
                del function, args
                with self._lock:
                    self._free += 1


def interrupt(thread: int, error: type[BaseException]) -> None:
    """Raises an error in another thread, as soon as it runs Python code: a thread in a long sleep is not woken."""
    _set_async_exception(thread, error)


def forget_interrupt() -> None:
    """Takes back what was to be raised in this thread and was not yet."""
    _set_async_exception(this_thread(), None)


def _set_async_exception(thread: int, error: type[BaseException] | None) -> None:
    try:
        import ctypes
    except ImportError:
        return  # a Python without libffi: the input ends by itself, or with its container
    value = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), value)
