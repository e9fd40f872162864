"""The user's source: which files a function's containers need, and where they lie there."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ..exception import InvalidError
from ..local_files import LocalFile
from . import entry

ROOT = "/root"
"""Where the user's modules lie in a container; first on its path."""


def source_files(module: str) -> list[LocalFile]:
    """The files that a container needs to import this module: its file, or its whole top-level package.

    Raises InvalidError where the module has no file (a notebook's `__main__`: such functions go by value).
    """
    name = entry.import_name(module)
    if not name:
        raise InvalidError(
            "a function of a notebook or prompt has no file to import in a container; "
            "write @app.function(serialized=True), or move it to a module"
        )
    top = name.split(".")[0]
    if "." in name or _is_package(top):
        return package_files(top)
    file = _file(module)
    return [LocalFile(file, f"{ROOT}/{name}.py")]


def package_files(name: str) -> list[LocalFile]:
    """All files of a top-level package, without bytecode and names that begin with a dot.

    Raises InvalidError where there is no such package here.
    """
    folders = _folders(name)
    if not folders:
        raise InvalidError(f"expected a package named {name!r} here, found none on the path")
    found: dict[str, LocalFile] = {}
    for folder in folders:
        for path in walk(folder):
            remote = f"{ROOT}/{name}/{path.relative_to(folder).as_posix()}"
            found.setdefault(remote, LocalFile(path, remote))
    return [found[remote] for remote in sorted(found)]


def walk(folder: Path) -> Iterator[Path]:
    """The files below a package's folder that its containers need; links are followed, and never in a circle."""
    seen: set[str] = set()
    for base, folders, files in os.walk(folder, followlinks=True):
        place = os.path.realpath(base)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        for name in files:
            if not name.startswith(".") and not name.endswith((".pyc", ".pyo")):
                path = Path(base, name)
                if path.is_file():
                    yield path


def _file(module: str) -> Path:
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if file is None:
        raise InvalidError(f"the module {module!r} has no file here; use @app.function(serialized=True)")
    path = Path(file)
    if path.suffix in {".pyc", ".so"}:
        raise InvalidError(f"expected the source of module {module!r}, got {path}")
    return path.resolve()


def _is_package(name: str) -> bool:
    return hasattr(sys.modules.get(name), "__path__")


def _folders(name: str) -> list[Path]:
    loaded = sys.modules.get(name)
    if loaded is None:  # `python -m package.module` from a namespace package
        spec = importlib.util.find_spec(name)
        places = spec.submodule_search_locations if spec is not None else None
    else:
        places = getattr(loaded, "__path__", None)
    return [Path(place).resolve() for place in places or () if Path(place).is_dir()]
