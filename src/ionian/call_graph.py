"""What `FunctionCall.get_call_graph()` returns: inputs, and the inputs that they called."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .protocol.calls import InputNode


class InputStatus(IntEnum):
    """How an input is doing, or how it ended."""

    PENDING = 0  # it waits, or runs
    SUCCESS = 1
    FAILURE = 2
    TERMINATED = 3
    TIMEOUT = 4
    INIT_FAILURE = 5
    INTERNAL_FAILURE = 6


STATUSES = {
    "pending": InputStatus.PENDING,
    "running": InputStatus.PENDING,
    "success": InputStatus.SUCCESS,
    "failure": InputStatus.FAILURE,
    "timeout": InputStatus.TIMEOUT,
    "terminated": InputStatus.TERMINATED,
    "lost": InputStatus.INTERNAL_FAILURE,
}


class InputInfo:
    """An input of a call graph; `task_id` is the id of its container, `children` are the inputs that it called."""

    def __init__(self, node: InputNode) -> None:
        self.input_id = node.input_id
        self.function_call_id = node.call_id
        self.task_id = node.container_id
        self.status = STATUSES[node.status]
        self.function_name = node.tag
        self.module_name = node.module
        self.children: list[InputInfo] = []

    def __repr__(self) -> str:
        return f"InputInfo({self.function_name} {self.input_id}: {self.status.name}, {len(self.children)} children)"


def tree(nodes: Sequence[InputNode]) -> list[InputInfo]:
    """The inputs that none of the others called, each with its children; parents come before children."""
    found: dict[str, InputInfo] = {}
    roots: list[InputInfo] = []
    for node in nodes:
        info = found[node.input_id] = InputInfo(node)
        parent = found.get(node.parent)
        (roots if parent is None else parent.children).append(info)
    return roots
