"""kill -9 amid a commit or a reload of a volume on several machines: the old version or the new one, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import pytest

from tests.integration.machines import Machines, machines
from tests.integration.processes import Program, running
from tests.integration.seen import PROGRAMS

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

PROGRAM = PROGRAMS / "committing.py"

generations = count(2)


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with machines(tmp_path_factory.mktemp("machines")) as made:
        assert run(made, "write", 1) == [["1"], ["1"]]
        yield made


def run(far: Machines, entry: str, generation: int = 0) -> list[list[str]]:
    """What the program says at its end."""
    arguments = ("--generation", str(generation)) if generation else ()
    done = far.home.ionian(
        "run", "-q", f"{PROGRAM}::{entry}", *arguments, environment=far.client, timeout_s=250
    )
    assert done.returncode == 0, done.stdout + far.said()
    return json.loads(done.stdout.splitlines()[-1])


def writing(far: Machines, generation: int) -> AbstractContextManager[Program]:
    """The program beside the test."""
    arguments = ("run", "-q", f"{PROGRAM}::write", "--generation", str(generation))
    return running(far.home, *arguments, cwd=PROGRAMS, environment=far.client)


def looked(far: Machines) -> list[str]:
    """What a client sees, without any worker."""
    done = far.home.ionian("python", "-q", PROGRAM, environment=far.client)
    assert done.returncode == 0, done.stdout + far.said()
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("point", ["version.made", "version.newest", "version.placing:7"])
def test_a_commit_is_whole_though_the_server_is_killed_amid_it(
    far: Machines, point: str, tmp_path: Path
) -> None:
    generation = next(generations)
    killed = tmp_path / "killed"
    far.stop_server()
    far.start_server(IONIAN_FAULT=point, IONIAN_FAULT_ONCE=str(killed))
    with writing(far, generation) as client:
        assert far.process is not None
        far.process.wait(timeout=120)
        for worker in far.workers:  # what they know is of no help
            worker.kill()
        far.start_server()
        assert looked(far) in ([str(generation - 1)], [str(generation)])
        for worker in far.workers:
            worker.start(far.home)
        client.end(timeout_s=200)
    assert killed.exists()
    assert client.said[-1] == json.dumps([[str(generation)], [str(generation)]])


@pytest.mark.parametrize("point", ["copy.sent", "copy.committed", "copy.fetched", "copy.placing:7"])
def test_a_worker_killed_amid_a_commit_or_a_reload_goes_on_with_it_when_it_is_back(
    far: Machines, point: str, tmp_path: Path
) -> None:
    generation = next(generations)
    killed = tmp_path / "killed"
    for worker in far.workers:
        worker.stop()
        worker.start(far.home, IONIAN_FAULT=point, IONIAN_FAULT_ONCE=str(killed))
    with writing(far, generation) as client:
        while not any(worker.was_killed() for worker in far.workers):
            assert client.process.poll() is None, client.process.communicate()[0]
        for worker in far.workers:
            if worker.was_killed():
                worker.start(far.home)
        client.end(timeout_s=200)
    assert client.said[-1] == json.dumps([[str(generation)], [str(generation)]])


def test_a_container_killed_amid_a_commit_leaves_one_version_or_the_other(far: Machines) -> None:
    generation = next(generations)
    done = far.home.ionian(
        "run", "-q", f"{PROGRAM}::die", "--generation", str(generation), environment=far.client, timeout_s=250
    )
    assert done.returncode == 0, done.stdout
    assert len(looked(far)) == 1
    after = next(generations)
    assert run(far, "write", after) == [[str(after)], [str(after)]]
