"""Code that runs right behind the import of a module of somebody else's: what is imported is patched in time."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

Step = Callable[[ModuleType], None]


class AfterImport:
    """A finder before all others: it finds nothing itself, and wraps the loader of the modules that are waited for."""

    def __init__(self, steps: dict[str, Step]) -> None:
        self._steps = steps
        self._finding = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        step = self._steps.get(name)
        if step is None or self._finding:
            return None
        self._finding = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._finding = False
        if spec is None or spec.loader is None:
            return None
        self._steps.pop(name)
        spec.loader = _Loader(spec.loader, step)  # type: ignore[assignment]
        return spec


class _Loader:
    """A loader that runs a step behind the module's code; the module never sees it."""

    def __init__(self, loader: Any, step: Step) -> None:
        self._loader = loader
        self._step = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        spec.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        try:
            self._step(module)
        except Exception:
            pass  # another version of it than we know: it is as it is


def after_import(steps: dict[str, Step]) -> None:
    """Has each step run with its module, once that is imported; at once where it was before."""
    later: dict[str, Step] = {}
    for name, step in steps.items():
        if name in sys.modules:
            step(sys.modules[name])
        else:
            later[name] = step
    sys.meta_path.insert(0, AfterImport(later))  # type: ignore[arg-type]
