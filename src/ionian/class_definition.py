"""What a class says of itself by its decorators: read once, on the user's side by `@app.cls()`, in its containers again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType
from typing import TYPE_CHECKING, Any

from . import parameters
from .clusters import CLUSTER
from .exception import DeprecationError, InvalidError
from .partial_function import CONCURRENCY, ENTER, ENTER_SNAP, EXIT, METHOD, OBJECT, PartialFunction

if TYPE_CHECKING:
    from .options import FunctionOptions
    from .protocol.spec import ClassSpec, MethodSpec, ParameterSpec

Hook = Callable[[Any], Any]
"""Called with the live object; what it returns is awaited where it can be."""

VARARGS = 0x04 | 0x08
GENERATOR = 0x20 | 0x200

OLD_HOOKS = {"__enter__": "enter", "__aenter__": "enter", "__exit__": "exit", "__aexit__": "exit"}
"""Methods by which classes of Modal's past said what runs at a container's start and end."""


class ClassDefinition:
    """The methods, hooks and parameters of a class, its bases' included."""

    def __init__(self, user_cls: type) -> None:
        self.user_cls = user_cls
        self.name = user_cls.__name__
        self.methods: dict[str, PartialFunction[..., Any, Any]] = {}
        self.parameters = parameters.of_class(user_cls)
        self.has_init = user_cls.__init__ is not object.__init__
        self.concurrency: tuple[int, int] | None = getattr(user_cls, CONCURRENCY, None)
        self.cluster: tuple[int, bool, int] | None = getattr(user_cls, CLUSTER, None)
        self._hooks: dict[str, list[Hook]] = {ENTER_SNAP: [], ENTER: [], EXIT: []}
        partials = dict(_partials(user_cls))
        for name, partial in partials.items():
            if METHOD in partial.kinds:
                self.methods[name] = partial
            for kind in partial.kinds - {METHOD}:
                self._hooks[kind].append(partial.raw)
        self.old_hooks = _old_hooks(user_cls) if not any(self._hooks.values()) else []
        for name in self.old_hooks:
            self._hooks[ENTER if OLD_HOOKS[name] == "enter" else EXIT].append(_old_hook(name))

    @property
    def enter_hooks(self) -> list[Hook]:
        """What runs before the first input, in its order."""
        return [*self.snap_hooks, *self.late_hooks]

    @property
    def snap_hooks(self) -> list[Hook]:
        """What runs before the snapshot: once for all containers that are forked from one template."""
        return self._hooks[ENTER_SNAP]

    @property
    def late_hooks(self) -> list[Hook]:
        """What runs in each container behind that."""
        return self._hooks[ENTER]

    @property
    def exit_hooks(self) -> list[Hook]:
        """What runs at the end, in its order."""
        return self._hooks[EXIT]

    @property
    def has_snap_hooks(self) -> bool:
        """Whether something runs before the snapshot."""
        return bool(self.snap_hooks)

    @property
    def batching(self) -> tuple[int, int] | None:
        """What `@modal.batched` says of its one method."""
        return next((partial.batching for partial in self.methods.values() if partial.batching), None)

    def make(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A live object of the class, its parameters set; hooks have not run."""
        if not self.parameters or self.has_init:
            return self.user_cls(*args, **kwargs)
        made = self.user_cls()
        for name, parameter in self.parameters.items():
            if name in kwargs:
                setattr(made, name, kwargs[name])
            elif parameter.has_default:
                setattr(made, name, parameter.default)
        return made

    def spec(self) -> ClassSpec:
        """The class as the protocol says it."""
        from .protocol.spec import ClassSpec

        return ClassSpec(
            methods=self.method_specs(),
            parameters=self.parameter_specs(),
            has_exit=bool(self.exit_hooks),
        )

    def method_specs(self) -> list[MethodSpec]:
        """Its methods as the protocol says them."""
        from .protocol.spec import MethodSpec
        from .web_endpoint import web_of

        return [
            MethodSpec(name, is_generator(partial), web_of(partial)) for name, partial in self.methods.items()
        ]

    def parameter_specs(self) -> list[ParameterSpec]:
        """The arguments of its constructor as the protocol says them."""
        from .protocol.spec import ParameterSpec

        if not self.has_init:
            return [
                ParameterSpec(name, parameter.type, parameter.has_default)
                for name, parameter in self.parameters.items()
                if parameter.init
            ]
        import inspect

        found: list[ParameterSpec] = []
        for parameter in inspect.signature(self.user_cls).parameters.values():
            several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            has_default = several or parameter.default is not parameter.empty
            found.append(
                ParameterSpec(
                    str(parameter).partition(":")[0].partition("=")[0], parameters.PICKLED, has_default
                )
            )
        return found


def is_generator(partial: PartialFunction[..., Any, Any]) -> bool:
    """Whether a call of the method gives an iterator."""
    if partial.is_generator is not None:
        return partial.is_generator
    if partial.web is not None:
        return True  # its answer comes in parts
    code: CodeType | None = getattr(partial.raw, "__code__", None)
    return code is not None and bool(code.co_flags & GENERATOR)


def check(definition: ClassDefinition, options: FunctionOptions) -> None:
    """Raises InvalidError for what can't work, where the class is defined; warns of what is retired."""
    user_cls, name = definition.user_cls, definition.name
    if "<locals>" in user_cls.__qualname__ and not options.serialized:
        raise InvalidError(
            f"{user_cls.__qualname__} is inside a function, where a container can't find it; move it to the top of the "
            "module, or write @app.cls(serialized=True)"
        )
    if definition.parameters and definition.has_init:
        raise InvalidError(
            f"{name} has an __init__ and modal.parameter()s ({', '.join(definition.parameters)}); leave the __init__ out, and "
            "do its work in a method with @modal.enter()"
        )
    if definition.has_snap_hooks and not options.snapshot:
        raise InvalidError(
            f"{name} has an @modal.enter(snap=True), which needs @app.cls(enable_memory_snapshot=True)"
        )
    _check_overrides(user_cls)
    for attribute, partial in _partials(user_cls):
        where = f"{name}.{attribute}"
        if partial.concurrency is not None:
            raise InvalidError(
                f"{where}: @modal.concurrent is for functions and classes, not for a method; write it over the class, "
                "under @app.cls()"
            )
        if METHOD not in partial.kinds:
            _check_hook(where, partial)
    if definition.batching is not None and len(definition.methods) > 1:
        raise InvalidError(
            f"{name} has a method with @modal.batched and others ({', '.join(definition.methods)}); a class with one has no "
            "other method for callers"
        )
    _warn_of_retired(definition)


def _warn_of_retired(definition: ClassDefinition) -> None:
    import warnings

    name = definition.name
    if definition.has_init and definition.parameter_specs():
        warnings.warn(
            f"{name}: an __init__ with arguments is retired; write `name: type = modal.parameter()` for each, and do the "
            "rest in a method with @modal.enter()",
            DeprecationError,
            stacklevel=5,
        )
    if definition.old_hooks:
        hooks = ", ".join(definition.old_hooks)
        warnings.warn(
            f"{name}: {hooks} for the life of a container is retired; write methods with @modal.enter() and @modal.exit()",
            DeprecationError,
            stacklevel=5,
        )


def _check_hook(where: str, partial: PartialFunction[..., Any, Any]) -> None:
    code: CodeType | None = getattr(partial.raw, "__code__", None)
    if code is None:
        return
    kind = min(partial.kinds).partition(",")[0]
    if code.co_flags & GENERATOR:
        raise InvalidError(f"{where}: @modal.{kind} takes a function that ends, not a generator")
    needed = code.co_argcount - len(partial.raw.__defaults__ or ())
    if needed > 1 or (code.co_argcount == 0 and not code.co_flags & VARARGS):
        raise InvalidError(
            f"{where}: @modal.{kind} takes a method with self alone, as it is called without arguments"
        )


def _check_overrides(user_cls: type) -> None:
    """An override without the decorator would be another function for callers than for the class's own code."""
    marked: dict[str, type] = {}
    for klass in reversed(user_cls.__mro__):
        for name, value in vars(klass).items():
            inner = getattr(value, "__func__", None)
            if isinstance(inner, PartialFunction):
                raise InvalidError(
                    f"{klass.__name__}.{name}: a method that runs in containers has self; leave @{type(value).__name__} out"
                )
            if isinstance(value, PartialFunction):
                marked[name] = klass
            elif name in marked and callable(value):
                kinds = dict(_partials(marked[name]))[name].kinds
                kind = min(kinds).partition(",")[0]
                raise InvalidError(
                    f"{klass.__name__}.{name} overrides one of {marked[name].__name__} that has @modal.{kind}(), and needs "
                    "the decorator too"
                )


def _partials(user_cls: type) -> Iterator[tuple[str, PartialFunction[..., Any, Any]]]:
    """What is marked in a class and its bases: bases first, each in the order of its definition."""
    found: dict[str, PartialFunction[..., Any, Any]] = {}
    for klass in reversed(user_cls.__mro__):
        for name, value in vars(klass).items():
            if isinstance(value, PartialFunction):
                found[name] = value
            else:
                found.pop(name, None)
    yield from found.items()


def _old_hooks(user_cls: type) -> list[str]:
    return [name for name in OLD_HOOKS if hasattr(user_cls, name)]


def _old_hook(name: str) -> Hook:
    def run(instance: Any) -> Any:
        bound = getattr(instance, name)
        return bound() if OLD_HOOKS[name] == "enter" else bound(None, None, None)

    return run


def set_object(instance: Any, handle: Any) -> None:
    """Tells a live object of its handle, by which `self.method.remote(…)` finds its containers."""
    try:
        object.__setattr__(instance, OBJECT, handle)
    except AttributeError:
        pass  # __slots__ without a __dict__: plain calls work, and .remote says what is missing
