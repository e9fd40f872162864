# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false, reportAttributeAccessIssue=false
"""The same no-op with Ray, Dask, Celery and a process pool. Each peer runs in a process of its own:

python -m benchmarks.peers ray-actor      prints one line of JSON
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .measure import many, one_after_the_other

WORKERS = 2
"""Processes that run the no-op: as many as Ionian's containers in the same comparison."""

Result = dict[str, Any]


def nothing(x: int) -> int:
    return x


def ray_actor(scale: float) -> Result:
    """Actors are Ray's fastest way: no scheduling of each call. Inputs go to them in turn."""
    import ray

    with ray_session():

        @ray.remote
        class Worker:
            def nothing(self, x: int) -> int:
                return x

        actors = [Worker.remote() for _ in range(WORKERS)]
        ray.get([actor.nothing.remote(0) for actor in actors])

        def run(count: int) -> None:
            for start in range(0, count, 1000):
                part = range(start, min(start + 1000, count))
                ray.get([actors[x % WORKERS].nothing.remote(x) for x in part])

        return measured(
            "ray", scale, lambda x: ray.get(actors[0].nothing.remote(x)), run, calls=1000, inputs=10_000
        )


def ray_task(scale: float) -> Result:
    """Tasks: scheduled one by one, as a function of Ionian is."""
    import ray

    with ray_session():
        task = ray.remote(nothing)

        def run(count: int) -> None:
            for start in range(0, count, 1000):
                ray.get([task.remote(x) for x in range(start, min(start + 1000, count))])

        return measured("ray", scale, lambda x: ray.get(task.remote(x)), run, calls=500, inputs=5_000)


class ray_session:
    """A Ray of this machine alone, which tells nobody that it runs."""

    def __enter__(self) -> None:
        import ray

        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        self.folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, _temp_dir=self.folder)

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)


def dask(scale: float) -> Result:
    from distributed import Client

    with Client(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as client:

        def call(x: int) -> int:
            return client.submit(nothing, x, pure=False).result()

        def run(count: int) -> None:
            client.gather(client.map(nothing, range(count), pure=False))

        return measured("distributed", scale, call, run, calls=200, inputs=2_000)


def celery(scale: float) -> Result:
    """Celery with Redis as broker and for results, a prefork worker."""
    from celery import group

    server = shutil.which("redis-server")
    if server is None:
        return {"missing": "redis-server"}
    with tempfile.TemporaryDirectory(prefix="celery") as folder:
        port = free_port()
        os.environ["BENCHMARK_REDIS"] = f"redis://127.0.0.1:{port}/0"
        redis = subprocess.Popen(
            [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        wait_for_port(port)
        from . import celery_app

        options = ("-P", "prefork", "-c", str(WORKERS), "-l", "ERROR", "--without-gossip", "--without-mingle")
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "benchmarks.celery_app", "worker", *options],
            env={**os.environ, "C_FORCE_ROOT": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            celery_app.nothing.delay(0).get(timeout=60)

            def run(count: int) -> None:
                group(celery_app.nothing.s(x) for x in range(count)).apply_async().get()

            return measured(
                "celery", scale, lambda x: celery_app.nothing.delay(x).get(), run, calls=300, inputs=2_000
            )
        finally:
            gc.collect()  # results that are left say goodbye to Redis, and wait for ever once it has ended
            worker.terminate()
            worker.wait()
            redis.terminate()
            redis.wait()


def process_pool(scale: float) -> Result:
    with ProcessPoolExecutor(WORKERS) as pool:

        def run(count: int) -> None:
            for _ in pool.map(nothing, range(count)):
                pass

        result = measured(
            "", scale, lambda x: pool.submit(nothing, x).result(), run, calls=3000, inputs=20_000
        )
        return {**result, "version": sys.version.split()[0]}


def process_pool_chunks(scale: float) -> Result:
    """In chunks of 64 inputs: the fastest the pool can be; an error then costs its whole chunk."""
    with ProcessPoolExecutor(WORKERS) as pool:

        def run(count: int) -> None:
            for _ in pool.map(nothing, range(count), chunksize=64):
                pass

        return {**many(run, int(200_000 * scale)), "version": sys.version.split()[0]}


def measured(
    package: str,
    scale: float,
    call: Callable[[int], Any],
    run: Callable[[int], Any],
    *,
    calls: int,
    inputs: int,
) -> Result:
    result: Result = one_after_the_other(call, max(10, int(calls * scale)))
    result |= many(run, max(100, int(inputs * scale)))
    if package:
        result["version"] = version(package)
    return result


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"expected redis-server to listen on port {port} within 10 s")


PEERS: dict[str, tuple[str, Callable[[float], Result]]] = {
    "ray-actor": ("Ray, actors", ray_actor),
    "ray-task": ("Ray, tasks", ray_task),
    "dask": ("Dask distributed", dask),
    "celery": ("Celery with Redis", celery),
    "pool": ("process pool", process_pool),
    "pool-chunks": ("process pool, chunks of 64", process_pool_chunks),
}


def run_peer(name: str, scale: float) -> Result:
    """Measures one peer in a process of its own; a peer that isn't installed or fails says so in its row."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers", name, str(scale)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return {"missing": reason}
    return json.loads(lines[-1])


if __name__ == "__main__":
    print(json.dumps(PEERS[sys.argv[1]][1](float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)), flush=True)
