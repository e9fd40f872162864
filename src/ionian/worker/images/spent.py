"""What the sandboxes of a build use. Whoever starts one need not know of which build it is: the task that it runs in does."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from ionian.protocol.usage import Amounts

from ..sandbox import ResourceUse, Sandbox


@dataclass(frozen=True)
class _Until:
    """Up to where a sandbox is in the sum."""

    at: float
    use: ResourceUse
    cards: int


class Spent:
    """One build."""

    def __init__(self, cards: int = 0) -> None:
        """`cards`: how many a step has that asks for some."""
        self._cards = cards
        self._running: dict[Sandbox, _Until] = {}
        self._used = Amounts()

    @contextmanager
    def metered(self) -> Generator[None]:
        """What this task starts meanwhile, and those that it begins, is of this build."""
        before = _build.set(self)
        try:
            yield
        finally:
            _build.reset(before)

    def take(self) -> Amounts:
        """What was used since the last time."""
        for sandbox in list(self._running):
            self._cut(sandbox)
        used, self._used = self._used, Amounts()
        return used

    def begun(self, sandbox: Sandbox, *, has_cards: bool) -> None:
        """A sandbox runs from now on."""
        self._running[sandbox] = _Until(time.monotonic(), ResourceUse(), self._cards if has_cards else 0)

    def ended(self, sandbox: Sandbox) -> None:
        """It has ended."""
        self._cut(sandbox)
        del self._running[sandbox]

    def _cut(self, sandbox: Sandbox) -> None:
        before, now, use = self._running[sandbox], time.monotonic(), sandbox.usage()
        passed = now - before.at
        self._used.add(
            Amounts(
                passed,
                use.charged_cpu_s - before.use.charged_cpu_s,
                use.charged_memory_gib_s - before.use.charged_memory_gib_s,
                passed * before.cards,
                use.cpu_s - before.use.cpu_s,
                use.memory_gib_s - before.use.memory_gib_s,
            )
        )
        self._running[sandbox] = replace(before, at=now, use=use)


_build: ContextVar[Spent | None] = ContextVar("build", default=None)


@contextmanager
def metered(sandbox: Sandbox, *, has_cards: bool) -> Generator[None]:
    """What the sandbox uses in this block is used by the build that this task is of, if it is of one."""
    build = _build.get()
    if build is None:
        yield
        return
    build.begun(sandbox, has_cards=has_cards)
    try:
        yield
    finally:
        build.ended(sandbox)
