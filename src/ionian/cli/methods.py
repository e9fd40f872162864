"""A method of a class as a command: its options are its own parameters and those of its class."""

from __future__ import annotations

import inspect
from typing import Any

import click

from ..class_definition import ClassDefinition, is_generator
from ..cls import Cls, definition_of, service_of
from .options import hints_of


class MethodTarget:
    """What `ionian run app.py::Model.predict` runs: makes the object, and calls its method."""

    def __init__(self, cls: Cls, definition: ClassDefinition, name: str) -> None:
        self._cls = cls
        self._name = name
        partial = definition.methods[name]
        self.is_generator = is_generator(partial)
        self._of_class = _constructor(definition)
        self.raw = _signed(f"{definition.name}.{name}", partial.raw, self._of_class)

    @property
    def service(self) -> Any:
        """The function that runs the methods of its class."""
        return service_of(self._cls)

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Runs it in a container. `kwargs` are those of the class and of the method."""
        of_class = {key: value for key, value in kwargs.items() if key in self._of_class}
        of_method = {key: value for key, value in kwargs.items() if key not in self._of_class}
        return getattr(self._cls(**of_class), self._name).remote(*args, **of_method)


def targets(cls: Cls) -> dict[str, MethodTarget]:
    """The methods of a class by their names."""
    definition = definition_of(cls)
    if definition is None:
        return {}
    return {name: MethodTarget(cls, definition, name) for name in definition.methods}


def _constructor(definition: ClassDefinition) -> dict[str, inspect.Parameter]:
    """The parameters of the class, each an option."""
    if not definition.has_init:
        return {
            spec.name: inspect.Parameter(
                spec.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=definition.parameters[spec.name].default
                if spec.has_default
                else inspect.Parameter.empty,
                annotation={"str": str, "int": int, "bool": bool, "bytes": bytes}[spec.type],
            )
            for spec in definition.parameter_specs()
        }
    init: Any = definition.user_cls.__init__
    hints = hints_of(init)
    return {
        name: parameter.replace(
            kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints.get(name, parameter.annotation)
        )
        for name, parameter in inspect.signature(definition.user_cls).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


def _signed(name: str, method: Any, of_class: dict[str, inspect.Parameter]) -> Any:
    """A function whose signature has the parameters of both. Raises UsageError where one name is in both."""
    own = list(inspect.signature(method).parameters.values())[1:]  # without self
    for parameter in own:
        if parameter.name in of_class:
            raise click.UsageError(
                f"{name}: the class and the method both have a parameter {parameter.name!r}, which one option can't be "
                "for; call the method from an @app.local_entrypoint()"
            )

    def signed(*args: Any, **kwargs: Any) -> None: ...

    between = [p for p in own if p.kind is not inspect.Parameter.VAR_KEYWORD]
    rest = own[len(between) :]
    hints = hints_of(method)
    signed.__doc__ = method.__doc__
    signed.__signature__ = inspect.Signature([*between, *of_class.values(), *rest])  # type: ignore[attr-defined]
    signed.__annotations__ = {**hints, **{key: p.annotation for key, p in of_class.items()}}
    return signed
