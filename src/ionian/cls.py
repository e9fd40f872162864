"""Classes: what `@app.cls()` makes of a Python class, and handles of its objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from . import later, parameters
from .class_definition import ClassDefinition, Hook, check, is_generator, set_object
from .exception import ExecutionError, InvalidError, NotFoundError, SerializationError
from .execution import is_local
from .function import Function, handle
from .partial_function import take

if TYPE_CHECKING:
    from collections.abc import Collection

    from .app import App
    from .options import FunctionOptions
    from .protocol.spec import ParameterSpec, Scaling
    from .retries import Retries
    from .secret import Secret
    from .volume import Volume

    AnyFunction = Function[..., Any, Any]

COROUTINE = 0x80
"""Flag of the code of an async function."""

SERVICE = ".*"
"""The function that runs all methods of the class `Model` has the tag `Model.*`."""


@later.fill
class Cls:
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

    def __init__(
        self, name: str, service: AnyFunction, definition: ClassDefinition | None, facts: _Facts | None = None
    ) -> None:
        self._name = name
        self._service = service  # the function that runs its methods
        self._definition = definition  # None: it was defined elsewhere
        self._facts = facts  # what callers know of it, once it is known
        self._pools: dict[tuple[str, str], str] = {}  # ids of its variants, by its own id and the parameters
        self.__doc__ = definition.user_cls.__doc__ if definition is not None else None
        self.__name__ = name
        if definition is not None:
            self.__module__ = definition.user_cls.__module__
            self.__qualname__ = definition.user_cls.__qualname__
            self.__wrapped__ = definition.user_cls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The handle of an object with these parameters. Nothing runs before one of its methods is called.

        Raises InvalidError for a parameter that is unknown, missing or of another type.
        """
        return Obj(self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        definition = vars(self).get("_definition")
        if definition is None:
            if name.startswith("__"):
                raise AttributeError(name)
            return _Uninstantiated(self._name, name, None)
        if name in definition.methods:
            return _Uninstantiated(self._name, name, definition.methods[name].raw)
        return getattr(definition.user_cls, name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        if self._definition is None:
            raise TypeError(f"{self._name} was defined elsewhere and can't be a base class here")
        return (self._definition.user_cls,)

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
            environment_name: where the app is deployed; else the current environment.

        Raises InvalidError for a wrong argument; calls raise NotFoundError where there is no such app, class or method.
        """
        if not isinstance(name, str) or not name or "." in name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidError(f"name: expected the name of a class, without a dot, got {name!r}")
        service = Function.from_name(
            app_name, "placeholder", version=version, environment_name=environment_name, client=client
        )
        service.tag = name + SERVICE
        return Cls(name, service, None)

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
        self._service.hydrate(client)
        return self

    @property
    def object_id(self) -> str:
        """The server's id of the class. Raises ExecutionError before its app runs."""
        return self._service.object_id

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
        return self._varied(self._service.with_options(**given))

    def with_concurrency(self, *, max_inputs: int, target_inputs: int | None = None) -> Cls:
        """The class with other limits than those of `@modal.concurrent`, and containers of its own."""
        return self._varied(
            self._service.with_concurrency(max_inputs=max_inputs, target_inputs=target_inputs)
        )

    def with_batching(self, *, max_batch_size: int, wait_ms: int) -> Cls:
        """The class with other limits than those of `@modal.batched`, and containers of its own."""
        return self._varied(self._service.with_batching(max_batch_size=max_batch_size, wait_ms=wait_ms))

    def _varied(self, service: AnyFunction) -> Cls:
        return Cls(self._name, service, self._definition, self._facts)

    # --- inside

    def _known(self) -> _Facts:
        """Its methods and parameters; asked for where the class was defined elsewhere."""
        if self._facts is None:
            if self._definition is not None:
                methods = {name: is_generator(method) for name, method in self._definition.methods.items()}
                self._facts = _Facts(methods, self._definition.parameter_specs())
            else:
                self._facts = _found(self._service)
        return self._facts

    def __reduce__(self) -> Any:
        """Pickled by its id: whoever unpickles it may call it, and has no need of its code."""
        facts = self._known()
        return class_handle, (self._name, _id(self._service), facts.methods, facts.parameters)

    def __repr__(self) -> str:
        return f"<Cls {self._name}>"


class _Facts:
    """What callers know of a class."""

    def __init__(self, methods: dict[str, bool], parameters: list[ParameterSpec]) -> None:
        self.methods = methods  # whether they are generators
        self.parameters = parameters


class Obj:
    """The handle of an object of a class: its methods run in the containers of these parameters."""

    __slots__ = ("_args", "_arguments", "_cls", "_entered", "_kwargs", "_live", "_methods")

    def __init__(self, cls: Cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        put = object.__setattr__
        put(self, "_cls", cls)
        put(self, "_args", args)
        put(self, "_kwargs", kwargs)
        put(self, "_arguments", None)  # the parameters as text, once a method is called
        put(self, "_methods", dict[str, "AnyFunction"]())
        put(self, "_live", None)  # the object of this process, once something needs it
        put(self, "_entered", False)
        if cls._definition is not None and is_local():
            self._check(cls._known().parameters)

    def update_autoscaler(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: int | None = None,
    ) -> Scaling:
        """Changes how many containers these parameters have, until the app is deployed again.

        What is not given stays as it is. Returns all settings. Raises ExecutionError where the app is not running.
        """
        pool = handle(self._function_id(), self._cls._name + SERVICE, False)
        return pool.update_autoscaler(
            min_containers=min_containers,
            max_containers=max_containers,
            buffer_containers=buffer_containers,
            scaledown_window=scaledown_window,
        )

    def __getattr__(self, name: str) -> Any:
        definition = self._cls._definition
        if definition is None:
            if name.startswith("__"):
                raise AttributeError(name)
            return self._method(name, None)
        partial = definition.methods.get(name)
        if partial is not None:
            return self._method(name, partial.raw)
        if name.startswith("__") and not hasattr(definition.user_cls, name):
            raise AttributeError(name)
        try:
            return getattr(self._instance(), name)
        except AttributeError:
            methods = ", ".join(definition.methods) or "none"
            raise AttributeError(
                f"{self._cls._name} has no attribute {name!r} here, and its methods for callers are: {methods}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"{self._cls._name}.{name} can't be set from outside, as its object is in a container: give it as a parameter "
            "of the class, or set it in a method"
        )

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._cls._known().methods]

    def __reduce__(self) -> Any:
        return object_handle, (self._cls._name, self._function_id(), self._cls._known().methods)

    def __repr__(self) -> str:
        given = [repr(value) for value in self._args]
        given += [f"{name}={value!r}" for name, value in self._kwargs.items()]
        return f"<{self._cls._name}({', '.join(given)})>"

    # --- its containers

    def _method(self, name: str, raw: Callable[..., Any] | None) -> AnyFunction:
        found = self._methods.get(name)
        if found is None:
            found = self._methods[name] = MethodFunction(self, name, raw)
        return found

    def _function_id(self, client: Any = None) -> str:
        """The server's id of what runs its methods. Raises for parameters that the class doesn't take."""
        cls = self._cls
        own = cls._service.hydrate(client).function_id
        if self._arguments is None:
            self._check(cls._known().parameters)
            object.__setattr__(self, "_arguments", self._encoded())
        if not self._arguments:
            return own
        found = cls._pools.get((own, self._arguments))
        if found is None:
            from . import link
            from .protocol.calls import BindFunction
            from .protocol.spec import Overrides

            answer, _ = link.current().request(BindFunction(own, Overrides(arguments=self._arguments)))
            found = cls._pools[own, self._arguments] = answer.function_id
        return found

    def _check(self, known: list[ParameterSpec]) -> None:
        cls = self._cls
        definition = cls._definition
        if definition is not None and definition.has_init:
            import inspect

            inspect.signature(definition.user_cls).bind(
                *self._args, **self._kwargs
            )  # TypeError, as Python's own
        elif not any(parameter.type == parameters.PICKLED for parameter in known):
            values = parameters.bound(cls._name, known, self._args, self._kwargs)
            object.__setattr__(self, "_kwargs", values)

    def _encoded(self) -> str:
        """Its parameters as text; "" where they are the class's own. Those that equal defaults are left out."""
        cls, kwargs = self._cls, self._kwargs
        definition = cls._definition
        if any(parameter.type == parameters.PICKLED for parameter in cls._known().parameters):
            if not self._args and not kwargs:
                return ""
            return parameters.encoded_by_value(self._args, kwargs, f"an argument of {cls._name}")
        if definition is not None:
            kwargs = {
                name: value
                for name, value in kwargs.items()
                if not definition.parameters[name].has_default or definition.parameters[name].default != value
            }
        return parameters.encoded(kwargs) if kwargs else ""

    # --- the object of this process

    def _instance(self) -> Any:
        if self._live is None:
            definition = self._cls._definition
            if definition is None:
                raise ExecutionError(
                    f"{self._cls._name} was defined elsewhere and can't be used here; call its methods by .remote(…)"
                )
            live = definition.make(self._args, self._kwargs)
            set_object(live, self)
            object.__setattr__(self, "_live", live)
        return self._live

    def _enter(self) -> Any:
        """The object, its @enter hooks run once."""
        live = self._instance()
        if not self._entered:
            for hook in self._hooks():
                made = hook(live)
                if hasattr(made, "__await__"):
                    self._wait(made)
            object.__setattr__(self, "_entered", True)
        return live

    async def _enter_async(self) -> Any:
        """The same for an async method, on its loop."""
        live = self._instance()
        if not self._entered:
            for hook in self._hooks():
                made = hook(live)
                if hasattr(made, "__await__"):
                    await made
            object.__setattr__(self, "_entered", True)
        return live

    def _hooks(self) -> list[Hook]:
        definition = self._cls._definition
        return definition.enter_hooks if definition is not None else []

    def _wait(self, made: Any) -> None:
        import asyncio

        async def wait() -> None:
            await made

        waiting = wait()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(waiting)
            return
        waiting.close()
        made.close()
        raise InvalidError(
            f"{self._cls._name} has an async @modal.enter, which .local(…) of a sync method can't wait for on a running "
            "loop; call an async method by .local(…) first"
        )


class MethodFunction(Function[..., Any, Any]):
    """A method of an object, as its callers have it."""

    def __init__(self, obj: Obj, name: str, raw: Callable[..., Any] | None) -> None:
        self._obj = obj
        super().__init__(raw, None, f"{obj._cls._name}.{name}", obj._cls._service.options, is_generator=False)
        self.method = name

    def hydrate(self, client: Any = None) -> MethodFunction:
        """Sees to it that the method has the id of its containers, and returns it.

        Raises ExecutionError where its app is not running, NotFoundError where the class has no such method.
        """
        self.function_id = self._obj._function_id(client)
        self._check_name()
        return self

    @property
    def is_generator(self) -> bool:
        """Whether a call of the method gives an iterator. Asked for where the class was defined elsewhere."""
        return self._check_name()

    @is_generator.setter
    def is_generator(self, value: bool) -> None:
        pass  # its class says it

    def local(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the method here, on an object of this process whose @enter hooks have run once."""
        raw: Any = self.raw
        if raw is None:
            raise ExecutionError(f"{self.tag} was defined elsewhere and can't be called here; use .remote(…)")
        if raw.__code__.co_flags & COROUTINE:
            return self._local_async(raw, args, kwargs)
        return raw(self._obj._enter(), *args, **kwargs)

    async def _local_async(self, raw: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await raw(await self._obj._enter_async(), *args, **kwargs)

    def update_autoscaler(self, **given: Any) -> Any:
        """Refused: all methods of an object share its containers."""
        raise InvalidError(f"{self.tag}: methods share containers; write {self._obj!r}.update_autoscaler(…)")

    def _check_name(self) -> bool:
        methods = self._obj._cls._known().methods
        found = methods.get(self.method)
        if found is None:
            raise NotFoundError(
                f"{self._obj._cls._name} has no method {self.method!r}; it has {', '.join(methods) or 'none for callers'}"
            )
        return found

    def __reduce__(self) -> Any:
        return getattr, (self._obj, self.method)


class _Uninstantiated:
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


# --- made


def make(user_cls: Any, app: App, options: FunctionOptions) -> Cls:
    """What `@app.cls()` makes of a class. Raises TypeError over anything else, InvalidError for what can't work."""
    _check_class(user_cls)
    definition = ClassDefinition(user_cls)
    if is_local():
        check(definition, options)
    take(options, definition.concurrency, definition.batching)
    service: AnyFunction = Function(user_cls, app, user_cls.__name__ + SERVICE, options, is_generator=False)
    service.class_spec = definition.spec if is_local() else None
    return Cls(user_cls.__name__, service, definition)


def service_of(cls: Cls) -> AnyFunction:
    """The function that runs the methods of a class."""
    return cls._service


def in_container(definition: ClassDefinition, instance: Any, function_id: str) -> Obj:
    """The handle of the live object of a container."""
    made = Obj(
        Cls(definition.name, handle(function_id, definition.name + SERVICE, False), definition), (), {}
    )
    object.__setattr__(made, "_live", instance)
    object.__setattr__(made, "_entered", True)
    object.__setattr__(made, "_arguments", "")
    return made


def class_handle(
    name: str, function_id: str, methods: dict[str, bool], parameters: list[ParameterSpec]
) -> Cls:
    """A class that is known by its id."""
    return Cls(name, handle(function_id, name + SERVICE, False), None, _Facts(methods, parameters))


def object_handle(name: str, function_id: str, methods: dict[str, bool]) -> Obj:
    """An object whose containers are known by their id."""
    return Obj(class_handle(name, function_id, methods, []), (), {})


def _found(service: AnyFunction) -> _Facts:
    """Asks what a class that was defined elsewhere has."""
    raise NotImplementedError


def _check_class(user_cls: Any) -> None:
    if isinstance(user_cls, Cls):
        raise InvalidError(f"{user_cls.__name__} has two @app.cls() decorators; leave one out")
    if isinstance(user_cls, type):
        return
    name = getattr(user_cls, "__name__", repr(user_cls))
    raise TypeError(f"@app.cls() takes a class, and {name} is none; @app.function() is for functions")


def _id(service: AnyFunction) -> str:
    try:
        return service.hydrate().function_id
    except ExecutionError as error:
        raise SerializationError(f"{service.tag} can't be pickled: {error}") from None
