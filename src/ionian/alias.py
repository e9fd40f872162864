"""`import modal` means Ionian: a finder that answers it with Ionian's own modules.

`modal` and `ionian` are one module object, and so are `modal.x` and `ionian.x`: there is one `App`, one
`exception.TimeoutError`, whichever name a program uses. Installed on the path or not, another `modal` is hidden.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

OURS = __name__.partition(".")[0]
THEIRS = "modal"

RENAMED = {
    "cluster": "clusters",
    "environments": "environment",
    "_partial_function": "partial_function",
    "_functions": "functions",
}
"""Submodules of Modal that have another name here."""

VARIABLE = "IONIAN_AS_MODAL"
"""Set to 1 it installs the alias in every Python of the environment (notebooks, pytest, `python app.py`)."""

PTH = f'import os; os.environ.get("{VARIABLE}") == "1" and __import__("{OURS}.alias").alias.install()\n'
"""The line of `ionian_alias.pth` among the packages: Python runs it at its start."""


class ModalFinder:
    """Finds `modal` and everything below it in Ionian. First on `sys.meta_path`."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top, _, rest = fullname.partition(".")
        if top != THEIRS:
            return None
        ours = f"{OURS}.{RENAMED.get(rest, rest)}" if rest else OURS
        try:
            module = import_module(ours)
        except ModuleNotFoundError as error:
            if error.name != ours:
                raise
            raise ModuleNotFoundError(_missing(fullname, rest), name=fullname) from None
        return ModuleSpec(fullname, cast("Loader", _Loader(module)), is_package=hasattr(module, "__path__"))


class _Loader:
    """Gives the import system a module that is there already, and takes back what it changes on it."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


def install() -> None:
    """From here on, `import modal` means Ionian in this process.

    Raises ImportError where another `modal` was imported before: its objects would mix with ours.
    """
    if any(finder is ModalFinder for finder in sys.meta_path):
        return
    other = sys.modules.get(THEIRS)
    if other is not None and other is not sys.modules[OURS]:
        raise ImportError(
            "another `modal` is imported already; call ionian.install_alias() before it is", name=THEIRS
        )
    from .execution import is_local

    if is_local():
        _say_what_is_hidden()
    sys.meta_path.insert(0, ModalFinder)  # pyright: ignore[reportArgumentType]


install_alias = install


def write_pth() -> str:
    """Puts `ionian_alias.pth` among this environment's packages, and returns its path (`script/setup` calls it; a
    wheel brings the file along)."""
    import os
    import sysconfig

    path = os.path.join(sysconfig.get_path("purelib"), "ionian_alias.pth")
    with open(path, "w", encoding="utf-8") as file:
        file.write(PTH)
    return path


def _say_what_is_hidden() -> None:
    hidden = PathFinder.find_spec(THEIRS)
    if hidden is None:
        return
    line = "`import modal` means Ionian here; the package modal that is installed is not used"
    print(f"\033[2m{line}\033[0m" if sys.stderr.isatty() else line, file=sys.stderr)


def _missing(fullname: str, rest: str) -> str:
    from .later import NAMES

    reason = NAMES.get(rest)
    coming = f": it comes with {reason}" if reason else ""
    return f"No module named {fullname!r}: {THEIRS} is Ionian here, which doesn't have it{coming}"
