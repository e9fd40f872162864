"""Functions of this machine that the command line starts."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from .exception import InvalidError
from .function import Function

if TYPE_CHECKING:
    from .app import App

P = ParamSpec("P")
R = TypeVar("R")


class LocalEntrypoint(Generic[P, R]):
    """A function of this machine that the command line can start: `ionian run app.py`."""

    def __init__(self, raw: Callable[P, R], name: str, app: App) -> None:
        self.raw = raw
        self.name = name
        self.app = app
        self.__doc__ = raw.__doc__
        self.__wrapped__ = raw

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.raw(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<LocalEntrypoint {self.name}>"


def check_entrypoint(raw: Any) -> None:
    """Raises InvalidError where `@app.local_entrypoint()` stands over anything but a function of this machine."""
    if isinstance(raw, Function):
        tag: str = raw.tag  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        raise InvalidError(
            f"{tag} has @app.local_entrypoint() over @app.function(); a function that runs in containers needs no entrypoint: "
            "leave one of the two out"
        )
    if not isinstance(raw, FunctionType):
        raise InvalidError(f"@app.local_entrypoint() takes a function written with def, got {raw!r}")
