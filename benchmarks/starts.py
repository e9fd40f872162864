"""How long a container takes to start, from a call to its result in the caller's hands, beside other ways to start one:

    python -m benchmarks.starts [--quick] [--picture docs/starts.svg]

Needs a server of its own: set IONIAN_HOME to a new folder. Everything is measured with no other work on the machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from ionian.machine.state import StateFolder
from ionian.worker.sandbox import find_bwrap

from .measure import percentile
from .report import machine

ROOT = Path(__file__).parents[1]
IONIAN = Path(sys.executable).with_name("ionian")
READY = "template function={} state=READY"
PATIENCE_S = 120.0

APART_S = 0.3
"""So long after a start the next one begins, but where they follow each other at once: the next is made ahead by then, and what
the one before left is deleted."""

GOALS_MS = {"first": 60.0, "more": 8.0, "heavy": 12.0, "model": 20.0, "burst": 1000.0}
NAMES = {
    "first": "first call after a deploy, no heavy imports",
    "more": "one container more, no imports",
    "heavy": "one more, `numpy` and `pandas` imported",
    "model": "one more, a model of 400 MB in `@enter(snap=True)`",
    "at once": "one more at once behind the one before, no imports",
    "burst": "100 containers at once, all have answered",
    "bubblewrap": "bubblewrap alone, with Python, that does nothing",
    "runc": "runc alone, with Python, that does nothing",
    "process": "a new Python process, that does nothing",
    "pool": "a process pool's new process (fork of the caller)",
    "ray": "a new Ray actor, its first answer",
}

Result = dict[str, float]


def deploy(version: int) -> None:
    env = {**os.environ, "BENCH_VERSION": str(version)}
    done = subprocess.run(
        (IONIAN, "deploy", "-m", "benchmarks.started"),
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


def templates(tag: str) -> int:
    """How many templates of a function the worker has made."""
    return (StateFolder.default().logs / "worker.log").read_text().count(READY.format(tag))


def wait_for(tag: str, before: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while templates(tag) <= before:
        if time.monotonic() > end:
            raise SystemExit(f"no template of {tag} within {PATIENCE_S:g} s")
        time.sleep(0.02)


def timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def apart(run: Callable[[], Any]) -> float:
    """The same, on a machine that does nothing else at that moment."""
    time.sleep(APART_S)
    return timed(run)


def spread(taken: list[float]) -> Result:
    return {"p50_ms": median(taken), "p90_ms": percentile(taken, 0.9)}


def ours(count: int) -> Iterator[tuple[str, Result]]:
    """Each row of the table."""
    import ionian

    found = ionian.Function.from_name
    first: list[float] = []
    for version in range(1, 1 + max(3, count // 5)):
        before = (
            {tag: templates(tag) for tag in ("nothing", "heavy", "Once.*", "Model.*")} if version > 1 else {}
        )
        deploy(version)
        first.append(timed(lambda: found("starts", "nothing").remote(1)))
        for tag in ("nothing", "heavy", "Once.*", "Model.*"):
            wait_for(tag, before.get(tag, 0))
    yield "first", spread(first)
    nothing, heavy = found("starts", "nothing"), found("starts", "heavy")
    once = ionian.Cls.from_name("starts", "Once")()
    for name, call in (
        ("more", lambda: nothing.remote(1)),
        ("heavy", lambda: heavy.remote(1)),
        ("model", once.use.remote),
    ):
        call()
        yield name, spread([apart(call) for _ in range(count)])
    yield "at once", spread([timed(lambda: nothing.remote(1)) for _ in range(count)])
    bursts = [timed(lambda: list(nothing.map(range(100)))) for _ in range(max(2, count // 10))]
    yield "burst", spread(bursts)
    yield "memory", {"mb": memory_of_one_more()}


def memory_of_one_more(first: int = 20, then: int = 100) -> float:
    """MB of the machine that each container of the model takes, between the 20th and the 100th."""
    import ionian

    model = ionian.Cls.from_name("starts", "Model")()
    levels: list[float] = []
    for containers in (first, then):
        calls = [model.use.spawn(6.0) for _ in range(containers)]
        time.sleep(4.0)  # they all run by then, and do not answer yet
        levels.append(available_mb())
        for call in calls:
            call.get()
    return (levels[0] - levels[1]) / (then - first)


def available_mb() -> float:
    text = Path("/proc/meminfo").read_text()
    return int(text.partition("MemAvailable:")[2].split()[0]) / 1024


# --- other ways


def bubblewrap() -> None:
    binary = find_bwrap()
    env = {**os.environ, **({"LD_LIBRARY_PATH": str(binary.libraries)} if binary.libraries else {})}
    command = [
        binary.path,
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--unshare-all",
        sys.executable,
    ]
    subprocess.run([*map(str, command), "-I", "-S", "-c", "pass"], env=env, check=True)


def runc_in(folder: Path) -> Callable[[], None]:
    """Runs that Python in a container of runc's, whose root shows this machine's programs."""
    root = folder / "root"
    shown = [Path("/usr"), *(path for path in map(Path, ("/etc", sys.base_prefix)) if path != Path("/usr"))]
    for name in ("proc", "dev"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        if Path("/", name).is_symlink():
            (root / name).symlink_to(os.readlink(Path("/", name)))
        elif Path("/", name).is_dir():
            shown.append(Path("/", name))
    binds = [
        {"destination": str(path), "type": "bind", "source": str(path), "options": ["rbind", "ro"]}
        for path in shown
    ]
    python = str(Path(sys.base_prefix, "bin", "python3"))
    config: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": [python, "-I", "-S", "-c", "pass"],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "root": {"path": str(root), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            *binds,
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }
    (folder / "config.json").write_text(json.dumps(config))
    numbers = itertools.count()

    def run() -> None:
        command = ("runc", "--root", folder / "state", "run", "--bundle", folder, f"bench-{next(numbers)}")
        subprocess.run(command, check=True)

    return run


def process() -> None:
    subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)


def pool() -> None:
    with multiprocessing.get_context("fork").Pool(1) as made:
        made.apply(abs, (1,))


def ray_actors(count: int) -> Result:
    import ray  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]

    ray.init(num_cpus=1000, include_dashboard=False, log_to_driver=False)  # pyright: ignore[reportUnknownMemberType]

    class Actor:
        def answer(self) -> int:
            return 1

    remote: Any = ray.remote(num_cpus=0)(Actor)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    try:
        taken = [timed(lambda: ray.get(remote.remote().answer.remote())) for _ in range(max(5, count // 5))]  # pyright: ignore[reportUnknownLambdaType, reportUnknownMemberType]
    finally:
        ray.shutdown()  # pyright: ignore[reportUnknownMemberType]
    return spread(taken)


def others(number: int) -> Iterator[tuple[str, Result]]:
    for name, run in (("bubblewrap", bubblewrap), ("process", process), ("pool", pool)):
        run()
        yield name, spread([timed(run) for _ in range(number)])
    if shutil.which("runc") and os.geteuid() == 0:
        with tempfile.TemporaryDirectory(prefix="ionian-runc-") as folder:
            run = runc_in(Path(folder))
            run()
            yield "runc", spread([timed(run) for _ in range(number)])
    try:
        yield "ray", ray_actors(number)
    except ImportError:
        return  # it is not installed


# --- what is shown


def table(results: dict[str, Result]) -> str:
    lines = [machine(), "", "| | p50 | p90 | to reach |", "|---|---|---|---|"]
    for name, title in NAMES.items():
        if name in results:
            got = results[name]
            goal = f"{GOALS_MS[name]:g} ms" if name in GOALS_MS else ""
            lines.append(f"| {title} | {got['p50_ms']:.1f} ms | {got['p90_ms']:.1f} ms | {goal} |")
    if "memory" in results:
        lines.append(
            f"| memory of the 100th container of that model | {results['memory']['mb']:.1f} MB | | 20 MB |"
        )
    return "\n".join(lines)


def picture(results: dict[str, Result]) -> str:
    """Bars on a logarithmic axis, a name each."""
    rows = [
        (NAMES[name].replace("`", ""), results[name]["p50_ms"], name in GOALS_MS)
        for name in NAMES
        if name in results
    ]
    left, width, step = 330, 640, 26
    height = 30 + step * len(rows)

    def x(ms: float) -> float:
        from math import log10

        return max(2.0, (log10(max(ms, 1.0)) / 4) * (width - left - 70))

    bars = "".join(
        f'<text x="{left - 8}" y="{at * step + 33}" text-anchor="end">{title}</text>'
        f'<rect x="{left}" y="{at * step + 20}" width="{x(ms):.0f}" height="17" fill="{"#2a78d6" if own else "#9a9a92"}"/>'
        f'<text x="{left + x(ms) + 6:.0f}" y="{at * step + 33}">{ms:,.1f} ms</text>\n'
        for at, (title, ms, own) in enumerate(rows)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">'
        f'<rect width="{width}" height="{height}" fill="white"/>\n{bars}</svg>\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starts", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", type=Path, help="what was measured, to be drawn together with another's")
    options = parser.parse_args()
    count = 10 if options.quick else 50
    results: dict[str, Result] = {}
    for part in (ours, others):
        for name, result in part(count):
            results[name] = result
            print(name, {key: round(value, 1) for key, value in result.items()}, flush=True)
    print(table(results))
    if options.picture:
        options.picture.write_text(picture(results))
    if options.json:
        options.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
