"""Objects of classes, as their callers have them: `Model(size=70)`, and its methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from . import parameters
from .blocking import BlockingMethod
from .class_definition import ClassDefinition, Hook, set_object
from .exception import ExecutionError, InvalidError, NotFoundError
from .execution import is_local
from .function import Function, handle
from .protocol.tags import service_tag
from .remote_class import Facts, RemoteClass

if TYPE_CHECKING:
    from .scaling import FunctionAutoscalerSettings

    AnyFunction = Function[..., Any, Any]

COROUTINE = 0x80
"""Flag of the code of an async function."""


class Binding:
    """A class with parameters: which pool of containers that is, and the object of this process."""

    def __init__(self, remote: RemoteClass, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.remote = remote
        self.args = args
        self.kwargs = kwargs
        self._arguments: str | None = None  # the parameters as text, once a method is called
        self._live: Any = None  # once something needs it
        self._entered = False
        if remote.definition is not None and is_local():
            self._check()

    @property
    def definition(self) -> ClassDefinition | None:
        """What its class says of itself; None where it was defined elsewhere."""
        return self.remote.definition

    def function_id(self, client: Any = None) -> str:
        """The server's id of what runs its methods. Raises InvalidError for parameters that the class doesn't take."""
        if self._arguments is None:
            self._check()
            self._arguments = self._encoded()
        return self.remote.pool(self._arguments, client)

    def is_alive(self, instance: Any) -> None:
        """In a container: this is its object, entered, and its own pool is the function itself."""
        self._live, self._entered, self._arguments = instance, True, ""
        set_object(instance, Obj(self))

    # --- its parameters

    def _check(self) -> None:
        definition = self.definition
        if definition is not None and definition.has_init:
            import inspect

            inspect.signature(definition.user_cls).bind(
                *self.args, **self.kwargs
            )  # TypeError, as Python's own
        elif not self._are_pickled():
            known = self.remote.facts().parameters
            self.kwargs = parameters.bound(self.remote.name, known, self.args, self.kwargs)

    def _are_pickled(self) -> bool:
        """Whether the class has an `__init__` of its own, which takes anything."""
        return any(parameter.type == parameters.PICKLED for parameter in self.remote.facts().parameters)

    def _encoded(self) -> str:
        """The parameters as text; "" where they are the class's own. Those that equal their defaults are left out."""
        if self._are_pickled():
            if not self.args and not self.kwargs:
                return ""
            return parameters.encoded_by_value(self.args, self.kwargs, f"an argument of {self.remote.name}")
        values = self.kwargs
        if self.definition is not None:
            own = self.definition.parameters
            values = {name: value for name, value in values.items() if own[name].default != value}
        return parameters.encoded(values) if values else ""

    # --- the object of this process

    def instance(self) -> Any:
        """The object, made once. Raises ExecutionError where its class was defined elsewhere."""
        if self._live is None:
            if self.definition is None:
                raise ExecutionError(
                    f"{self.remote.name} was defined elsewhere and can't be used here; call its methods by .remote(…)"
                )
            self._live = self.definition.make(self.args, self.kwargs)
            set_object(self._live, Obj(self))
        return self._live

    def enter(self) -> Any:
        """The object, its @enter hooks run once."""
        live = self.instance()
        if not self._entered:
            for hook in self._hooks():
                made = hook(live)
                if hasattr(made, "__await__"):
                    _wait(made, self.remote.name)
            self._entered = True
        return live

    async def enter_async(self) -> Any:
        """The same for an async method, on its loop."""
        live = self.instance()
        if not self._entered:
            for hook in self._hooks():
                made = hook(live)
                if hasattr(made, "__await__"):
                    await made
            self._entered = True
        return live

    def _hooks(self) -> list[Hook]:
        return self.definition.enter_hooks if self.definition is not None else []


