"""Which functions are likely to need containers: workers are told, and make templates of them while they have nothing to do.

Likely are the functions of deployed apps: those first that keep containers ready, then those that have some or needed one
last. The app of one run is not: most of its
functions have a container, and an end, before a template would be of use; its worker makes one when it sees the need.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING

from ..protocol.spec import FunctionSpec
from ..protocol.workers import DropTemplates, Prewarm

if TYPE_CHECKING:
    from .server import Server
    from .session import Session

log = logging.getLogger("ionian.server")

KNOWN = 10_000
"""Functions of which it is remembered which needed a container last."""


class Prewarming:
    """Tells workers what to be ready for."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._deployed: set[str] = set()  # apps
        self._started: dict[str, int] = {}  # function → the number of its newest start, the oldest first
        self._starts = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def published(self, app_id: str, *, deployed: bool, roll: bool) -> None:
        """An app has the functions that the engine knows, from here on. `roll`: other containers of all of them."""
        engine = self._server.engine
        keep = [] if roll else [key for key, (_, app, _) in engine.specs.items() if app == app_id]
        engine.tell_workers(DropTemplates(app_id, keep))
        if deployed:
            self._deployed.add(app_id)
            self._later(app_id, list(engine.workers.values()))

    def starting(self, function_id: str) -> None:
        """A container of it is asked for."""
        self._started.pop(function_id, None)
        self._started[function_id] = next(self._starts)
        while len(self._started) > KNOWN:
            del self._started[next(iter(self._started))]

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
        likely = [
            (spec, environment)
            for spec, environment in found
            if (spec.snapshot or not spec.base_id) and not spec.cluster_size
        ]
        for spec, environment in sorted(likely, key=self._likelihood_now, reverse=True):
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

    def _likelihood_now(self, one: tuple[FunctionSpec, str]) -> tuple[int, ...]:
        state = self._server.engine.dispatcher.state_of(one[0].function_id)
        return self.likelihood(one[0], 0 if state is None else state.containers + state.starting)

    def likelihood(self, spec: FunctionSpec, containers: int) -> tuple[int, ...]:
        """Greater for what needs containers sooner. `containers`: those that it has."""
        kept = spec.scaling.min_containers + spec.scaling.buffer_containers
        return kept, containers, self._started.get(spec.function_id, 0)
