"""Work of a store of images, in a loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ionian.worker.sandbox import Spawner

T = TypeVar("T")


def go(work: Coroutine[Any, Any, T]) -> T:
    """What it returns; the programs that it used have ended."""

    async def main() -> T:
        try:
            return await work
        finally:
            Spawner.of_this_loop().close()

    return asyncio.run(main())
