"""A link whose server is a function, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from ionian import link as links


class Asked:
    """What `answer` returns is the answer to a message; what it raises, the caller gets."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.messages: list[Any] = []
        self._answer = answer

    def request(self, message: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        self.messages.append(message)
        return self._answer(message), b""

    def of(self, kind: type) -> list[Any]:
        """What was asked of one kind."""
        return [message for message in self.messages if isinstance(message, kind)]


@contextmanager
def asked(answer: Callable[[Any], Any]) -> Generator[Asked]:
    """Makes such a link the one of this process."""
    link = Asked(answer)
    links.use(link)  # type: ignore[arg-type]  # the part of a link that handles use
    try:
        yield link
    finally:
        links.use(None)
