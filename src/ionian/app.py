"""Apps: functions that are defined, run and deployed together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from . import clusters, later, options
from .arguments import environment, flag, integer, number, text, wrong
from .arguments import tags as checked_tags
from .cloud_bucket_mount import CloudBucketMount, bucket_mounts
from .deployment import Deployable
from .exception import DeprecationError, InvalidError
from .execution import is_importing, is_local, stop_import
from .function import Function, check_made, check_raw
from .image import Image
from .local_entrypoint import LocalEntrypoint, check_entrypoint
from .parameters import parameter
from .partial_function import MOST_CONCURRENT, PartialFunction, concurrency_of, take, unwrapped
from .schedule import check_scheduled
from .secret import Secret, secret_list
from .volume import Volume, check_distinct, volume_mounts
from .web_endpoint import web_of

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol

    from typing_extensions import dataclass_transform

    from .cls import Cls
    from .retries import Retries
    from .schedule import Cron, Period

    class FunctionDecorator(Protocol):
        """What `app.function(…)` returns."""

        @overload
        def __call__(self, raw: PartialFunction[P, R, L], /) -> Function[P, R, L]: ...
        @overload
        def __call__(
            self, raw: Callable[P, Coroutine[Any, Any, R]], /
        ) -> Function[P, R, Coroutine[Any, Any, R]]: ...
        @overload
        def __call__(self, raw: Callable[P, R], /) -> Function[P, R, R]: ...

    class RunningApp(Protocol):
        """What `app.run()` returns: the same object for `with` and `async with`."""

        def __enter__(self) -> App: ...
        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            traceback: TracebackType | None,
            /,
        ) -> bool | None: ...
        async def __aenter__(self) -> App: ...
        async def __aexit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            traceback: TracebackType | None,
            /,
        ) -> bool | None: ...

else:

    def dataclass_transform(**_: Any) -> Callable[[T], T]:
        return lambda decorator: decorator


P = ParamSpec("P")
R = TypeVar("R")
L = TypeVar("L")
T = TypeVar("T")
C = TypeVar("C", bound=type)

RETIRED = {
    "keep_warm": "min_containers",
    "concurrency_limit": "max_containers",
    "container_idle_timeout": "scaledown_window",
}
"""Parameters of Modal's past, and their names today."""


