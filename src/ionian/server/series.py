"""Minutes of a function and its variants, put together in the steps of a series or chart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .store.counts import Counted


def by_step(rows: Sequence[Counted], first: int, minutes: int, steps: int) -> list[list[Counted]]:
    """The minutes of each of so many steps, the first of which begins with a minute."""
    found: list[list[Counted]] = [[] for _ in range(steps)]
    for row in rows:
        found[(row.minute - first) // minutes].append(row)
    return found


def most(rows: Sequence[Counted], number: Callable[[Counted], int]) -> int:
    """The most in a minute, of a function and its variants together. Two starts of the server may share a minute."""
    minutes: dict[int, dict[str, int]] = {}
    for row in rows:
        minute = minutes.setdefault(row.minute, {})
        minute[row.function_id] = max(minute.get(row.function_id, 0), number(row))
    return max((sum(minute.values()) for minute in minutes.values()), default=0)
