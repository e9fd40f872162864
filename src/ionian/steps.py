"""What asks the server for something, written once for threads and coroutines.

A generator yields a message (or, with bytes behind it, a tuple) and gets the answer; who runs it does the waiting. So
a method and its `aio` twin are one implementation, and a thousand coroutines that wait take no thread.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

from . import link as links

if TYPE_CHECKING:
    from .link import Link

P = ParamSpec("P")
T = TypeVar("T")

Steps = Generator[Any, Any, T]


class Own:
    """A step that does its waiting itself."""

    __slots__ = ()

    def run(self) -> Any:
        """Waits in this thread; returns the answer."""
        raise NotImplementedError

    async def run_async(self) -> Any:
        """The same for a coroutine."""
        raise NotImplementedError


class Blocking(Own):
    """A step that is no request: `work` blocks, so a coroutine has a thread do it."""

    __slots__ = ("work",)

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work

    def run(self) -> Any:
        return self.work()

    async def run_async(self) -> Any:
        import asyncio

        return await asyncio.to_thread(self.work)


class Item:
    """A step of what gives values one by one: the next one."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def run(steps: Steps[T]) -> T:
    """Runs the steps in this thread and returns what they return."""
    answer: Any = None
    failure: BaseException | None = None
    while True:
        try:
            step = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration as end:
            return end.value
        answer = failure = None
        try:
            answer = step.run() if isinstance(step, Own) else links.current().request(*_parts(step))
        except Exception as error:
            failure = error


async def run_async(steps: Steps[T]) -> T:
    """The same for a coroutine."""
    answer: Any = None
    failure: BaseException | None = None
    while True:
        try:
            step = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration as end:
            return end.value
        answer = failure = None
        try:
            if isinstance(step, Own):
                answer = await step.run_async()
            else:
                answer = await (await current()).request_async(*_parts(step))
        except Exception as error:
            failure = error


async def current() -> Link:
    """The link of this process; the first use connects, which takes a while."""
    import asyncio

    found = links.existing()
    return await asyncio.to_thread(links.current) if found is None else found


def _parts(step: Any) -> tuple[Any, bytes]:
    return step if isinstance(step, tuple) else (step, b"")  # pyright: ignore[reportUnknownVariableType]


class Stepped(Generic[P, T]):
    """A function of steps, called: it blocks, and has an `aio` twin."""

    def __init__(self, steps: Callable[P, Steps[T]]) -> None:
        self._steps = steps
        self.__doc__ = steps.__doc__
        self.__name__: str = getattr(steps, "__name__", "")
        self.__wrapped__ = steps  # what inspect.signature looks at

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(self._steps(*args, **kwargs))

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a coroutine."""
        return await run_async(self._steps(*args, **kwargs))

    def __repr__(self) -> str:
        return f"<{self.__name__}, and its .aio>"


class StepsMethod(Generic[P, T]):
    """A decorator: makes a method of steps one that blocks, with an `aio` twin."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self._steps = steps
        self.__doc__ = steps.__doc__
        self.__wrapped__ = steps

    def __get__(self, instance: object, owner: type | None = None) -> Stepped[P, T]:
        steps: Any = self._steps
        return Stepped(steps if instance is None else steps.__get__(instance, owner))


# --- what gives values one by one


def stream(steps: Steps[None]) -> Iterator[Any]:
    """Runs the steps in this thread, and gives the values of their `Item`s."""
    while (item := run(_to_item(steps))) is not None:
        yield item.value


async def stream_async(steps: Steps[None]) -> AsyncIterator[Any]:
    """The same for a coroutine."""
    while (item := await run_async(_to_item(steps))) is not None:
        yield item.value


def gathered(steps: Steps[None]) -> Steps[list[Any]]:
    """All values of what gives them one by one, as a list."""
    found: list[Any] = []
    while (item := (yield from _to_item(steps))) is not None:
        found.append(item.value)
    return found


def _to_item(steps: Steps[None]) -> Steps[Item | None]:
    """The steps up to the next item; None at their end."""
    answer: Any = None
    failure: BaseException | None = None
    while True:
        try:
            step = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration:
            return None
        if isinstance(step, Item):
            return step
        answer = failure = None
        try:
            answer = yield step
        except Exception as error:
            failure = error


class Streamed(Generic[P, T]):
    """A function of steps with items, called: an iterator, and an `aio` twin for `async for`."""

    def __init__(self, steps: Callable[P, Steps[None]]) -> None:
        self._steps = steps
        self.__doc__ = steps.__doc__
        self.__name__: str = getattr(steps, "__name__", "")
        self.__wrapped__ = steps

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return stream(self._steps(*args, **kwargs))

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        """The same for a coroutine."""
        return stream_async(self._steps(*args, **kwargs))

    def __repr__(self) -> str:
        return f"<{self.__name__}, and its .aio>"


class StreamMethod(Generic[P]):
    """A decorator: makes a method of steps with items one that gives an iterator, with an `aio` twin."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[None]]) -> None:
        self._steps = steps
        self.__doc__ = steps.__doc__
        self.__wrapped__ = steps

    def __get__(self, instance: object, owner: type | None = None) -> Streamed[P, Any]:
        steps: Any = self._steps
        return Streamed(steps if instance is None else steps.__get__(instance, owner))
