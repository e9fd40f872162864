"""The init by itself, under every Python of this machine that an image may have, outside of any sandbox."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ionian.container import init

INIT = init.__file__


def pythons() -> list[str]:
    """One interpreter for each version from 3.10 on that can be run here."""
    found = {sys.version_info[:2]: sys.executable}
    folders = [*os.get_exec_path(), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]
    for minor in range(10, 15):
        for folder in folders:
            path = Path(folder, f"python3.{minor}")
            if (3, minor) not in found and path.exists():
                check = subprocess.run(
                    [path, "-c", "import sys; sys.exit(sys.version_info[1])"], capture_output=True
                )
                if check.returncode == minor:
                    found[3, minor] = str(path)
    return list(found.values())


class Started:
    def __init__(self, gate: socket.socket, process: subprocess.Popen[str]) -> None:
        self.gate = gate
        self.process = process

    def status(self) -> int:
        """The wait status that the init reports, once it has ended, too."""
        said = self.gate.recv(64)
        assert self.process.wait() == 0
        return int(said.split()[0])  # behind it: the processor time


@contextmanager
def started(*argv: str, python: str = sys.executable, folder: Path = Path("/")) -> Generator[Started]:
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    stderr = os.dup(2)
    command = [python, "-I", "-S", INIT, str(theirs.fileno()), str(stderr), *argv]
    fds = [theirs.fileno(), stderr]
    with (
        ours,
        subprocess.Popen(command, pass_fds=fds, stdout=subprocess.PIPE, text=True, cwd=folder) as process,
    ):
        theirs.close()
        os.close(stderr)
        assert ours.recv(1) == b"+"
        yield Started(ours, process)
        process.kill()


@pytest.mark.parametrize("python", pythons())
def test_a_program_runs_after_go_and_its_status_is_reported(python: str):
    with started("--", "sh", "-c", "exit 5", python=python) as init:
        init.gate.send(b"g")
        assert os.waitstatus_to_exitcode(init.status()) == 5


@pytest.mark.parametrize("python", pythons())
def test_a_module_runs_in_the_same_interpreter(python: str, tmp_path: Path):
    (tmp_path / "agent.py").write_text(
        "import os, sys\ndef main():\n    print(sys.argv, os.getsid(0) == os.getpid(), 'site' in sys.modules, flush=True)\n"
    )
    with started("-p", str(tmp_path), "-m", "agent", "a", "b", python=python) as init:
        init.gate.send(b"g")
        assert init.process.stdout is not None
        assert init.process.stdout.readline() == "['agent', 'a', 'b'] True True\n"
        assert init.status() == 0


def test_without_a_worker_at_the_gate_nothing_runs():
    with started("--", "touch", "/nowhere") as init:
        init.gate.shutdown(socket.SHUT_WR)
        assert init.process.wait() == 1


def test_signals_go_to_the_program_and_its_death_by_one_is_told():
    with started("--", "sh", "-c", "echo up; exec sleep 1000") as init:
        init.gate.send(b"g")
        assert init.process.stdout is not None
        assert init.process.stdout.readline() == "up\n"
        init.process.send_signal(signal.SIGTERM)
        assert os.WTERMSIG(init.status()) == signal.SIGTERM


def test_a_traceback_of_a_module_that_fails_goes_to_the_programs_standard_error(tmp_path: Path):
    (tmp_path / "broken.py").write_text("def main():\n    raise RuntimeError('no')\n")
    with started("-p", str(tmp_path), "-m", "broken") as init:
        init.gate.send(b"g")
        assert os.waitstatus_to_exitcode(init.status()) == 1


def test_it_loads_nothing_that_costs_a_start():
    code = f"import sys; before = set(sys.modules); sys.argv = ['x']; exec(open({INIT!r}).read().split('if __name__')[0])"
    code += "; print(sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout in ("[]\n", "['_signal']\n")
