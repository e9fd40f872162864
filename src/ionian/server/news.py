"""Who follows which app, and what they hear: logs, containers, how its functions are doing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ..protocol.apps import ContainerNews, Log
from ..protocol.calls import CallState
from ..protocol.workers import HoldLogs

if TYPE_CHECKING:
    from .engine import Engine
    from .logbook import LogBook
    from .session import Session

STATE_EVERY_S = 0.25
"""How often a follower hears how many containers and inputs there are, where that has changed."""

BEHIND = 8 << 20
"""Bytes that wait for a follower past which the containers of its app have to wait."""

LOOK_S = 0.02


class News:
    """The followers of each app."""

    def __init__(self, engine: Engine, logbook: LogBook | None = None) -> None:
        self._engine = engine
        self._logbook = logbook
        self._followers: dict[str, set[Session]] = {}
        self.held: set[str] = set()  # apps whose containers wait with what they write
        self._told: dict[str, CallState] = {}
        self._told_callers: dict[
            Session, dict[str, CallState]
        ] = {}  # of functions of other apps that they call
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, app_id: str, session: Session) -> None:
        """This session hears of the app from now on."""
        self._followers.setdefault(app_id, set()).add(session)
        if self._timer is None:
            self._states()

    def unfollow(self, session: Session) -> None:
        """This session hears of nothing more."""
        self._told_callers.pop(session, None)
        for app_id in list(self._followers):
            self._followers[app_id].discard(session)
            if not self._followers[app_id]:
                self.forget(app_id)

    def forget(self, app_id: str) -> None:
        """The app is over, or nobody follows it."""
        self._followers.pop(app_id, None)

    def log(self, message: Log, payload: bytes) -> None:
        """Passes on what a container wrote."""
        for session in self._followers.get(message.app_id, ()):
            session.send(message, payload)
        if message.app_id not in self.held and self._backlog(message.app_id) > BEHIND:
            self._hold(message.app_id)

    def _backlog(self, app_id: str) -> int:
        """The most that waits for a follower, or for the disk."""
        waiting = [session.backlog for session in self._followers.get(app_id, ())]
        return max(waiting, default=0) if self._logbook is None else max(*waiting, 0, self._logbook.backlog)

    def _hold(self, app_id: str) -> None:
        """The writers wait until all who follow have read and all is written: nothing is dropped, little is kept."""
        self.held.add(app_id)
        self._engine.tell_workers(HoldLogs(app_id, True))
        asyncio.get_running_loop().call_later(LOOK_S, self._look, app_id)

    def _look(self, app_id: str) -> None:
        if self._backlog(app_id) > BEHIND // 4:
            asyncio.get_running_loop().call_later(LOOK_S, self._look, app_id)
            return
        self.held.discard(app_id)
        self._engine.tell_workers(HoldLogs(app_id, False))

    def container(self, news: ContainerNews) -> None:
        """Passes on what became of a container."""
        for session in self._followers.get(news.app_id, ()):
            session.send(news)

    def _states(self) -> None:
        self._timer = None
        if not self._followers:
            self._told.clear()
            return
        for function_id in [id for id in self._told if id not in self._engine.specs]:
            del self._told[function_id]
        for app_id, followers in self._followers.items():
            # Variants, too: what waits may be one.
            for function_id in [id for id, (_, of, _) in self._engine.specs.items() if of == app_id]:
                state = self._engine.dispatcher.state_of(function_id, time.monotonic())
                if state is None or self._told.get(function_id) == state:
                    continue
                self._told[function_id] = state
                for session in followers:
                    session.send(state)
        for session in {session for followers in self._followers.values() for session in followers}:
            self._tell_caller(session)
        self._timer = asyncio.get_running_loop().call_later(STATE_EVERY_S, self._states)

    def _tell_caller(self, session: Session) -> None:
        """Who follows an app and calls functions of others hears how these are doing, as long as it calls them."""
        specs, told = self._engine.specs, self._told_callers.setdefault(session, {})
        called = {
            id
            for id in self._engine.dispatcher.called_by(session.actor.id)
            if id in specs and session not in self._followers.get(specs[id][1], ())
        }
        for function_id in [id for id in told if id not in called]:
            session.send(replace(told.pop(function_id), queued=0, running=0, waiting_for=""))
        for function_id in called:
            state = self._engine.dispatcher.state_of(function_id, time.monotonic())
            if state is not None and told.get(function_id) != state:
                told[function_id] = state
                session.send(state)
