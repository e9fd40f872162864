"""The methods of a Function that do I/O: each blocks when called, and has an `aio` twin for coroutines.

vector = embed.remote("a text")
vector = await embed.remote.aio("a text")
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from .arguments import flag
from .exception import DeprecationError, InvalidError

if TYPE_CHECKING:
    from .function import Function
    from .function_call import FunctionCall

    AnyFunction = Function[..., Any, Any]
    AnyIterable = Iterable[Any] | AsyncIterable[Any]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
Y = TypeVar("Y")


class Method:
    """A method of one function."""

    __slots__ = ("_function",)

    def __init__(self, function: Function[..., Any, Any]) -> None:
        self._function = function

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._function!r}>"


class Remote(Method, Generic[P, R]):
    """Runs one input in a container and returns its result, or raises its exception."""

    __slots__ = ()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        from .call import run

        function = self._function
        if function.is_generator:
            raise _no_such_call(function, "remote")
        return run(function, args, kwargs)

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The same for a coroutine."""
        from .call import run_async

        function = self._function
        if function.is_generator:
            raise _no_such_call(function, "remote")
        return await run_async(function, args, kwargs)


class RemoteGenerator(Method, Generic[P, R]):
    """Runs a generator function in a container and yields its items as they come."""

    __slots__ = ()

    @overload
    def __call__(self: RemoteGenerator[P, Iterator[Y]], *args: P.args, **kwargs: P.kwargs) -> Iterator[Y]: ...
    @overload
    def __call__(
        self: RemoteGenerator[P, AsyncIterator[Y]], *args: P.args, **kwargs: P.kwargs
    ) -> Iterator[Y]: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[Any]: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[Any]:
        from .call import generate

        return generate(self._checked(), args, kwargs)

    @overload
    def aio(self: RemoteGenerator[P, Iterator[Y]], *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Y]: ...
    @overload
    def aio(
        self: RemoteGenerator[P, AsyncIterator[Y]], *args: P.args, **kwargs: P.kwargs
    ) -> AsyncIterator[Y]: ...
    @overload
    def aio(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Any]: ...
    def aio(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Any]:
        """The same for a coroutine: `async for item in f.remote_gen.aio(…)`."""
        from .call import generate_async

        return generate_async(self._checked(), args, kwargs)

    def _checked(self) -> Function[..., Any, Any]:
        if not self._function.is_generator:
            tag = self._function.written
            raise InvalidError(f"{tag} is no generator; call {tag}.remote(…)")
        if self._function.web is not None:
            raise _no_such_call(self._function, "remote_gen")
        return self._function


class Spawn(Method, Generic[P, R]):
    """Begins a call that the server keeps, and returns it without waiting for its result.

    When it returns, the server has the input on its disk: it runs even if this program, or the server, ends now.

    ```python
    call = train.spawn(100)
    loss = call.get()
    ```
    """

    __slots__ = ()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> FunctionCall[R]:
        from .spawning import spawn
        from .steps import run

        return run(spawn(self._checked(), args, kwargs))

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> FunctionCall[R]:
        """The same for a coroutine."""
        from .spawning import spawn
        from .steps import run_async

        return await run_async(spawn(self._checked(), args, kwargs))

    def _checked(self) -> AnyFunction:
        function = self._function
        if function.is_generator:
            raise _no_such_call(function, "spawn")
        return function


