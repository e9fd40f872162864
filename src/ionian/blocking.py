"""Methods that wait for the server: each blocks when called, and has an `aio` twin for coroutines.

app.deploy()
await app.deploy.aio()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Blocking(Generic[P, R]):
    """A function that blocks, and its twin: the same in a thread beside the loop."""

    def __init__(self, function: Callable[P, R]) -> None:
        self._function = function
        self.__doc__ = function.__doc__
        self.__name__: str = getattr(function, "__name__", "")
        self.__wrapped__ = function  # what inspect.signature looks at

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The same for a coroutine."""
        import asyncio

        return await asyncio.to_thread(self._function, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<{self.__name__}, and its .aio>"


class BlockingMethod(Generic[P, R]):
    """The same as a method of a class: a decorator."""

    def __init__(self, function: Callable[Concatenate[Any, P], R]) -> None:
        self._function = function
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __get__(self, instance: object, owner: type | None = None) -> Blocking[P, R]:
        function: Any = self._function
        return Blocking(function if instance is None else function.__get__(instance, owner))
