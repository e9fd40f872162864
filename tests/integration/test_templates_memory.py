"""Templates give way where memory is short, those that were not used for longest first, and come again off the path.

The server, the worker and all containers run in a cgroup of the test's, whose limit is the memory that they may use.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.homes import IONIAN, Home, new_home
from tests.integration.test_templates import call, starts, template_of

from ionian.worker.memory import Memory
from ionian.worker.sandbox.cgroup import writable_roots

pytestmark = [pytest.mark.container, pytest.mark.timeout(240)]

PROGRAMS = Path(__file__).with_name("programs")
TOTAL_MIB = 1200
BALLAST = 100 << 20
PATIENCE_S = 60.0


@dataclass
class Confined:
    """A home whose server runs in a cgroup."""

    home: Home
    folder: Path
    version: int

    @property
    def memory(self) -> Memory:
        return Memory(1 << 40, 1 << 40).within(self.folder, self.version)


@pytest.fixture
def confined(monkeypatch: pytest.MonkeyPatch) -> Iterator[Confined]:
    roots = writable_roots()
    if roots is None:
        pytest.skip("no cgroup can be written here")
    folder = roots.folders["memory"] / f"ionian-test-{os.getpid()}"
    folder.mkdir()
    limit = folder / ("memory.max" if roots.version == 2 else "memory.limit_in_bytes")
    limit.write_text(str(TOTAL_MIB << 20))
    monkeypatch.setenv("IONIAN_TEMPLATES", "on")
    try:
        with new_home() as home:
            start = f"echo $$ > {folder}/cgroup.procs && exec {IONIAN} server start"
            subprocess.run(["sh", "-c", start], env=home.environment, check=True, timeout=60)
            yield Confined(home, folder, roots.version)
    finally:
        end = time.monotonic() + PATIENCE_S
        while folder.exists() and time.monotonic() < end:
            try:
                for path, _, _ in os.walk(folder, topdown=False):
                    os.rmdir(path)
            except OSError:  # what has ended may count for a moment longer
                time.sleep(0.05)


def python(home: Home, code: str) -> str:
    done = home.python("-c", f"import ionian; {code}")
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE_S:g} s"
        time.sleep(0.02)


def until_logged(home: Home, words: str) -> str:
    log = home.folder / "logs" / "worker.log"
    until(lambda: words in log.read_text(), words)
    return log.read_text()


def test_the_template_that_was_not_used_for_longest_gives_way_and_comes_again(confined: Confined) -> None:
    home = confined.home
    deployed = home.ionian("deploy", "ballast.py", cwd=PROGRAMS)
    assert deployed.returncode == 0, deployed.stdout
    for tag in ("first", "second", "hungry"):
        template_of(home, tag)
    for tag in ("first", "second"):
        assert call(home, tag, app="ballast") == [BALLAST]
        assert starts(home, "ballast", tag)[-1].startswith("started from a template")
    much = confined.memory.available - TOTAL_MIB // 10 + 50  # one template less, and a tenth is free again
    spawned = python(
        home, f"print(ionian.Function.from_name('ballast', 'hungry').spawn({much}, 200).object_id)"
    )
    assert "template function=second ends" not in until_logged(home, "template function=first ends")
    python(home, f"ionian.FunctionCall.from_id({spawned!r}).cancel()")
    until(lambda: confined.memory.available > much, "its memory is free again")
    assert call(home, "first", app="ballast") == [BALLAST]
    assert starts(home, "ballast", "first")[-1].startswith("started afresh")
    template_of(home, "first", count=2)
    assert call(home, "first", app="ballast") == [BALLAST]
    assert starts(home, "ballast", "first")[-1].startswith("started from a template")
