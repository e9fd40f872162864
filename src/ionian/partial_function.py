"""What stands between a Python function and the app or class that takes it: `method`, `enter`, `exit`, `concurrent`,
`batched`."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from .arguments import flag, integer, wrong
from .exception import ExecutionError, InvalidError
from .execution import is_local

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Concatenate, Protocol

    from typing_extensions import TypeVar as DefaultTypeVar

    from .function import Function
    from .options import FunctionOptions

    P = ParamSpec("P")
    R = DefaultTypeVar("R", covariant=True, default=Any)
    L = DefaultTypeVar("L", covariant=True, default=Any)

    class BoundMethod(Function[P, R, L]):
        """A method of an instance, as a type checker sees it."""

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> L:  # pyright: ignore[reportIncompatibleMethodOverride]
            ...

    class MethodDecorator(Protocol):
        """What `modal.method(…)` returns."""

        @overload
        def __call__(
            self, raw: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
        ) -> PartialFunction[P, R, Coroutine[Any, Any, R]]: ...
        @overload
        def __call__(self, raw: Callable[Concatenate[Any, P], R], /) -> PartialFunction[P, R, R]: ...

else:
    P = ParamSpec("P")
    R = TypeVar("R", covariant=True)
    L = TypeVar("L", covariant=True)

T = TypeVar("T")

METHOD, ENTER, ENTER_SNAP, EXIT = "method", "enter", "enter, before the snapshot", "exit"

CONCURRENCY = "__ionian_concurrency__"
"""The attribute of a class that `@modal.concurrent` leaves there: (max_inputs, target_inputs)."""

OBJECT = "__ionian_object__"
"""The attribute of a live object that names its handle (cls.Obj): how `self.method.remote(…)` finds its containers."""

MOST_CONCURRENT = 10_000
"""Inputs that one container runs at once: the server refuses more."""

MOST_BATCHED = 1000
"""Inputs of one batch: Modal's limit."""

LONGEST_WAIT_MS = 600_000
"""How long a batch may wait for more inputs: Modal's limit, ten minutes."""


