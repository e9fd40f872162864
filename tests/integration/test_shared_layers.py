"""A worker gets the images that others have built: it fetches their layers, and builds nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.homes import IONIAN, Home, cache_folder, new_home

PROGRAMS = Path(__file__).with_name("programs")
WAIT_S = 120

FETCHED = re.compile(r"is another worker's: layers=\d+ fetched=(\d+) seconds=[\d.]+, and nothing was built")

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@dataclass
class Fleet:
    """A server without a worker of its own."""

    home: Home

    @contextmanager
    def worker(self, name: str, *, builds: bool = False) -> Generator[Path]:
        """A worker with a state of its own, which has joined; the file of its log.

        One that `builds` has the images that tests share; another has none, and no source of any. For root it has mounts of its own,
        so that it takes itself for another machine and gets blobs by its stream.
        """
        folder = Path(tempfile.mkdtemp(prefix="ionian-", dir="/tmp"))  # short, for its sockets
        home = folder / "home"
        home.mkdir()
        source = {} if builds else {"IONIAN_BASES": "registry", "IONIAN_REGISTRY": "http://127.0.0.1:9"}
        if builds:
            (home / "images").symlink_to(cache_folder() / "images")
        url = json.loads((self.home.folder / "run" / "server.json").read_text())["url"]
        token = (self.home.folder / "run" / "worker.token").read_text().strip()
        own = {"IONIAN_HOME": str(home), "IONIAN_TOKEN": token, "IONIAN_LOGLEVEL": "INFO", **source}
        apart = ("unshare", "--mount") if os.geteuid() == 0 and shutil.which("unshare") else ()
        log, before = folder / "log", self.said().count("worker joined")
        with log.open("wb") as output:
            worker = subprocess.Popen(
                (*apart, IONIAN, "worker", "--server", url, "--name", name),
                env={**self.home.environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            while self.said().count("worker joined") == before:
                assert worker.poll() is None, log.read_text()
                time.sleep(0.05)
            yield log
        finally:
            worker.terminate()
            ended = worker.wait(timeout=WAIT_S)
            said = log.read_text()
            shutil.rmtree(folder, ignore_errors=True)
            assert ended == 0, said

    def said(self) -> str:
        """What the server has printed."""
        return (self.home.folder / "server.out").read_text()


@pytest.fixture(scope="module")
def fleet() -> Generator[Fleet]:
    with new_home() as home, ExitStack() as undo:
        output = undo.enter_context((home.folder / "server.out").open("wb"))
        server = subprocess.Popen(
            (IONIAN, "server", "--no-worker"),
            env=home.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        undo.callback(server.wait, timeout=WAIT_S)
        undo.callback(server.terminate)
        fleet = Fleet(home)
        while not (home.folder / "run" / "server.json").exists():
            assert server.poll() is None, fleet.said()
            time.sleep(0.05)
        yield fleet


def test_a_second_worker_runs_a_function_without_building_its_image(fleet: Fleet) -> None:
    with fleet.worker("first", builds=True), fleet.worker("second") as log:
        done = fleet.home.ionian("run", "-q", PROGRAMS / "stamped.py", timeout_s=280)
        assert done.stdout == "both at once: the same image\n"
        said = log.read_text()
    assert sum(int(count) for count in FETCHED.findall(said)) >= 3, said


def test_a_worker_that_comes_when_all_others_are_gone_builds_nothing_either(fleet: Fleet) -> None:
    def stamp() -> str:
        done = fleet.home.ionian("run", "-q", PROGRAMS / "one_stamp.py", timeout_s=280)
        found = re.search(r"^STAMP (\w{32})$", done.stdout, re.MULTILINE)
        assert found is not None, done.stdout
        return found[1]

    with fleet.worker("first", builds=True):
        drawn = stamp()
    # A build is the worker's that came first: it asks the other, which packs what it has.
    with fleet.worker("second") as log, fleet.worker("first", builds=True):
        assert stamp() == drawn
        assert FETCHED.search(log.read_text()), log.read_text()
    with fleet.worker("third") as log:
        assert stamp() == drawn
        said = log.read_text()
    assert sum(int(count) for count in FETCHED.findall(said)) >= 3, said
