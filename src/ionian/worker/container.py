"""One container on this worker, from its start to its last words."""

from __future__ import annotations

import asyncio
import logging
import select
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..protocol.apps import Log
from ..protocol.batch import Batch
from ..protocol.codec import BadMessage, decode
from ..protocol.container import Again, Begin, Failed, Leaving, Ready
from ..protocol.ids import input_id
from ..protocol.usage import Reading
from ..protocol.volumes import CommitMounted, ReloadMounted
from ..protocol.wire import CONTROL, PREFIX_SIZE, entries, pack_entry
from ..protocol.workers import (
    CancelInputs,
    ContainerState,
    FirstInput,
    Held,
    Running,
    StartContainer,
    TakenBack,
    Usage,
)
from .account import Account
from .cancellations import Cancellations
from .disk import hold_to
from .ends import Ends
from .environment import environment_of
from .exec import Insides
from .feed import Feed
from .images import BuiltImage
from .large_inputs import Part
from .logs import PAUSE_S, LogPipe
from .origin import Origin
from .recipe import LEAVE_S, begin_of, fork_of, sandbox_of, slots_of
from .sandbox import (
    Bind,
    Exit,
    ForkError,
    IdMap,
    ResourceUse,
    Sandbox,
    SandboxError,
    SandboxSpec,
    remove_folders,
    start,
)
from .side import Side
from .templates import Choice, Template

if TYPE_CHECKING:
    from .worker import Worker

log = logging.getLogger("ionian.worker")

SLOW_NS = 20_000_000
"""An input that runs for 20 ms keeps the results before it no longer."""

_LEAVING = f'["{Leaving.__name__}"'.encode()

_OF_VOLUMES = tuple(f'["{kind.__name__}"'.encode() for kind in (CommitMounted, ReloadMounted))
"""What is for the worker of a container and goes no further."""

_encode = msgspec.json.encode

_going_on: set[asyncio.Future[BuiltImage]] = set()
"""Images that are built though the container that needed them has ended."""


