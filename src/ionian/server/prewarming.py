"""Which functions are likely to need containers: workers are told, and make templates of them while they have nothing to do.

Likely are the functions of deployed apps, those first that keep containers ready. The app of one run is not: most of its
functions have a container, and an end, before a template would be of use; its worker makes one when it sees the need.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ..protocol.spec import FunctionSpec
from ..protocol.workers import DropTemplates, Prewarm

if TYPE_CHECKING:
    from .server import Server
    from .session import Session

log = logging.getLogger("ionian.server")


class Prewarming:
    """Tells workers what to be ready for."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._deployed: set[str] = set()  # apps
        self._tasks: set[asyncio.Task[None]] = set()

    def published(self, app_id: str, *, deployed: bool, roll: bool) -> None:
        """An app has the functions that the engine knows, from here on. `roll`: other containers of all of them."""
        engine = self._server.engine
        keep = [] if roll else [key for key, (_, app, _) in engine.specs.items() if app == app_id]
        engine.tell_workers(DropTemplates(app_id, keep))
        if deployed:
            self._deployed.add(app_id)
            self._later(app_id, list(engine.workers.values()))

    def ended(self, app_id: str) -> None:
        """An app is over."""
        self._deployed.discard(app_id)
        self._server.engine.tell_workers(DropTemplates(app_id))

    def joined(self, worker: Session) -> None:
        """A worker may have lost what it had, or know nothing yet."""
        for app_id in self._deployed:
            self._later(app_id, [worker])

    def _later(self, app_id: str, workers: list[Session]) -> None:
        if not workers:
            return
        task = asyncio.ensure_future(self._tell(app_id, workers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, app_id: str, workers: list[Session]) -> None:
        engine = self._server.engine
        found = [(spec, environment) for spec, app, environment in engine.specs.values() if app == app_id]
        likely = [(spec, environment) for spec, environment in found if spec.snapshot or not spec.base_id]
        for spec, environment in sorted(likely, key=lambda one: _need(one[0]), reverse=True):
            secrets: dict[str, str] = {}
            try:
                if spec.secret_ids:
                    opened = await self._server.open_secrets(app_id, spec.secret_ids)
                    for secret_id in spec.secret_ids:  # a later one wins
                        secrets.update(opened[secret_id])
            except Exception as error:  # the containers that are asked for say so
                log.warning("no template of function=%s: %s", spec.tag, error)
                continue
            message = Prewarm(app_id, environment, spec, secrets, engine.functions_of(app_id))
            for worker in workers:
                if engine.workers.get(worker.actor.id) is worker:
                    worker.send(message)


def _need(spec: FunctionSpec) -> int:
    return spec.scaling.min_containers + spec.scaling.buffer_containers
