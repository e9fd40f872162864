"""How what an input names is run: a plain function, a coroutine, a generator of either kind, a web request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .lifecycle import Callables

PLAIN, ASYNC, GENERATOR, ASYNC_GENERATOR, WEB = range(5)

CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200


class Kinds:
    """What inputs call, looked up once a method."""

    def __init__(self, callables: Callables) -> None:
        self._callables = callables
        self._known: dict[str, tuple[Callable[..., Any], int]] = {}

    def of(self, given: tuple[Any, ...]) -> tuple[Callable[..., Any], int]:
        """What an unpickled input calls: it is (args, kwargs), or (args, kwargs, method). Raises what `find` raises."""
        method = given[2] if len(given) > 2 else ""
        found = self._known.get(method)
        if found is None:
            function, generates = self._callables.find(method)
            found = self._known[method] = function, kind_of(function, generates)
        return found


def kind_of(function: Callable[..., Any], generates: bool) -> int:
    """How a function is run. `generates`: it is said to be a generator, even if it does not look like one."""
    if getattr(function, "__ionian_web__", False):
        return WEB
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    if flags & CO_ASYNC_GENERATOR:
        return ASYNC_GENERATOR
    if flags & CO_COROUTINE:
        return ASYNC
    return GENERATOR if generates or flags & CO_GENERATOR else PLAIN
