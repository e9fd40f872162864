"""A class as its callers know it: which function runs its methods, what they and its parameters are, its pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .class_definition import ClassDefinition, is_generator

if TYPE_CHECKING:
    from .function import Function
    from .protocol.spec import ParameterSpec

    AnyFunction = Function[..., Any, Any]


class Facts:
    """What callers know of a class."""

    def __init__(self, methods: dict[str, bool], parameters: list[ParameterSpec]) -> None:
        self.methods = methods  # name → whether it is a generator
        self.parameters = parameters


class RemoteClass:
    """A class, or a variant of one with other options. `definition` is None where it was defined elsewhere."""

    def __init__(
        self,
        name: str,
        service: AnyFunction,
        definition: ClassDefinition | None = None,
        *,
        lookup: tuple[str, str, int] | None = None,
        facts: Facts | None = None,
    ) -> None:
        self.name = name
        self.service = service
        self.definition = definition
        self._lookup = lookup  # names of app and environment, and the version
        self._facts = facts
        self._varied: RemoteClass | None = None
        self._pools: dict[tuple[str, str], str] = {}  # by the id of the service and the parameters

    def varied(self, service: AnyFunction) -> RemoteClass:
        """The class with other options."""
        made = RemoteClass(self.name, service, self.definition)
        made._varied = self._varied or self
        return made

    def facts(self) -> Facts:
        """Its methods and parameters; asked for where the class was defined elsewhere."""
        if self._varied is not None:
            return self._varied.facts()
        if self._facts is None:
            if self.definition is None:
                return self._find()
            methods = {name: is_generator(method) for name, method in self.definition.methods.items()}
            self._facts = Facts(methods, self.definition.parameter_specs())
        return self._facts

    def function_id(self, client: Any = None) -> str:
        """The server's id of the function that runs its methods."""
        if self.definition is None:
            self.facts()
        return self.service.hydrate(client).function_id

    def pool(self, arguments: str, client: Any = None) -> str:
        """The server's id of what runs the methods of objects with these parameters."""
        own = self.function_id(client)
        if not arguments:
            return own
        found = self._pools.get((own, arguments))
        if found is None:
            from . import link
            from .protocol.calls import BindFunction
            from .protocol.spec import Overrides

            answer, _ = link.current().request(BindFunction(own, Overrides(arguments=arguments)))
            found = self._pools[own, arguments] = answer.function_id
        return found

    def _find(self) -> Facts:
        from . import config, link
        from .exception import InvalidError
        from .protocol.calls import FindFunction

        assert self._lookup is not None, self.name
        app_name, where, version = self._lookup
        found, _ = link.current().request(
            FindFunction(app_name, self.name, config.environment(where), version)
        )
        if not found.is_class:
            raise InvalidError(
                f"{self.name} of the app {app_name} is a function; write modal.Function.from_name({app_name!r}, {self.name!r})"
            )
        self.service.function_id = found.function_id
        self._facts = Facts({method.name: method.is_generator for method in found.methods}, found.parameters)
        return self._facts
