"""Command-line options made from a function's signature: `def main(count: int = 3)` takes `--count 3`."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import click

SIMPLE: dict[Any, Any] = {str: str, int: int, float: float, bool: bool, datetime: click.DateTime()}


class Unsupported(Exception):
    """No option can carry a value of this annotation."""


def command_for(function: Callable[..., Any], name: str, run: Callable[..., Any]) -> click.Command:
    """A command with the options of `function`; it calls `run(*args, **kwargs)` with what a person gave.

    A parameter that was not given is left out, so that the function's own default holds. Raises UsageError where
    a required parameter can't be given on a command line.
    """
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return _raw_command(function, name, run)
    hints = hints_of(function)
    params: list[click.Parameter] = []
    for place, parameter in enumerate(parameters):
        option = _option(place, parameter, hints.get(parameter.name, parameter.annotation), name)
        if option is not None:
            params.append(option)
    names = [p.name for p in parameters]
    by_position = {p.name for p in parameters if p.kind is p.POSITIONAL_ONLY}

    def call(**given: Any) -> Any:
        values = {names[int(key[1:])]: value for key, value in given.items() if value is not None}
        for option in params:  # click's own `required` knows no flag that must be given
            assert option.name is not None
            parameter = parameters[int(option.name[1:])]
            if parameter.default is parameter.empty and parameter.name not in values:
                raise click.MissingParameter(param=option)
        args: list[Any] = []
        for parameter in parameters:  # a gap in what is given by position is filled with the default
            if parameter.name in by_position:
                args.append(values.pop(parameter.name, parameter.default))
        return run(*args, **values)

    return click.Command(name, callback=call, params=params, help=inspect.getdoc(function) or None)


def _raw_command(function: Callable[..., Any], name: str, run: Callable[..., Any]) -> click.Command:
    """`*args`: the function gets the arguments as they stand."""
    others = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_POSITIONAL]
    if others:
        raise click.UsageError(
            f"{name} takes *{_variadic(function)} beside other parameters; a command line can fill one or the other"
        )

    def call(arguments: tuple[str, ...]) -> Any:
        return run(*arguments)

    return click.Command(
        name,
        callback=call,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
        help=inspect.getdoc(function) or None,
    )


def _variadic(function: Callable[..., Any]) -> str:
    return next(p.name for p in inspect.signature(function).parameters.values() if p.kind is p.VAR_POSITIONAL)


def _option(place: int, parameter: inspect.Parameter, annotation: Any, function: str) -> click.Option | None:
    """The option of the parameter at `place`, which names it within: parameters may have names click can't use."""
    if parameter.kind is parameter.VAR_KEYWORD:
        return None
    required = parameter.default is parameter.empty
    try:
        kind = option_type(annotation, parameter.default)
    except Unsupported:
        if not required:
            return None
        raise click.UsageError(
            f"{function} needs {parameter.name!r} of type {_shown(annotation)}, which a command line can't give; "
            "use str, int, float, bool, datetime or a Literal, or call it from an @app.local_entrypoint()"
        ) from None
    flag = parameter.name.replace("_", "-")
    note = (
        "[required]" if required else None if parameter.default is None else f"[default: {parameter.default}]"
    )
    if kind is bool:
        return click.Option([f"p{place}", f"--{flag}/--no-{flag}"], default=None, help=note)
    return click.Option([f"p{place}", f"--{flag}"], type=kind, default=None, help=note)


def option_type(annotation: Any, default: Any = inspect.Parameter.empty) -> Any:
    """The click type for an annotation; without one, that of the default. Raises Unsupported."""
    if annotation in (inspect.Parameter.empty, Any):
        return SIMPLE.get(type(default), click.UNPROCESSED)
    if annotation in SIMPLE:
        return SIMPLE[annotation]
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return _choice(typing.get_args(annotation))
    if origin is typing.Annotated:
        return option_type(typing.get_args(annotation)[0], default)
    if origin in (typing.Union, types.UnionType):
        some = [member for member in typing.get_args(annotation) if member is not type(None)]
        if len(some) == 1:
            return option_type(some[0], default)
    raise Unsupported


def _choice(values: tuple[Any, ...]) -> Any:
    if all(isinstance(value, str) for value in values):
        return click.Choice(list(values))
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return _IntChoice(values)
    raise Unsupported


class _IntChoice(click.Choice[str]):
    """One of some whole numbers."""

    def __init__(self, values: tuple[int, ...]) -> None:
        super().__init__([str(value) for value in values])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return int(super().convert(str(value), param, ctx))


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations as types, also under `from __future__ import annotations`."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # a name that exists for the type checker only: take what resolves by itself
        hints: dict[str, Any] = {}
        names: dict[str, Any] = {
            **vars(typing),
            **vars(__import__("builtins")),
            **getattr(function, "__globals__", {}),
        }
        for name, annotation in getattr(function, "__annotations__", {}).items():
            if isinstance(annotation, str):
                try:
                    hints[name] = eval(annotation, names)
                except Exception:
                    continue
        return hints


def _shown(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
