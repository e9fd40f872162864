"""A second worker of a server gets the images that the first has built: it fetches their layers, and builds nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.homes import IONIAN, Home

PROGRAMS = Path(__file__).with_name("programs")

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture
def folder() -> Generator[Path]:
    """A short name, for the sockets of a worker."""
    made = Path(tempfile.mkdtemp(prefix="ionian-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@contextmanager
def second_worker(home: Home, folder: Path) -> Generator[Path]:
    """A worker of the home's server with a state of its own, that has no source of images; the file of its log.

    For root it has mounts of its own, so that it takes itself for another machine and gets blobs by its stream.
    """
    url = json.loads((home.folder / "run" / "server.json").read_text())["url"]
    token = (home.folder / "run" / "worker.token").read_text().strip()
    apart = ("unshare", "--mount") if os.geteuid() == 0 and shutil.which("unshare") else ()
    log = folder / "log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            (*apart, IONIAN, "worker", "--server", url, "--name", "second"),
            env={
                **home.environment,
                "IONIAN_HOME": str(folder / "home"),
                "IONIAN_TOKEN": token,
                "IONIAN_LOGLEVEL": "INFO",
                "IONIAN_BASES": "registry",
                "IONIAN_REGISTRY": "http://127.0.0.1:9",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        while "connected" not in log.read_text():
            assert worker.poll() is None, log.read_text()
            time.sleep(0.05)
        yield log
    finally:
        worker.terminate()
        assert worker.wait(timeout=60) == 0


def test_a_second_worker_runs_a_function_without_building_its_image(home: Home, folder: Path) -> None:
    home.ionian("server", "start")
    with second_worker(home, folder) as log:
        done = home.ionian("run", "-q", PROGRAMS / "stamped.py", timeout_s=280)
        assert done.stdout == "both at once: the same image\n"
        said = log.read_text()
    found = re.search(
        r"is another worker's: layers=(\d+) fetched=(\d+) seconds=[\d.]+, and nothing was built", said
    )
    assert found is not None, said
    assert int(found[1]) == int(found[2]) >= 3
