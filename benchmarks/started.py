"""The functions whose starts are measured. This module runs in the containers too."""
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnusedImport=false, reportPossiblyUnboundVariable=false

from __future__ import annotations

import os
import time
from typing import Any

import ionian

app = ionian.App("starts")
plain = ionian.Image.debian_slim(python_version="3.11")
science = plain.pip_install("numpy", "pandas")

env: dict[str, str | None] = {"BENCH_VERSION": os.environ.get("BENCH_VERSION", "0")}
"""Another version makes each deploy a new one."""

CPU, MEMORY = 0.01, 8
"""A hundred containers have room on two cores."""

MODEL_BYTES = 400 << 20

with science.imports():
    import numpy
    import pandas  # noqa: F401


@app.function(image=plain, single_use_containers=True, cpu=CPU, memory=MEMORY, env=env)
def nothing(x: int) -> int:
    return x


@app.function(image=science, single_use_containers=True, cpu=CPU, memory=MEMORY, env=env)
def heavy(x: int) -> int:
    return int(numpy.arange(x + 1)[-1])


def load() -> Any:
    """400 MB, as those of a model would be."""
    return numpy.ones(MODEL_BYTES // 4, dtype=numpy.float32)


@app.cls(image=science, enable_memory_snapshot=True, scaledown_window=60, cpu=CPU, memory=MEMORY, env=env)
class Model:
    @ionian.enter(snap=True)
    def load(self) -> None:
        self.weights = load()

    @ionian.method()
    def use(self, seconds: float = 0.0) -> float:
        time.sleep(seconds)
        return float(self.weights[::100_000].sum())


@app.cls(
    image=science,
    enable_memory_snapshot=True,
    single_use_containers=True,
    cpu=CPU,
    memory=MEMORY,
    env=env,
)
class Once:
    @ionian.enter(snap=True)
    def load(self) -> None:
        self.weights = load()

    @ionian.method()
    def use(self) -> float:
        return float(self.weights[::100_000].sum())
