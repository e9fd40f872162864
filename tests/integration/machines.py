"""A server and workers that are machines of their own: each has a network and mounts of its own, so none sees another's disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from tests.homes import IONIAN, Home, cache_folder, new_home

WAIT_S = 60

_numbers = count()
"""Of the networks of this process: up to 63, for each has four addresses."""


@dataclass
class Machine:
    """A worker that sees the server over a cable alone."""

    name: str
    folder: Path
    space: str  # its network's name
    server: str  # the server's address, as it is seen here
    environment: dict[str, str] = field(default_factory=dict[str, str])
    process: subprocess.Popen[bytes] | None = None

    def start(self, home: Home, **environment: str) -> None:
        """Starts its worker, and waits until it has joined the server, which is there."""
        before = _joined(home)
        self.process = subprocess.Popen(
            self._command(home, self.name),
            env={**self._environment(home), **environment},
            stdin=subprocess.DEVNULL,
        )
        until = time.monotonic() + WAIT_S
        while _joined(home) == before and self.process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        assert _joined(home) > before, f"the worker {self.name} has not joined"

    def said_by(self, home: Home, *options: str) -> str:
        """What another worker on it says that does not come to work."""
        command = (*self._command(home, "another"), *options)
        done = home.run(command, None, WAIT_S, self._environment(home))
        assert done.returncode == 1, done.stdout
        return done.stdout

    def _command(self, home: Home, name: str) -> tuple[str | Path, ...]:
        facts = json.loads((home.folder / "run" / "server.json").read_text())
        url = f"ws://{self.server}:{facts['url'].rpartition(':')[2]}"
        here = ("nsenter", f"--net=/run/netns/{self.space}", "unshare", "--mount")
        return (*here, IONIAN, "worker", "--server", url, "--name", name, "--no-gpu")

    def _environment(self, home: Home) -> dict[str, str]:
        token = (home.folder / "run" / "worker.token").read_text().strip()
        own = {"IONIAN_HOME": str(self.folder), "IONIAN_TOKEN": token}
        return {**home.environment, **self.environment, **own}

    def stop(self) -> None:
        """Ends its worker, and with it its containers."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=WAIT_S)

    def kill(self) -> None:
        """kill -9 of its worker."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=WAIT_S)

    def was_killed(self) -> bool:
        """Whether its worker was ended by kill -9."""
        try:
            return self.process is not None and self.process.wait(timeout=0.2) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False


@dataclass
class Machines:
    """A server without a worker of its own, and machines that work for it."""

    home: Home
    port: int
    workers: list[Machine]
    environment: dict[str, str] = field(default_factory=dict[str, str])
    process: subprocess.Popen[bytes] | None = None

    def start_server(self, **environment: str) -> None:
        """Starts the server, and waits until it listens."""
        facts = self.home.folder / "run" / "server.json"
        facts.unlink(missing_ok=True)
        arguments = ("server", "--no-worker", "--insecure", "--host", "0.0.0.0", "--port", str(self.port))
        with open(self.home.folder / "server.out", "ab") as out:
            self.process = subprocess.Popen(
                (IONIAN, *arguments),
                env={**self.home.environment, **self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        until = time.monotonic() + WAIT_S
        while not facts.exists() and self.process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        assert facts.exists(), self.said()

    @property
    def client(self) -> dict[str, str]:
        """The environment of a client that waits for this server, and starts none itself."""
        token = (self.home.folder / "run" / "client.token").read_text().strip()
        url = f"ws://127.0.0.1:{self.port}"
        return {**self.home.environment, "IONIAN_SERVER_URL": url, "IONIAN_TOKEN": token}

    def stop_server(self) -> None:
        """Ends the server."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=WAIT_S)

    def said(self) -> str:
        """What the server has printed."""
        return (self.home.folder / "server.out").read_text()


@contextmanager
def machines(
    tmp_path: Path, names: tuple[str, ...] = ("one", "two"), **environment: str
) -> Generator[Machines]:
    """A server and workers on machines of their own, all of which run. Only root can make networks."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nsenter"):
        pytest.skip("only root can make machines' networks, with ip and nsenter")
    with ExitStack() as undo:
        home = undo.enter_context(new_home())
        port = _free_port()
        made = Machines(home, port, [], environment)
        undo.callback(made.stop_server)
        made.start_server()
        for name in names:
            space, server = undo.enter_context(_network(next(_numbers)))
            folder = tmp_path / name
            folder.mkdir()
            (folder / "images").symlink_to(cache_folder() / "images")
            machine = Machine(name, folder, space, server, environment)
            made.workers.append(machine)
            undo.callback(machine.stop)
            machine.start(home)
        yield made


def _joined(home: Home) -> int:
    """How often a worker has joined the server."""
    return (home.folder / "server.out").read_text().count("worker joined")


def _free_port() -> int:
    import socket

    with socket.create_server(("0.0.0.0", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def _network(number: int) -> Generator[tuple[str, str]]:
    """A network space that a cable joins to this machine: its name, and this machine's address there."""
    space = f"ionian-{os.getpid()}-{number}"
    here, there = f"io{os.getpid() % 100000}h{number}", f"io{os.getpid() % 100000}t{number}"
    net = f"10.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
    ours, theirs = f"{net}.{number * 4 + 1}", f"{net}.{number * 4 + 2}"
    _ip("netns", "add", space)
    try:
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", space)
        _ip("addr", "add", f"{ours}/30", "dev", here)
        _ip("link", "set", here, "up")
        _ip("-n", space, "addr", "add", f"{theirs}/30", "dev", there)
        _ip("-n", space, "link", "set", there, "up")
        _ip("-n", space, "link", "set", "lo", "up")
        yield space, ours
    finally:
        _ip("netns", "del", space)  # and the cable with it


def _ip(*arguments: str) -> None:
    done = subprocess.run(("ip", *arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
