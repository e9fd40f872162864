"""The story of a whole cluster: a thousand workers and up to a million inputs, with everything that goes wrong."""

from __future__ import annotations

import gc

from ionian.protocol.spec import (
    Batching,
    Concurrency,
    FunctionSpec,
    GpuRequest,
    Resources,
    RetryPolicy,
    Scaling,
)
from ionian.protocol.workers import Capacity, Device

from .containers import Work
from .stories import Faults, Story, failure

CPUS = [Capacity(8000, 8192)] * 9
GPUS = [Capacity(8000, 8192, [Device(f"gpu={number}", "A100-40GB", 40960) for number in range(4)])]
"""One worker of ten has GPUs."""

FAULTS = Faults(
    cuts=100,
    long_cuts=5,
    container_kills=50,
    worker_kills=5,
    server_kills=1,
    deploys=10,
    partitions=1,
    deaf=20,
    late=50,
    repeats=50,
    stalls=1,
    cancels=1,
    span_s=20.0,
)


def functions() -> list[tuple[FunctionSpec, Work]]:
    """What runs: quick and slow, capped, large, shared, batched, on GPUs."""
    capped = FunctionSpec("fu-2", "capped", "m", "f", scaling=Scaling(max_containers=300))
    large = FunctionSpec("fu-3", "large", "m", "f", resources=Resources(cpu_milli=2000, memory_mib=1024))
    shared = FunctionSpec("fu-4", "shared", "m", "f", concurrency=Concurrency(20), retries=RetryPolicy(3))
    cards = Resources(cpu_milli=1000, memory_mib=512, gpus=[GpuRequest("A100", 2)])
    return [
        (shared, Work(seconds=0.2, fails_every=100, fails_times=2, unlucky_every=5000)),
        (FunctionSpec("fu-5", "batched", "m", "f", batching=Batching(10, 50)), Work(seconds=0.1)),
        (FunctionSpec("fu-1", "quick", "m", "f"), Work(seconds=0.0003, slow_every=1000, unlucky_every=1000)),
        (capped, Work(seconds=0.05)),
        (large, Work(seconds=0.5, deadly_every=5000)),
        (FunctionSpec("fu-6", "cards", "m", "f", resources=cards), Work(seconds=0.02)),
    ]


def play_large(seed: int, *, workers: int = 1000, inputs: int = 1_000_000) -> None:
    """Plays it. A failure says how it is played again."""
    story = Story(
        seed, workers=workers, inputs=inputs, faults=FAULTS, check_every=inputs // 5, specs=functions(),
        capacities=CPUS + GPUS, windows=(4000,), maxima=(0, 100, 1000),
    )  # fmt: skip
    gc.disable()  # what is in cycles is little, and each collection looks at millions of objects
    try:
        story.play()
    except Exception as error:
        raise failure(f"seed {seed} (large)", error, seed, workers, inputs, " --large") from error
    finally:
        del story
        gc.enable()
        gc.collect()
