"""Deployed functions and classes called in all ways by another process, over deploys of every kind: no call is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from tests.homes import Home, new_home
from tests.integration.processes import server_of, worker_of
from tests.integration.seen import PROGRAMS

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]

APP = """
    import os
    import modal

    app = modal.App("stream")
    volume = modal.Volume.from_name("side-effects", create_if_missing=True)
    image = {image}

    def ran(number):
        with open("/effects/ran", "a") as file:
            os.write(file.fileno(), b"%d\\n" % number)

    @app.function(image=image, volumes={{"/effects": volume}}, max_containers=2)
    def record(number):
        ran(number)
        return [{release}, number]

    @app.function(image=image, volumes={{"/effects": volume}})
    def count(numbers):
        for number in numbers:
            ran(number)
            yield [{release}, number]

    @app.cls(image=image, volumes={{"/effects": volume}}{options})
    class Model:
        size: int = modal.parameter()

        @modal.enter()
        def load(self):
            self.release = {release}

        @modal.method()
        def read(self, number):
            assert self.size == number % 2 + 1
            ran(number)
            return [self.release, number]
"""
EXTRA = """
    @app.function()
    def extra():
        return {release}
"""
PLAIN = "modal.Image.debian_slim()"
OTHER = 'modal.Image.debian_slim().env({"IMAGE": "other"})'
BROKEN = 'modal.Image.debian_slim().run_commands("exit 3")'


def deploy(
    home: Home,
    folder: Path,
    release: int,
    *arguments: str,
    image: str = PLAIN,
    options: str = "",
    extra: str = "",
) -> str:
    """Deploys a release; returns what the command said."""
    text = dedent(APP).format(release=release, image=image, options=options) + dedent(extra).format(
        release=release
    )
    (folder / "stream.py").write_text(text)
    done = home.ionian("deploy", "stream.py", *arguments, cwd=folder)
    return done.stdout if done.returncode == 0 else f"failed: {done.stdout}"


class Stream:
    """The program that calls."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def sees(self, release: int) -> None:
        """This release is deployed: each way to call it has an answer of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{release}\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline()
        assert said == f"seen {release}\n", said

    def end(self) -> dict[str, Any]:
        """What went wrong, and how many inputs there were."""
        out, _ = self.process.communicate(timeout=100)
        return json.loads(out.splitlines()[-1])


@contextmanager
def stream(home: Home) -> Generator[Stream]:
    """The calls, in a process of their own."""
    with subprocess.Popen(
        [sys.executable, PROGRAMS / "deployed_stream.py"],
        env={**home.environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Stream(process)
        finally:
            process.kill()


def ran(home: Home) -> list[int]:
    """The numbers of the inputs that ran, once for each time."""
    (effects,) = (home.folder / "volumes").glob("*/ran")
    return sorted(int(line) for line in effects.read_text().split())


def test_no_call_is_lost_over_deploys_of_every_kind_and_none_runs_twice(tmp_path: Path) -> None:
    with new_home() as home:
        deploy(home, tmp_path, 1)
        with stream(home) as calls:
            calls.sees(1)
            deploy(home, tmp_path, 2, image=OTHER)
            calls.sees(2)
            deploy(home, tmp_path, 3, options=", max_containers=1", extra=EXTRA)
            calls.sees(3)
            assert "exit 3" in deploy(home, tmp_path, 4, image=BROKEN)
            assert "NameError" in deploy(home, tmp_path, 4, extra="nothing_of_this_name")
            assert "min_containers" in deploy(home, tmp_path, 4, options=", min_containers=-1")
            calls.sees(3)
            deploy(home, tmp_path, 5, options=', env={"A": "1"}')  # extra is gone
            calls.sees(5)
            os.kill(server_of(home), signal.SIGKILL)
            deploy(home, tmp_path, 6, options=", timeout=77", extra=EXTRA)
            calls.sees(6)
            assert home.ionian("app", "rollover", "stream").returncode == 0
            deploy(home, tmp_path, 7, image=OTHER)
            calls.sees(7)
            found = calls.end()
        assert found["wrong"] == []
        assert ran(home) == list(range(found["called"]))


def test_no_call_is_lost_where_containers_are_recreated_and_a_worker_dies(tmp_path: Path) -> None:
    with new_home() as home:
        deploy(home, tmp_path, 1)
        with stream(home) as calls:
            for release in range(2, 5):
                deploy(
                    home, tmp_path, release, "--strategy", "recreate", image=OTHER if release == 3 else PLAIN
                )
                calls.sees(release)
            os.kill(worker_of(home), signal.SIGKILL)
            deploy(home, tmp_path, 5)
            calls.sees(5)
            assert home.ionian("app", "rollover", "stream", "--strategy", "recreate").returncode == 0
            deploy(home, tmp_path, 6)
            calls.sees(6)
            found = calls.end()
        assert found["wrong"] == []
        assert sorted(set(ran(home))) == list(range(found["called"]))
