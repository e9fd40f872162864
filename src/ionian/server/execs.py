"""Programs that persons run in containers: which client each is of, and which worker runs it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..protocol.apps import ExecEnded, KillExec, StartExec
from ..protocol.messages import Done
from ..protocol.stream import ConnectionLost, Refused
from .auth import Target, authorise
from .handlers.names import check_id

if TYPE_CHECKING:
    from .engine import Engine
    from .session import Session

log = logging.getLogger("ionian.server")

MOST = 1000
"""Programs at once: each costs little here."""

ARGV_BYTES = 128 << 10
GONE = -1
"""The code of a program whose worker was lost: how it ended nobody knows."""


@dataclass(slots=True)
class Route:
    """Whose program it is, and where it runs."""

    client: Session
    worker_id: str


class Execs:
    """The routes. A program ends when its client's connection does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._routes: dict[str, Route] = {}

    async def start(self, client: Session, message: StartExec) -> Done:
        """Runs a program in a container. Raises Refused."""
        check_argv(message.argv)
        await self._engine.workers_back()
        container = self._engine.containers.find(message.container_id)
        target = Target() if container is None else Target(container.actor.environment, container.app_id)
        authorise(client.actor, "StartExec", target)
        if container is None:
            raise Refused(
                "NotFoundError",
                f"there is no container {message.container_id[:80]!r}: it has ended, or never was; `ionian container list` "
                "shows those that run",
            )
        self.open(message.exec_id, client, container.worker_id)
        try:
            await self.worker(container.worker_id).request(message)
        except ConnectionLost:
            self._routes.pop(message.exec_id, None)
            raise Refused("ExecutionError", "the container's worker was lost") from None
        except BaseException:
            self._routes.pop(message.exec_id, None)
            raise
        if not client.connected:
            self.client_gone(client)
        return Done()

    def open(self, exec_id: str, client: Session, worker_id: str) -> None:
        """From here on the client and the worker hear each other under this id. Raises Refused."""
        check_id("ex", exec_id)
        if exec_id in self._routes:
            raise Refused("AlreadyExistsError", f"{exec_id} runs already; make a new id")
        if len(self._routes) >= MOST:
            raise Refused("ResourceExhaustedError", f"{MOST:,} programs are run in containers already")
        self._routes[exec_id] = Route(client, worker_id)

    def close(self, exec_id: str, reason: str) -> None:
        """A program could not be run, or its worker is lost: its client hears why."""
        route = self._routes.pop(exec_id, None)
        if route is not None:
            route.client.send(ExecEnded(exec_id, GONE, reason))

    def worker(self, worker_id: str) -> Session:
        """The stream to a worker. Raises Refused."""
        session = self._engine.workers.get(worker_id)
        if session is None:
            raise Refused("ExecutionError", "the container's worker is not connected just now; try again")
        return session

    def from_client(self, client: Session, message: Any, payload: bytes) -> None:
        """What a person typed, or did. Of a program that has ended, or is another's, nothing is heard."""
        route = self._routes.get(message.exec_id)
        if route is None or route.client is not client:
            return
        worker = self._engine.workers.get(route.worker_id)
        if worker is not None:
            worker.send(message, payload)

    def from_worker(self, worker_id: str, message: Any, payload: bytes) -> None:
        """What a program wrote, or that it has ended."""
        route = self._routes.get(message.exec_id)
        if route is None or route.worker_id != worker_id:
            return
        route.client.send(message, payload)
        if isinstance(message, ExecEnded):
            del self._routes[message.exec_id]

    def client_gone(self, client: Session) -> None:
        """Nobody is there any more to see what these do."""
        for exec_id, route in list(self._routes.items()):
            if route.client is client:
                worker = self._engine.workers.get(route.worker_id)
                if worker is not None:
                    worker.send(KillExec(exec_id))
                del self._routes[exec_id]

    def worker_gone(self, worker_id: str) -> None:
        """A worker that lost us ends the programs by itself."""
        for exec_id, route in list(self._routes.items()):
            if route.worker_id == worker_id:
                self.close(exec_id, "its worker was lost")


def check_argv(argv: list[str]) -> None:
    """Refuses what can't be a command."""
    if not argv or not argv[0]:
        raise Refused("InvalidError", "expected a command to run in the container, got none")
    if any("\0" in word for word in argv) or sum(map(len, argv)) > ARGV_BYTES:
        raise Refused(
            "InvalidError", f"expected a command without NUL characters and of up to {ARGV_BYTES >> 10} KiB"
        )
