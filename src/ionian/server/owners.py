"""Whose app it is: an ephemeral app ends when its client has been gone for a while, a detached one when its calls
are done, too."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .server import Server

log = logging.getLogger("ionian.server")

CLIENT_GONE_S = float(os.environ.get("IONIAN_CLIENT_GONE_S") or 30)
"""An ephemeral app outlives the connection of its client by this: long enough for a network's hiccup, and its
containers are gone within a minute of a client that was killed."""


class Owners:
    """The clients of the ephemeral apps."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def client_back(self, client: str) -> None:
        """A client is connected."""
        timer = self._timers.pop(client, None)
        if timer is not None:
            timer.cancel()

    def client_gone(self, client: str) -> None:
        """A client's connection ended."""
        self.client_back(client)
        self._timers[client] = asyncio.get_running_loop().call_later(CLIENT_GONE_S, self._give_up, client)

    def _give_up(self, client: str) -> None:
        self._timers.pop(client, None)
        task = asyncio.ensure_future(self._end(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _has_calls(self, app_id: str) -> bool:
        """Whether calls of an app are under way, or wait in the store."""
        return self._server.engine.dispatcher.has_calls(app_id) or await self._server.durable.has_calls(
            app_id
        )

    async def _end(self, client: str) -> None:
        try:
            for app in await asyncio.to_thread(self._server.store.apps.live_of, client):
                if app.state == "detached" and await self._has_calls(app.app_id):
                    self.client_gone(client)  # a look again, later
                    continue
                log.info("client gone, stopping app=%s", app.app_id)
                await self._server.end_app(app.app_id, "its client went away")
        except Exception:  # the disk is full, say: the next look may be luckier
            log.exception("ending the apps of client=%s", client)
            self.client_gone(client)
