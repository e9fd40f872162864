"""The templates of a worker: which container is forked from which, which are made, kept and ended."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...protocol.apps import SYSTEM, Log
from ...protocol.spec import FunctionSpec
from ...protocol.tags import shown
from ...protocol.usage import Reading
from ...protocol.workers import Prewarm, StartContainer
from ..images import BuiltImage
from ..memory import Memory
from ..origin import Origin
from .budget import SMALLEST_MIB, Kept, has_room, too_many
from .key import key_of
from .template import State, Template
from .turns import Turns

if TYPE_CHECKING:
    from ..worker import Worker

log = logging.getLogger("ionian.worker")

SETTING = "IONIAN_TEMPLATES"

ALONE_S = 0.5
"""A function whose only container is ready waits so long for its template: many need but one, and are over by then."""

WAIT_S = 10.0
"""A container waits so long for a template that is being made, where that is sooner than a start on its own."""

PROOF_S = 0.01
"""The processor time of a template's proof, before one was seen. Measured: 10 ms, and 35 with numpy and pandas."""

AFTER_DEPLOY_S = 0.1
"""What was just deployed is perhaps called at once: a container that starts on its own then has the cores for itself."""

GIVE_WAY_S = 1.0
"""And so has any other, but nobody's template waits for longer."""

LOOK_S = 0.02

FAILURES = 3
"""After so many forks that did not start, containers of the version start on their own."""

UNUSED_S = 600.0
"""A template that no container was forked from for so long ends, unless the server wants it kept."""

TRIM_S = 1.0

KNOWN = 1000
"""Kinds of containers of which it is remembered how they started."""


@dataclass(eq=False)
class Choice:
    """How one container is to start: from a template, or on its own, and why."""

    key: str = ""
    template: Template | None = None
    why_fresh: str = ""
    over: bool = False  # its start is


