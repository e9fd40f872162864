"""What a container runs: its function, found once, or the methods of its object; and what runs before and behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..class_definition import ClassDefinition, Hook, is_generator
from ..exception import NotFoundError
from ..function import handle
from ..obj import Binding
from ..parameters import decoded
from ..protocol.container import RING, Begin
from ..protocol.tags import service_tag
from ..remote_class import RemoteClass
from . import loop, modules
from .results import own_frames, say

CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200


class Callables:
    """What inputs may call. A plain function is the method "" """

    def __init__(self, function: Callable[..., Any], is_generator: bool) -> None:
        self._function = function
        self._is_generator = is_generator

    def find(self, method: str) -> tuple[Callable[..., Any], bool]:
        """What an input calls, and whether it is a generator. Raises NotFoundError where there is no such method."""
        if method:
            raise NotFoundError(
                f"the container runs a function, and the input asks for its method {method!r}"
            )
        return self._function, self._is_generator

    def leave(self) -> None:
        """Runs what is to be run at the container's end. No input runs any more; the container's loop is not running."""


class Pages(Callables):
    """A function that answers web requests."""

    def __init__(self, function: Callable[..., Any], begin: Begin) -> None:
        from .web.apps import WebFunction

        assert begin.web is not None
        self._made = WebFunction(function, begin.web, begin.max_inputs)
        super().__init__(self._made.answer, False)

    def leave(self) -> None:
        self._made.leave()


class Methods(Callables):
    """The methods of one live object."""

    def __init__(self, definition: ClassDefinition, instance: Any, most: int) -> None:
        self._name = definition.name
        self._instance = instance
        self._exit_hooks = definition.exit_hooks
        self._methods = {
            name: (partial.raw.__get__(instance), is_generator(partial))
            for name, partial in definition.methods.items()
        }
        self._pages: list[Any] = []
        for name, partial in definition.methods.items():
            if partial.web is not None:
                from .web.apps import WebFunction

                self._pages.append(WebFunction(partial.raw.__get__(instance), partial.web, most))
                self._methods[name] = self._pages[-1].answer, False

    def find(self, method: str) -> tuple[Callable[..., Any], bool]:
        found = self._methods.get(method)
        if found is None:
            raise NotFoundError(
                f"{self._name} has no method {method!r} for callers; it has {', '.join(self._methods) or 'none'}"
            )
        return found

    def leave(self) -> None:
        """Runs the @exit hooks, each whatever became of those before it. A failure is printed: no caller is there."""
        hooks, self._exit_hooks = self._exit_hooks, []
        pages, self._pages = self._pages, []
        for each in pages:
            each.leave()
        for hook in hooks:
            try:
                _run(hook, self._instance)
            except BaseException as error:
                _print(error, f"an @exit of {self._name} failed:")


def prepare(begin: Begin) -> Callables:
    """Finds what the container runs, and runs what is to be run before the first input (the module is imported)."""
    return Preparation(begin).finish(begin)


class Preparation:
    """What is run before the first input, in its two halves: a template's, and what each of its containers goes on with."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._found = modules.find(begin)
        self._definition = ClassDefinition(self._found) if begin.is_class else None
        self._instance: Any = None
        self._is_made = False

    def is_async(self) -> bool:
        """Whether some of it will run on an event loop."""
        definition = self._definition
        if self.web():
            return True
        if definition is None:
            return is_async(self._found)
        hooks = [*definition.enter_hooks, *definition.exit_hooks]
        return any(map(is_async, [*hooks, *(partial.raw for partial in definition.methods.values())]))

    def web(self) -> list[dict[str, Any]]:
        """What the function, or each method of the class, is for the web."""
        if self._definition is None:
            return [self._begin.web] if self._begin.web is not None else []
        return [partial.web for partial in self._definition.methods.values() if partial.web is not None]

    def enter_snapshot(self) -> None:
        """Makes the live object of the class, if it is one, and runs its @enter(snap=True) hooks."""
        definition = self._definition
        if definition is None:
            return
        args, kwargs = decoded(self._begin.arguments)
        self._instance, self._is_made = definition.make(args, kwargs), True
        self._bind(definition, args, kwargs)
        for hook in definition.snap_hooks:
            _run(hook, self._instance)

    def _bind(self, definition: ClassDefinition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Has `self.method.remote()` lead to the containers of this function."""
        service = handle(self._begin.function_id, service_tag(definition.name), False)
        remote = RemoteClass(definition.name, service, definition)
        Binding(remote, args, kwargs).is_alive(self._instance)

    def finish(self, begin: Begin) -> Callables:
        """Runs what was not run yet; returns what inputs may call. `begin`: the container's own, which may be one of a
        variant: with other parameters, unless the object is made already."""
        made_for, self._begin = self._begin.function_id, begin
        if self._definition is None:
            if begin.web is not None:
                return Pages(self._found, begin)
            return Callables(self._found, generates(self._found))
        if not self._is_made:
            self.enter_snapshot()
        elif made_for != begin.function_id:
            self._bind(self._definition, *decoded(begin.arguments))
        for hook in self._definition.late_hooks:
            _run(hook, self._instance)
        return Methods(self._definition, self._instance, begin.max_inputs)


def is_async(function: Any) -> bool:
    """Whether a call of it makes a coroutine, or an async generator."""
    return bool(_flags(function) & (CO_COROUTINE | CO_ASYNC_GENERATOR))


def generates(function: Any) -> bool:
    """Whether it is a generator of either kind, or is said to be one."""
    made = _flags(function) & (CO_GENERATOR | CO_ASYNC_GENERATOR)
    return bool(made) or getattr(function, "__ionian_generator__", False)


def _flags(function: Any) -> int:
    return getattr(getattr(function, "__code__", None), "co_flags", 0)


def _run(hook: Hook, instance: Any) -> None:
    made = hook(instance)
    if hasattr(made, "__await__"):
        loop.run(made)


def _print(error: BaseException, what: str) -> None:
    import traceback

    frames = own_frames(error, f"{RING}/")
    lines = [what, "\nTraceback (most recent call last):\n", *traceback.format_list(frames)]
    say("".join(lines + traceback.format_exception_only(type(error), error)))
