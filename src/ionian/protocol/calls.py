"""Calls: what clients and containers ask of the server to run functions. The inputs themselves are batches."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class OpenCall:
    """A call begins, or begins again after a lost connection: the same ids then mean the same call."""

    call_id: str
    function_id: str
    parent: str = ""  # the input id in which the call was made
    resumed: bool = False  # inputs that follow may have been sent before


@dataclass
class CloseCalls:
    """The caller wants no more of these calls: inputs not started are dropped, running ones ended."""

    call_ids: list[str]


@dataclass
class Confirm:
    """All batches up to `seq` are in the receiver's hands and need not be kept."""

    seq: int


@dataclass
class FindFunction:
    """Asks for a function by the names of its app and itself; empty app: the caller's own app."""

    app: str
    tag: str
    environment: str = ""


@dataclass
class FoundFunction:
    """The answer to FindFunction."""

    function_id: str
    app_id: str
    is_generator: bool = False


@dataclass
class CallState:
    """Server → caller, now and then: how a call's function is doing (for progress and 'why it waits')."""

    function_id: str
    containers: int
    starting: int
    queued: int
    running: int
    waiting_for: str = ""


@dataclass
class AppFunctions:
    """The functions of an app: tag → id."""

    app_id: str
    functions: dict[str, str] = field(default_factory=dict[str, str])
