"""Whether user code has touched a GPU, or has asked for one: a template has none, and its containers may have some.

An import that hears "there is no GPU" decides by it (`device = "cuda" if torch.cuda.is_available() else "cpu"`), and each
fork would go on with that.
"""

from __future__ import annotations

import sys
from functools import wraps
from types import ModuleType
from typing import Any

from . import native
from .files import descriptors

DEVICES = ("/dev/nvidia", "/dev/dri/", "/dev/kfd")
DRIVERS = ("libcuda.so", "libnvidia-ml", "nvidia-smi", "/dev/nvidia", "/proc/driver/nvidia")

QUESTIONS = {
    "torch.cuda": ("is_available", "device_count", "_lazy_init"),
    "torch.accelerator": ("is_available", "device_count", "current_accelerator"),
}
"""Functions that ask in native code, where nobody sees it."""

LOOKING = ("cupy", "cudf", "jax", "pycuda", "tensorflow", "tensorrt", "vllm")
"""Packages that look for a GPU in native code as soon as they are imported, or may."""

EVENTS = {"ctypes.dlopen": 0, "subprocess.Popen": 0, "os.posix_spawn": 0, "open": 0}
"""Where Python's audit events name a file: the place among their arguments."""


class Gpus:
    """Made before user code runs. `wanted`: its containers have GPUs."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._asked = False
        self.steps = dict.fromkeys(QUESTIONS, self._watch) if wanted else {}  # for after_import
        if wanted:
            sys.addaudithook(self._heard)

    def _watch(self, module: ModuleType) -> None:
        for name in QUESTIONS[module.__name__]:
            setattr(module, name, self._noticing(getattr(module, name)))

    def _noticing(self, plain: Any) -> Any:
        @wraps(plain)
        def ask(*args: Any, **kwargs: Any) -> Any:
            self._asked = True
            return plain(*args, **kwargs)

        return ask

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        at = EVENTS.get(event)
        if at is not None and any(driver in str(args[at]) for driver in DRIVERS):
            self._asked = True

    def reason(self) -> str:
        """Why no container can be forked; "" where they can."""
        for what, _ in descriptors().values():
            if what.startswith(DEVICES):
                return f"uses a GPU ({what} is open)"
        if not self._wanted:
            return ""
        for name in LOOKING:
            if name in sys.modules:
                return f"takes in {name}, which looks for a GPU, and a template has none"
        if self._asked or any("/libcuda.so" in path for path in native.mapped()):
            return "asks for a GPU, which a template does not have"
        return ""
