"""What builds here use, told as what containers use is: of the app that asked for the image."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from ..protocol.usage import Reading
from .images.spent import Spent

TAG = "image builds"
"""In the place of a function's, none of which has such a name."""


class BuildAccounts:
    """The builds under way on one worker."""

    def __init__(self, say: Callable[[list[Reading]], None]) -> None:
        """`say` tells what a build used last."""
        self._say = say
        self._under_way: dict[Spent, Reading] = {}

    @contextmanager
    def of(
        self, image_id: str, app_id: str, environment: str, devices: Sequence[str], gpu: str
    ) -> Generator[None]:
        """What is built in this block is built for an app; nothing is told where no app is known."""
        spent = Spent(len(devices))
        # Each build has an id of its own: another app may have the same image built again, which is another's usage.
        id = f"{image_id}:{secrets.token_hex(4)}"
        if app_id:
            self._under_way[spent] = Reading(id, app_id, environment, app_id, app_id, TAG, gpu)
        try:
            with spent.metered():
                yield
        finally:
            if app_id:
                self._say(self._taken(spent))
                del self._under_way[spent]

    def readings(self) -> list[Reading]:
        """What each used since it was read before."""
        return [reading for spent in self._under_way for reading in self._taken(spent)]

    def _taken(self, spent: Spent) -> list[Reading]:
        of, used = self._under_way[spent], spent.take()
        if not used.wall_s:
            return []
        return [replace(of, lines={"builds": used})]
