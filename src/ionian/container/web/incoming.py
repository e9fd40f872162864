"""What comes of a request after its beginning: parts of a body and messages of a WebSocket, asked for one by one."""

from __future__ import annotations

from typing import Any

from ... import link
from ...protocol.web import Part, TakePart

Answer = tuple[Part, bytes]


class Incoming:
    """Asks for the next part when the one before was taken. Who waits for one may be cancelled, as `asyncio.wait_for()` and
    `Request.is_disconnected()` do: what comes then is for who asks next."""

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._number = 0  # of the part that was asked for last
        self._asked: Any = None  # a future of Answer
        self._pieces: list[bytes] = []  # of a message that is not whole yet

    async def part(self) -> Answer:
        """The next part, when it is there."""
        import asyncio

        asked = self._asked
        if asked is None:
            self._number += 1
            asking = link.current().request_async(TakePart(self._call_id, self._number))
            asked = self._asked = asyncio.ensure_future(asking)
            asked.add_done_callback(_heard)
        answer: Answer = await asyncio.shield(asked)
        if self._asked is asked:  # else another who waited for it has asked for the next already
            self._asked = None
        return answer

    async def message(self) -> Answer:
        """The next message of a WebSocket, whole: it comes in pieces."""
        while True:
            part, piece = await self.part()
            if part.kind == "disconnect":
                return part, b""
            self._pieces.append(piece)
            if not part.more:
                whole, self._pieces = b"".join(self._pieces), []
                return part, whole

    def close(self) -> None:
        """Nobody asks any more."""
        if self._asked is not None:
            self._asked.cancel()


def _heard(asked: Any) -> None:
    """Nobody may be there to hear of a failure, which is no concern of anybody then."""
    if not asked.cancelled():
        asked.exception()
