"""Functions that have not been without a container for a day, and whose containers were idle for a good part of it: people are told."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import config
from ..protocol.apps import SYSTEM, Log
from ..protocol.spec import Scaling
from ..protocol.tags import shown
from ..protocol.usage import Amounts
from .prices import PriceError, PriceSheet

if TYPE_CHECKING:
    from .containers import Container
    from .server import Server

log = logging.getLogger("ionian.server")

DAY_S = 24 * 3600.0
"""So often it is said again."""

IDLE_SHARE = 0.1
"""A function that is busy all day has good reason to be there."""

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_S}


class AlwaysOn:
    """All functions of a server."""

    def __init__(
        self, server: Server, after_s: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`after_s`: how long a function has had containers on end when it is said; None: it never is."""
        self._server = server
        self._after_s = after_s
        self._clock = clock
        self._since: dict[str, float] = {}  # functions that have a container → since when on end
        self._told: dict[str, float] = {}

    def look(self) -> None:
        """Sees which functions have containers now."""
        if self._after_s is None:
            return
        now = self._clock()
        there: dict[str, Container] = {}
        for container in self._server.engine.containers.all():
            if not container.guest:
                there.setdefault(container.function_id, container)
                known = self._since.get(container.function_id, container.since)
                self._since[container.function_id] = min(known, container.since)
        self._since = {key: since for key, since in self._since.items() if key in there}
        self._told = {key: at for key, at in self._told.items() if key in there}
        for function_id, since in self._since.items():
            told = self._told.get(function_id)
            if now - since >= self._after_s and (told is None or now - told >= DAY_S):
                self._told[function_id] = now
                self._server.beside(self._tell(there[function_id], now - since))

    async def _tell(self, container: Container, age_s: float) -> None:
        sentence = await self._sentence(container, age_s)
        if sentence is None:  # it is not known yet what they did
            self._told.pop(container.function_id, None)
        elif sentence:
            log.warning("app=%s %s", container.app_id, sentence)
            message = Log(container.app_id, container.tag, "", SYSTEM)
            self._server.engine.log(message, f"{sentence}\n".encode())

    async def _sentence(self, container: Container, age_s: float) -> str | None:
        """What is to be said, if anything; None where nothing was metered yet."""
        now = time.time()
        sums = await asyncio.to_thread(
            self._server.store.metered.sums,
            ["function_id", "line", "gpu"],
            now - age_s,
            now,
            app_ids=[container.app_id],
        )
        prices, total, idle, cost = self._prices(), Amounts(), Amounts(), 0.0
        for one in sums:
            function_id, line, gpu = one.keys
            if function_id == container.function_id and line in ("calls", "startup", "idle"):
                total.add(one.used)
                if line == "idle":
                    idle.add(one.used)
                    cost += sum(prices.costs(one.used, gpu).values())
        found = self._server.engine.specs.get(container.function_id)
        if not total.wall_s or found is None:
            return None
        if idle.wall_s < IDLE_SHARE * total.wall_s:
            return ""
        price = f", which cost {cost:,.2f} {prices.currency}" if cost else ""
        return (
            f"{shown(container.tag)} has not been without a container for {_hours(age_s)}: of {_hours(total.wall_s)} in "
            f"containers {_hours(idle.wall_s)} were idle{price}; {_why(found[0].scaling)}"
        )

    def _prices(self) -> PriceSheet:
        try:
            return self._server.context.prices.sheet()
        except PriceError:
            return PriceSheet()


def after_of(setting: str) -> float | None:
    """Seconds, of the setting `idle_warning`: "24h", "90m"; None where it is "off". Raises ValueError."""
    if setting == "off":
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", setting)
    if match is None:
        raise ValueError(f"idle_warning: expected a time such as 24h or 90m, or off, got {setting!r}")
    return float(match[1]) * UNITS_S[match[2]]


def configured() -> float | None:
    """What the setting says; a day where it is not right, which the log tells."""
    try:
        return after_of(config.get("idle_warning"))
    except ValueError as error:
        log.error("%s", error)
        return DAY_S


def _why(scaling: Scaling) -> str:
    if scaling.min_containers:
        return f"min_containers={scaling.min_containers} keeps them there"
    if scaling.buffer_containers:
        return f"buffer_containers={scaling.buffer_containers} keeps some there while it has calls"
    return f"it is called again before scaledown_window={scaling.scaledown_window_s:g} s is over"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} hours"
