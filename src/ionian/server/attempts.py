"""Wrong tokens, wherever they come: of web requests, in the dashboard, in the first message of a stream. They are counted by
address, so that nobody has the store look up thousands of guesses."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

from ..protocol.stream import Refused
from .auth import Actor, authenticate
from .store import Store

MOST = 20
"""Wrong tokens from one address in a minute; what comes then is refused unseen, but tokens that were right before."""

WINDOW_S = 60.0

KNOWN = 10_000
"""Addresses, and tokens, that are remembered."""


class TooManyAttempts(Refused):
    """So many wrong tokens came from an address that this one is not looked at."""

    def __init__(self, address: str, wait_s: int) -> None:
        self.wait_s = wait_s
        super().__init__(
            "ResourceExhaustedError", f"too many wrong tokens came from {address}; try again in {wait_s} s"
        )


class Attempts:
    """Who guessed, and which tokens were right. `now`: a clock that only grows, in seconds. For any thread."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._wrong: dict[str, tuple[float, int]] = {}  # address → since when, how many
        self._right: dict[bytes, None] = {}
        self._lock = threading.Lock()

    def authenticate(self, store: Store, token: str, address: str, *, role: str, peer_id: str) -> Actor:
        """The actor behind a token that came from an address ("": of this machine, by a path of ours). Blocks. Raises
        Refused (AuthError), and TooManyAttempts."""
        if address and (wait_s := self.wait_s(address, token)):
            raise TooManyAttempts(address, wait_s)
        try:
            actor = authenticate(store, token, role=role, peer_id=peer_id)
        except Refused:
            if address:
                self.wrong(address)
            raise
        self.right(token)
        return actor

    def wait_s(self, address: str, token: str) -> int:
        """In how many seconds a token of this address is looked at; 0: now."""
        since, count = self._wrong.get(address, (0.0, 0))
        left = since + WINDOW_S - self._now()
        if count < MOST or left <= 0 or _digest(token) in self._right:
            return 0
        return int(left) + 1

    def wrong(self, address: str) -> None:
        """A token of this address is none."""
        now = self._now()
        with self._lock:
            since, count = self._wrong.pop(address, (now, 0))
            if now - since >= WINDOW_S:
                since, count = now, 0
            self._wrong[address] = (since, count + 1)
            _shorten(self._wrong)

    def right(self, token: str) -> None:
        """This token is one. It is still looked up each time: it may be revoked."""
        with self._lock:
            self._right[_digest(token)] = None
            _shorten(self._right)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _shorten(remembered: dict[str, tuple[float, int]] | dict[bytes, None]) -> None:
    while len(remembered) > KNOWN:
        del remembered[next(iter(remembered))]  # pyright: ignore[reportArgumentType]
