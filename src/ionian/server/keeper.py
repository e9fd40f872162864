"""The worker beside a local server: started when there is none, and again when it died."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .master_key import VARIABLES

if TYPE_CHECKING:
    from .server import Server

log = logging.getLogger("ionian.server")

WAIT_S = 1.0
"""A worker of an earlier server has this long to come back before a new one is started."""

DEATH_POLL_S = 0.02

STOP_S = 10.0
"""A worker that was dismissed has this long to end its containers."""


class Keeper:
    """Keeps one worker running. Without `local` it keeps none."""

    def __init__(self, server: Server, local: bool, options: list[str]) -> None:
        self._server = server
        self._local = local
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begins to keep."""
        if self._local:
            self._later(self._keep())

    async def stop(self) -> None:
        """Ends the worker, whoever started it; its containers end with it."""
        self._stopping = True
        for task in list(self._tasks):
            task.cancel()
        if not self._local:
            return
        self._server.engine.dismiss_workers()
        ours = self._process
        if ours is not None and ours.poll() is None:
            ours.terminate()  # it may not have joined yet
        for _ in range(int(STOP_S / DEATH_POLL_S)):
            if not worker_lives(self._lock_file()) and (ours is None or ours.poll() is not None):
                return
            await asyncio.sleep(DEATH_POLL_S)
        if ours is not None:
            ours.kill()

    def worker_gone(self, worker_id: str) -> None:
        """A worker's connection ended: if it was ours and is dead, its containers are dead too."""
        if self._local and not self._stopping:
            self._later(self._look(worker_id))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self) -> None:
        if worker_lives(self._lock_file()):
            await asyncio.sleep(WAIT_S)
        while not self._stopping:
            if not worker_lives(self._lock_file()):
                self._spawn()
            await asyncio.sleep(WAIT_S)

    async def _look(self, worker_id: str) -> None:
        """The lock is let go of when the process is gone: then nothing of it runs any more."""
        for _ in range(int(WAIT_S / DEATH_POLL_S)):
            if not worker_lives(self._lock_file()):
                self._server.engine.worker_dead(worker_id)
                if not self._stopping:
                    self._spawn()
                return
            await asyncio.sleep(DEATH_POLL_S)

    def _spawn(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        state = self._server.state
        log_file = open(state.logs / "worker.log", "ab", buffering=0)  # noqa: SIM115 (the child's)
        command = [sys.executable, "-m", "ionian.worker.main", "--local", *self._options]
        env = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        env["IONIAN_HOME"] = str(state.root)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            start_new_session=True,
            env=env,
        )
        log_file.close()
        log.info("worker started pid=%d", self._process.pid)

    def _lock_file(self) -> Path:
        return self._server.state.runtime / "worker.lock"


def worker_lives(lock: Path) -> bool:
    """Whether a process holds the lock of the local worker."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
