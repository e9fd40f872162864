"""`pip_install` of a set of packages from cache, beside bare `uv pip install` of the same from the same cache, in turns in one run.

python -m benchmarks.packages [--rounds 7] [PACKAGE…]      prints a table
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path
from statistics import median

from uv import find_uv_bin

import ionian
from ionian.machine.state import StateFolder
from ionian.worker.images.host import HostSettings

PACKAGES = ("numpy", "pandas", "scikit-learn", "fastapi", "sqlalchemy", "httpx", "rich", "pillow")
PYTHON = "3.11"


def installed_by_us(packages: list[str]) -> float:
    """The seconds of one `pip_install` on an image that was never seen, as its user has to wait for it."""
    app = ionian.App("benchmark-packages")
    below = ionian.Image.debian_slim(python_version=PYTHON).env({"FRESH": uuid.uuid4().hex})
    with app.run():
        below.build(app)
        begun = time.perf_counter()
        below.pip_install(*packages).build(app)
        return time.perf_counter() - begun


def installed_by_uv(packages: list[str], images: Path) -> float:
    """The seconds that uv takes for the same into a new folder on the disk of the images."""
    folder = images / "tmp" / f"benchmark-{uuid.uuid4().hex}"
    command = [find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable, "--no-build"]
    command += ["--python-version", PYTHON, "--python-platform", "x86_64-manylinux_2_36"]
    cache = (
        images / "cache" / hashlib.sha256(b"main").hexdigest()[:12] / "uv"
    )  # the environment's, which is main
    command += ["--cache-dir", str(cache), "--prefix", str(folder)]
    command += HostSettings.read().pip.as_uv_options(packages, {})  # the indexes that the worker uses
    try:
        begun = time.perf_counter()
        subprocess.run([*command, *packages], check=True)
        return time.perf_counter() - begun
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="*", default=PACKAGES)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    packages = list(options.packages)
    images = StateFolder.default().images
    taken: dict[str, list[float]] = {}
    for turn in range(options.rounds + 1):  # the first fills the caches
        for name, seconds in (
            ("Ionian", installed_by_us(packages)),
            ("uv", installed_by_uv(packages, images)),
        ):
            if turn:
                taken.setdefault(name, []).append(seconds)
    print(f"{' '.join(packages)}, median of {options.rounds}")
    bare = median(taken["uv"])
    for name, values in taken.items():
        print(f"| {name} | {1e3 * median(values):,.0f} ms | {median(values) / bare:.2f} |")
    ratios = [ours / theirs for ours, theirs in zip(taken["Ionian"], taken["uv"], strict=True)]
    print(f"Ionian / uv, round by round: {' '.join(f'{ratio:.2f}' for ratio in ratios)}")


if __name__ == "__main__":
    main()