class SpawnMap(Method, Generic[R]):
    """Begins one call with an input for each item of an iterable (of several: zipped, one positional argument each), and
    returns it when the server has all of them on its disk. The iterables are read as they are sent.

    ```python
    call = embed.spawn_map(texts, kwargs={"model": "small"})
    vectors = list(call.iter())
    ```
    """

    __slots__ = ()

    def __call__(self, *input_iterators: AnyIterable, kwargs: Mapping[str, Any] = {}) -> FunctionCall[R]:
        from .spawning import spawn_map

        self._check(input_iterators, kwargs)
        for iterator in input_iterators:
            if not hasattr(iterator, "__iter__"):
                raise InvalidError(
                    "spawn_map: an asynchronous iterable is read by `await f.spawn_map.aio(…)` alone"
                )
        iterables: Any = input_iterators
        return spawn_map(self._function, iterables, dict(kwargs))

    async def aio(self, *input_iterators: AnyIterable, kwargs: Mapping[str, Any] = {}) -> FunctionCall[R]:
        """The same for a coroutine; takes asynchronous iterables too."""
        from .spawning import spawn_map_async

        self._check(input_iterators, kwargs)
        return await spawn_map_async(self._function, input_iterators, dict(kwargs))

    def _check(self, iterators: tuple[Any, ...], kwargs: Any) -> None:
        _check_iterables("spawn_map", iterators, kwargs)
        if self._function.is_generator:
            raise _no_such_call(self._function, "spawn_map")


class Results(Generic[R]):
    """The results of a map, as they come. Nothing runs before the first is asked for."""

    __slots__ = ("_asynchronous", "_iterators", "_kwargs", "_options", "_source", "_started", "_synchronous")

    def __init__(
        self,
        method: str,
        function: AnyFunction,
        iterators: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        **options: bool,
    ):
        self._started = True  # so that a refused one has nothing to warn of
        _check_iterables(method, iterators, kwargs)
        if function.is_generator:
            raise _no_such_call(function, method)
        self._source = function
        self._iterators = iterators
        self._kwargs = dict(kwargs)
        self._options = options
        self._synchronous: Iterator[R] | None = None
        self._asynchronous: AsyncIterator[R] | None = None
        self._started = False

    def __iter__(self) -> Iterator[R]:
        if self._synchronous is None:
            from .mapping import map_sync

            self._started = True
            if any(not hasattr(iterator, "__iter__") for iterator in self._iterators):
                raise InvalidError(
                    "map: an asynchronous iterable is read by `async for … in f.map.aio(…)` alone"
                )
            self._synchronous = map_sync(self._source, self._iterators, self._kwargs, **self._options)
        return self._synchronous

    def __next__(self) -> R:
        return next(self.__iter__())

    def __aiter__(self) -> AsyncIterator[R]:
        if self._asynchronous is None:
            from .mapping import map_async

            self._started = True
            self._asynchronous = map_async(self._source, self._iterators, self._kwargs, **self._options)
        return self._asynchronous

    async def __anext__(self) -> R:
        return await self.__aiter__().__anext__()

    def close(self) -> None:
        """Ends the map: what has not started is dropped."""
        self._started = True
        close = getattr(self._synchronous, "close", None)
        if close is not None:
            close()

    async def aclose(self) -> None:
        """The same for a coroutine, as `contextlib.aclosing` calls it."""
        self._started = True
        close = getattr(self._asynchronous, "aclose", None)
        if close is not None:
            await close()

    def __del__(self) -> None:
        if not self._started:
            name = self._source.written
            warnings.warn(
                f"{name}.map(…) ran nothing, as nobody read its results; write `for result in {name}.map(…)`, "
                f"or {name}.for_each(…) where there is nothing to read",
                stacklevel=2,
            )


