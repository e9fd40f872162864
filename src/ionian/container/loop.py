"""The container's event loop: one for all async code of the user, so that what an @enter opened serves the inputs.

It runs on the main thread, and only while something is waited for.
"""

from __future__ import annotations

import sys
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


def close() -> bool:
    """Closes the loop, if there is one, so that another is made when one is needed. False where a task still runs on it."""
    if not _made:
        return True
    import asyncio

    loop = _made[0]
    if asyncio.all_tasks(loop):
        return False
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    loop.close()
    _made.clear()
    return True


def run_until_readable(fd: int) -> None:
    """Lets what user code left on the loop (heartbeats, background tasks) run until there is something to read."""
    import asyncio

    loop = get()
    if not asyncio.all_tasks(loop):
        return
    readable = loop.create_future()

    def stop() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(fd, stop)
    try:
        loop.run_until_complete(readable)
    finally:
        loop.remove_reader(fd)


def is_cancelled(error: BaseException) -> bool:
    """Whether a task ended with this error because it was cancelled."""
    exceptions = sys.modules.get("asyncio.exceptions")
    return exceptions is not None and isinstance(error, exceptions.CancelledError)


async def readable(fd: int, within_s: float) -> None:
    """Waits until there is something to read, but not longer; -1: for ever."""
    import asyncio

    loop = asyncio.get_running_loop()
    news = asyncio.Event()
    loop.add_reader(fd, news.set)
    try:
        await asyncio.wait_for(news.wait(), None if within_s < 0 else within_s)
    except asyncio.TimeoutError:
        pass
    finally:
        loop.remove_reader(fd)
