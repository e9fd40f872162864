"""What a container runs: its function, found once, or the methods of its object; and what runs before and behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..protocol.container import Begin
from . import modules

CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200


class Callables:
    """What inputs may call. A plain function is the method "" """

    def __init__(self, function: Callable[..., Any], is_generator: bool) -> None:
        self._function = function
        self._is_generator = is_generator

    def find(self, method: str) -> tuple[Callable[..., Any], bool]:
        """What an input calls, and whether it is a generator. Raises NotFoundError where there is no such method."""
        if method:
            from ..exception import NotFoundError

            raise NotFoundError(
                f"the container runs a function, and the input asks for its method {method!r}"
            )
        return self._function, self._is_generator

    def leave(self) -> None:
        """Runs what is to be run at the container's end. No input runs any more; the container's loop is not running."""


def prepare(begin: Begin) -> Callables:
    """Finds what the container runs, and runs what is to be run before the first input (the module is imported)."""
    function = modules.find(begin)
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    generates = bool(flags & (CO_GENERATOR | CO_ASYNC_GENERATOR)) or getattr(
        function, "__ionian_generator__", False
    )
    return Callables(function, generates)
