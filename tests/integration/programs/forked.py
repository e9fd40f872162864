"""What the containers of one template have alike, and what not: native pools, random numbers, surroundings."""

from __future__ import annotations

import json
import os
import random
import ssl
import sys
import time
import uuid
from typing import Any

import modal

app = modal.App("forked")
plain = modal.Image.debian_slim(python_version="3.11")
numerical = plain.pip_install("numpy", "scikit-learn", "cryptography")

TEMPLATE = 3
"""The process id of a template: a container that was forked has imported this module as that process."""
IMPORTED_BY = os.getpid()
POINTS = 4_000

if not modal.is_local():
    ssl.RAND_bytes(8)
    uuid.uuid1()
    with open("/tmp/imported", "w") as file:
        file.write("by the import")
    os.environ["SET_AT_IMPORT"] = "yes"

with numerical.imports():
    import numpy
    import sklearn.cluster
    import threadpoolctl
    from cryptography.hazmat.primitives.asymmetric import ec

    ec.generate_private_key(ec.SECP256R1())
    numpy.random.normal()
    held, seeded = numpy.random.default_rng(), numpy.random.default_rng(7)


def compute() -> list[float]:
    """Enough of both kinds for BLAS and OpenMP to divide it."""
    ones = numpy.ones((400, 400))
    points = numpy.arange(4.0 * POINTS).reshape(-1, 4)
    means = sklearn.cluster.KMeans(4, n_init=1, random_state=0).fit(points)
    return [float((ones @ ones)[0, 0]), round(float(means.inertia_))]


@app.function(image=numerical, max_containers=4, single_use_containers=True)
def computed(n: int) -> dict[str, Any]:
    threads = {info["internal_api"]: info["num_threads"] for info in threadpoolctl.threadpool_info()}
    return {
        "forked": IMPORTED_BY == TEMPLATE,
        "at import": AT_IMPORT,
        "value": compute(),
        "threads": [threads["openblas"], threads["openmp"]],
        "cores": len(os.sched_getaffinity(0)),
        "numpy": float(numpy.random.random()),
        "numpy, normal": float(numpy.random.normal()),
        "numpy, held": float(held.random()),
        "numpy, seeded": float(seeded.random()),
        "key": ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value,
    }


AT_IMPORT = compute() if not modal.is_local() and "sklearn" in sys.modules else []


def descriptors() -> list[str]:
    """What kinds are open: "socket:[7]" is one, and so is a path."""
    kinds: list[str] = []
    for name in os.listdir("/proc/self/fd"):
        try:
            kinds.append(os.readlink(f"/proc/self/fd/{name}").partition(":[")[0])
        except OSError:
            pass  # the one by which the folder is read
    return sorted(kinds)


@app.function(
    image=plain, max_containers=4, single_use_containers=True, secrets=[modal.Secret.from_dict({"S": "s"})]
)
def own(n: int) -> dict[str, Any]:
    with open("/tmp/imported") as file:
        imported = file.read()
    with open("/tmp/imported", "w") as file:
        file.write(f"by container {n}")
    return {
        "forked": IMPORTED_BY == TEMPLATE,
        "pid": os.getpid(),
        "session": os.getsid(0),
        "imported": imported,
        "environment": [os.environ["SET_AT_IMPORT"], os.environ["S"], os.environ.get("OMP_NUM_THREADS")],
        "task": os.environ["MODAL_TASK_ID"],
        "random": random.random(),
        "ssl": ssl.RAND_bytes(16).hex(),
        "uuid": uuid.uuid1().hex,
        "descriptors": descriptors(),
    }


@app.cls(image=plain, max_containers=2, single_use_containers=True)
class Held:
    name: str = modal.parameter(default="none")

    @modal.enter()
    async def enter(self) -> None:
        self.entered_by = os.getpid()

    @modal.method()
    async def said(self, n: int) -> dict[str, Any]:
        return {"forked": IMPORTED_BY == TEMPLATE, "name": self.name, "entered by": self.entered_by}


@app.cls(image=plain, max_containers=2, single_use_containers=True, enable_memory_snapshot=True)
class Loaded:
    @modal.enter(snap=True)
    def load(self) -> None:
        self.loaded_by = os.getpid()
        self.task = os.environ.get("MODAL_TASK_ID", "")

    @modal.enter()
    def enter(self) -> None:
        self.entered_by = os.getpid()

    @modal.method()
    def said(self, n: int) -> dict[str, Any]:
        return {
            "forked": IMPORTED_BY == TEMPLATE,
            "loaded by": [self.loaded_by, self.task],
            "entered by": self.entered_by,
        }


def of_forks(function: Any, count: int = 4) -> list[dict[str, Any]]:
    """What so many containers say, once there is a template of them."""
    until = time.monotonic() + 60
    while not function.remote(-1)["forked"]:
        assert time.monotonic() < until, "no container was forked"
    return list(function.map(range(count)))


@app.local_entrypoint()
def main() -> None:
    found = {
        "fresh": [own.remote(-1)],
        "own": of_forks(own),
        "held": of_forks(Held(name="Ada").said, 2),
        "loaded": of_forks(Loaded().said, 2),
        "computed": of_forks(computed),
    }
    print("SEEN " + json.dumps(found))
