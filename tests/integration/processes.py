"""Programs that run beside a test, and the containers of a home, by the processes that they are."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.homes import IONIAN, Home

AGENT = "ionian.container.agent"
"""What the command line of every process of a container's own init and agent holds."""

TEMPLATE = "ionian.container.template"
"""The same of a template, and of the containers that are forked from it."""


class Program:
    """A command of the command line that runs beside the test."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []

    def until(self, text: str) -> str:
        """Reads on until a line has this text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))
            if text in line:
                return line
        raise AssertionError(f"expected a line with {text!r}, got:\n" + "\n".join(self.said))

    def signal(self, number: int) -> None:
        """Sends a signal to the command alone."""
        self.process.send_signal(number)

    def end(self, timeout_s: float = 60) -> int:
        """Waits for its end; returns the exit code. All that it said is in `said`."""
        out, _ = self.process.communicate(timeout=timeout_s)
        self.said += out.splitlines()
        return self.process.returncode

    @property
    def text(self) -> str:
        """All that it said so far."""
        return "\n".join(self.said)


@contextmanager
def running(
    home: Home, *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> Generator[Program]:
    """A command of the command line; it is ended with the block."""
    with subprocess.Popen(
        (IONIAN, *arguments),
        cwd=cwd,
        env={**home.environment, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield Program(process)
        finally:
            process.kill()


def server_of(home: Home) -> int:
    """The process of a home's server."""
    return json.loads((home.folder / "run" / "server.json").read_text())["pid"]


def worker_of(home: Home) -> int:
    """The process of a home's worker, the one that was started last."""
    started = re.findall(r"worker started pid=(\d+)", (home.folder / "logs" / "server.log").read_text())
    return int(started[-1])


def there(home: Home) -> set[int]:
    """The processes of this home's containers at this moment: those of an earlier test may still be idle."""
    processes = containers(home)
    for fd in processes.values():
        os.close(fd)
    return set(processes)


def containers(home: Home, having: str = AGENT, besides: set[int] | None = None) -> dict[int, int]:
    """The processes of this home's containers (forks, too), or of its build steps: pid → a pidfd, which `gone` closes.

    `besides`: those that were `there` before are left out.
    """
    found: dict[int, int] = {}
    roots = {pid for pid in _pids() if f"IONIAN_HOME={home.folder}" in _environment(pid)}
    for pid in _pids():
        if pid in (besides or ()):
            continue
        command = _read(pid, "cmdline")
        if not (having in command or (having == AGENT and TEMPLATE in command and _is_fork(pid))):
            continue
        if _ancestors(pid) & roots:
            try:
                found[pid] = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
    return found


def templates(home: Home, *, without_inits: bool = False) -> dict[int, int]:
    """The processes of this home's templates, and of their inits, but not the forks: pid → a pidfd."""
    return _some(
        containers(home, TEMPLATE),
        lambda pid: not _is_fork(pid) and not (without_inits and _is_first(pid)),
    )


def forks(home: Home) -> dict[int, int]:
    """The programs of those of this home's containers that are forks of templates and ready: pid → a pidfd."""
    return _some(
        containers(home, TEMPLATE),
        lambda pid: _is_fork(pid) and not _is_first(pid) and _may_be_cancelled(pid),
    )


def _some(processes: dict[int, int], wanted: Callable[[int], bool]) -> dict[int, int]:
    found = {pid: fd for pid, fd in processes.items() if wanted(pid)}
    for pid, fd in processes.items():
        if pid not in found:
            os.close(fd)
    return found


def _is_fork(pid: int) -> bool:
    """A fork has a pid in its template's namespace and in its own, beside that in ours."""
    return len(_spaces(str(pid))) - len(_spaces("self")) >= 2


def _may_be_cancelled(pid: int) -> bool:
    """Whether it runs inputs: one that was made ahead waits, and has no handler for the signal yet."""
    caught = re.search(r"^SigCgt:\s*(\w+)$", _read(pid, "status"), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGUSR1 - 1) & 1)


def _is_first(pid: int) -> bool:
    """The init of a namespace, or the process outside that waits for it."""
    spaces = _spaces(str(pid))
    return spaces[-1] == "1" or len(spaces) == len(_spaces("self"))


def _spaces(pid: str) -> list[str]:
    """Its number in each namespace of processes that it is in, the outermost first."""
    found = re.search(r"^NSpid:(.*)$", _read(pid, "status"), re.MULTILINE)
    return found[1].split() if found else [""]


def gone(processes: dict[int, int], within_s: float) -> set[int]:
    """Waits until all these processes have ended; returns those that have not in time. Closes the descriptors."""
    waiting = {fd: pid for pid, fd in processes.items()}
    poll = select.poll()
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    end = time.monotonic() + within_s
    while waiting and (left := end - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            poll.unregister(fd)
            del waiting[fd]
    for fd in processes.values():
        os.close(fd)
    return set(waiting.values())


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    while pid > 1:
        status = _read(pid, "stat").rpartition(")")[2].split()
        pid = int(status[1]) if len(status) > 1 else 0
        found.add(pid)
    return found


def _environment(pid: int) -> list[str]:
    return _read(pid, "environ").split("\0")


def _read(pid: int | str, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""


__all__ = [
    "Program",
    "containers",
    "forks",
    "gone",
    "running",
    "server_of",
    "templates",
    "there",
    "worker_of",
]
