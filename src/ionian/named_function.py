"""Functions of deployed apps, found by their names."""

from __future__ import annotations

from typing import Any

from . import later
from .arguments import app_version, environment, object_name, wrong
from .exception import InvalidError, NotFoundError
from .function import Function
from .options import FunctionOptions


class FoundFunction(Function[..., Any, Any]):
    """A function that was defined elsewhere: what it is is asked for when it is first used."""

    def __init__(self, tag: str) -> None:
        super().__init__(None, None, tag, FunctionOptions(), is_generator=False)

    @property
    def is_generator(self) -> bool:
        """Whether a call gives an iterator."""
        self.hydrate()
        return self._generates


class NamedFunction(FoundFunction):
    """A function by the names of its app and itself."""

    def __init__(self, app_name: str, name: str, environment_name: str, version: int = 0) -> None:
        self._where = (app_name, environment_name)
        self._version = version  # 0: whichever is deployed
        super().__init__(name)

    def hydrate(self, client: Any = None) -> NamedFunction:
        """Sees to it that the function has its id, and returns it. Raises NotFoundError where there is none of that
        name, which says what there is."""
        later.refuse("Function.hydrate", client=client)
        if not self.function_id:
            from . import config, link
            from .protocol.calls import FindFunction

            app_name, where = self._where
            try:
                found, _ = link.current().request(
                    FindFunction(app_name, self.tag, config.environment(where), self._version)
                )
            except NotFoundError as error:
                raise NotFoundError(
                    f"function {self.tag!r} of app {app_name!r} can't be found: {error}"
                ) from None
            if found.is_class:
                raise InvalidError(
                    f"{self.tag} of app {app_name} is a class; write modal.Cls.from_name({app_name!r}, {self.tag!r})"
                )
            self._generates = found.is_generator
            self.function_id = found.function_id
        return self


def from_name(
    app_name: Any, name: Any, *, version: Any = None, environment_name: Any = None, client: Any = None
) -> NamedFunction:
    """The arguments of `Function.from_name`, checked."""
    object_name("app_name", app_name)
    if not isinstance(name, str) or not name:
        raise wrong("name", "the name of a function", name)
    if "." in name:
        cls, _, method = name.partition(".")
        raise InvalidError(
            f"name: {name!r} is a method; write modal.Cls.from_name({app_name!r}, {cls!r})().{method}.remote(…)"
        )
    later.refuse("Function.from_name", client=client)
    return NamedFunction(app_name, name, environment(environment_name), app_version(version))


class IdFunction(FoundFunction):
    """A function that is known by its id."""

    def __init__(self, function_id: str) -> None:
        self._id = function_id
        super().__init__(function_id)

    def hydrate(self, client: Any = None) -> IdFunction:
        """Sees to it that there is such a function, and returns it. Raises NotFoundError where there is none."""
        later.refuse("Function.hydrate", client=client)
        if not self.function_id:
            from . import link
            from .protocol.calls import BindFunction
            from .protocol.spec import Overrides

            found, _ = link.current().request(BindFunction(self._id, Overrides()))
            self._generates, self.tag = found.is_generator, found.tag
            self.function_id = self._id
        return self


def from_id(function_id: Any, *, client: Any = None) -> IdFunction:
    """The arguments of `Function.from_id`, checked."""
    later.refuse("Function.from_id", client=client)
    if not isinstance(function_id, str) or not function_id.startswith("fu-"):
        raise wrong("function_id", 'the id of a function, "fu-…", as Function.object_id has it', function_id)
    return IdFunction(function_id)
