"""How functions are doing now, for people: a number of each kind a function, and their sums."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.worker import State

if TYPE_CHECKING:
    from .server import Server


@dataclass(frozen=True, slots=True)
class Standing:
    """What a function, or several together, have at a moment."""

    ready: int = 0  # containers
    starting: int = 0
    running: int = 0  # inputs that containers have
    waiting: int = 0  # inputs that have none, those in the store too

    @property
    def containers(self) -> int:
        """Containers, those too that are starting."""
        return self.ready + self.starting


def together(standings: Iterable[Standing]) -> Standing:
    """The sums."""
    each = list(standings)
    return Standing(
        sum(one.ready for one in each),
        sum(one.starting for one in each),
        sum(one.running for one in each),
        sum(one.waiting for one in each),
    )


async def standings(server: Server, app_ids: set[str]) -> dict[str, dict[str, Standing]]:
    """App → function → how it is doing. Variants count as the function that they are of."""
    functions = server.engine.dispatcher.core.functions
    stored = await server.durable.waiting_by_function(
        {function_id for function_id, function in functions.items() if function.app_id in app_ids}
    )
    found: dict[str, dict[str, Standing]] = {app_id: {} for app_id in app_ids}
    for function_id, function in functions.items():
        if function.app_id not in app_ids:
            continue
        starting = function.count(State.STARTING)
        one = Standing(
            len(function.containers) - starting,
            starting,
            function.running,
            function.queued + stored.get(function_id, 0),
        )
        of_app = found[function.app_id]
        base = function.spec.base_id or function_id
        of_app[base] = together((of_app[base], one)) if base in of_app else one
    return found
