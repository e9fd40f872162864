"""A small computation with each library that is imported and known for its threads: does it work in a fork?

Only what user code has imported is used, so nothing is imported here and nothing else is touched.
"""

from __future__ import annotations

import sys
from typing import Any

from . import native

SIDE = 128
"""Rows of a matrix: enough for BLAS to divide the product among threads, and done in a millisecond."""


def compute() -> None:
    """Hangs, dies or raises where a library does not work in this process."""
    for name, step in (
        ("numpy", _numpy),
        ("scipy.linalg.blas", _scipy),
        ("torch", _torch),
        ("numexpr", _numexpr),
        ("pyarrow", _pyarrow),
        ("polars", _polars),
        ("cv2", _opencv),
    ):
        module = sys.modules.get(name)
        if module is not None:
            step(module)
    _openmp()
    sklearn = sys.modules.get("sklearn.cluster")
    if sklearn is not None and "numpy" in sys.modules:
        _sklearn(sklearn, sys.modules["numpy"])


def _numpy(numpy: Any) -> None:
    ones = numpy.ones((SIDE, SIDE))
    _expect((ones @ ones)[0, 0], SIDE)


def _scipy(blas: Any) -> None:  # it has an OpenBLAS of its own
    ones: Any = sys.modules["numpy"].ones((SIDE, SIDE))  # type: ignore[attr-defined]
    _expect(blas.dgemm(1.0, ones, ones)[0, 0], SIDE)


def _torch(torch: Any) -> None:
    ones = torch.ones(SIDE, SIDE)
    _expect(float((ones @ ones)[0, 0]), SIDE)
    _expect(float(torch.ones(1 << 17).sum()), 1 << 17)  # long enough for torch to divide it


def _numexpr(numexpr: Any) -> None:
    ones: Any = sys.modules["numpy"].ones(SIDE * SIDE)  # type: ignore[attr-defined]
    _expect(numexpr.evaluate("ones + ones", local_dict={"ones": ones})[-1], 2)


def _pyarrow(pyarrow: Any) -> None:
    _expect(pyarrow.array(range(1 << 12))[-1].as_py(), (1 << 12) - 1)


def _polars(polars: Any) -> None:
    _expect(polars.DataFrame({"a": [1, 2]}).select(polars.col("a").sum()).item(), 3)


def _opencv(cv2: Any) -> None:
    ones: Any = sys.modules["numpy"].ones((SIDE, SIDE), dtype="uint8")  # type: ignore[attr-defined]
    _expect(cv2.GaussianBlur(ones, (9, 9), 1)[0, 0], 1)


def _sklearn(cluster: Any, numpy: Any) -> None:
    points = numpy.arange(4 * SIDE, dtype=float).reshape(-1, 2)
    _expect(len(cluster.KMeans(2, n_init=1, max_iter=5, random_state=0).fit(points).labels_), 2 * SIDE)


def _openmp() -> None:
    """A parallel region without a library of Python's above it: whichever uses this OpenMP, it would hang in here."""
    import ctypes

    for library in native.libraries("libgomp"):
        ran: list[int | None] = []
        region = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ran.append)
        library.GOMP_parallel(region, None, 0, 0)
        _expect(len(ran), library.omp_get_max_threads())


def _expect(value: float, right: float) -> None:
    if value != right:
        raise ArithmeticError(f"a computation in the fork gave {value} in place of {right}")
