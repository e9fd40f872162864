"""The disk of a worker is full while it builds: that is said, nothing half-built stays, and what fits still works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home, cache_folder
from tests.integration.messages import fails_with

PROGRAMS = Path(__file__).with_name("programs")
ROOM_MIB = 40
"""Beside the base: less than any of the large steps writes."""


@pytest.fixture
def small_disk(home: Home) -> Iterator[Home]:
    """A home whose images lie on a disk of their own, with a base image and little room beside it."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    done = home.ionian(
        "run", "-q", "cured_module.py::main", cwd=PROGRAMS
    )  # the base is in the cache after that
    assert done.returncode == 0, done.stdout
    folder = Path(tempfile.mkdtemp(prefix="ionian-", dir="/tmp"))
    disk = folder / "images"
    disk.mkdir(mode=0o700)
    record, layers = base()
    size = ROOM_MIB + sum(mib(layer) for layer in layers)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=700", "small", disk], check=True)
    small = Home(folder)
    try:
        images = cache_folder() / "images"
        for path in (*layers, *record.parent.glob("*.base"), record):
            name = path.relative_to(images)
            subprocess.run(["cp", "-a", "--parents", name, disk], cwd=images, check=True)
        yield small
    finally:
        small.ionian("server", "stop")
        subprocess.run(["umount", disk], check=True)
        shutil.rmtree(folder)


def base() -> tuple[Path, list[Path]]:
    """The record of debian_slim with Python 3.11 in the cache, and its layers."""
    images = cache_folder() / "images"
    for path in (images / "k").glob("*.json"):
        record: dict[str, Any] = json.loads(path.read_text())
        python: dict[str, str] = record.get("python") or {}
        if python.get("version") == "3.11" and record["base"] == path.name[:12]:
            return path, [images / "l" / name for name in record["layers"]]
    raise AssertionError("expected a base of Python 3.11 in the cache")


def mib(folder: Path) -> int:
    """What a folder takes on a disk."""
    out = subprocess.run(["du", "-sm", folder], check=True, capture_output=True, text=True).stdout
    return int(out.split()[0])


def free_mib(folder: Path) -> int:
    """What a disk has left."""
    return shutil.disk_usage(folder).free >> 20


@pytest.mark.timeout(300)
def test_a_full_disk_ends_a_build_in_a_sentence_and_what_fits_still_works(small_disk: Home) -> None:
    done = small_disk.ionian("python", "-q", "large_builds.py", "small", cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout
    before = free_mib(small_disk.folder / "images")
    done = small_disk.ionian("python", "-q", "large_builds.py", "command", cwd=PROGRAMS)
    fails_with(done, "Error: RUN head -c 1G /dev/zero > /large", "the disk of the worker is full")
    done = small_disk.ionian("python", "-q", "large_builds.py", "package", cwd=PROGRAMS)
    fails_with(done, "Error: pip_install numpy", "full")
    assert free_mib(small_disk.folder / "images") >= before - 30, "a failed build keeps the room that it took"
    done = small_disk.ionian("python", "-q", "large_builds.py", "small", cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout
