"""Classes: what `@app.cls()` makes of a Python class, and handles of its objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from . import clusters, later
from .arguments import app_version, environment, object_name, wrong
from .class_definition import ClassDefinition, check, is_generator
from .dashboard_link import OnDashboard
from .exception import InvalidError
from .execution import is_local
from .function import Function, handle
from .obj import Binding, Obj
from .partial_function import take
from .protocol.tags import service_tag
from .remote_class import Facts, RemoteClass

if TYPE_CHECKING:
    from collections.abc import Collection

    from .app import App
    from .options import FunctionOptions
    from .protocol.spec import ParameterSpec
    from .retries import Retries
    from .secret import Secret
    from .volume import Volume

    AnyFunction = Function[..., Any, Any]


@later.fill
class Cls(OnDashboard):
    """A class whose methods run in containers. Called, it gives the handle of an object with those parameters:

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

    All methods share containers; each distinct set of parameters, and of options by `with_options`, has its own.
    """

    def __init__(self, remote: RemoteClass) -> None:
        self._remote = remote
        self.__name__ = remote.name
        definition = remote.definition
        if definition is not None:
            user_cls = definition.user_cls
            self.__doc__ = user_cls.__doc__
            self.__module__ = user_cls.__module__
            self.__qualname__ = user_cls.__qualname__
            self.__wrapped__ = user_cls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The handle of an object with these parameters. Nothing runs before one of its methods is called.

        Raises InvalidError for a parameter that is unknown, missing or of another type.
        """
        return Obj(Binding(self._remote, args, kwargs))

    def __getattr__(self, name: str) -> Any:
        if name == "_remote":
            raise AttributeError(name)
        definition = self._remote.definition
        if definition is None:
            if name.startswith("__"):
                raise AttributeError(name)
            return _WithoutObject(self.__name__, name, None)
        if name in definition.methods:
            return _WithoutObject(self.__name__, name, definition.methods[name].raw)
        return getattr(definition.user_cls, name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        if self._remote.definition is None:
            raise TypeError(f"{self.__name__} was defined elsewhere and can't be a base class here")
        return (self._remote.definition.user_cls,)

    # --- found by name

    @staticmethod
    def from_name(
        app_name: str,
        name: str,
        *,
        version: int | None = None,
        environment_name: str | None = None,
        client: Any = None,
    ) -> Cls:
        """A class of a deployed app. Nothing is asked before one of its methods is called.

        ```python
        Model = modal.Cls.from_name("my-app", "Model")
        Model(size=70).predict.remote("hello")
        ```

        Args:
            app_name, name: the names of the app and of the class.
            version: of the app: the class as it was in that version, and what it calls of its app too, whatever is
                deployed later.
            environment_name: where the app is deployed; else the current environment.

        Raises InvalidError for a wrong argument; calls raise NotFoundError where there is no such app, class or method.
        """
        app_name = object_name("app_name", app_name)
        if not isinstance(name, str) or not name.isidentifier():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise wrong("name", "the name of a class, without a dot", name)
        later.refuse("Cls.from_name", client=client)
        where = (app_name, environment(environment_name), app_version(version))
        return Cls(RemoteClass(name, handle("", service_tag(name), False), lookup=where))

    @staticmethod
    def lookup(app_name: str, name: str, *, environment_name: str | None = None) -> Cls:
        """Retired: write `Cls.from_name`."""
        import warnings

        from .exception import DeprecationError

        warnings.warn(
            "modal.Cls.lookup is retired; write modal.Cls.from_name", DeprecationError, stacklevel=2
        )
        found = Cls.from_name(app_name, name, environment_name=environment_name)
        found.hydrate()
        return found

    def hydrate(self, client: Any = None) -> Cls:
        """Sees to it that the class has its id, and returns it.

        Raises ExecutionError where its app is not running, NotFoundError where there is no such class.
        """
        later.refuse("Cls.hydrate", client=client)
        self._remote.function_id()
        return self

    @property
    def object_id(self) -> str:
        """The server's id of the class. Raises ExecutionError before its app runs."""
        return self._remote.service.object_id

    # --- with other options

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
        region: str | Any | None = None,
        cloud: str | None = None,
        routing_region: str | None = None,
    ) -> Cls:
        """The class with other options than `@app.cls()` gave it, and containers of its own. What is not given stays.

        ```python
        Model.with_options(gpu="H100", max_containers=2)(size=70).predict.remote("hello")
        ```
        """
        given = {key: value for key, value in locals().items() if key != "self"}
        return self._varied(self._remote.service.with_options(**given))

    def with_concurrency(self, *, max_inputs: int, target_inputs: int | None = None) -> Cls:
        """The class with other limits than those of `@modal.concurrent`, and containers of its own."""
        return self._varied(
            self._remote.service.with_concurrency(max_inputs=max_inputs, target_inputs=target_inputs)
        )

    def with_batching(self, *, max_batch_size: int, wait_ms: int) -> Cls:
        """The class with other limits than those of `@modal.batched`, and containers of its own."""
        definition = self._remote.definition
        if definition is not None:
            for name, partial in definition.methods.items():
                if is_generator(partial):
                    raise InvalidError(
                        f"with_batching: {self.__name__}.{name} is a generator, and what is batched returns a list"
                    )
        return self._varied(
            self._remote.service.with_batching(max_batch_size=max_batch_size, wait_ms=wait_ms)
        )

    def web_methods(self) -> list[str]:
        """The methods that answer web requests, of a class that is defined here."""
        definition = self._remote.definition
        methods = {} if definition is None else definition.methods
        return [name for name, partial in methods.items() if partial.web is not None]

    def _varied(self, service: AnyFunction) -> Cls:
        return Cls(self._remote.varied(service))

    # --- inside

    def __reduce__(self) -> Any:
        """Pickled by its id: whoever unpickles it may call it, and has no need of its code."""
        facts = self._remote.facts()
        return class_handle, (self.__name__, self._remote.function_id(), facts.methods, facts.parameters)

    def __repr__(self) -> str:
        return f"<Cls {self.__name__}>"


