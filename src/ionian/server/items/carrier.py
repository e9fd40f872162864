"""The thread that carries out operations on dicts and queues, in groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ... import faults
from ..groups import Groups
from ..store.database import StoreError
from ..store.item_work import Request
from ..store.items import Items, Write

GROUP_OPS = 4000
"""Operations in a group: some 50 ms of work for the database."""


class Carrier(Groups[Write]):
    """What can't be carried out in a group is carried out, or refused, by itself."""

    def __init__(self, items: Items, committed: Callable[[Sequence[Write], StoreError | None], None]) -> None:
        self._items = items
        super().__init__("items", GROUP_OPS, committed)

    def size(self, write: Write) -> tuple[int, int]:
        """Its values', and how many operations it holds."""
        if not isinstance(write, Request):
            return 0, 0
        return sum([len(value.data) for op in write.ops for value in op.values]), len(write.ops)

    def run(self) -> None:
        """Writes groups until `take` gives none."""
        while (group := self.take()) is not None:
            error = self.attempt(group)
            if error is None or len(group) == 1:
                self.tell(group, error)
                continue
            for one in group:  # what the database does not take must not be the end of the others
                self.tell([one], self.attempt([one]))

    def write(self, group: Sequence[Write]) -> None:
        """Carries out a group."""
        if faults.ARMED:
            faults.reach("items.received")
        self._items.carry_out(group)
        if faults.ARMED:
            faults.reach("items.committed")
