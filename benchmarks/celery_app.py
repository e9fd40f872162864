# pyright: basic, reportMissingImports=false
"""The no-op as a Celery task; its worker imports this module."""

from __future__ import annotations

import os

from celery import Celery

address = os.environ["BENCHMARK_REDIS"]
app = Celery("benchmarks.celery_app", broker=address, backend=address)
app.conf.worker_prefetch_multiplier = 64


@app.task
def nothing(x: int) -> int:
    return x
