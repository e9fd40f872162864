"""Where this process stands: on the user's machine or in a container, and in which input of which call."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import NoReturn

Input = tuple[str, int]  # call id, index in it

_input: ContextVar[Input | None] = ContextVar("ionian_input", default=None)


class StopImport(BaseException):
    """Raised in a container where a module enters `app.run()` while it is imported.

    What stands above that line is defined, and that is all a container needs; the agent's loader ends the import
    quietly there. A BaseException, so that the user's `except Exception` lets it pass.
    """

    def __init__(self, app: object = None) -> None:
        super().__init__(
            "a module entered app.run() while a process of a container imported it; put that part under "
            "`if modal.is_local():`"
        )
        self.app = app


class _Process:
    def __init__(self) -> None:
        # A process that user code starts in a container is in that container too.
        self.remote = os.environ.get("IONIAN_IS_REMOTE") == "1"
        self.importing = False
        self.serve: Callable[[], None] | None = None
        self.app_run_line = 0


_process = _Process()


def is_local() -> bool:
    """True on the machine that defines and calls; False in a container, at import as well as in a function.

    ```python
    if modal.is_local():
        documents = pathlib.Path("documents.txt").read_text()
    ```
    """
    return not _process.remote


def current_input() -> Input | None:
    """The call, and the index in it, of the input that this code runs for."""
    return _input.get()


def current_input_id() -> str | None:
    """The id of the input that this code runs for; None outside a container."""
    current = _input.get()
    if current is None:
        return None
    from .protocol.ids import input_id

    return input_id(*current)


def current_function_call_id() -> str | None:
    """The id of the call whose input this code runs for; None outside a container."""
    current = _input.get()
    return None if current is None else current[0]


# --- for the container's agent

after_input: Callable[[str, int], None] | None = None
"""Called with the call and index of an input that has ended, where something waits for that."""


def enter_container() -> None:
    """From here on this process is a container: constructors do no I/O and check nothing."""
    _process.remote = True


def leave_container() -> None:
    """Undoes `enter_container` (tests)."""
    _process.remote = False
    _process.importing = False


def set_importing(importing: bool) -> None:
    """Says whether the user's module is being imported: `app.run()` then ends the import."""
    _process.importing = importing


def is_importing() -> bool:
    """Whether the user's module is being imported in a container."""
    return _process.importing


def set_input(call_id: str, index: int) -> Token[Input | None]:
    """This thread or task runs that input from here on; give the token to `reset_input` when it has ended."""
    return _input.set((call_id, index))


def reset_input(token: Token[Input | None]) -> None:
    """The input has ended."""
    _input.reset(token)


def on_app_run(serve: Callable[[], None]) -> None:
    """Has `serve` called where a module enters `app.run()` while it is imported. It does not come back, so nothing
    is unwound: no `finally`, `except BaseException` or `atexit` of the user sees that the import stops there."""
    _process.serve = serve


def app_run_line() -> int:
    """The line at which the module entered `app.run()`; 0 where it did not."""
    return _process.app_run_line


def stop_import(app: object) -> NoReturn:
    """What entering `app.run()` does in a container: the import ends here. Raises StopImport without an agent."""
    import sys

    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "ionian":
        frame = frame.f_back
    _process.app_run_line = frame.f_lineno
    if _process.importing and _process.serve is not None:
        _process.importing = False
        _process.serve()
    raise StopImport(app)