class Templates:
    """All of them."""

    def __init__(self, worker: Worker) -> None:
        self.enabled = os.environ.get(SETTING, "on") != "off"
        self._worker = worker
        self._by_key: dict[str, Template] = {}
        self._ending: set[Template] = set()
        self._starting: dict[str, int] = {}  # fresh starts that are under way, by key
        self._proof_s = PROOF_S
        self._unfit: set[str] = set()  # functions whose last template was no good
        self._enter_s: dict[str, float] = {}  # what its @enter took in a plain start, by key
        self._sizes: dict[str, int] = {}  # MiB that one had, of those that were ended for want of memory
        self._kept: set[str] = set()  # keys that the server wants to be there
        self._turns = Turns()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cores = len(os.sched_getaffinity(0))
        self._trimmed_at = 0.0
        self._closed = False

    # --- for containers

    async def choose(self, ask: StartContainer, image: BuiltImage) -> Choice:
        """How a container is to start."""
        if not self.enabled or ask.guest is not None or has_its_own(ask.function):
            return Choice()
        choice = Choice(key_of(ask))
        found = self._by_key.get(choice.key)
        busy = self._starting.get(choice.key, 0) >= self._cores
        if (
            busy
        ):  # more at once than the cores can start: the template is worth its time, and worth waiting for
            found = found or self._make(choice.key, ask, image)
        if found is not None and self._worth_waiting(found, busy=busy):
            found.hurry()
            await _at_most(found.settled, WAIT_S)
            found.slow = found.state is State.MAKING
        if found is not None and found.state is State.READY:
            found.enter_s = self._enter_s.get(choice.key)
            choice.template = found
            return choice
        choice.why_fresh = found.reason if found is not None else "no template of it is there yet"
        self._starting[choice.key] = self._starting.get(choice.key, 0) + 1
        return choice

    def _worth_waiting(self, template: Template, *, busy: bool) -> bool:
        """Whether a container waits until it is made. Where one did in vain, perhaps it never is."""
        return template.state is State.MAKING and not template.slow and (busy or self._is_sooner(template))

    def _is_sooner(self, template: Template) -> bool:
        """Whether a fork of a template that is being made will be ready before a fresh start begun now. Both do the same, and
        the template has two forks besides, its proof and the container: so it is once it has done more than these take. Where
        one of its function was no good, this one is hardly better."""
        if template.ask.function.function_id in self._unfit:
            return False
        return template.imported or template.worked_s > 2 * self._proof_s

    def started(self, choice: Choice, ask: StartContainer, image: BuiltImage, origin: Origin) -> None:
        """A container is ready. The next one of its kind shall find a template."""
        self.ended(choice)
        if choice.key and choice.template is None and choice.key not in self._by_key:
            had_one = choice.key in self._kept or choice.key in self._sizes
            first = not had_one and choice.key not in self._enter_s
            self._later(self._make_later(choice.key, ask, image, first=first))
        self._learn(choice, origin)

    def _learn(self, choice: Choice, origin: Origin) -> None:
        template = choice.template
        if choice.key and origin.kind == "fresh":
            if template is not None:
                self._later(self.failed(template, origin.fallback))
            self._enter_s[choice.key] = origin.parts.get("enter", 0.0)
            while len(self._enter_s) > KNOWN:
                del self._enter_s[next(iter(self._enter_s))]

    def ended(self, choice: Choice) -> None:
        """A container's start is over, however it ended."""
        if choice.over:
            return
        choice.over = True
        if choice.key and choice.template is None:
            left = self._starting.pop(choice.key) - 1
            if left:
                self._starting[choice.key] = left

    async def failed(self, template: Template, reason: str) -> None:
        """A fork did not become a container, where a plain start then did."""
        template.failures += 1
        log.warning("fork of function=%s failed: %s", template.ask.function.tag, reason)
        if template.failures >= FAILURES and await template.lives():  # its death would be why
            template.retire(f"{FAILURES} forks of its template did not start, the last because {reason}")
            template.state = State.UNFIT
            log.info("template function=%s state=UNFIT %s", template.ask.function.tag, template.reason)
            self._tell(template)

    # --- making them

    async def _make_later(self, key: str, ask: StartContainer, image: BuiltImage, *, first: bool) -> None:
        if first and not self._starting.get(key):
            await asyncio.sleep(ALONE_S)
            if not self._worker.has_of(ask.function.function_id):
                return
        self._make(key, ask, image)

    def _make(
        self, key: str, ask: StartContainer, image: BuiltImage, *, after_s: float = 0.0
    ) -> Template | None:
        """Begins to make one; None where it is not to be."""
        if key in self._by_key:
            return self._by_key[key]
        if self._closed or not self._room(self._sizes.get(key, SMALLEST_MIB)):
            return None
        for other in list(self._by_key.values()):  # of a version, or with secrets, that are no more
            if other.ask.function.function_id == ask.function.function_id:
                self._retire(other, "its function has changed")
        template = self._by_key[key] = Template(self._worker, key, ask, image, self._over)
        self._later(self._make_now(template, after_s))
        return template

    async def _make_now(self, template: Template, after_s: float) -> None:
        begun = time.monotonic()
        async with self._turns.one():
            await self.give_way(template, begun + after_s)
            if template.state is State.MAKING:
                await template.make()
            else:
                template.settled.set()
        if template.proof_s:
            self._proof_s = (self._proof_s + template.proof_s) / 2
        function_id = template.ask.function.function_id
        self._unfit.discard(function_id)
        if template.state is State.UNFIT:
            self._unfit.add(function_id)
            self._tell(template)
        self._trim()

    async def give_way(self, template: Template, until: float) -> None:
        """Waits while containers start on their own, unless one waits for this template."""
        end = max(until, time.monotonic() + GIVE_WAY_S)
        while not template.hurried.is_set() and template.state is State.MAKING:
            now = time.monotonic()
            if now >= end or (now >= until and not self._starting):
                return
            await _at_most(template.hurried, LOOK_S)

    def asks(self) -> list[StartContainer]:
        """What the templates that are there are of."""
        return [template.ask for template in self._by_key.values()]

    def readings(self) -> list[Reading]:
        """What each used since it was read before."""
        return [reading for one in {*self._by_key.values(), *self._ending} for reading in one.readings()]

    def prewarm(self, message: Prewarm) -> None:
        """The server expects containers of this function: makes its template where there is room and its image."""
        image = self._worker.images.find(message.function.image_id)
        if (
            not self.enabled
            or image is None
            or not image.python
            or message.function.resources.gpus
            or has_its_own(message.function)
        ):
            return  # what a template with cards would be like is known when a container has some
        ask = StartContainer(
            0,
            "",
            message.app_id,
            message.environment,
            message.function,
            message.secrets,
            functions=message.functions,
        )
        key = key_of(ask)
        self._kept.add(key)
        self._make(key, ask, image, after_s=AFTER_DEPLOY_S)

    def _tell(self, template: Template) -> None:
        """Tells the user why containers of this version start on their own."""
        ask = template.ask
        words = f"each container of {shown(ask.function.tag)} starts on its own, not from a template: {template.reason}\n"
        self._worker.say(Log(ask.app_id, ask.function.tag, "", SYSTEM), words.encode())

    # --- ending them

    def drop(self, app_id: str, keep: Iterable[str] = ()) -> None:
        """The app has these functions and no others any more."""
        wanted = set(keep)
        for template in list(self._by_key.values()):
            function = template.ask.function
            if template.ask.app_id == app_id and not {function.function_id, function.base_id} & wanted:
                self._kept.discard(template.key)
                self._unfit.discard(function.function_id)
                self._retire(template, "its function is no more")

    def check(self) -> None:
        """Looks now and then whether one has to go."""
        now = time.monotonic()
        if not self._by_key or now - self._trimmed_at < TRIM_S:
            return
        for template in list(self._by_key.values()):
            unused = now - template.used_at > UNUSED_S and not template.forks
            if unused and template.key not in self._kept and template.state is not State.MAKING:
                self._retire(template, "it was not used")
        self._trim()

    async def close(self) -> None:
        """Ends all of them; their containers have ended."""
        self._closed = True
        for template in list(self._by_key.values()):
            self._retire(template, "its worker ends")
        ending = [asyncio.ensure_future(template.removed()) for template in self._ending]
        if ending:
            await asyncio.wait(ending, timeout=5)

    def _retire(self, template: Template, reason: str) -> None:
        self._by_key.pop(template.key, None)
        if template.state is not State.UNFIT:
            self._ending.add(template)
            template.retire(reason)

    def _over(self, template: Template) -> None:
        """The process of a template has ended."""
        self._ending.add(template)
        if template.state is State.GONE and self._by_key.get(template.key) is template:
            del self._by_key[template.key]
        self._later(self._forget(template))

    async def _forget(self, template: Template) -> None:
        await template.removed()
        self._ending.discard(template)

    # --- memory

    def _trim(self) -> None:
        self._trimmed_at = time.monotonic()
        memory = _memory()
        if memory is None:
            return
        for key in too_many(self._all_kept(), memory):
            template = self._by_key[key]
            self._sizes[key] = max(template.mib, SMALLEST_MIB)
            while len(self._sizes) > KNOWN:
                del self._sizes[next(iter(self._sizes))]
            log.info("template function=%s ends for want of memory", template.ask.function.tag)
            self._retire(template, "memory was short")

    def _room(self, mib: int) -> bool:
        memory = _memory()
        if memory is None:
            return False
        kept = self._all_kept()
        if not has_room(kept, memory, mib):
            return False
        for key in too_many(kept, memory, more_mib=mib, more=1):
            self._retire(self._by_key[key], "others were used since")
        return True

    def _all_kept(self) -> list[Kept]:
        return [
            Kept(key, template.used_at, template.mib)
            for key, template in self._by_key.items()
            if template.state is State.READY
        ]

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a template's task failed", exc_info=task.exception())


async def _at_most(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        pass


def _memory() -> Memory | None:
    """None where this system does not say: then there are no templates."""
    try:
        return Memory.now()
    except (OSError, KeyError, ValueError):
        return None


def has_its_own(function: FunctionSpec) -> bool:
    """Whether something is mounted that is one container's alone, where a template's forks have what it has."""
    return bool(function.buckets) or any(mount.isolated for mount in function.volumes)