@later.fill
class App(Deployable):
    """Functions that are defined, run and deployed together. `image`, `secrets`, `volumes` and `include_source` are
    what its functions have unless they say otherwise; secrets and volumes of both are there.

    ```python
    app = modal.App("my-app")

    @app.function()
    def hello(name: str) -> str:
        return f"hello {name}"

    with app.run():
        print(hello.remote("you"))
    ```
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        image: Image | None = None,
        secrets: Sequence[Secret] = [],
        volumes: Mapping[str, Volume | CloudBucketMount] = {},
        include_source: bool = True,
        budget: float | None = None,
    ) -> None:
        """`budget`: what it may cost in a calendar month, in the currency of the server's prices; not in Modal."""
        local = is_local()
        if local:
            if name is not None:
                text("name", name)
            flag("include_source", include_source)
        self.name = name
        self.tags: dict[str, str] = checked_tags({} if tags is None else tags) if local else {}
        self.secrets: tuple[Secret, ...] = secret_list(secrets) if local else ()
        self.volumes: dict[str, Volume] = volume_mounts(volumes) if local else {}
        self.buckets: dict[str, CloudBucketMount] = bucket_mounts(volumes) if local else {}
        self.include_source = include_source
        self.budget = number("budget", budget, least=0, most=1e12) if local and budget is not None else None
        self.app_id: str | None = None  # of the last run or deploy; set by the client
        self.is_running = False  # set by the client
        self.is_detached = False  # set by the client: its calls outlive it
        self._image = options.image(image) if local else image
        self._default_image: Image | None = None
        self._functions: dict[str, Function[..., Any, Any]] = {}
        self._classes: dict[str, Cls] = {}
        self._entrypoints: dict[str, LocalEntrypoint[..., Any]] = {}

    @property
    def image(self) -> Image | None:
        """The image of functions that name none; None: `Image.debian_slim()`."""
        return self._image

    @image.setter
    def image(self, value: Image | None) -> None:
        self._image = options.image(value)

    def default_image(self) -> Image:
        """The image of functions that name none."""
        if self._image is not None:
            return self._image
        if self._default_image is None:
            self._default_image = Image.debian_slim()
        return self._default_image

    @property
    def description(self) -> str | None:
        """The app's name."""
        return self.name

    @property
    def registered_functions(self) -> dict[str, Function[..., Any, Any]]:
        """The functions by their tags; what runs the methods of a class `Model` has the tag `Model.*`."""
        return self._functions

    @property
    def registered_classes(self) -> dict[str, Cls]:
        """The classes by their names."""
        return self._classes

    @property
    def registered_entrypoints(self) -> dict[str, LocalEntrypoint[..., Any]]:
        """The local entrypoints by their names."""
        return self._entrypoints

    @property
    def registered_web_endpoints(self) -> list[str]:
        """The names of what answers web requests: functions, and methods as `Model.page`."""
        found = [tag for tag, function in self._functions.items() if function.web is not None]
        for name, cls in self._classes.items():
            found += [f"{name}.{method}" for method in cls.web_methods()]
        return found

    # --- decorators

    def function(
        self,
        _raw: None = None,
        *,
        image: Image | None = None,
        schedule: Cron | Period | None = None,
        env: Mapping[str, str | None] | None = None,
        secrets: Collection[Secret] | None = None,
        gpu: str | list[str] | None = None,
        serialized: bool = False,
        network_file_systems: Mapping[str, Any] = {},
        volumes: Mapping[str, Volume | CloudBucketMount] = {},
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        ephemeral_disk: int | None = None,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: int | None = None,
        proxy: Any = None,
        retries: int | Retries | None = None,
        timeout: int = 300,
        startup_timeout: int | None = None,
        name: str | None = None,
        is_generator: bool | None = None,
        cloud: str | None = None,
        region: str | Sequence[str] | None = None,
        routing_region: str | None = None,
        nonpreemptible: bool = False,
        enable_memory_snapshot: bool = False,
        block_network: bool = False,
        restrict_modal_access: bool = False,
        single_use_containers: bool = False,
        i6pn: bool | None = None,
        include_source: bool | None = None,
        experimental_options: Mapping[str, Any] | None = None,
        _experimental_restrict_output: bool = False,
        max_inputs: int | None = None,
        keep_warm: int | None = None,
        concurrency_limit: int | None = None,
        container_idle_timeout: int | None = None,
        allow_concurrent_inputs: int | None = None,
    ) -> FunctionDecorator:
        """Makes a Python function one that runs in containers.

        Args:
            image: what its containers hold.
            schedule: when it runs by itself, without arguments, once its app is deployed.
            env, secrets: its environment variables; `env` wins.
            gpu: `"A100-80GB:4"`, or a list of alternatives, best first.
            volumes: absolute paths → volumes.
            cpu, memory: cores, and MiB; a number is a request, a tuple (request, limit).
            ephemeral_disk: MiB of disk.
            min_containers, max_containers, buffer_containers: how many are kept, at most, and to spare while it works.
            scaledown_window: seconds that an idle container waits.
            timeout, startup_timeout: seconds that an input, and the start of a container, may take.
            block_network: its containers reach nothing but themselves; calls, volumes and logs go on as ever.
            restrict_modal_access: its containers may call no function and use no object but their volumes and secrets.
            serialized: sends the function by value, so it may be anywhere.
            single_use_containers: a container for each input.
            include_source: whether its module comes along by itself.
            name: its tag in the app; else its qualified name.

        The last four are names of Modal's past. Raises InvalidError for a wrong argument, UnimplementedError for one
        whose feature comes later.
        """
        given = {**locals()}  # every parameter by its name
        if _raw is not None:
            raise InvalidError("@app.function needs parentheses: @app.function()")
        settings = self._settings(given) if is_local() else options.FunctionOptions(image)

        def decorate(raw: Callable[..., Any]) -> Function[..., Any, Any]:
            raw, partial = unwrapped(raw)
            if is_local():
                check_raw(raw, serialized)
                if settings.schedule is not None:
                    check_scheduled(raw)
            if partial is not None:
                take(settings, partial.concurrency, partial.batching)
                clusters.take(settings, partial.cluster)
            tag = name or getattr(raw, "__qualname__", "")
            web = web_of(partial)
            generates = True if web is not None else is_generator  # a web answer comes in parts
            made: Function[..., Any, Any] = Function(raw, self, tag, settings, is_generator=generates)
            made.web = web
            check_made(made)
            clusters.check(tag, settings, web)
            self._register(made)
            return made

        return decorate  # pyright: ignore[reportReturnType]  (one body for all overloads)

    @dataclass_transform(field_specifiers=(parameter,), kw_only_default=True)
    def cls(
        self,
        _raw: None = None,
        *,
        image: Image | None = None,
        env: Mapping[str, str | None] | None = None,
        secrets: Collection[Secret] | None = None,
        gpu: str | list[str] | None = None,
        serialized: bool = False,
        network_file_systems: Mapping[str, Any] = {},
        volumes: Mapping[str, Volume | CloudBucketMount] = {},
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        ephemeral_disk: int | None = None,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: int | None = None,
        proxy: Any = None,
        retries: int | Retries | None = None,
        timeout: int = 300,
        startup_timeout: int | None = None,
        cloud: str | None = None,
        region: str | Sequence[str] | None = None,
        routing_region: str | None = None,
        nonpreemptible: bool = False,
        enable_memory_snapshot: bool = False,
        block_network: bool = False,
        restrict_modal_access: bool = False,
        single_use_containers: bool = False,
        i6pn: bool | None = None,
        include_source: bool | None = None,
        experimental_options: Mapping[str, Any] | None = None,
        _experimental_restrict_output: bool = False,
        max_inputs: int | None = None,
        keep_warm: int | None = None,
        concurrency_limit: int | None = None,
        container_idle_timeout: int | None = None,
        allow_concurrent_inputs: int | None = None,
    ) -> Callable[[C], C]:
        """Makes a Python class one whose methods run in containers; they share them.

        The arguments are those of `function`, for all methods of the class.

        ```python
        @app.cls(gpu="A10G")
        class Model:
            size: int = modal.parameter(default=7)

            @modal.enter()
            def load(self):
                self.model = load_model(self.size)

            @modal.method()
            def predict(self, text: str) -> str:
                return self.model(text)

        Model(size=70).predict.remote("hello")
        ```

        Raises TypeError over anything but a class, InvalidError for a wrong argument or a class that can't work.
        """
        given = {
            **locals(),
            "schedule": None,
            "name": None,
            "is_generator": None,
        }  # every parameter by its name
        if _raw is not None:
            raise InvalidError("@app.cls needs parentheses: @app.cls()")
        settings = self._settings(given, "App.cls") if is_local() else options.FunctionOptions(image)
        settings.snapshot = enable_memory_snapshot

        def decorate(user_cls: C) -> C:
            from .cls import make, service_of

            made = make(user_cls, self, settings)
            self._register(service_of(made))
            self._classes[made.__name__] = made
            return made  # pyright: ignore[reportReturnType]  (a type checker sees the class itself)

        return decorate

    def local_entrypoint(
        self, _raw: None = None, *, name: str | None = None
    ) -> Callable[[Callable[P, R]], LocalEntrypoint[P, R]]:
        """Makes a Python function one that the command line starts on this machine, with the app running.

        Its parameters become options: `def main(steps: int = 50)` is started by `ionian run app.py --steps 10`.
        """
        if _raw is not None:
            raise InvalidError("@app.local_entrypoint needs parentheses: @app.local_entrypoint()")
        if name is not None and is_local():
            text("name", name)

        def decorate(raw: Callable[P, R]) -> LocalEntrypoint[P, R]:
            if is_local():
                check_entrypoint(raw)
            tag = name or raw.__qualname__
            if tag in self._entrypoints and is_local():
                raise InvalidError(f"the app has two local entrypoints named {tag!r}; give one another name")
            made = LocalEntrypoint(raw, tag, self)
            self._entrypoints[tag] = made
            return made

        return decorate

    # --- running

    def run(
        self,
        *,
        name: str | None = None,
        client: Any = None,
        detach: bool = False,
        interactive: bool = False,
        environment_name: str | None = None,
    ) -> RunningApp:
        """The app, running while the block does: `with app.run():`, or `async with`.

        With `detach`, calls that run when the block ends may end too. With `interactive`, functions may use this terminal:
        `breakpoint()` and `modal.interact()`; it needs `modal.enable_output()` around it. In a container, where the module is imported
        once more, the import ends at this line.
        """
        if not is_local():
            return _InContainer(self)
        later.refuse("App.run", client=client)
        flag("detach", detach)
        flag("interactive", interactive)
        if name is not None:
            text("name", name)
        if environment_name is not None:
            environment(environment_name)
        from .client.runner import run_app

        return run_app(
            self,
            name=name,
            detach=detach,
            interactive=interactive,
            environment_name=environment_name,
            client=client,
        )

    # --- inside

    def _settings(self, given: dict[str, Any], decorator: str = "App.function") -> options.FunctionOptions:
        """The checked arguments of `function` or `cls`, with what the app adds."""
        _take_retired(given)
        given["experimental_options"] = options.experiments(given["experimental_options"])
        refused = [name for name in _refused(decorator) if given[name]]
        if refused:
            later.refuse(decorator, **{refused[0]: True})
        settings = options.checked(given)
        if given["allow_concurrent_inputs"] is not None:
            most = integer(
                "allow_concurrent_inputs", given["allow_concurrent_inputs"], least=1, most=MOST_CONCURRENT
            )
            take(settings, concurrency_of(most, None), None)
        if given["include_source"] is None:
            settings.include_source = self.include_source
        settings.secrets = (*self.secrets, *settings.secrets)
        volumes, buckets = settings.volumes, settings.buckets
        settings.volumes = {**_others(self.volumes, buckets), **volumes}
        settings.buckets = {**_others(self.buckets, volumes), **buckets}
        check_distinct(settings.volumes)
        return settings

    def _register(self, function: Function[..., Any, Any]) -> None:
        other = self._functions.get(function.tag)
        if (
            other is not None
            and is_local()
            and (other.module, other.qualname) != (function.module, function.qualname)
        ):
            warnings.warn(
                f"the app has two functions named {function.tag!r}, and the later one counts; "
                "give one another name by @app.function(name=…)",
                stacklevel=4,
            )
        self._functions[function.tag] = function

    def __repr__(self) -> str:
        return f"App({self.name!r})"


