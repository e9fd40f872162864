"""The container's event loop: one for all async code of the user, so that what an @enter opened serves the inputs.

It runs on the main thread, and only while something is waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_made: list[AbstractEventLoop] = []


def get() -> AbstractEventLoop:
    """The loop; made where it is first needed, for asyncio takes longer to import than all that a start does."""
    if not _made:
        import asyncio

        _made.append(asyncio.new_event_loop())
        asyncio.set_event_loop(_made[0])
    return _made[0]


def made() -> AbstractEventLoop | None:
    """The loop, if anything has needed it yet."""
    return _made[0] if _made else None


def run(coroutine: Any) -> Any:
    """Runs a coroutine on the loop until it has ended; returns its value, or raises. For hooks before and behind inputs."""
    return get().run_until_complete(coroutine)