class _WithoutObject:
    """`Model.predict`: a method without an object."""

    def __init__(self, class_name: str, name: str, raw: Callable[..., Any] | None) -> None:
        self._class_name = class_name
        self.__name__ = name
        self._raw = raw
        self.__doc__ = getattr(raw, "__doc__", None)
        if raw is not None:
            self.__wrapped__ = raw

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function itself: `Base.method(self, …)` in a method that overrides it."""
        if self._raw is None or not args:
            raise self._error("(…)")
        return self._raw(*args, **kwargs)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._error(f".{name}(…)")

    def _error(self, use: str) -> AttributeError:
        whole = f"{self._class_name}.{self.__name__}"
        return AttributeError(
            f"{whole}{use} has no object to run on. Did you forget to instantiate the class? Write "
            f"{self._class_name}().{self.__name__}{use}"
        )

    def __repr__(self) -> str:
        return f"<method {self._class_name}.{self.__name__}, without an object>"


# --- made, and known by their ids


def make(user_cls: Any, app: App, options: FunctionOptions) -> Cls:
    """What `@app.cls()` makes of a class. Raises TypeError over anything else, InvalidError for what can't work."""
    _check_class(user_cls)
    definition = ClassDefinition(user_cls)
    if is_local():
        check(definition, options)
    take(options, definition.concurrency, definition.batching)
    clusters.take(options, definition.cluster)
    if is_local():
        clusters.check_class(definition, options, definition.method_specs())
    service: AnyFunction = Function(
        user_cls, app, service_tag(user_cls.__name__), options, is_generator=False
    )
    service.class_spec = definition.spec if is_local() else None
    return Cls(RemoteClass(user_cls.__name__, service, definition))


def service_of(cls: Cls) -> AnyFunction:
    """The function that runs the methods of a class."""
    return cls._remote.service


def definition_of(cls: Cls) -> ClassDefinition | None:
    """What a class says of itself; None where it was defined elsewhere."""
    return cls._remote.definition


def class_handle(
    name: str, function_id: str, methods: dict[str, bool], parameters: list[ParameterSpec]
) -> Cls:
    """A class that is known by its id."""
    return Cls(
        RemoteClass(name, handle(function_id, service_tag(name), False), facts=Facts(methods, parameters))
    )


def _check_class(user_cls: Any) -> None:
    if isinstance(user_cls, Cls):
        raise InvalidError(f"{user_cls.__name__} has two @app.cls() decorators; leave one out")
    if isinstance(user_cls, type):
        return
    name = getattr(user_cls, "__name__", repr(user_cls))
    raise TypeError(f"@app.cls() takes a class, and {name} is none; @app.function() is for functions")
