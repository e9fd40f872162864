"""WebSockets of clients: uvicorn's, but for who is taken for gone."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol


class Socket(WSProtocol):
    """Ends a connection whose client does not answer a ping and does nothing else either.

    uvicorn ends one that has not answered within 20 s. But the ping goes behind what is sent, the answer behind what the
    client sends, and neither is read while a function has not taken the message before: a large message on a slow line, or a
    function that takes its time, cut off clients that were there.
    """

    _active = False  # the client did something since it was looked last
    _unsent = 0  # bytes for it that waited here then

    def data_received(self, data: bytes) -> None:
        self._active = True
        super().data_received(data)

    def resume_writing(self) -> None:
        self._active = True
        super().resume_writing()

    async def receive(self) -> Any:
        event = await super().receive()
        self._active = True  # what waited in front of an answer is read from now on
        return event

    def send_keepalive_ping(self) -> None:
        super().send_keepalive_ping()
        self._look()

    def keepalive_timeout(self) -> None:
        takes = self.transport.get_write_buffer_size() < self._unsent
        if not (self._active or takes or self.read_paused) or self.ping_timeout is None:
            super().keepalive_timeout()
            return
        self._look()
        self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)

    def _look(self) -> None:
        self._active, self._unsent = False, self.transport.get_write_buffer_size()
