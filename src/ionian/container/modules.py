"""Finds the user's function in the container: imports its module as it is imported at home."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

from .. import execution
from ..protocol.container import RING, Begin


class _Finder:
    """Answers `import cloudpickle` with the one of our mount, whatever the image has installed."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] != "cloudpickle":
            return None
        from importlib.machinery import PathFinder

        return PathFinder.find_spec(name, [RING] if path is None else path)


def install_finders() -> None:
    """Makes `import modal` and `import cloudpickle` mean ours."""
    from .. import alias

    alias.install_alias()
    sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]


def show_plain_flags() -> None:
    """Makes `sys.flags` those of a plain start. Ours is `python -I -S`, and `multiprocessing` starts its children
    with the flags that it reads here: they would find neither the user's modules nor the image's packages."""
    flags = {
        name: getattr(sys.flags, name) for name in dir(sys.flags) if isinstance(getattr(sys.flags, name), int)
    }
    plain = {"isolated": 0, "no_site": 0, "ignore_environment": 0, "no_user_site": 0, "safe_path": False}
    flags |= {name: value for name, value in plain.items() if name in flags}
    sys.flags = type(sys.implementation)(**flags)  # type: ignore[misc]


def load(begin: Begin) -> None:
    """Imports the module of the function. Where it enters `app.run()`, the import never comes back."""
    if begin.definition == "serialized":
        return
    parent = begin.module.rpartition(".")[0]
    if parent:
        importlib.import_module(parent)
    spec = importlib.util.find_spec(begin.module)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {begin.module!r}", name=begin.module)
    module = importlib.util.module_from_spec(spec)
    sys.modules[begin.module] = module
    sys.modules["__main__"] = module  # one module under both names, as at home
    if parent:
        setattr(sys.modules[parent], begin.module.rpartition(".")[2], module)
    loader: Any = spec.loader
    code = loader.get_code(begin.module)
    try:
        exec(code, module.__dict__)
    except execution.StopImport:
        pass


def find(begin: Begin) -> Any:
    """The function that runs, or the class. Raises AttributeError with what to do where it isn't there."""
    if begin.definition == "serialized":
        import cloudpickle

        with open(begin.serialized, "rb") as file:
            return cloudpickle.load(file)
    found: Any = sys.modules[begin.module]
    for name in begin.qualname.split("."):
        found = _attribute(found, name, begin)
    if begin.is_class:
        return _class(found)
    check = getattr(found, "check_imports", None)
    if check is not None:
        check()
    function = getattr(found, "raw", found)
    if begin.is_generator and not isinstance(found, ModuleType):
        try:
            function.__ionian_generator__ = True
        except AttributeError:
            pass
    return function


def _class(found: Any) -> Any:
    from ..cls import Cls, service_of

    if not isinstance(found, Cls):
        return found
    service = service_of(found)
    service.check_imports()
    return service.raw


def _attribute(found: Any, name: str, begin: Begin) -> Any:
    try:
        return getattr(found, name)
    except AttributeError:
        line = execution.app_run_line()
        where = f"{begin.module}.py"
        if line:
            raise AttributeError(
                f"{begin.qualname!r} is not defined in {where} above line {line}, where the module enters app.run(): in "
                "a container the module is read only up to there; move the function above that line"
            ) from None
        raise AttributeError(
            f"{where} defines no {begin.qualname!r} in the container (is it made conditionally?)"
        ) from None
