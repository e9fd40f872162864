"""What the server answers to plain HTTP on the socket of its streams, and to whom."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict
from picows import WSUpgradeRequest
from tests.unit.server.answering import Server

from ionian.protocol.tokens import CreateToken, TokenCreated
from ionian.server.attempts import MOST, WINDOW_S, Attempts
from ionian.server.metrics import Metrics
from ionian.server.pages import page


class Pages:
    """The pages of a server, asked for at a time of the test's choice."""

    def __init__(self, server: Server) -> None:
        self.now = 1000.0
        self._store = server.store
        self._metrics = Metrics(lambda: 0, lambda: 0, lambda: ())
        self._attempts = Attempts(lambda: self.now)

    def metrics(self, token: str) -> int:
        """The status of /metrics."""
        request = WSUpgradeRequest()
        request.method, request.path, request.version = b"GET", b"/metrics", b"HTTP/1.1"
        request.headers = CIMultiDict({"Authorization": f"Bearer {token}"} if token else {})
        answer = page(request, self._store, self._metrics, self._attempts)
        assert answer is not None
        return int(answer.response.status)


@pytest.fixture
def pages(server: Server) -> Pages:
    return Pages(server)


def test_wrong_tokens_at_the_metrics_are_looked_at_twenty_times_a_minute(
    server: Server, pages: Pages
) -> None:
    made: list[TokenCreated] = [server.ask(CreateToken(name=name)) for name in ("prometheus", "new")]
    known, new = made[0].token, made[1].token
    assert pages.metrics(known) == 200
    assert [pages.metrics(f"ti-guess.{n}") for n in range(MOST)] == [401] * MOST
    assert pages.metrics("ti-guess.again") == 429
    assert pages.metrics(new) == 429
    assert pages.metrics(known) == 200
    assert pages.metrics("") == 401
    pages.now += WINDOW_S
    assert pages.metrics(new) == 200
    assert pages.metrics("ti-guess.again") == 401