class Obj:
    """The handle of an object of a class: its methods run in the containers of these parameters."""

    __slots__ = ("_binding", "_methods")
    _binding: Binding
    _methods: dict[str, AnyFunction]

    def __init__(self, binding: Binding) -> None:
        object.__setattr__(self, "_binding", binding)
        object.__setattr__(self, "_methods", dict[str, "AnyFunction"]())

    @BlockingMethod
    def update_autoscaler(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: int | None = None,
    ) -> FunctionAutoscalerSettings:
        """Changes how many containers these parameters have, until the app is deployed again.

        What is not given stays as it is; `scaledown_window` in seconds. Returns all settings. Raises InvalidError for a
        wrong argument, ExecutionError where the app is not running.
        """
        pool = handle(self._binding.function_id(), service_tag(self._binding.remote.name), False)
        return pool.update_autoscaler(
            min_containers=min_containers,
            max_containers=max_containers,
            buffer_containers=buffer_containers,
            scaledown_window=scaledown_window,
        )

    def __getattr__(self, name: str) -> Any:
        definition = self._binding.definition
        if name.startswith("__") and (definition is None or not hasattr(definition.user_cls, name)):
            raise AttributeError(name)
        if definition is not None and name not in definition.methods:
            return self._attribute(name, definition)
        found = self._methods.get(name)
        if found is None:
            found = self._methods[name] = MethodFunction(self._binding, name)
        return found

    def _attribute(self, name: str, definition: ClassDefinition) -> Any:
        live = self._binding.instance()
        try:
            return getattr(live, name)
        except AttributeError:
            methods = ", ".join(definition.methods) or "none"
            raise AttributeError(
                f"{definition.name} has no attribute {name!r} here; its methods for callers: {methods}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"{self._binding.remote.name}.{name} can't be set from outside, as the object is in a container: make it a "
            "modal.parameter() of the class, or set it in a method"
        )

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._binding.remote.facts().methods]

    def __reduce__(self) -> Any:
        """Pickled by the id of its containers: whoever unpickles it may call it, and has no need of its code."""
        remote = self._binding.remote
        return object_handle, (remote.name, self._binding.function_id(), remote.facts().methods)

    def __repr__(self) -> str:
        binding = self._binding
        given = [repr(value) for value in binding.args]
        given += [f"{name}={value!r}" for name, value in binding.kwargs.items()]
        return f"<{binding.remote.name}({', '.join(given)})>"


class MethodFunction(Function[..., Any, Any]):
    """A method of an object, as its callers have it."""

    def __init__(self, binding: Binding, name: str) -> None:
        self._binding = binding
        definition, remote = binding.definition, binding.remote
        raw = definition.methods[name].raw if definition is not None else None
        super().__init__(raw, None, f"{remote.name}.{name}", remote.service.options, is_generator=False)
        self.method = name

    def hydrate(self, client: Any = None) -> MethodFunction:
        """Sees to it that the method has the id of its containers, and returns it.

        Raises ExecutionError where its app is not running, NotFoundError where the class has no such method.
        """
        self._is_generator()
        self.function_id = self._binding.function_id(client)
        return self

    @property
    def written(self) -> str:
        """It as user code names it, for messages."""
        given = "…" if self._binding.args or self._binding.kwargs else ""
        return f"{self._binding.remote.name}({given}).{self.method}"

    @property
    def is_generator(self) -> bool:
        """Whether a call of the method gives an iterator. Asked for where the class was defined elsewhere."""
        return self._is_generator()

    def local(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the method here, on an object of this process whose @enter hooks have run once."""
        raw: Any = self.raw
        if raw is None:
            raise ExecutionError(f"{self.tag} was defined elsewhere and can't be called here; use .remote(…)")
        if raw.__code__.co_flags & COROUTINE:
            return self._local_async(raw, args, kwargs)
        return raw(self._binding.enter(), *args, **kwargs)

    async def _local_async(self, raw: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await raw(await self._binding.enter_async(), *args, **kwargs)

    @BlockingMethod
    def update_autoscaler(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: int | None = None,
    ) -> FunctionAutoscalerSettings:
        """Refused: all methods of an object share its containers."""
        raise self._of_the_class(f"{self._binding.remote.name}(…).update_autoscaler")

    @property
    def autoscaler(self) -> NoReturn:
        """Refused: all methods of an object share its containers."""
        raise self._of_the_class(f"{self._binding.remote.name}(…).update_autoscaler")

    def with_options(self, **given: Any) -> NoReturn:
        """Refused: all methods of an object share its containers."""
        raise self._of_the_class(f"{self._binding.remote.name}.with_options")

    def with_concurrency(self, **given: Any) -> NoReturn:
        """Refused: all methods of an object share its containers."""
        raise self._of_the_class(f"{self._binding.remote.name}.with_concurrency")

    def with_batching(self, **given: Any) -> NoReturn:
        """Refused: all methods of an object share its containers."""
        raise self._of_the_class(f"{self._binding.remote.name}.with_batching")

    def _of_the_class(self, write: str) -> InvalidError:
        return InvalidError(f"{self.tag}: the methods of an object share its containers; write {write}(…)")

    def _is_generator(self) -> bool:
        methods = self._binding.remote.facts().methods
        found = methods.get(self.method)
        if found is None:
            raise NotFoundError(
                f"{self._binding.remote.name} has no method {self.method!r}; it has "
                f"{', '.join(methods) or 'none for callers'}"
            )
        return found

    def __reduce__(self) -> Any:
        return getattr, (Obj(self._binding), self.method)


def object_handle(name: str, function_id: str, methods: dict[str, bool]) -> Obj:
    """An object whose containers are known by their id."""
    remote = RemoteClass(name, handle(function_id, service_tag(name), False), facts=Facts(methods, []))
    return Obj(Binding(remote, (), {}))


def _wait(made: Any, name: str) -> None:
    """Waits for an async hook, on a loop of its own."""
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
        f"{name} has an async @modal.enter, which .local(…) of a sync method can't wait for on a running loop; call an "
        "async method by .local(…) first"
    )
