"""How often and how soon a failed input is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .arguments import integer, number, wrong
from .execution import is_local

if TYPE_CHECKING:
    from .protocol.spec import RetryPolicy


MOST = 10_000
"""More tries than anybody waits for: the server refuses more."""


class Retries:
    """A policy for `retries=`: up to `max_retries` more tries, the first after `initial_delay` seconds, each later
    delay `backoff_coefficient` times the one before, never more than `max_delay` seconds.

    ```python
    modal.Retries(max_retries=3, backoff_coefficient=2.0, initial_delay=1.0)
    ```
    """

    def __init__(
        self,
        *,
        max_retries: int,
        backoff_coefficient: float = 2.0,
        initial_delay: float = 1.0,
        max_delay: float = 60.0,
    ) -> None:
        if is_local():
            integer("max_retries", max_retries, least=0, most=MOST)
            number("backoff_coefficient", backoff_coefficient, least=1, most=10)
            number("initial_delay", initial_delay, least=0, most=60, unit="seconds")
            number("max_delay", max_delay, least=1, most=60, unit="seconds")
        self.max_retries = max_retries
        self.backoff_coefficient = backoff_coefficient
        self.initial_delay = initial_delay
        self.max_delay = max_delay

    def __repr__(self) -> str:
        return (
            f"Retries(max_retries={self.max_retries}, backoff_coefficient={self.backoff_coefficient}, "
            f"initial_delay={self.initial_delay}, max_delay={self.max_delay})"
        )


def retry_policy(value: Any) -> RetryPolicy | None:
    """The argument `retries`, as the protocol says it; a number means so many retries, one second apart."""
    if value is None:
        return None
    from .protocol.spec import RetryPolicy

    if isinstance(value, Retries):
        return RetryPolicy(
            value.max_retries, value.backoff_coefficient, float(value.initial_delay), float(value.max_delay)
        )
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong("retries", "a whole number, or a modal.Retries", value)
    return RetryPolicy(integer("retries", value, least=0, most=MOST), 1.0, 1.0, 60.0)
