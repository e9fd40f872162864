"""What the parts of the dispatcher share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..protocol.batch import Batch
from ..protocol.ids import new_id
from .actions import Action
from .call import Call
from .delivery import Delivery
from .function import Function
from .places import Places
from .timers import Timers
from .usage import Ledgers
from .worker import Container, Worker

ATTEMPTS_PER_EPOCH = 1 << 12
CONTAINERS_PER_EPOCH = 1 << 20


@dataclass
class Settings:
    """How patient the dispatcher is, in seconds."""

    worker_lost_after_s: float = 60.0  # then its inputs run elsewhere
    inventory_wait_s: float = 10.0  # after a start, for workers known before it
    settle_s: float = 0.5  # after an inventory, for the results that follow it
    unopened_s: float = 60.0  # results and containers of calls that nobody has opened (again) yet
    caller_lost_after_s: float = 60.0  # then its calls are ended
    straggler_s: float = 0.03  # without progress, while others could help
    busy_straggler_s: float = 0.3  # the same, while all others are busy
    cancel_grace_s: float = (
        30.0  # for inputs of a closed call to clean up; then the worker ends their container
    )
    cancel_margin_s: float = 5.0  # so much later we do, should the worker not have
    missing_container_s: float = 5.0  # for news of a container that an inventory lacks
    scale_every_s: float = 0.02
    look_again_s: float = 0.25  # while inputs wait: what they take may have changed
    stop_grace_s: float = 5.0
    fair_after_s: float = 30.0  # waiting for room without any container; then busy ones make some


@dataclass
class Core:
    """The tables."""

    epoch: int
    settings: Settings = field(default_factory=Settings)
    make_id: Callable[[str], str] = new_id
    actions: list[Action] = field(default_factory=list[Action])
    timers: Timers = field(default_factory=Timers)
    functions: dict[str, Function] = field(default_factory=dict[str, Function])
    calls: dict[str, Call] = field(default_factory=dict[str, Call])
    workers: dict[str, Worker] = field(default_factory=dict[str, Worker])
    early_results: dict[str, list[tuple[Worker, Batch]]] = field(
        default_factory=dict[str, list[tuple[Worker, Batch]]]
    )
    """Results from before the start, of calls that are not open again yet."""
    early_held: dict[str, dict[int, tuple[Container, int]]] = field(
        default_factory=dict[str, dict[int, tuple[Container, int]]]
    )
    """Inputs of such calls that containers have, with their attempt."""
    let_go: set[str] = field(default_factory=set[str])  # such calls that nobody came for in time
    drop_unopened: Callable[[float, str], None] = lambda now, call_id: None  # set by the part that recovers
    places: Places = field(default_factory=Places)
    building: set[str] = field(default_factory=set[str])  # images that are being built
    begun_at: float = 0.0
    usage: Ledgers = field(default_factory=Ledgers)
    numbers: dict[str, int] = field(default_factory=dict[str, int])  # the last of each worker's containers
    settled: bool = True  # the inventories are in, or were waited for long enough
    stale: int = 0  # rows of results that came too late, or twice

    def __post_init__(self) -> None:
        self.delivery = Delivery(self.actions)
        # Attempts of an earlier epoch are smaller than any of this one, so neither needs to be remembered.
        self.first_attempt = (self.epoch % (1 << 20)) * ATTEMPTS_PER_EPOCH + 1

    def keep_for(self, now: float, call_id: str) -> None:
        """Something of a call is kept that may be opened again, but not for ever."""
        if call_id not in self.early_held and call_id not in self.early_results:
            self.timers.at(now + self.settings.unopened_s, lambda then: self.drop_unopened(then, call_id))

    def next_number(self, worker_id: str) -> int:
        """A number for a container that the worker never had: those of each epoch are larger."""
        number = self.numbers.get(worker_id, (self.epoch % (1 << 11)) * CONTAINERS_PER_EPOCH) + 1
        self.numbers[worker_id] = number
        return number
