"""Functions: what `@app.function()` makes of a Python function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FunctionType, GenericAlias
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar, cast

from . import later
from .blocking import BlockingMethod
from .dashboard_link import OnDashboard
from .exception import ExecutionError, InvalidError, SerializationError
from .execution import is_local
from .methods import ForEach, Map, Remote, RemoteGenerator, Spawn, SpawnMap, Starmap
from .options import FunctionOptions

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from typing import Literal

    from typing_extensions import TypeVar as DefaultTypeVar

    from .app import App
    from .image import Image
    from .logs import LogsManager
    from .metrics import FunctionMetricsManager
    from .protocol.spec import ClassSpec, WebSpec
    from .retries import Retries
    from .scaling import FunctionAutoscaler, FunctionAutoscalerSettings, FunctionCurrentStats
    from .secret import Secret
    from .types import FunctionInfo, FunctionStats
    from .volume import Volume

    P = ParamSpec("P")
    R = DefaultTypeVar("R", covariant=True, default=Any)
    L = DefaultTypeVar("L", covariant=True, default=Any)
    Definition = Literal["file", "package", "serialized"]
else:
    P = ParamSpec("P")
    R = TypeVar("R", covariant=True)
    L = TypeVar("L", covariant=True)

GENERATOR = 0x20 | 0x200
"""Flags of the code of a generator function, synchronous or asynchronous."""


@later.fill
class Function(OnDashboard, Generic[P, R, L]):
    """A function that runs in containers. P are its parameters, R what a call returns, L what `.local` returns (R,
    or a coroutine for `async def`).

    ```python
    @app.function(cpu=2)
    def square(n: int) -> int:
        return n * n

    with app.run():
        print(square.remote(4), list(square.map(range(10))))
    ```
    """

    if not TYPE_CHECKING:
        __class_getitem__ = classmethod(
            GenericAlias
        )  # `Function[[int], str]` too, with what R and L default to

    def __init__(
        self,
        raw: Callable[..., Any] | None,
        app: App | None,
        tag: str,
        options: FunctionOptions,
        *,
        is_generator: bool | None = None,
    ) -> None:
        self.raw = raw
        self.tag = tag
        self.options = options
        self._generates = detect_generator(raw) if is_generator is None else is_generator
        self.module: str = getattr(raw, "__module__", "")
        self.qualname: str = getattr(raw, "__qualname__", tag)
        self.function_id = ""
        self.method = ""  # of a class: which one
        self.class_spec: Callable[[], ClassSpec] | None = None  # of what runs all methods of a class
        self.web: WebSpec | None = None  # it answers web requests
        self._app = app
        self.__doc__ = getattr(raw, "__doc__", None)
        self.__name__: str = getattr(raw, "__name__", tag)
        self.__qualname__ = self.qualname
        self.__module__ = self.module or __name__
        if raw is not None:
            self.__wrapped__ = raw  # what inspect.signature and doc tools look at

    # --- calling

    @property
    def remote(self) -> Remote[P, R]:
        """Runs one input in a container and returns its result, or raises its exception."""
        return Remote(self)

    @property
    def remote_gen(self) -> RemoteGenerator[P, R]:
        """Runs a generator function in a container and yields its items as they come."""
        return RemoteGenerator(self)

    @property
    def map(self) -> Map[R]:
        """Runs the function on each item of an iterable, in as many containers as it takes."""
        return Map(self)

    @property
    def starmap(self) -> Starmap[R]:
        """`map` over tuples: each holds the positional arguments of one input."""
        return Starmap(self)

    @property
    def for_each(self) -> ForEach:
        """`map` for what the function does, not for what it returns."""
        return ForEach(self)

    @property
    def spawn(self) -> Spawn[P, R]:
        """Begins a call that the server keeps, and its result for 7 days; returns a `FunctionCall` at once."""
        return Spawn(self)

    @property
    def spawn_map(self) -> SpawnMap[R]:
        """Begins one such call for all items of an iterable; returns when the server has them on its disk."""
        return SpawnMap(self)

    @property
    def experimental_spawn_map(self) -> SpawnMap[R]:
        """The same as `spawn_map`."""
        return SpawnMap(self)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> L:
        """Calls the Python function here, in this process."""
        if self.raw is None:
            raise ExecutionError(f"{self.tag} was defined elsewhere and can't be called here; use .remote(…)")
        if self.options.volumes and is_local():
            _warn_of_volumes(self.tag)
        return self.raw(*args, **kwargs)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> NoReturn:
        raise InvalidError(
            f"{self.written} can't be called by itself: write {self.written}.remote(…) for a container, "
            f"{self.written}.local(…) for this process"
        )

    # --- others like it

    @staticmethod
    def from_name(
        app_name: str,
        name: str,
        *,
        version: int | None = None,
        environment_name: str | None = None,
        client: Any = None,
    ) -> Function[..., Any, Any]:
        """A function of a deployed app. Nothing is asked before it is used.

        ```python
        square = modal.Function.from_name("my-app", "square")
        square.remote(4)
        ```

        Args:
            app_name, name: the names of the app and of the function.
            version: of the app: the function as it was in that version, and what it calls of its app too, whatever is
                deployed later.
            environment_name: where the app is deployed; else the current environment.

        Raises InvalidError for a wrong argument; its use raises NotFoundError where there is no such app or function.
        """
        from .named_function import from_name

        return from_name(app_name, name, version=version, environment_name=environment_name, client=client)

    @staticmethod
    def from_id(function_id: str, *, client: Any = None) -> Function[..., Any, Any]:
        """The function of that id, `fu-…`. Nothing is asked before it is used.

        Raises InvalidError for what is no id of a function; its use raises NotFoundError where there is none.
        """
        from .named_function import from_id

        return from_id(function_id, client=client)

    @staticmethod
    def lookup(app_name: str, name: str, *, environment_name: str | None = None) -> Function[..., Any, Any]:
        """Retired: write `Function.from_name`."""
        import warnings

        from .exception import DeprecationError
        from .named_function import from_name

        warnings.warn(
            "modal.Function.lookup is retired; write modal.Function.from_name", DeprecationError, stacklevel=2
        )
        return from_name(app_name, name, environment_name=environment_name).hydrate()

    def with_options(
        self,
        *,
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        gpu: str | list[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        secrets: Collection[Secret] | None = None,
        volumes: Mapping[str, Volume] = {},
        retries: int | Retries | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: int | None = None,
        timeout: int | None = None,
        region: str | Sequence[str] | None = None,
        cloud: str | None = None,
        routing_region: str | None = None,
    ) -> Function[P, R, L]:
        """The function with other options than its decorator gave it, and containers of its own.

        What is not given stays; `secrets` and `volumes` take the place of those that it has, `env` is added to it.
        The units are those of `@app.function`. Raises InvalidError for a wrong argument.

        ```python
        embed.with_options(gpu="H100", max_containers=2).remote("a text")
        ```
        """
        given = {name: value for name, value in locals().items() if name != "self"}
        from .variant import Variant, given_options

        return cast("Function[P, R, L]", Variant(self, given_options(given)))

    def with_concurrency(self, *, max_inputs: int, target_inputs: int | None = None) -> Function[P, R, L]:
        """The function with other limits than those of `@modal.concurrent`, and containers of its own."""
        from .variant import with_concurrency

        return cast("Function[P, R, L]", with_concurrency(self, max_inputs, target_inputs))

    def with_batching(self, *, max_batch_size: int, wait_ms: int) -> Function[P, R, L]:
        """The function with other limits than those of `@modal.batched`, and containers of its own."""
        from .variant import with_batching

        return cast("Function[P, R, L]", with_batching(self, max_batch_size, wait_ms))

    # --- while it runs

    @BlockingMethod
    def get_web_url(self) -> str | None:
        """The address at which it answers web requests; None for a function that does not.

        ```python
        print(modal.Function.from_name("my-endpoint", "generate").get_web_url())
        ```
        """
        from . import link
        from .protocol.web import FindEndpoints

        found, _ = link.current().request(FindEndpoints(self.hydrate().function_id))
        urls = found.urls.get(self.method, [])
        return urls[0] if urls else None

    @BlockingMethod
    def update_autoscaler(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: int | None = None,
    ) -> FunctionAutoscalerSettings:
        """Changes how many containers the function has, until its app is deployed again.

        What is not given stays as it is; `scaledown_window` in seconds. Returns all settings. Raises InvalidError for a
        wrong argument, ExecutionError where the app is not running.
        """
        given = {name: value for name, value in locals().items() if name != "self"}
        from . import link
        from .scaling import settings, update

        message = update(self.hydrate().function_id, given)
        return settings(link.current().request(message)[0].scaling)

    @BlockingMethod
    def get_current_stats(self) -> FunctionCurrentStats:
        """How many inputs wait, and how many containers run them."""
        from . import link
        from .protocol.calls import GetFunctionStats
        from .scaling import FunctionCurrentStats

        message = GetFunctionStats(self.hydrate().function_id)
        answer, _ = link.current().request(message)
        return FunctionCurrentStats(
            answer.backlog, answer.containers, answer.running_inputs, answer.input_headroom
        )

    @BlockingMethod
    def stats(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        container: str | None = None,
        all_variants: bool = False,
    ) -> FunctionStats:
        """What its inputs and containers did between two times, however they were called.

        Args:
            since: the begin of the time; None: an hour before `until`. A time without a zone is local.
            until: the end of it; None: now. At most 7 days after `since`.
            container: what this container of it did, by its id, ta-…; the time is counted in quarters of an hour then.
            all_variants: what the function did with other options or parameters, too.

        The time is counted in whole minutes, and durations are right to 5%. Raises InvalidError for a wrong argument.

        ```python
        stats = modal.Function.from_name("my-app", "square").stats()
        print(stats.input_success_count, stats.input_percentile_stats["Execution time (s)"].percentiles)
        ```
        """
        from . import link
        from .arguments import flag, wrong
        from .protocol.statistics import MeasureFunction
        from .statistics import function_stats, window

        flag("all_variants", all_variants)
        if container is not None and not (isinstance(container, str) and container.startswith("ta-")):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise wrong("container", "the id of a container, ta-…", container)
        since_at, until_at = window(since, until)
        function_id = self.hydrate().function_id
        message = MeasureFunction(function_id, since_at, until_at, all_variants, container or "")
        return function_stats(link.current().request(message)[0], since_at, until_at, all_variants)

    @BlockingMethod
    def info(self, *, refresh: bool = False) -> FunctionInfo:
        """What its containers have, how many inputs they run, and where it answers: as it is on the server.

        `refresh` changes nothing: it is asked for each time.
        """
        from . import link
        from .arguments import flag
        from .protocol.statistics import InspectFunction
        from .statistics import function_info

        flag("refresh", refresh)
        return function_info(link.current().request(InspectFunction(self.hydrate().function_id))[0])

    @property
    def autoscaler(self) -> FunctionAutoscaler:
        """How many containers it has: `.settings()`, and `.update(…)` until its app is deployed again."""
        from .scaling import FunctionAutoscaler

        return FunctionAutoscaler(lambda: self.hydrate().function_id)

    @property
    def metrics(self) -> FunctionMetricsManager:
        """What it did, step by step: `.export(…)`, and `.schema()` for what there is."""
        from .metrics import FunctionMetricsManager

        return FunctionMetricsManager(lambda: self.hydrate().function_id)

    @property
    def logs(self) -> LogsManager:
        """What its containers wrote: `.tail(…)`, `.fetch(…)`, `.stream(…)`. A class has one log for its methods."""
        from .logs import LogsManager

        return LogsManager(lambda: self.hydrate().function_id)

    # --- what it is

    @property
    def is_generator(self) -> bool:
        """Whether a call gives an iterator."""
        return self._generates

    @property
    def written(self) -> str:
        """It as user code names it, for messages."""
        return self.tag

    @property
    def app(self) -> App:
        """The app that it belongs to. Raises ExecutionError where it was defined elsewhere."""
        if self._app is None:
            raise ExecutionError(f"{self.tag} was defined elsewhere: its app is not known here")
        return self._app

    @property
    def image(self) -> Image:
        """The image of its containers: its own, else the app's, else `Image.debian_slim()`."""
        return self.options.image or self.app.default_image()

    @property
    def definition(self) -> Definition:
        """How its containers come by it: from a script's file, from a package, or by value."""
        module = sys.modules.get(self.module)
        by_value = self.module == "__main__" and not getattr(module, "__file__", None)  # a notebook, a prompt
        if self.options.serialized or by_value:
            return "serialized"
        return "package" if getattr(module, "__package__", None) else "file"

    @property
    def object_id(self) -> str:
        """The server's id of the function. Raises ExecutionError before its app runs."""
        if not self.function_id:
            raise ExecutionError(_not_running(self))
        return self.function_id

    def get_raw_f(self) -> Callable[P, L]:
        """The Python function itself."""
        if self.raw is None:
            raise ExecutionError(f"{self.tag} was defined elsewhere: its Python function is not here")
        return self.raw

    def hydrate(self, client: Any = None) -> Function[P, R, L]:
        """Sees to it that the function has its id, and returns it.

        Raises ExecutionError where its app is not running.
        """
        if not self.function_id:
            later.refuse("Function.hydrate", client=client)
            if is_local():
                raise ExecutionError(_not_running(self))
            self._find()
        return self

    def payload(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], what: str = "") -> bytes:
        """An input as bytes. `what` names it where it can't be pickled. Raises SerializationError."""
        from .serialization import dumps

        return dumps(self.given(args, kwargs), what or f"an argument of {self.tag}")

    def given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """What is pickled of an input: what it is called with, and the method where there are several."""
        return (args, kwargs, self.method) if self.method else (args, kwargs)

    def _find(self) -> None:
        """In a container: asks for the id by the name in the caller's own app."""
        from . import link
        from .protocol.calls import FindFunction

        answer, _ = link.current().request(FindFunction(app="", tag=self.tag))
        self.function_id = answer.function_id

    def check_imports(self) -> None:
        """In a container: raises what failed in a `with image.imports()` of the function's image."""
        image = self.options.image or (self._app.image if self._app is not None else None)
        if image is not None and image.import_error is not None:
            raise image.import_error

    def __reduce__(self) -> Any:
        """Pickled by its id: whoever unpickles it may call it, and has no need of its code."""
        if not self.function_id:
            raise SerializationError(f"{self.tag} can't be pickled: {_not_running(self)}")
        return handle, (self.function_id, self.tag, self.is_generator)

    def __repr__(self) -> str:
        return f"<Function {self.tag}{f' {self.function_id}' if self.function_id else ''}>"