class Container:
    """States: being made → importing → ready → ended."""

    def __init__(self, worker: Worker, ask: StartContainer) -> None:
        self.worker = worker
        self.ask = ask
        self.number = ask.number
        self.ready = False
        self.ended = False
        self.feed: Feed | None = None
        self.origin = Origin()
        self._choice = Choice()
        self._forked: Template | None = None  # that it is a fork of, until it is ready
        self._fork_trouble = ""
        self._waiting: list[Part] = []  # given before it was ready
        self._side: Side | None = None
        self._sandbox: Sandbox | None = None
        self._built: BuiltImage | None = None
        self._why = ""  # why we ended it; empty: it ended by itself
        self._detail = ""
        self._failure = b""
        self._started = time.monotonic()
        self.account = Account(
            ask,
            ask.container_id,
            worker.devices.model_of(ask.devices),
            self._started,
            line=None if ask.guest is None else "shells",
        )
        self._ready_at = 0.0  # until its first result
        self._ended_at = 0.0  # 0: it has not
        self._killer: asyncio.TimerHandle | None = None
        self._interrupted = False  # what it runs was interrupted, and has its cleanup
        self._leaving = False  # it takes no more inputs and runs what the user has for its end
        self._cancellations = Cancellations(lambda: self._signal(signal.SIGUSR1))
        self._ends: Ends | None = None
        self._pipes: list[LogPipe] = []
        self._printed = select.poll()
        self._coming: list[Batch] = []  # given, and their blobs are being fetched
        self.leaving: dict[asyncio.Future[None], Held] = {}  # results whose blobs are being stored, in order
        self._draining = False
        self._asks = False  # user code has asked for something
        self._hurry = asyncio.Event()  # set when it shall end before it was made
        self.task = asyncio.ensure_future(self._live())

    # --- for the worker

    @property
    def wanted(self) -> bool:
        """Whether nobody has told it to end, and it has not."""
        return not (self.ended or self._why)

    def running(self) -> Running:
        """For the inventory."""
        held = self.feed.held() if self.feed is not None else []
        held += [held_of(batch) for batch in self._coming]
        held += self.leaving.values()
        resources = self.ask.function.resources
        return Running(
            self.number,
            self.ask.container_id,
            self.ask.function.function_id,
            self.ask.app_id,
            self.ready,
            held,
            self.ask.function.version,
            time.monotonic() - self._started,
            self.ask.devices,
            resources.cpu_milli,
            resources.memory_mib,
            self.ask.function.restricted,
        )

    def reading(self) -> list[Reading]:
        """What it used since the last reading, if it has a sandbox to use anything."""
        if self._sandbox is None or self._ended_at:
            return []
        self._cut(self._sandbox, time.monotonic())
        return [self.account.take()]

    def _cut(self, sandbox: Sandbox, now: float) -> None:
        running = self.feed.runs() if self.feed is not None else []
        self.account.cut(sandbox.usage(), running, now)

    def member(self, rank: int) -> Container | None:
        """The member of this rank, of one that stands for a cluster; else itself."""
        return self if rank == 0 else None

    def members(self) -> list[Container]:
        """The containers that it stands for."""
        return [self]

    def insides(self) -> Insides | None:
        """What a program needs that a person runs in it; None where it is being made, or ends."""
        if self._sandbox is None or self._built is None or self.ended:
            return None
        env = environment_of(self.ask, self._built, self.worker.devices.edits(self.ask.devices))
        return self._sandbox, env, self._built.workdir

    def give(self, batch: Batch, entry: bytes, file: FileIO | None = None) -> None:
        """Inputs to run."""
        if self.feed is None or not self.ready:
            self._waiting.append((batch, entry, file))
        else:
            self.feed.give(batch, entry, file)

    def expect(self, batch: Batch) -> None:
        """Inputs that are given as soon as their blobs are here."""
        self._coming.append(batch)

    def came(self, batch: Batch) -> bool:
        """They are here; False where they were taken back meanwhile."""
        if batch not in self._coming:
            return False
        self._coming.remove(batch)
        return True

    def take_back(self) -> list[Held]:
        """Gives back what was not claimed. What was claimed and has not begun follows, if the container is able to."""
        if self.feed is not None and self.feed.wants_back():
            self._signal(signal.SIGUSR1)
        return self._unclaimed()

    def _unclaimed(self) -> list[Held]:
        coming, self._coming = self._coming, []
        taken = self.feed.take_back() if self.feed is not None else []
        return taken + [held_of(batch) for batch in coming]

    def cancel(self, message: CancelInputs) -> list[Held]:
        """Ends inputs that nobody wants any more: those that run are interrupted; returns those that never will."""
        unwanted = set(message.index)
        taken: list[Held] = []
        for batch in [batch for batch, *_ in self._waiting] + self._coming:
            if batch.call_id == message.call_id and unwanted.issuperset(batch.index):
                taken.append(held_of(batch))
        self._waiting = [part for part in self._waiting if held_of(part[0]) not in taken]
        self._coming = [batch for batch in self._coming if held_of(batch) not in taken]
        if self.feed is not None:
            taken += self.feed.take_back_some(message.call_id, unwanted)
        self._cancellations.add(message.call_id, message.index, time.monotonic() + message.grace_s)
        self._check_cancelled()
        return taken

    def leaves(self, batch: Batch, task: asyncio.Future[None]) -> None:
        """Results that are told when the task is done; until then this worker has their inputs."""
        self.leaving[task] = held_of(batch)
        task.add_done_callback(self.leaving.pop)

    def again(self) -> None:
        """A server listens again: what was asked of it is to be asked again."""
        if self._asks:
            self.to_agent(pack_entry(CONTROL, _encode(("Again", 0, vars(Again())))))

    def to_agent(self, entry: bytes) -> None:
        """An answer to something that user code asked."""
        if self._side is not None:
            self._side.send(entry)

    def stop(self, grace_s: float, reason: str) -> None:
        """Ends the container: now, or by itself. Then it takes no more inputs, and those that still run after the grace
        are interrupted; what it runs at its end has LEAVE_S beside that."""
        if self.ended:
            return
        self._why = self._why or "stopped"
        self._detail = self._detail or reason
        if grace_s <= 0 or self.feed is None:
            self.kill()
        elif not (self._interrupted or self._leaving):  # once: the second time would hit the cleanup
            self.feed.end()
            self._then(grace_s, self._interrupt)

    def kill(self) -> None:
        """Ends everything in the container at once."""
        self._hurry.set()
        if self._sandbox is not None:
            self._sandbox.kill()

    def _interrupt(self) -> None:
        if not self.ready:
            self.kill()
            return
        self._interrupted = True
        self._signal(signal.SIGTERM)
        self._then(LEAVE_S, self.kill)

    def _leaves(self) -> None:
        self._leaving = True
        self._then(LEAVE_S, self._cut_short)

    def _cut_short(self) -> None:
        self._why = self._why or "stopped"
        self._detail = f"what it ran at its end took longer than {LEAVE_S:g} s and was cut short"
        self.kill()

    def _then(self, seconds: float, step: Callable[[], None]) -> None:
        if self._killer is not None:
            self._killer.cancel()
        self._killer = asyncio.get_running_loop().call_later(seconds, step)

    def _signal(self, number: int) -> None:
        if self._sandbox is not None:
            self._sandbox.signal(number)

    def check(self, now_ns: int) -> None:
        """Looks whether something takes too long."""
        if self.ended or self._why or self._leaving:
            return
        spec = self.ask.function
        if not self.ready:
            if self._forked is not None and time.monotonic() - self._started > self._forked.patience_s:
                self._fork_trouble = "its fork hung"
                if self._sandbox is not None:
                    self._sandbox.kill()
                return
            if self._sandbox is not None and time.monotonic() - self._started > spec.startup_timeout_s:
                self._end_for(
                    "startup",
                    f"the container of {spec.tag} was not ready within {spec.startup_timeout_s:g} s: its module took too long "
                    "to import, or its @enter to run; raise startup_timeout",
                )
            return
        if (self.feed is not None and self.feed.broken) or (self._side is not None and self._side.broken):
            self._end_for("exit", "the code that it ran broke its connection to the worker")
            return
        self._check_cancelled()
        if self.account.looks and self.feed is not None:
            self.account.look(self.feed.runs(), now_ns / 1e9)
        if self.feed is not None and self.feed.waits_for_back():
            self._signal(signal.SIGUSR1)  # it may have come at a bad moment
        since = self.feed.running_since_ns() if self.feed is not None else 0
        if self.feed is not None and since and now_ns - since > SLOW_NS:
            self.feed.rescue()
        if since and now_ns - since > spec.timeout_s * 1e9:
            self._end_for(
                "timeout",
                f"an input of {spec.tag} ran longer than timeout={spec.timeout_s:g} s and was stopped",
            )

    def _check_cancelled(self) -> None:
        if self.feed is None or self._why:
            return
        stuck = self._cancellations.check(self.feed, time.monotonic())
        if stuck is not None:
            self._end_for("stopped", f"{input_id(*stuck)} was cancelled and did not end within its grace")

    def _end_for(self, why: str, detail: str) -> None:
        self._why, self._detail = why, detail
        self.kill()

    # --- its life

    async def _live(self) -> None:
        scratch = self.worker.scratch / self.ask.container_id
        exited: Exit | None = None
        try:
            await self.worker.copies.fresh(self.ask.function.volumes, self.ask.container_id)
            exited = await self._run(scratch)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if not isinstance(error, SandboxError):
                log.exception("container=%s could not be made", self.ask.container_id)
            self._why = self._why or "start"
            self._detail = self._detail or str(error)
        await self.worker.copies.left(self.ask.function.volumes, self.ask.container_id)
        try:
            await self._last_words(exited)
        except Exception as error:  # its end must be told, whatever became of it
            log.exception("the last words of container=%s", self.ask.container_id)
            self.ended = True
            words = ContainerState(self.number, "ended", self._why or "exit", self._detail or str(error))
            self._say_ended(words)
        self.worker.templates.ended(self._choice)
        if self._sandbox is not None:
            await self._sandbox.remove()
        else:
            await remove_folders([scratch], IdMap.current())

    async def _run(self, scratch: Path) -> Exit | None:
        ask = self.ask
        image = await self._image_with_python()
        if image is None:
            return None
        self._choice = await self.worker.templates.choose(ask, image)
        self.origin.part("template")
        self.origin.why_fresh = self._choice.why_fresh
        if self._choice.template is not None and not self._hurry.is_set():
            exited = await self._fork(self._choice.template, image, scratch)
            if not self.origin.fallback:
                return exited
        return await self._plain(image, scratch)

    async def _image_with_python(self) -> BuiltImage | None:
        image = self._built = await self._image()
        if image is not None and not image.python:
            raise SandboxError(
                f"the image of {self.ask.function.tag} has no Python; functions need one of 3.10 or newer"
            )
        self.origin.part("image")
        return image

    async def _plain(self, image: BuiltImage, scratch: Path) -> Exit | None:
        async with self.worker.buckets.shown(self.ask) as buckets:
            return await self._with(image, scratch, buckets)

    async def _with(self, image: BuiltImage, scratch: Path, buckets: list[Bind]) -> Exit | None:
        spec = await self._sandbox_of(image, scratch)
        spec.binds.extend(buckets)
        if self._hurry.is_set():
            return None

        def make(ends: Ends) -> Awaitable[Sandbox]:
            spec.stdout, spec.stderr, spec.pass_fds = ends.stdout, ends.stderr, ends.pass_fds
            return start(spec)

        return await self._through(image, make)

    async def _sandbox_of(self, image: BuiltImage, scratch: Path) -> SandboxSpec:
        return await sandbox_of(self.worker, self.ask, image, scratch)

    def _begin(self, image: BuiltImage) -> Begin:
        return begin_of(self.worker, self.ask, image)

    async def _fork(self, template: Template, image: BuiltImage, scratch: Path) -> Exit | None:
        """Runs as a fork of the template. Where that did not come to be ready through no fault of its user or of memory,
        `origin.fallback` says why, nothing is left of it, and a plain start takes its place."""
        self.origin.kind, self._forked = template.kind, template
        exited: Exit | None = None
        try:
            exited = await self._through(
                image,
                lambda ends: template.fork(fork_of(self.worker, self.ask, ends, scratch)),
                template.printed,
            )
        except ForkError as error:
            self._fork_trouble = self._fork_trouble or str(error)
        self._forked = None
        if self.ready or self._why or self._hurry.is_set() or (exited is not None and exited.oom):
            return exited
        self.origin.kind = "fresh"
        self.origin.fallback = self._fork_trouble or f"its fork {_ended(exited)} before it was ready"
        if self._sandbox is not None:
            await self._sandbox.remove()
            self._sandbox = None
        if self._ends is not None:
            self._ends.close()
            self._ends = self._side = self.feed = None
        return None

    async def _through(
        self,
        image: BuiltImage,
        make: Callable[[Ends], Awaitable[Sandbox]],
        printed: Sequence[tuple[int, bytes]] = (),
    ) -> Exit:
        """Makes the sandbox, tells its agent what it is, and lets it run to its end. `printed`: by its import, before."""
        ends = self._ends = Ends(
            self._results, self._gave_back, slots_of(self.ask.function), self._log, self._crowded
        )
        self.feed = ends.feed
        self._pipes += ends.pipes
        for pipe in ends.pipes:
            self._printed.register(pipe.read_end, select.POLLIN)
        self._begin_account()
        try:
            sandbox = self._sandbox = await make(ends)
        finally:
            ends.given()
        self._reserve(sandbox)
        self.origin.part("sandbox")
        self._side = await ends.open(self._asked)
        self._side.send(pack_entry(CONTROL, _encode(("Begin", 0, vars(self._begin(image))))))
        for fd, data in printed:
            self._log(fd, data)
        if self._hurry.is_set():
            sandbox.kill()
        else:
            sandbox.go()
        limit_mib = self.ask.function.resources.ephemeral_disk_mib
        watch = limit_mib and asyncio.ensure_future(
            hold_to(limit_mib, sandbox.spec.scratch, sandbox.pid, self._over_disk)
        )
        try:
            return await sandbox.wait()
        finally:
            if watch:
                watch.cancel()

    def _begin_account(self) -> None:
        self._started = time.monotonic()
        self.account.begin(self._started)

    def _reserve(self, sandbox: Sandbox) -> None:
        resources = self.ask.function.resources
        sandbox.reserve(resources.cpu_milli / 1000, resources.memory_mib << 20, self._started)

    def _over_disk(self, detail: str) -> None:
        if not self.ended and not self._why:
            self._end_for("exit", detail)

    async def _image(self) -> BuiltImage | None:
        """The image, or None where the container shall end before it is there: a build here may take minutes, and goes
        on without us, for the next container on this worker needs it as well."""
        function = self.ask.function
        image = asyncio.ensure_future(
            self.worker.image(
                function.image_id,
                function.image,
                self.ask.environment,
                self.ask.build_secrets,
                self.ask.devices,
                self.ask.app_id,
            )
        )
        hurry = asyncio.ensure_future(self._hurry.wait())
        try:
            await asyncio.wait([image, hurry], return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurry.cancel()
        if image.done():
            return image.result()
        _going_on.add(image)
        image.add_done_callback(_went_on)
        return None

    # --- what it says

    def _results(self, batch: Batch) -> None:
        if self._ready_at:
            waited = time.monotonic() - self._ready_at - batch.micros[0] / 1e6
            self._ready_at = 0.0
            self.worker.say(FirstInput(self.number, max(0.0, waited)))
        self.catch_up()
        self.worker.results(self, batch)
        self.account.ran(batch)

    def catch_up(self) -> None:
        """Passes on what it has printed until now."""
        if self._printed.poll(0):
            for pipe in self._pipes:
                pipe.catch_up()

    def _gave_back(self, held: Held) -> None:
        self.worker.say(TakenBack(self.number, [held]))

    def _log(self, fd: int, data: bytes) -> None:
        self.worker.say(Log(self.ask.app_id, self.ask.function.tag, self.ask.container_id, fd), data)

    def _crowded(self) -> bool:
        """Whether what it writes has to wait; the rest of what it wrote, a pipe's fill, has not."""
        return self.worker.crowded or (self.ask.app_id in self.worker.held and not self._draining)

    def _asked(self, entry: bytes) -> None:
        if not self.ready:
            kind, header, payload = next(entries(entry))
            name = msgspec.json.decode(header)[0] if kind == CONTROL else ""
            if name == Ready.__name__:
                self._is_ready(msgspec.json.decode(header)[2])
                return
            if name == Failed.__name__:
                if self._forked is not None:  # a plain start tells whether that is the user's own
                    self._fork_trouble = f"its fork failed ({msgspec.json.decode(header)[2]['message']})"
                    return
                self._why = "import"
                self._detail = msgspec.json.decode(header)[2]["message"]
                self._failure = bytes(payload)
                return
        elif entry.startswith(_LEAVING, PREFIX_SIZE):
            self._leaves()
            return
        self._asks = True
        if entry.startswith(_OF_VOLUMES, PREFIX_SIZE):
            self._asked_of_volume(entry)
            return
        self.worker.asked(self, entry)
        if self.worker.crowded and self._side is not None:
            self._side.pause(True)
            asyncio.get_running_loop().call_later(PAUSE_S, self._side.pause, False)

    def _asked_of_volume(self, entry: bytes) -> None:
        try:
            message, request = decode(next(entries(entry))[1])
        except BadMessage as error:
            log.warning("container=%s: %s", self.ask.container_id, error)
            return
        if isinstance(message, CommitMounted | ReloadMounted):
            self.worker.of_volume(self, message, request)

    def _is_ready(self, said: Any) -> None:
        assert self._sandbox is not None
        assert self.feed is not None
        self.ready = True
        self._ready_at = time.monotonic()
        self.origin.inside(said)
        self._say_ready(
            ContainerState(
                self.number,
                "ready",
                safety=self._sandbox.safety,
                soft_memory=self._sandbox.soft_memory,
                seconds=self._ready_at - self._started,
                start=self.origin.told(),
            )
        )
        for part in self._waiting:
            self.feed.give(*part)
        self._waiting.clear()
        assert self._built is not None
        self.worker.templates.started(self._choice, self.ask, self._built, self.origin)
        # Behind its first input: a reading takes a twentieth of a millisecond.
        asyncio.get_running_loop().call_soon(self._has_started, self._sandbox)

    def _has_started(self, sandbox: Sandbox) -> None:
        if not self._ended_at:
            self._cut(sandbox, time.monotonic())
        self.account.ready()

    def _say_ready(self, state: ContainerState) -> None:
        self.worker.tell(state)

    # --- its end

    async def _last_words(self, exited: Exit | None) -> None:
        self._ended_at = time.monotonic()
        if self._killer is not None:
            self._killer.cancel()
        self._draining = True
        for pipe in self._pipes:
            await pipe.done
        if self.feed is not None:
            self.feed.drain()
            self.feed.rescue()
        while self.leaving:
            await asyncio.wait(self.leaving)  # results come before the end
        usage = self._usage()
        unclaimed = [held_of(batch) for batch, *_ in self._waiting] + self._unclaimed()
        running, never_ran = self._lost()
        unclaimed += never_ran
        self.ended = True
        why, detail = self._explain(exited)
        self.worker.metering.say([self.account.take()])
        log.info("container ended container=%s why=%s detail=%s", self.ask.container_id, why, detail)
        self._say_ended(ContainerState(self.number, "ended", why, detail, running, unclaimed, usage))
        if self._side is not None:
            self._side.close()
        if self._ends is not None:
            self._ends.close()

    def _lost(self) -> tuple[list[Held], list[Held]]:
        """What it was running, and what it was given and never ran."""
        return self.feed.lost() if self.feed is not None else ([], [])

    def _say_ended(self, state: ContainerState) -> None:
        self.worker.ended(self, state, self._failure)

    def _explain(self, exited: Exit | None) -> tuple[str, str]:
        if exited is not None and exited.oom and self._why != "stopped":
            limit = self.ask.function.resources.memory_limit_mib
            return (
                "memory",
                f"it used more than its memory limit of {limit} MiB"
                if limit
                else "the machine ran out of memory",
            )
        if self._why or exited is None:
            return self._why or "start", self._detail
        if self._leaving and exited.code == 0:
            return "stopped", "it has run what it was made for"
        hint = ""
        if not self.ready and self._built is not None and self._built.entrypoint:
            hint = f' (the image\'s entrypoint {self._built.entrypoint} must end with exec "$@")'
        return "signal" if exited.signal is not None else "exit", f"its process {_ended(exited)}{hint}"

    def use(self) -> ResourceUse | None:
        """What it used until now; None while it has no sandbox, and of what has ended."""
        return self._sandbox.usage() if self._sandbox is not None and not self.ended else None

    def _usage(self) -> Usage:
        if self._sandbox is None:
            return Usage()
        self._cut(self._sandbox, self._ended_at)
        used, wall = self._sandbox.usage(), self._ended_at - self._started
        return Usage(wall, used.cpu_s, used.memory_gib_s, wall * len(self.ask.devices))


def _went_on(image: asyncio.Future[BuiltImage]) -> None:
    _going_on.discard(image)
    if not image.cancelled() and (error := image.exception()) is not None:
        log.warning("an image that no container waits for any more: %s", error)


def held_of(batch: Batch) -> Held:
    """The inputs of a batch, as the server counts them."""
    return Held(batch.call_id, list(batch.index), list(batch.attempt))


def _ended(exited: Exit | None) -> str:
    if exited is None:
        return "ended"
    if exited.signal is not None:
        return f"was ended by signal {exited.signal} ({_signal_name(exited.signal)})"
    return f"ended with exit code {exited.code}"


def _signal_name(number: int) -> str:
    try:
        return {11: "segmentation fault", 9: "killed"}.get(number) or signal.Signals(number).name
    except ValueError:
        return "unknown"
