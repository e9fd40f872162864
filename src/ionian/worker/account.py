"""What one container or template used, told apart by what it was used for.

A container is cut into *stretches* by readings of its meter. What was kept free for it in a stretch is shared out by time: the part
of it in which inputs ran is the calls', the rest was idle. What it used beyond that is the calls', if any ran.

Where one input runs at a time, how long each ran is what its result says; nothing else is done for a call. Where several run at once,
or a generator says how many items it had instead, it is looked every 100 ms which run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..protocol.batch import Batch
from ..protocol.slots import Run
from ..protocol.spec import FunctionSpec
from ..protocol.usage import Amounts, Line, Reading
from ..protocol.workers import StartContainer
from .recipe import slots_of
from .sandbox import ResourceUse

CALLS_TOLD = 16
"""Of one container and reading so many calls are told, those that took most: a million calls of a millisecond are no rows."""

CALLS_KEPT = 4096
"""So many are told apart until then."""

LONGEST_LOOK_S = 1.0
"""Between two looks no more is taken to have been as at the second."""

NOBODY = ""
"""The call of the time that is told of no call."""


class Account:
    """States: not begun → starting → serving; or, of what takes no inputs, one line all its life."""

    def __init__(
        self, ask: StartContainer, id: str, gpu: str, now: float, *, line: Line | None = None
    ) -> None:
        """`line`: on which all of it goes; None for a container that takes inputs."""
        function = ask.function
        self._of = Reading(
            id,
            ask.app_id,
            ask.environment,
            function.function_id,
            function.base_id or function.function_id,
            function.tag,
            gpu if ask.devices else "",
        )
        self._cores = function.resources.cpu_milli / 1000 if line != "templates" else 0.0
        self._gpus = len(ask.devices) if line != "templates" else 0
        self._looks = line is None and must_look(function)
        self._first: Line = line or "startup"
        self._whole = line is not None
        self.begin(now)

    def begin(self, now: float) -> None:
        """Its sandbox starts. What was before is forgotten."""
        self._since = now
        self._serving = False
        self._last = ResourceUse()
        self._lines: dict[Line, Amounts] = {}
        self._took: dict[str, float] = {}  # call → seconds, of the stretches that are over
        self._micros: dict[str, float] = {}  # call → µs, of this stretch
        self._counted: tuple[str, int, int, float] | None = (
            None  # what ran at its start: call, input, since, µs before
        )
        self._busy_s = 0.0  # of this stretch, by looking
        self._looked_at = now

    def ran(self, batch: Batch) -> None:
        """Results of inputs, which say how long these ran."""
        if self._looks:
            return
        call_id, micros = batch.call_id, sum(batch.micros)
        if self._counted is not None:
            call, index, _, before = self._counted
            if call == call_id and index in batch.index:
                micros, self._counted = max(0, micros - before), None
        known = self._micros
        known[call_id] = known.get(call_id, 0) + micros
        if len(known) > CALLS_KEPT:
            self._micros = _largest(known, CALLS_KEPT // 4)

    def look(self, running: Sequence[Run], now: float) -> None:
        """These inputs run now."""
        if not self._looks:
            return
        passed = min(now - self._looked_at, LONGEST_LOOK_S)
        self._looked_at = now
        if not running or not self._serving:
            return
        self._busy_s += passed
        for _, _, call_id, _ in running:
            self._micros[call_id] = self._micros.get(call_id, 0) + passed * 1e6 / len(running)

    @property
    def looks(self) -> bool:
        """Whether it wants to know which inputs run."""
        return self._looks and self._serving

    def cut(self, use: ResourceUse, running: Sequence[Run], now: float) -> None:
        """A stretch is over: so much it has used until now, and these inputs run."""
        passed, last = max(0.0, now - self._since), self._last
        self._since, self._last = now, use
        used = Amounts(
            passed,
            use.charged_cpu_s - last.charged_cpu_s,
            use.charged_memory_gib_s - last.charged_memory_gib_s,
            passed * self._gpus,
            use.cpu_s - last.cpu_s,
            use.memory_gib_s - last.memory_gib_s,
        )
        if not self._serving:
            self._add(self._first, used)
            return
        busy_s = self._busy(running, now, passed)
        share = busy_s / passed if passed else 0.0
        kept_free = min(used.cpu_s, passed * self._cores)
        cpu = kept_free * share + (used.cpu_s - kept_free if busy_s else 0.0)
        calls = Amounts(
            busy_s,
            cpu,
            used.memory_gib_s * share,
            used.gpu_s * share,
            used.used_cpu_s if busy_s else 0.0,
            used.used_memory_gib_s * share,
        )
        used.add(calls, -1.0)
        if busy_s:
            self._add("calls", calls)
        self._add("idle", used)

    def ready(self) -> None:
        """It takes inputs from now on."""
        self._serving = not self._whole

    def take(self) -> Reading:
        """What was cut since the last time."""
        took = _largest(self._took, CALLS_TOLD)
        whole = sum(took.values())
        took.pop(NOBODY, None)
        calls = {call_id: seconds / whole for call_id, seconds in took.items() if seconds > 0}
        reading = replace(self._of, lines=self._lines, calls=calls)
        self._lines, self._took = {}, {}
        return reading

    def _add(self, line: Line, used: Amounts) -> None:
        self._lines.setdefault(line, Amounts()).add(used)

    def _busy(self, running: Sequence[Run], now: float, passed: float) -> float:
        """The seconds in which inputs ran; it is kept whose they were."""
        if self._looks:
            self.look(running, now)
        else:
            self._count_running(running, now)
        micros, self._micros = self._micros, {}
        busy_s = self._busy_s if self._looks else sum(micros.values()) / 1e6
        self._busy_s = 0.0
        busy_s = min(busy_s, passed)
        if micros and busy_s:
            scale = busy_s / sum(micros.values())
            for call_id, part in micros.items():
                self._took[call_id] = self._took.get(call_id, 0.0) + part * scale
        return busy_s

    def _count_running(self, running: Sequence[Run], now: float) -> None:
        """What runs has no result that tells of it: its time up to here, without what was counted before."""
        if not running:
            return  # what was counted of the one before is taken off when its result comes
        _, since_ns, call_id, index = running[0]
        before = 0.0
        if self._counted is not None and self._counted[:3] == (call_id, index, since_ns):
            before = self._counted[3]
        micros = max(0.0, now * 1e6 - since_ns / 1e3)
        self._micros[call_id] = self._micros.get(call_id, 0) + max(0.0, micros - before)
        self._counted = (call_id, index, since_ns, micros)


def must_look(function: FunctionSpec) -> bool:
    """Whether results do not say how long a container was busy."""
    methods = function.class_spec.methods if function.class_spec is not None else []
    generates = function.is_generator or function.web is not None
    return slots_of(function) > 1 or generates or any(one.is_generator or one.web for one in methods)


def _largest(seconds: dict[str, float], most: int) -> dict[str, float]:
    """Those calls that took most; the time of the others is nobody's."""
    if len(seconds) <= most:
        return dict(seconds)
    ranked = sorted(((s, call_id) for call_id, s in seconds.items() if call_id != NOBODY), reverse=True)
    kept = {call_id: s for s, call_id in ranked[: most - 1]}
    kept[NOBODY] = sum(seconds.values()) - sum(kept.values())
    return kept
