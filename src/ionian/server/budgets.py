"""Budgets of apps and environments: a warning at 80 %, and no new calls from 100 % on, until the month is over.

What was used so far this month is summed soon after workers told what was used; between these sums a call costs one look into a
dict that is empty as long as no budget is used up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from ..protocol.apps import SYSTEM, Log
from .prices import PriceError
from .store import StoreError
from .store.usage_months import month_of, name_of

if TYPE_CHECKING:
    from ..protocol.spec import Scaling
    from .server import Server
    from .store.schema import Budget

log = logging.getLogger("ionian.server")

WARN_AT = 0.8

LOOK_EVERY_S = 60.0
"""A new month, and other prices, count after so long at most."""

AT_ONCE_S = 1.0
"""What is told within so long is looked at together."""


@dataclass(frozen=True)
class Standing:
    """A budget, and what was spent of it this month."""

    environment: str
    app: str  # "": of the whole environment
    amount: float
    spent: float
    currency: str
    told: str

    @property
    def is_over(self) -> bool:
        return self.spent >= self.amount

    @property
    def is_near(self) -> bool:
        return self.spent >= WARN_AT * self.amount

    def sentence(self, month: datetime) -> str:
        """How it stands, and what to do."""
        what = f"app {self.app!r}" if self.app else f"environment {self.environment!r}"
        used = f"{what} has used {self.spent:,.2f} of its budget of {self.amount:,.2f} {self.currency} for {month:%B %Y}"
        until = f"{_following(month):%-d %B} (UTC)"
        cure = (
            "raise budget= of its App, and run or deploy it again"
            if self.app
            else f"raise it: ionian environment update {self.environment} --budget AMOUNT"
        )
        if self.is_over:
            return f"{used}: new calls are refused until {until}. To go on, {cure}"
        return f"{used}: when it is used up, new calls are refused until {until}"


class Budgets:
    """All of one server."""

    def __init__(self, server: Server, clock: Callable[[], float] = time.time) -> None:
        self._server = server
        self._clock = clock
        self.over: dict[str, str] = {}  # id of an app that may begin no call → why
        self._halted: set[str] = set()  # apps that keep no container without calls
        self._there = False  # whether there is any budget
        self._wake = asyncio.Event()
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    # --- its life

    async def start(self) -> None:
        """Sums up what was spent before, and goes on to."""
        await self._look_safely()
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Looks no more."""
        if self._task is not None:
            self._task.cancel()

    def spent(self) -> None:
        """Something was used."""
        if self._there:
            self._wake.set()

    async def published(self) -> None:
        """An app has functions anew, or a budget changed."""
        await self._look_safely()

    async def _run(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), LOOK_EVERY_S)
            except asyncio.TimeoutError:
                pass
            await asyncio.sleep(AT_ONCE_S)
            self._wake.clear()
            await self._look_safely()

    async def _look_safely(self) -> None:
        try:
            await self.look()
        except (StoreError, PriceError) as error:
            log.error("budgets: %s", error)

    # --- what stands

    async def look(self) -> None:
        """Sums up what was spent; warns, and stops what has no budget left."""
        async with self._looking:
            month = month_of(self._clock())
            standings, names = await asyncio.to_thread(self._measure, month)
            self._there = bool(standings)
            over: dict[str, str] = {}
            for one in standings:
                ids = [
                    app_id
                    for app_id, (environment, name) in names.items()
                    if environment == one.environment and one.app in ("", name)
                ]
                if one.is_over:
                    over.update({app_id: one.sentence(month) for app_id in ids if app_id not in over})
                await self._tell(one, month, ids)
            self.over = over
            self._halt()

    def _measure(self, month: datetime) -> tuple[list[Standing], dict[str, tuple[str, str]]]:
        """How each budget stands, and the live apps."""
        store = self._server.store
        rows: list[Budget] = store.budgets.all()
        if not rows:
            return [], {}
        sheet = self._server.context.prices.sheet()
        spent: dict[tuple[str, str], float] = {}
        for one in store.usage_months.of(month):
            environment, name, gpu = one.keys
            cost = sum(sheet.costs(one.used, gpu).values())
            for app in {"", str(name)}:
                spent[environment, app] = spent.get((environment, app), 0.0) + cost
        standings = [
            Standing(
                row.environment,
                row.app,
                row.amount,
                spent.get((row.environment, row.app), 0.0),
                sheet.currency,
                row.told,
            )
            for row in rows
        ]
        return standings, {app.app_id: (app.environment, app.name) for app in store.apps.live()}

    async def _tell(self, one: Standing, month: datetime, app_ids: list[str]) -> None:
        """Says once a month that a budget is nearly used up, and once that it is."""
        level = 2 if one.is_over else 1 if one.is_near else 0
        told = f"{name_of(month)} {level}"
        if not level or one.told == told or one.told == f"{name_of(month)} 2":
            return
        await asyncio.to_thread(self._server.store.budgets.told, one.environment, one.app, told)
        sentence = one.sentence(month)
        log.warning("%s", sentence)
        for app_id in app_ids:
            self._server.engine.log(Log(app_id, "", "", SYSTEM), f"{sentence}\n".encode())

    def allowed(self, app_id: str, scaling: Scaling) -> Scaling:
        """Without a budget no container is kept that has nothing to do."""
        return replace(scaling, min_containers=0, buffer_containers=0) if app_id in self.over else scaling

    def _halt(self) -> None:
        """Has the functions of apps whose budget was used up, or is there again, keep what they may."""
        engine, over = self._server.engine, set(self.over)
        changed = over ^ self._halted
        for function_id, (_, app_id, _) in list(engine.specs.items()):
            if app_id in changed:
                engine.scale(function_id)
        self._halted = over
        engine.pump()


def _following(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
