"""The user's own module: loading it, and making one module of it under both of its names.

A program that runs as `__main__` is imported by its file's name in the container. Were these two modules, then
every class would be two classes: `isinstance` fails and unpickling runs the script again. So `sys.modules` holds
the one module under both names, and what it defined before the app ran is named by the import name in pickles.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from ..exception import InvalidError


def load_file(path: Path) -> ModuleType:
    """Imports a script under the name of its file, as containers do; `if __name__ == "__main__"` does not hold.

    Raises InvalidError where there is no such file, or its name can't be imported.
    """
    path = path.resolve()
    name = script_name(path)
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidError(f"expected a Python file, got {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _stand_in_for_main(module)
    spec.loader.exec_module(module)
    return module


def load_module(name: str) -> ModuleType:
    """Imports a module by its dotted name, from the current folder or the path.

    Raises InvalidError where there is none; an import that fails inside the module passes through.
    """
    _search_current_folder()
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InvalidError(
                f"no module named {error.name!r} can be found from {Path.cwd()}; "
                "give a module's dotted name after -m, or a file's path without it"
            ) from None
        raise
    _stand_in_for_main(module)
    return module


def execute_file(path: Path) -> None:
    """Runs a script as `python script.py` does: as `__main__`, which its import name means too."""
    path = path.resolve()
    if path.is_dir():
        path /= "__main__.py"
    name = script_name(path)
    sys.path.insert(0, str(path.parent))
    module = ModuleType("__main__")
    module.__file__ = str(path)
    code = compile(path.read_bytes(), str(path), "exec")
    _execute(code, module, name)


def execute_module(name: str) -> None:
    """Runs a module as `python -m name` does: as `__main__`, which its import name means too."""
    _search_current_folder()
    spec = _find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = _find_spec(f"{name}.__main__")
    if spec is None or spec.loader is None or not hasattr(spec.loader, "get_code"):
        raise InvalidError(f"no module named {name!r} can be run from {Path.cwd()}")
    code = spec.loader.get_code(spec.name)  # type: ignore[attr-defined]
    module = importlib.util.module_from_spec(spec)
    module.__name__ = "__main__"
    if spec.origin is not None:
        sys.argv[0] = spec.origin
    _execute(code, module, spec.name)


def script_name(path: Path) -> str:
    """The name under which a container imports this script. Raises InvalidError where it can't."""
    if not path.is_file():
        raise InvalidError(f"no file {path}; expected a Python file, or -m and a module's name")
    name = path.parent.name if path.stem == "__main__" else path.stem
    if "." in name or not name:
        raise InvalidError(
            f"{path.name} can't be imported in a container, for the dot in its name; rename it to "
            f"{name.replace('.', '_')}.py"
        )
    if name in sys.stdlib_module_names:
        raise InvalidError(
            f"{path.name} has the name of a module of Python itself and would hide it from every import; "
            f"rename it, for example to my_{name}.py"
        )
    return name


def import_name(module: str) -> str:
    """The name by which a container imports this module: another one for `__main__` only.

    "" for the `__main__` of a notebook or prompt, which no container can import.
    """
    if module != "__main__":
        return module
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name != "__main__":
        return spec.name
    file = getattr(main, "__file__", None)
    if not file or not Path(file).is_file():
        return ""
    return script_name(Path(file))


def adopt_main() -> None:
    """Makes `__main__` and its import name one module, and names what it has defined so far by that name.

    Called where the app begins to run. What the script defines below that line exists here only, keeps
    `__main__` for its module, and so goes by value.
    """
    main = sys.modules.get("__main__")
    if main is None or getattr(main, "__name__", "") != "__main__" or hasattr(main, "__ionian_name__"):
        return
    try:
        name = import_name("__main__")
    except InvalidError:
        return  # said where a function of this module is published; other modules' functions may run
    if not name or name.split(".")[0] == "ionian" or _is_foreign(main):
        return
    vars(main)["__ionian_name__"] = name
    sys.modules[name] = main
    seen: set[int] = set()
    for value in list(vars(main).values()):
        _rename(value, name, seen)


def _is_foreign(main: ModuleType) -> bool:
    """Whether `__main__` is a tool that runs the user's code, such as `bin/pytest`, and no module itself."""
    return getattr(main, "__spec__", None) is None and Path(main.__file__ or "").suffix not in {".py", ".pyw"}


def _rename(value: Any, name: str, seen: set[int]) -> None:
    if not isinstance(value, (type, FunctionType)) or getattr(value, "__module__", None) != "__main__":
        return
    if id(value) in seen or "<locals>" in value.__qualname__:
        return
    seen.add(id(value))
    try:
        value.__module__ = name
    except (AttributeError, TypeError):
        return  # a class that forbids it goes by value
    if isinstance(value, type):
        for member in list(vars(value).values()):
            _rename(getattr(member, "__func__", member), name, seen)


def _stand_in_for_main(module: ModuleType) -> None:
    """`__main__` becomes the user's module. The old one is kept: dropped, its globals would be cleared."""
    module.__dict__.setdefault("__ionian_main__", sys.modules.get("__main__"))
    sys.modules["__main__"] = module


def _execute(code: Any, module: ModuleType, name: str) -> None:
    _stand_in_for_main(module)
    sys.modules[name] = module
    exec(code, vars(module))


def _find_spec(name: str) -> Any:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(f"{error.name}"):
            return None
        raise


def _search_current_folder() -> None:
    """The current folder comes first on the path, as under `python -m`."""
    here = str(Path.cwd())
    if here not in sys.path[:2]:
        sys.path.insert(0, here)