class Map(Method, Generic[R]):
    """Runs the function on each item of an iterable (of several: zipped, one positional argument each), in as many
    containers as it takes. Results come in the order of the inputs, or as they are ready with `order_outputs=False`;
    an exception ends the map, or is given as a result with `return_exceptions=True`.

    ```python
    for vector in embed.map(texts, kwargs={"model": "small"}):
        ...
    ```
    """

    __slots__ = ()

    def __call__(
        self,
        *input_iterators: AnyIterable,
        kwargs: Mapping[str, Any] = {},
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> Results[R]:
        _check_flags(order_outputs, return_exceptions, wrap_returned_exceptions)
        return Results(
            "map",
            self._function,
            input_iterators,
            kwargs,
            order_outputs=order_outputs,
            return_exceptions=return_exceptions,
            star=False,
        )

    def aio(
        self,
        *input_iterators: AnyIterable,
        kwargs: Mapping[str, Any] = {},
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> AsyncIterator[R]:
        """The same for a coroutine: `async for result in f.map.aio(…)`; takes asynchronous iterables too."""
        return self(
            *input_iterators,
            kwargs=kwargs,
            order_outputs=order_outputs,
            return_exceptions=return_exceptions,
            wrap_returned_exceptions=wrap_returned_exceptions,
        )


class Starmap(Method, Generic[R]):
    """`map` over tuples: each holds the positional arguments of one input."""

    __slots__ = ()

    def __call__(
        self,
        input_iterator: AnyIterable,
        *,
        kwargs: Mapping[str, Any] = {},
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> Results[R]:
        _check_flags(order_outputs, return_exceptions, wrap_returned_exceptions)
        return Results(
            "starmap",
            self._function,
            (input_iterator,),
            kwargs,
            order_outputs=order_outputs,
            return_exceptions=return_exceptions,
            star=True,
        )

    def aio(
        self,
        input_iterator: AnyIterable,
        *,
        kwargs: Mapping[str, Any] = {},
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> AsyncIterator[R]:
        """The same for a coroutine."""
        return self(
            input_iterator,
            kwargs=kwargs,
            order_outputs=order_outputs,
            return_exceptions=return_exceptions,
            wrap_returned_exceptions=wrap_returned_exceptions,
        )


class ForEach(Method):
    """`map` for what the function does, not for what it returns: runs at once and waits for the end."""

    __slots__ = ()

    def __call__(
        self,
        *input_iterators: AnyIterable,
        kwargs: Mapping[str, Any] = {},
        ignore_exceptions: bool = False,
    ) -> None:
        for _ in self._results(input_iterators, kwargs, ignore_exceptions):
            pass

    async def aio(
        self,
        *input_iterators: AnyIterable,
        kwargs: Mapping[str, Any] = {},
        ignore_exceptions: bool = False,
    ) -> None:
        """The same for a coroutine."""
        async for _ in self._results(input_iterators, kwargs, ignore_exceptions):
            pass

    def _results(
        self, iterators: tuple[AnyIterable, ...], kwargs: Mapping[str, Any], ignore_exceptions: bool
    ) -> Results[Any]:
        flag("ignore_exceptions", ignore_exceptions)
        return Results(
            "for_each",
            self._function,
            iterators,
            kwargs,
            order_outputs=False,
            return_exceptions=ignore_exceptions,
            star=False,
        )


def _check_iterables(method: str, iterators: tuple[Any, ...], kwargs: Any) -> None:
    for iterator in iterators:
        if not hasattr(iterator, "__iter__") and not hasattr(iterator, "__aiter__"):
            raise InvalidError(f"{method}: expected iterables, one for each argument, got {iterator!r}")
    if not iterators:
        raise InvalidError(f"{method}: expected at least one iterable, got none")
    if not isinstance(kwargs, Mapping) or not all(isinstance(name, str) for name in kwargs):  # pyright: ignore[reportUnknownVariableType]
        raise InvalidError(
            f"kwargs: expected a dictionary of arguments by their names for {method}, got {kwargs!r}"
        )


def _check_flags(order_outputs: Any, return_exceptions: Any, wrap_returned_exceptions: Any) -> None:
    flag("order_outputs", order_outputs)
    flag("return_exceptions", return_exceptions)
    if wrap_returned_exceptions is not None:
        warnings.warn(
            "wrap_returned_exceptions= is retired and does nothing; leave it out",
            DeprecationError,
            stacklevel=3,
        )


def _no_such_call(function: AnyFunction, method: str) -> InvalidError:
    tag = function.written
    if function.web is not None:
        return InvalidError(
            f"{tag} answers web requests, and can't be called by .{method}: ask at its address, {tag}.get_web_url()"
        )
    return InvalidError(f"{tag} is a generator, which {tag}.{method} can't run; call {tag}.remote_gen(…)")