def handle(function_id: str, tag: str, is_generator: bool) -> Function[..., Any, Any]:
    """A function that is known by its id alone."""
    function: Function[..., Any, Any] = Function(
        None, None, tag, FunctionOptions(), is_generator=is_generator
    )
    function.function_id = function_id
    return function


def check_made(function: Function[..., Any, Any]) -> None:
    """Raises InvalidError for options that a function of its kind can't have."""
    if is_local() and function.is_generator and function.options.retries is not None:
        if function.web is not None:
            raise InvalidError(
                f"retries: {function.tag} answers web requests, which are not tried again; leave it out"
            )
        raise InvalidError(
            f"retries: {function.tag} is a generator, which can't be tried again once it has yielded; leave it out"
        )


def detect_generator(raw: Any) -> bool:
    """Whether calling this Python function makes a generator."""
    code = getattr(raw, "__code__", None)
    return code is not None and bool(code.co_flags & GENERATOR)


def check_raw(raw: Any, serialized: bool) -> None:
    """Raises where `@app.function()` stands over something that no container can find.

    TypeError for a class, InvalidError for anything else.
    """
    if isinstance(raw, type):
        raise TypeError(
            f"@app.function() takes a function, and {raw.__name__} is a class, which @app.cls() is for"
        )
    if isinstance(raw, Function):
        raise InvalidError(f"{raw.tag} has two @app.function() decorators; leave one out")  # pyright: ignore
    if not isinstance(raw, FunctionType):
        raise InvalidError(f"@app.function() takes a function written with def, got {raw!r}")
    if serialized:
        return
    name = raw.__qualname__
    if "<locals>" in name:
        raise InvalidError(
            f"{name} is inside another function, where a container can't find it; move it to the top of the module, "
            "or write @app.function(serialized=True)"
        )
    if "<lambda>" in name:
        raise InvalidError(
            "a lambda has no name to find it by; write a def, or @app.function(serialized=True)"
        )
    if "." in name:
        raise InvalidError(f"{name} is a method; @app.function() takes a function at the top of a module")


def _not_running(function: Function[..., Any, Any]) -> str:
    return f"the app of {function.tag} is not running; call it inside `with app.run():`, or run the file by `ionian run`"


def _warn_of_volumes(tag: str) -> None:
    import warnings

    warnings.warn(f"{tag}.local(…) runs here, where its volumes are not mounted", stacklevel=3)
