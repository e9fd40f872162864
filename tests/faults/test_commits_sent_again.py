"""A commit of a volume whose answer is lost is sent again: what another committed in between stays."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.integration.machines import Machines, machines
from tests.integration.processes import running
from tests.integration.seen import PROGRAMS

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

PROGRAM = PROGRAMS / "committing.py"


@pytest.mark.parametrize("killed", ["server", "worker"])
def test_a_commit_sent_again_after_a_kill_leaves_what_another_committed_in_between(
    tmp_path: Path, killed: str
) -> None:
    mark, theirs = tmp_path / "killed", tmp_path / "theirs"
    theirs.write_text("client")
    with machines(tmp_path, ("one",)) as far:
        (worker,) = far.workers
        create(far)
        if killed == "server":
            far.stop_server()
            far.start_server(IONIAN_FAULT="version.newest:2", IONIAN_FAULT_ONCE=str(mark))
        else:
            worker.stop()
            worker.start(far.home, IONIAN_FAULT="copy.committed", IONIAN_FAULT_ONCE=str(mark))
        arguments = ("run", "-q", f"{PROGRAM}::once", "--file", "once")
        with running(far.home, *arguments, cwd=PROGRAMS, environment=far.client) as client:
            assert far.process is not None
            assert worker.process is not None
            if killed == "server":
                far.process.wait(timeout=200)
                os.kill(worker.process.pid, signal.SIGSTOP)
                try:
                    far.start_server()
                    volume(far, "put", "generations", theirs, "once", "--force")
                finally:
                    os.kill(worker.process.pid, signal.SIGCONT)
            else:
                worker.process.wait(timeout=200)
                volume(far, "put", "generations", theirs, "once", "--force")
                worker.start(far.home)
            assert client.end(timeout_s=200) == 0, client.text + far.said()
        assert mark.exists()
        assert volume(far, "get", "generations", "once", "-") == "client"


def create(far: Machines) -> None:
    """The volume has a version, so that the next one is that of the program's commit."""
    first = far.home.folder / "first"
    first.write_text("first")
    volume(far, "create", "generations")
    volume(far, "put", "generations", first)


def volume(far: Machines, *arguments: str | Path) -> str:
    done = far.home.ionian("volume", *arguments, environment=far.client)
    assert done.returncode == 0, done.stdout + far.said()
    return done.stdout
