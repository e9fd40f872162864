"""What Ionian's calls cost, through real containers. Each measurement runs in a process of its own:

python -m benchmarks.calls call      prints one line of JSON
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from .measure import many, one_after_the_other, percentile, watching_memory

ROOT = Path(__file__).parents[1]
IONIAN = Path(sys.executable).with_name("ionian")

Result = dict[str, Any]


def server_pid() -> int:
    """The process of this machine's server."""
    from ionian.machine.state import StateFolder

    return int(json.loads((StateFolder.default().runtime / "server.json").read_text())["pid"])


def call(scale: float) -> Result:
    """One warm blocking call after the other, and, for the table of peers, many inputs at once."""
    from .noop import alone, app, nothing

    with app.run():
        result: Result = one_after_the_other(alone.remote, max(20, int(5000 * scale)))

        def run(count: int) -> None:
            for expected, got in enumerate(nothing.map(range(count))):
                if expected != got:
                    raise AssertionError(f"expected result {expected}, got {got}")

        return result | many(run, max(1000, int(200_000 * scale)))


def million(scale: float) -> Result:
    """A million inputs in order, and the most memory that client and server hold meanwhile."""
    from .noop import app, nothing

    count = max(1000, int(1_000_000 * scale))
    with app.run():
        for _ in nothing.map(range(10_000)):
            pass
        with watching_memory(client=os.getpid(), server=server_pid()) as peak:
            start = time.perf_counter()
            for expected, got in enumerate(nothing.map(range(count))):
                if expected != got:
                    raise AssertionError(f"expected result {expected}, got {got}")
            seconds = time.perf_counter() - start
    return {
        "inputs": float(count),
        "seconds": seconds,
        "per_s": count / seconds,
        "client_mb": peak["client"],
        "server_mb": peak["server"],
    }


def first_call(scale: float) -> Result:
    """The first call of a function: image there, server and worker idle, client connected, no container."""
    from .noop import alone, app

    taken: list[float] = []
    for _ in range(max(3, int(15 * scale))):
        with app.run():
            start = time.perf_counter()
            alone.remote(1)
            taken.append(1e3 * (time.perf_counter() - start))
    return spread(taken[1:])


def from_the_prompt(scale: float) -> Result:
    """From `ionian run` at the prompt until its first result is printed; server and worker idle."""
    program = ROOT / "benchmarks" / "noop.py"
    run_until_result(program)
    return spread([run_until_result(program) for _ in range(max(3, int(15 * scale)))])


def changed_source(scale: float) -> Result:
    """A source file is changed and run again: until the new code has answered from a container."""
    taken: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "changed.py"
        source = (ROOT / "benchmarks" / "noop.py").read_text()
        for n in range(max(3, int(10 * scale)) + 1):
            program.write_text(source.replace("return x", f"return x + {n}"))
            taken.append(run_until_result(program, f"result {7 + n}"))
    return spread(taken[1:])


def run_until_result(program: Path, line: str = "result 7") -> float:
    """Milliseconds from the start of `ionian run` until that line is out."""
    start = time.perf_counter()
    with subprocess.Popen(
        (IONIAN, "run", program), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        seen: list[str] = []
        for got in process.stdout:
            seen.append(got)
            if got.rstrip().endswith(line):
                taken = 1e3 * (time.perf_counter() - start)
                process.stdout.read()
                return taken
    raise AssertionError(f"expected the line {line!r}, got: {''.join(seen)}")


def importing(scale: float) -> Result:
    """`import ionian` in a fresh interpreter."""
    program = "import time; t = time.perf_counter(); import ionian; print(time.perf_counter() - t)"
    taken: list[float] = []
    for _ in range(max(5, int(20 * scale))):
        done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
        taken.append(1e3 * float(done.stdout))
    return spread(taken[1:])


def packages_from_cache(scale: float) -> Result:
    """`pip_install("numpy")` on a base that was never seen, with numpy in the cache: the whole app.run()."""
    import ionian

    from .noop import numpy_version

    taken: list[float] = []
    for _ in range(max(2, int(5 * scale)) + 1):
        app = ionian.App("benchmark-packages")
        image = (
            ionian.Image.debian_slim(python_version="3.11")
            .env({"FRESH": uuid.uuid4().hex})
            .pip_install("numpy")
        )

        app.function(image=image)(numpy_version)
        start = time.perf_counter()
        with app.run():
            taken.append(1e3 * (time.perf_counter() - start))
    return spread(taken[1:])


def spawned(scale: float) -> Result:
    """Inputs that are on the server's disk before their ids come back."""
    from .noop import app
    from .spawn import through_the_sdk

    with app.run():
        return dict(through_the_sdk(max(1000, int(100_000 * scale))))


def deploy_from_the_prompt(scale: float) -> Result:
    """`ionian deploy` of what is deployed already, the whole process."""
    program = ROOT / "benchmarks" / "noop.py"

    def deploy() -> float:
        start = time.perf_counter()
        done = subprocess.run(
            (IONIAN, "deploy", "--name", "benchmark-deploy", program),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"expected a deploy, got: {done.stdout}{done.stderr}")
        return 1e3 * (time.perf_counter() - start)

    deploy()
    return spread([deploy() for _ in range(max(3, int(15 * scale)))])


def deploy_from_a_program(scale: float) -> Result:
    """`app.deploy()` of what is deployed already, in a program that is connected."""
    from .noop import app

    def deploy() -> float:
        start = time.perf_counter()
        app.deploy(name="benchmark-deploy")
        return 1e3 * (time.perf_counter() - start)

    deploy()
    return spread([deploy() for _ in range(max(3, int(15 * scale)))])


def spread(taken_ms: list[float]) -> Result:
    return {"p50_ms": median(taken_ms), "p90_ms": percentile(taken_ms, 0.9), "runs": float(len(taken_ms))}


MEASUREMENTS: dict[str, Callable[[float], Result]] = {
    "call": call,
    "million": million,
    "first-call": first_call,
    "prompt": from_the_prompt,
    "changed-source": changed_source,
    "import": importing,
    "packages": packages_from_cache,
    "spawn": spawned,
    "deploy": deploy_from_the_prompt,
    "deploy-inside": deploy_from_a_program,
}


def run_measurement(name: str, scale: float) -> Result:
    """One measurement in a process of its own; one that fails says so."""
    done = subprocess.run(
        (sys.executable, "-m", "benchmarks.calls", name, str(scale)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"missing": (done.stderr.strip().splitlines() or ["no output"])[-1]}
    return json.loads(lines[-1])


if __name__ == "__main__":
    print(json.dumps(MEASUREMENTS[sys.argv[1]](float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)), flush=True)
