"""The lifespan of an ASGI app: what it does once before the first request of a container, and behind the last."""

from __future__ import annotations

from typing import Any

from ...exception import ExecutionError
from .. import loop


class Lifespan:
    """Runs the app's lifespan, if it has one, as a task of the container's loop."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._state: dict[str, Any] = {}
        self._task: Any = None

    async def start(self) -> dict[str, Any]:
        """Begins it; returns the state that each request is to have. Raises ExecutionError where the app says that it failed."""
        import asyncio

        self._asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._asked.put_nowait({"type": "lifespan.startup"})
        self._task = loop.get().create_task(self._run())
        answer = await self._said.get()
        if answer["type"] == "lifespan.startup.failed":
            raise ExecutionError(f"the lifespan of the ASGI app failed: {answer.get('message', '')}")
        return self._state

    async def stop(self) -> None:
        """Ends it, and waits until it has ended. A failure is printed by the app."""
        if self._task is None or self._task.done():
            return
        self._asked.put_nowait({"type": "lifespan.shutdown"})
        await self._said.get()
        await self._task

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        started = False

        async def send(message: dict[str, Any]) -> None:
            nonlocal started
            started = True
            self._said.put_nowait(message)

        try:
            await self._app(scope, self._asked.get, send)
        except Exception as error:
            if started:
                print(f"the lifespan of the ASGI app failed: {type(error).__name__}: {error}")
        self._said.put_nowait({"type": "lifespan.none"})  # it has none, or it is over