class PartialFunction(Generic[P, R, L]):
    """A function that a decorator has marked; `@app.cls()` or `@app.function()` takes it from here."""

    def __init__(self, raw: Callable[..., Any], kinds: frozenset[str]) -> None:
        self.raw = raw
        self.kinds = kinds
        self.is_generator: bool | None = None
        self.concurrency: tuple[int, int] | None = None  # most inputs, and what the autoscaler aims at
        self.batching: tuple[int, int] | None = None  # most inputs, and milliseconds
        self.cluster: tuple[int, bool, int] | None = None  # size, rdma, fabric_size
        self.web: dict[str, Any] | None = None  # of one for web requests: the fields of its WebSpec
        self.__doc__ = raw.__doc__
        self.__name__: str = getattr(raw, "__name__", "")
        self.__wrapped__ = raw

    @overload
    def __get__(self, instance: None, owner: type, /) -> PartialFunction[P, R, L]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> BoundMethod[P, R, L]: ...
    def __get__(self, instance: object | None, owner: type | None = None, /) -> Any:
        if instance is None:
            return self
        if METHOD in self.kinds:
            return LiveMethod(self.raw, self.__name__, instance)
        return self.raw.__get__(instance, owner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function itself: `Base.method(self, …)` in a method that overrides it."""
        return self.raw(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<PartialFunction {self.__name__}: {', '.join(sorted(self.kinds)) or 'for @app.function()'}>"


class LiveMethod:
    """`self.method` of the object that runs in this process: a plain call runs here, `.remote(…)` in a container of
    the same class with the same parameters."""

    __slots__ = ("__name__", "_instance", "_raw")

    def __init__(self, raw: Callable[..., Any], name: str, instance: object) -> None:
        self._raw = raw
        self.__name__ = name
        self._instance = instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._raw(self._instance, *args, **kwargs)

    local = __call__

    @property
    def handle(self) -> Function[..., Any, Any]:
        """The method as others call it. Raises ExecutionError where its class is of no app."""
        found = getattr(self._instance, OBJECT, None)
        if found is None:
            name = type(self._instance).__name__
            raise ExecutionError(
                f"{name}.{self.__name__} has no containers: {name} is of no app; write @app.cls() over the class"
            )
        return getattr(found, self.__name__)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            return getattr(self._raw, name)  # what tools ask of any function: __doc__, __code__, __wrapped__
        return getattr(self.handle, name)

    def __reduce__(self) -> Any:
        return _same, (self.handle,)  # another process has the handle, not the object

    def __repr__(self) -> str:
        return f"<method {self.__name__} of {self._instance!r}>"


def _same(handle: Function[..., Any, Any]) -> Function[..., Any, Any]:
    return handle


# --- decorators


def method(_raw: None = None, *, is_generator: bool | None = None) -> MethodDecorator:
    """Makes a method of a class one that runs in containers: `C().predict.remote(…)`.

    `is_generator` says what can't be seen: that a method which is no generator function returns an iterator to read.

    ```python
    @app.cls()
    class Model:
        @modal.method()
        def predict(self, text: str) -> str:
            return text.upper()

    print(Model().predict.remote("hello"))
    ```

    Raises InvalidError over anything but a method written with def.
    """
    with_parentheses("method", _raw)
    if is_generator is not None:
        flag("is_generator", is_generator)

    def decorate(raw: Any) -> Any:
        made = marked("method", raw, METHOD)
        made.is_generator = is_generator
        return made

    return decorate


def enter(_raw: None = None, *, snap: bool = False) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Makes a method of a class one that runs in each of its containers before the first input.

    Several run in the order in which they are defined, those of base classes first. `snap=True`: before the container's
    memory is kept (with `enable_memory_snapshot=True` on the class), and before the others.

    ```python
    @modal.enter()
    def load(self):
        self.model = load_model()
    ```

    Raises InvalidError over anything but a method written with def.
    """
    with_parentheses("enter", _raw)
    kind = ENTER_SNAP if flag("snap", snap) else ENTER

    def decorate(raw: Any) -> Any:
        return marked("enter", raw, kind)

    return decorate


def exit(_raw: None = None) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Makes a method of a class one that runs when a container of it ends, after the last input; it has 30 seconds.

    ```python
    @modal.exit()
    def close(self):
        self.connection.close()
    ```

    Raises InvalidError over anything but a method written with def.
    """
    with_parentheses("exit", _raw)

    def decorate(raw: Any) -> Any:
        return marked("exit", raw, EXIT)

    return decorate


def concurrent(
    _raw: None = None, *, max_inputs: int | None = None, target_inputs: int | None = None
) -> Callable[[T], T]:
    """Has each container run several inputs at once: async functions on one loop, others in threads.

    Stands under `@app.function()`, or under `@app.cls()` for all methods of the class.

    Args:
        max_inputs: how many inputs at once, at most.
        target_inputs: how many the autoscaler aims at; else `max_inputs`.

    ```python
    @app.function()
    @modal.concurrent(max_inputs=100, target_inputs=80)
    async def fetch(url: str) -> bytes: ...
    ```

    Raises TypeError without `max_inputs`, InvalidError for a wrong value, or over a method.
    """
    with_parentheses("concurrent", _raw)
    if max_inputs is None:
        raise TypeError("@modal.concurrent needs max_inputs: @modal.concurrent(max_inputs=10)")
    given = concurrency_of(max_inputs, target_inputs)

    def decorate(raw: Any) -> Any:
        if isinstance(raw, type):
            setattr(raw, CONCURRENCY, given)  # pyright: ignore[reportUnknownArgumentType]
            return raw  # pyright: ignore[reportUnknownVariableType]
        _check_takes_concurrency(raw)
        made = partial_of(raw) or PartialFunction[..., Any, Any](raw, frozenset())
        made.concurrency = given
        return made

    return decorate


def batched(
    _raw: None = None, *, max_batch_size: int, wait_ms: int
) -> Callable[[Callable[..., Any]], PartialFunction[..., Any, Any]]:
    """Has a function run on several inputs at once: each argument is a list, and so is what it returns, as long.

    Callers give and get single values. Stands under `@app.function()`, or over a method in place of `@modal.method()`.

    Args:
        max_batch_size: inputs in a batch, at most (1 to 1000).
        wait_ms: milliseconds for which the first input waits for others (0 to 600000).

    ```python
    @app.function()
    @modal.batched(max_batch_size=32, wait_ms=100)
    def embed(texts: list[str]) -> list[list[float]]: ...

    embed.remote("one text")
    ```

    Raises InvalidError for a wrong value, over a generator and over a function with default arguments.
    """
    with_parentheses("batched", _raw)
    given = batching_of(max_batch_size, wait_ms)

    def decorate(raw: Any) -> Any:
        made = partial_of(raw)
        if made is None:
            made = marked("batched", raw, METHOD)
        elif METHOD in made.kinds:
            raise InvalidError(
                f"{made.__name__}: @modal.batched takes the place of @modal.method; leave that out"
            )
        elif made.kinds:
            raise _no_mixing(made.__name__)
        made.kinds = frozenset({METHOD})
        made.batching = given
        if is_local():
            _check_batched(made.raw)
        return made

    return decorate


# --- what they were given


def concurrency_of(max_inputs: Any, target_inputs: Any) -> tuple[int, int]:
    """The arguments of `concurrent`: (max_inputs, target_inputs), where a target of 0 is max_inputs."""
    most = integer("max_inputs", max_inputs, least=1, most=MOST_CONCURRENT)
    if target_inputs is None:
        return most, 0
    target = integer("target_inputs", target_inputs, least=1)
    if target > most:
        raise wrong("target_inputs", f"at most max_inputs ({most})", target_inputs)
    return most, target


def batching_of(max_batch_size: Any, wait_ms: Any) -> tuple[int, int]:
    """The arguments of `batched`."""
    size = integer("max_batch_size", max_batch_size, least=1, most=MOST_BATCHED)
    return size, integer("wait_ms", wait_ms, least=0, most=LONGEST_WAIT_MS, unit="milliseconds")


def take(
    options: FunctionOptions, concurrency: tuple[int, int] | None, batching: tuple[int, int] | None
) -> None:
    """Puts what `concurrent` and `batched` said into the options of a function or class."""
    if options.single_use and is_local() and (concurrency or batching):
        import warnings

        warnings.warn(
            "single_use_containers=True gives each input a container of its own: @modal.concurrent and @modal.batched change "
            "nothing there; leave them out",
            stacklevel=4,
        )
    if concurrency is not None:
        options.max_inputs, options.target_inputs = concurrency
    if batching is not None:
        options.batch_size, options.batch_wait_ms = batching


def partial_of(raw: Any) -> PartialFunction[..., Any, Any] | None:
    """The same, where it is marked already."""
    return raw if isinstance(raw, PartialFunction) else None  # pyright: ignore[reportUnknownVariableType]


def unwrapped(raw: Any) -> tuple[Any, PartialFunction[..., Any, Any] | None]:
    """What `@app.function()` stands over: the Python function, and what `concurrent` and `batched` said of it.

    Raises InvalidError over a method of a class.
    """
    partial = partial_of(raw)
    if partial is None:
        return raw, None
    if partial.kinds and partial.batching is None and partial.web is None:
        raise InvalidError(
            f"{partial.__name__} has @modal.{min(partial.kinds).partition(',')[0]}(), which belongs to methods of a class: "
            "leave @app.function() out, and write @app.cls() over the class"
        )
    return partial.raw, partial


def marked(name: str, raw: Any, kind: str) -> PartialFunction[..., Any, Any]:
    """The partial function for what a decorator stands over."""
    partial = partial_of(raw)
    if partial is not None:
        if partial.web is not None:
            raise InvalidError(f"{partial.__name__} answers web requests: @modal.{name} can't be added")
        if partial.concurrency is not None:
            raise over_the_class("concurrent", partial.__name__)
        if METHOD in partial.kinds | {kind}:
            twice = METHOD in partial.kinds and kind == METHOD
            if partial.batching is not None and twice:
                raise InvalidError(
                    f"{partial.__name__}: @modal.batched takes the place of @modal.method; leave that out"
                )
            if not twice:
                raise _no_mixing(partial.__name__)
        partial.kinds |= {kind}
        return partial
    if is_local():
        _check_function(name, raw)
    return PartialFunction(raw, frozenset({kind}))


def _check_function(name: str, raw: Any) -> None:
    """Raises InvalidError where a decorator stands over anything but a function written with def."""
    from .function import Function

    if isinstance(raw, Function):
        tag: str = raw.tag  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        raise InvalidError(
            f"{tag}: @modal.{name} stands over @app.function(); swap the two, @app.function() on top"
        )
    if isinstance(raw, (staticmethod, classmethod)):
        kind = "staticmethod" if isinstance(raw, staticmethod) else "classmethod"
        raise InvalidError(f"@modal.{name} takes a method with self; leave @{kind} out")
    if isinstance(raw, type):
        raise InvalidError(
            f"@modal.{name} takes a function, and {raw.__name__} is a class: write it over its methods"
        )
    if not isinstance(raw, FunctionType):
        raise InvalidError(f"@modal.{name} takes a function written with def, got {raw!r}")


def check_unmarked(name: str, raw: Any) -> None:
    """Raises InvalidError where a decorator for functions and classes stands over anything else, with no other decorator
    between."""
    from .cls import Cls

    if isinstance(raw, Cls):
        raise InvalidError(f"{raw!r}: @modal.{name} stands over @app.cls(); swap the two, @app.cls() on top")
    if is_local():
        _check_function(name, raw)
        if "." in raw.__qualname__.rpartition("<locals>.")[2]:
            raise over_the_class(name, raw.__name__)


def _check_takes_concurrency(raw: Any) -> None:
    partial = partial_of(raw)
    if partial is None:
        check_unmarked("concurrent", raw)
    elif partial.kinds and partial.batching is None and partial.web is None:
        raise over_the_class("concurrent", partial.__name__)


def _check_batched(raw: FunctionType) -> None:
    from .function import detect_generator

    if detect_generator(raw):
        raise InvalidError(
            f"{raw.__name__}: @modal.batched takes a function that returns a list, not a generator"
        )
    if raw.__defaults__ or raw.__kwdefaults__:
        raise InvalidError(
            f"{raw.__name__}: a function with @modal.batched can't have default arguments, as each is a list of what "
            "callers gave; leave the defaults out"
        )


def over_the_class(name: str, method: str) -> InvalidError:
    """Says where a decorator belongs that stands over a method."""
    return InvalidError(
        f"{method}: @modal.{name} is for functions and classes, not for a method; write it over the class, under "
        "@app.cls()"
    )


def _no_mixing(name: str) -> InvalidError:
    return InvalidError(
        f"{name}: a method is either for callers (@modal.method, @modal.batched) or for the container's life "
        "(@modal.enter, @modal.exit); write two methods"
    )


def with_parentheses(name: str, raw: Any) -> None:
    """Raises InvalidError where a decorator was written without its parentheses: then it is given the function."""
    if raw is not None:
        example = {
            "concurrent": "max_inputs=10",
            "batched": "max_batch_size=32, wait_ms=100",
            "clustered": "size=2",
        }.get(name, "")
        raise InvalidError(f"@modal.{name} needs parentheses: @modal.{name}({example})")