def _refused(decorator: str) -> list[str]:
    """The parameters of a decorator whose feature comes later."""
    return [name[len(decorator) + 1 : -1] for name in later.PARAMETERS if name.startswith(f"{decorator}(")]


class _InContainer:
    """`app.run()` in a container: entering it ends the import of the module."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __enter__(self) -> App:
        if is_importing():
            stop_import(self._app)
        raise InvalidError("an app can't be run from inside a container; call its functions by .remote(…)")

    def __exit__(self, *error: object) -> None:
        return None

    async def __aenter__(self) -> App:
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        return None


def _take_retired(given: dict[str, Any]) -> None:
    """Reads the names of Modal's past as those of today, with one warning each."""
    for old, new in RETIRED.items():
        if given[old] is None:
            continue
        if given[new] is not None:
            raise InvalidError(f"{old} is the retired name of {new}; give {new} alone")
        given[new] = options.scaling_argument(new, given[old], old)
        _warn(f"{old}= is retired; write {new}={given[old]!r}")
    if given["max_inputs"] is not None:
        if given["max_inputs"] != 1:
            raise wrong(
                "max_inputs", "1, the retired way to say single_use_containers=True", given["max_inputs"]
            )
        given["single_use_containers"] = True
        _warn("max_inputs=1 is retired; write single_use_containers=True")
    concurrent = given["allow_concurrent_inputs"]
    if concurrent is not None:
        _warn(f"allow_concurrent_inputs= is retired; write @modal.concurrent(max_inputs={concurrent!r})")


def _warn(message: str) -> None:
    warnings.warn(message, DeprecationError, stacklevel=5)


def _others(mounts: Mapping[str, T], taken: Mapping[str, Any]) -> dict[str, T]:
    """What an app mounts, but where its function mounts something of its own."""
    return {path: mount for path, mount in mounts.items() if path not in taken}
