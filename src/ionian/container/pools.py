"""Native thread pools: held to one thread in a template, and back at their own number in its forks.

A fork copies no thread. What each pool makes of that, and what is done for it:

| pool | in the child of a process that used it | here |
|---|---|---|
| OpenBLAS | ends its threads before a fork, starts them again when needed | its own number from the start |
| GNU OpenMP (scikit-learn, torch, XGBoost) | waits for ever for threads that are not there | one thread in the template |
| LLVM's and Intel's OpenMP, MKL | start again | one thread in the template, as GNU's: they read the same variables |
| numexpr | starts again, by a look at its process id | one thread in the template |
| torch | computes with OpenMP | its number is set again, unless user code has chosen one |
| OpenCV | waits for ever | one thread in the template, by its own setting |
| tokenizers (Rust's rayon) | turns itself off | off in the template, by its own variable |
| jemalloc (in pyarrow) | starts its thread again | nothing: `fitness.py` knows the name of the thread |
| any other | unknown | `fitness.py` finds its threads: containers start on their own |
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import native, threads

HELD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
NUMEXPR = "NUMEXPR_NUM_THREADS"
OURS = "01"
"""One thread, as only we would write it: user code that writes 1 means it."""

OPENBLAS = "OPENBLAS_NUM_THREADS"
OPENMP_LIBRARIES = ("libgomp", "libomp", "libiomp5")


class Pools:
    """Made in a template, before user code runs, with the environment of its containers."""

    def __init__(self) -> None:
        self._torch_chosen = False
        self._torch_number = 0  # what user code chose
        self._opencv_chosen = False
        self._openmp: list[Callable[[int], None]] = []
        self._mkl: list[Callable[[int], None]] = []
        # Libraries ask libc, and Python code that looks into os.environ sees what its container will have.
        os.putenv(OPENBLAS, os.environ.get(OPENBLAS) or str(number_of_threads()))
        for name, value in HELD.items():
            os.putenv(name, value)
        self._numexpr = os.environ.get(NUMEXPR)
        os.environ[NUMEXPR] = OURS  # it is Python code, and starts its threads at its import

    def of_torch(self, module: ModuleType) -> None:
        """Called behind the import of torch: notices that user code sets the number of its threads."""
        plain: Any = module.set_num_threads

        def set_num_threads(number: int) -> None:
            self._torch_chosen = True
            plain(number)

        set_num_threads.__doc__ = plain.__doc__
        module.set_num_threads = set_num_threads  # type: ignore[attr-defined]

    def of_opencv(self, module: ModuleType) -> None:
        """Called behind the import of cv2: one thread, and notices that user code sets another number."""
        plain: Any = module.setNumThreads
        plain(1)

        def set_num_threads(number: int) -> None:
            self._opencv_chosen = True
            plain(number)

        set_num_threads.__doc__ = plain.__doc__
        module.setNumThreads = set_num_threads  # type: ignore[attr-defined]

    def look(self) -> None:
        """Finds the pools that user code has loaded. One that has more than a thread was given its number by it."""
        for library in native.libraries(*OPENMP_LIBRARIES):
            if library.omp_get_max_threads() == 1:
                self._openmp.append(library.omp_set_num_threads)
        for library in native.libraries("libmkl_rt"):
            self._mkl.append(library.MKL_Set_Num_Threads)
        if self._torch_chosen:
            self._torch_number = sys.modules["torch"].get_num_threads()

    def hide(self) -> None:
        """Takes back what this put into the environment, where user code has not set it since."""
        if os.environ.get(NUMEXPR) == OURS:
            if self._numexpr is None:
                del os.environ[NUMEXPR]
            else:
                os.environ[NUMEXPR] = self._numexpr
        for name in (*HELD, OPENBLAS):
            if name in os.environ:
                os.putenv(name, os.environ[name])
            else:
                os.unsetenv(name)

    def release(self) -> None:
        """In a fork, whose environment is set: each pool gets its number."""
        number = number_of_threads()
        for set_number in (*self._openmp, *self._mkl):
            set_number(number)
        if self._openmp:  # whose number is one of each thread
            threads.at_start = lambda: self._adopt(number)
        numexpr, torch, opencv = (sys.modules.get(name) for name in ("numexpr", "torch", "cv2"))
        if numexpr is not None:
            numexpr.set_num_threads(min(int(os.environ.get(NUMEXPR) or number), numexpr.MAX_THREADS))
        if opencv is not None and not self._opencv_chosen:
            opencv.setNumThreads(-1)
        if torch is not None:  # last, for its number is OpenMP's, too
            torch.set_num_threads(self._torch_number or number)

    def _adopt(self, number: int) -> None:
        for set_number in self._openmp:
            set_number(number)


def number_of_threads() -> int:
    """What a pool that starts in this environment would take: OMP_NUM_THREADS, else the cores that it may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(asked) if asked.isdigit() and int(asked) > 0 else len(os.sched_getaffinity(0))
