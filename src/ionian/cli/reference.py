"""What `ionian run` shall run: a reference such as `app.py::embed`, and the object that it means."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import click

from ..client import entry


class Reference(NamedTuple):
    """`place` is a file or, with -m, a module; `name` what stands behind `::`, or ""."""

    place: str
    name: str
    is_module: bool


class Runnable(NamedTuple):
    """What a reference may mean: `target` is a function, or a local entrypoint where `entrypoint` says so."""

    app: Any
    name: str
    target: Any
    entrypoint: bool
    at_module_level: bool

    @property
    def rank(self) -> int:
        """Which kind is meant where none is named: 0 before 3."""
        return (0 if self.at_module_level else 2) + (0 if self.entrypoint else 1)


def parse(text: str, *, is_module: bool, command: str = "run") -> Reference:
    """Splits a reference. Raises UsageError where it is none. `command`: what is said how to write."""
    place, separator, name = text.partition("::")
    if not place or (separator and not name) or "::" in name:
        what = "app" if command in ("deploy", "serve") else "function"
        raise click.UsageError(f"expected file.py, file.py::{what} or -m module::{what}, got {text!r}")
    if not is_module and not place.endswith(".py") and not Path(place).is_file():
        hint = f"; for a module write: ionian {command} -m {text}" if "/" not in place else ""
        raise click.UsageError(f"expected a Python file, got {place!r}{hint}")
    if is_module and (place.endswith(".py") or "/" in place):
        raise click.UsageError(
            f"expected a module's dotted name after -m, got {place!r}; leave -m away for a file"
        )
    return Reference(place, name, is_module)


def load(reference: Reference) -> ModuleType:
    """Imports the module of a reference."""
    if reference.is_module:
        return entry.load_module(reference.place)
    return entry.load_file(Path(reference.place))


def resolve(module: ModuleType, reference: Reference) -> Runnable:
    """The one thing that a reference means. Raises UsageError, naming the choices, where it isn't one."""
    choices = runnables(module)
    if reference.name:
        return _named(choices, reference)
    if not choices:
        raise click.UsageError(
            f"{reference.place} defines nothing to run: neither an @app.local_entrypoint() nor an @app.function()"
        )
    best = min(choice.rank for choice in choices)
    top = _distinct([choice for choice in choices if choice.rank == best])
    if len(top) > 1:
        raise click.UsageError(_which(reference, top))
    return top[0]


def resolve_function(module: ModuleType, reference: Reference) -> Any:
    """The function that a reference means; of a class, or of a method, the one that runs its methods. Raises UsageError."""
    choices = [
        choice._replace(target=getattr(choice.target, "service", choice.target))
        for choice in runnables(module)
        if not choice.entrypoint
    ]
    if not choices:
        raise click.UsageError(f"{reference.place} has no @app.function() and no @app.cls()")
    if reference.name:
        return _named(choices, reference, "shell").target
    distinct = _distinct(choices)
    if len(distinct) > 1:
        raise click.UsageError(_which(reference, distinct, "shell"))
    return distinct[0].target


def find_app(module: ModuleType, reference: Reference) -> Any:
    """The app that a reference means: the one that it names, else `app`, else the only one. Raises UsageError."""
    from ..app import App

    apps = {name: value for name, value in vars(module).items() if isinstance(value, App)}
    if reference.name in apps or (not reference.name and "app" in apps):
        return apps[reference.name or "app"]
    if not reference.name and len({id(app) for app in apps.values()}) == 1:
        return next(iter(apps.values()))
    if not apps:
        raise click.UsageError(f"{reference.place} defines no app at its top: write app = modal.App(…) there")
    if reference.name:
        raise click.UsageError(
            f"{reference.place} has no app named {reference.name!r}; its apps: {', '.join(apps)}"
        )
    flag = "-m " if reference.is_module else ""
    lines = "\n".join(f"  ionian deploy {flag}{reference.place}::{name}" for name in apps)
    raise click.UsageError(
        f"{reference.place} defines several apps, and none is named app; say which:\n{lines}"
    )


def runnables(module: ModuleType) -> list[Runnable]:
    """Everything in a module that can be run: its variables, and what its apps have registered."""
    from ..app import App
    from ..cls import Cls, service_of
    from ..function import Function
    from ..local_entrypoint import LocalEntrypoint
    from .methods import targets

    found: list[Runnable] = []
    apps: dict[int, tuple[str, Any]] = {}
    methods: dict[int, dict[str, Any]] = {}  # of each class: one object each, under all its names

    def add_class(app: Any, name: str, cls: Cls, at_module_level: bool) -> None:
        if id(cls) not in methods:
            methods[id(cls)] = targets(cls)
        for method, target in methods[id(cls)].items():
            found.append(Runnable(app, f"{name}.{method}", target, False, at_module_level))

    for name, value in list(vars(module).items()):
        if isinstance(value, App):
            apps.setdefault(id(value), (name, value))
        elif isinstance(value, LocalEntrypoint) or (isinstance(value, Function) and value.raw is not None):
            found.append(Runnable(value.app, name, value, isinstance(value, LocalEntrypoint), True))
        elif isinstance(value, Cls) and service_of(value).raw is not None:
            add_class(service_of(value).app, name, value, True)
    for name, app in apps.values():
        for tag, value in app.registered_entrypoints.items():
            found.append(Runnable(app, f"{name}.{tag}", value, True, False))
        for tag, value in app.registered_functions.items():
            if value.class_spec is None:
                found.append(Runnable(app, f"{name}.{tag}", value, False, False))
        for tag, value in app.registered_classes.items():
            add_class(app, f"{name}.{tag}", value, False)
    return found


def _named(choices: list[Runnable], reference: Reference, command: str = "run") -> Runnable:
    name = reference.name
    matches = [choice for choice in choices if choice.name == name]
    if not matches:
        matches = [
            choice
            for choice in choices
            if not choice.at_module_level and choice.name.partition(".")[2] == name
        ]
    if not matches:  # a class: its one method
        matches = [
            choice for choice in choices if choice.at_module_level and choice.name.startswith(f"{name}.")
        ]
    matches = _distinct(matches)
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise click.UsageError(_which(reference, matches, command))
    if choices:
        names = ", ".join(dict.fromkeys(choice.name for choice in choices if choice.at_module_level))
        raise click.UsageError(
            f"{reference.place} has nothing named {name!r} to run; it has {names or 'none by name'}"
        )
    raise click.UsageError(f"{reference.place} has nothing named {name!r} to run, nor anything else")


def _distinct(choices: list[Runnable]) -> list[Runnable]:
    return list({id(choice.target): choice for choice in reversed(choices)}.values())[::-1]


def _which(reference: Reference, choices: list[Runnable], command: str = "run") -> str:
    flag = "-m " if reference.is_module else ""
    lines = "\n".join(f"  ionian {command} {flag}{reference.place}::{choice.name}" for choice in choices)
    return f"{reference.place} defines several things to run; say which:\n{lines}"
