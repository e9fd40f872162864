"""One template, from its making to its end."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from ...protocol.container import SIDE_FD, Failed, Prepared, Prove, Proved, Unfit
from ...protocol.usage import Reading
from ...protocol.wire import CONTROL, entries, pack_entry
from ...protocol.workers import StartContainer, StartKind
from ..account import Account
from ..ends import Ends
from ..images import BuiltImage
from ..logs import LogPipe
from ..recipe import begin_of, sandbox_of
from ..sandbox import ForkError, ForkSpec, Limits, Sandbox, SandboxError, Zygote, start_zygote
from ..side import Side, open_side

if TYPE_CHECKING:
    from ..worker import Worker

log = logging.getLogger("ionian.worker")

PROOF_S = 10.0
"""A trial fork computes with the imported libraries for so long at most. It takes 0.1 s, or seconds on a busy machine; a
fork that hangs never ends, and nobody waits for it."""

PROOF_WAIT_S = 5.0
"""And is waited for so long, for it may not even come to that."""

HUNG_S = 5.0
"""A fork that has nothing of the user's to run is ready by then, however busy the machine, or hangs."""

PRINTED_MAX = 64 << 10
"""What an import prints is shown in the log of each container, as if it had run there; more than that is cut off."""

_encode = msgspec.json.encode


class State(Enum):
    """What can be done with a template."""

    MAKING = 0
    READY = 1
    UNFIT = 2  # for good: containers of its version start on their own
    GONE = 3


class Template:
    """A process that waits to be forked. `reason` says, of one that is not ready, why."""

    def __init__(
        self,
        worker: Worker,
        key: str,
        ask: StartContainer,
        image: BuiltImage,
        ended: Callable[[Template], None],
    ) -> None:
        self.key = key
        self.ask = replace(ask, number=0, container_id="", replay=None, shell=None)
        self.state = State.MAKING
        self.reason = "its template is being made"
        self.settled = asyncio.Event()  # it is being made no longer
        self.used_at = time.monotonic()
        self.imported = False  # all but its proof is done
        self.slow = False  # somebody waited for it in vain
        self.proof_s = 0.0  # the processor time that this took
        self.failures = 0  # of forks
        self.printed: list[tuple[int, bytes]] = []
        self.enter_s: float | None = None  # what @enter took in a plain start
        self.seconds: dict[str, float] = {}
        self._printed_size = 0
        self.hurried = asyncio.Event()  # a container waits for it
        self._worker = worker
        self._image = image
        self._zygote: Zygote | None = None
        self._account: Account | None = None
        self._side: Side | None = None
        self._said: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._watcher: asyncio.Task[None] | None = None
        self._over = asyncio.Event()  # its process has ended
        self._ended = ended

    @property
    def kind(self) -> StartKind:
        """What its forks are."""
        return "restored" if self.ask.function.snapshot else "template"

    @property
    def mib(self) -> int:
        """The memory that it has now, with the container that is made ahead."""
        return self._zygote.usage().memory_bytes >> 20 if self._zygote is not None else 0

    def readings(self) -> list[Reading]:
        """What it used since the last reading, while it is there."""
        if self._zygote is None or self._account is None:
            return []
        self._account.cut(self._zygote.usage(), (), time.monotonic())
        return [self._account.take()]

    @property
    def worked_s(self) -> float:
        """The processor time that its making has had."""
        return self._zygote.usage().cpu_s if self._zygote is not None else 0.0

    @property
    def forks(self) -> int:
        """Its containers that live."""
        return self._zygote.forks if self._zygote is not None else 0

    @property
    def patience_s(self) -> float:
        """How long a fork may take until it is ready. What runs in it before that is @enter of the user's, which takes what it
        takes in a plain start; where that is not known, as long as any start may."""
        function = self.ask.function
        if function.class_spec is None:
            return HUNG_S
        if self.enter_s is None:
            return function.startup_timeout_s
        return HUNG_S + 3 * self.enter_s

    # --- its making

    async def make(self) -> None:
        """Imports what is to be imported, and proves by a trial that forks of it work. Tells its state, raises nothing."""
        try:
            reason = await self._make()
            if not reason:
                self.imported = True
                reason = await self._prove()
        except (SandboxError, OSError) as error:
            reason = f"its template could not be made: {error}"
        except Exception as error:
            log.exception("template=%s", self.ask.function.tag)
            reason = f"its template could not be made: {error}"
        if self.state is State.GONE:  # meanwhile nobody wants it
            self.retire(self.reason)
        elif reason:
            self.state, self.reason = State.UNFIT, reason
            self.retire(reason, State.UNFIT)
        else:
            self.state, self.reason = State.READY, ""
        self.settled.set()
        log.info("template function=%s state=%s %s", self.ask.function.tag, self.state.name, self.reason)

    async def _make(self) -> str:
        """Why it can't be forked; "" where it waits to be."""
        worker, function = self._worker, self.ask.function
        id = f"te-{secrets.token_hex(8)}"
        scratch = worker.scratch / id
        spec = await sandbox_of(worker, self.ask, self._image, scratch, template=True)
        ours, theirs = socket.socketpair()
        pipes = [LogPipe(fd, self._wrote, lambda: False) for fd in (1, 2)]
        spec.stdout, spec.stderr = (pipe.write_end for pipe in pipes)
        spec.pass_fds = {SIDE_FD: theirs.fileno()}
        try:
            began = time.monotonic()
            zygote = self._zygote = await start_zygote(spec)
            self._account = Account(self.ask, id, "", began, line="templates")
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            for pipe in pipes:
                pipe.started()
        self._watcher = asyncio.ensure_future(self._watch(zygote))
        self._side = await open_side(ours, self._heard, self._over.set)  # it closes with the process
        begin = begin_of(worker, self.ask, self._image)
        self._side.send(pack_entry(CONTROL, _encode(("Begin", 0, vars(begin)))))
        zygote.stand_back(not self.hurried.is_set())
        zygote.go()
        over = asyncio.ensure_future(self._over.wait())
        await asyncio.wait(
            [self._said, over], timeout=function.startup_timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        over.cancel()
        for pipe in pipes:
            pipe.catch_up()  # what it printed may still be in the pipe
        zygote.stand_back(False)
        if self.state is State.GONE:
            return self.reason
        if not self._said.done():
            return (
                "its import ended the process"
                if self._over.is_set()
                else f"its import took longer than {function.startup_timeout_s:g} s in a template"
            )
        return self._said.result()

    def hurry(self) -> None:
        """A container waits for it: its import is as urgent as a container's."""
        self.hurried.set()
        if self._zygote is not None and not self._over.is_set():
            self._zygote.stand_back(False)

    def _heard(self, entry: bytes) -> None:
        """User code can write here, so what is no message of a template is none."""
        kind, header, _ = next(entries(entry))
        if kind != CONTROL or self._said.done():
            return
        try:
            name, _, body = msgspec.json.decode(header)
            if name == Prepared.__name__:
                self.seconds = {str(part): float(s) for part, s in body["seconds"].items()}
                self._said.set_result("")
            elif name == Unfit.__name__:
                self._said.set_result(str(body["reason"])[:500])
            elif name == Failed.__name__:
                self._said.set_result(f"its import failed in a template: {str(body['message'])[:300]}")
        except (ValueError, TypeError, KeyError, AttributeError):
            self._said.set_result("it broke its connection to the worker")

    def _wrote(self, fd: int, data: bytes) -> None:
        data = data[: PRINTED_MAX - self._printed_size]
        if data and self.state is State.MAKING:
            self._printed_size += len(data)
            self.printed.append((fd, data))

    async def _prove(self) -> str:
        """Why a fork of it does not work; "" where one did."""
        proved = asyncio.get_running_loop().create_future()

        def heard(entry: bytes) -> None:
            name = _name_of(entry)
            if not proved.done() and name in (Proved.__name__, Failed.__name__):
                proved.set_result(name == Proved.__name__)

        folder = self._worker.scratch / f"te-{secrets.token_hex(8)}"
        ends = Ends(lambda batch: None, lambda held: None, 1, lambda fd, data: None, lambda: False)
        try:
            spec = self._spec(folder, ends)
            try:
                fork = await self.fork(spec)
            finally:
                ends.given()
            try:
                side = await ends.open(heard)
                side.send(pack_entry(CONTROL, _encode(("Prove", 0, vars(Prove(PROOF_S))))))
                fork.go()
                over = asyncio.ensure_future(fork.wait())
                await asyncio.wait([over], timeout=PROOF_S + PROOF_WAIT_S)
                self.proof_s = fork.usage().cpu_s
            finally:
                await fork.remove()
        except ForkError as error:
            return f"a trial fork of it did not start: {error}"
        finally:
            ends.close()
        if proved.done() and proved.result():
            return ""
        return "a library that it imports does not work in a fork: a trial computation failed, or did not end"

    def _spec(self, scratch: Any, ends: Ends) -> ForkSpec:
        return ForkSpec(
            scratch=scratch,
            limits=Limits(0, self.ask.function.resources.memory_limit_mib, 256),
            hostname="proof",
            stdout=ends.stdout,
            stderr=ends.stderr,
            pass_fds=ends.pass_fds,
        )

    # --- its use

    async def fork(self, spec: ForkSpec) -> Sandbox:
        """A container at its gate. Raises ForkError."""
        if self._zygote is None:
            raise ForkError("the template is gone")
        self.used_at = time.monotonic()
        return await self._zygote.fork(spec)

    async def lives(self, patience_s: float = 0.2) -> bool:
        """Whether it is there still; a moment later than its end, that is known."""
        try:
            await asyncio.wait_for(self._over.wait(), patience_s)
        except asyncio.TimeoutError:
            pass
        return self.state is State.READY

    # --- its end

    def retire(self, reason: str, state: State = State.GONE) -> None:
        """No more forks; those that live go on."""
        if self.state is not State.UNFIT:
            self.state, self.reason = state, reason
        if self._side is not None:
            self._side.close()
        if self._zygote is not None:
            self._zygote.retire()

    async def _watch(self, zygote: Zygote) -> None:
        await self._over.wait()
        zygote.retire()
        self._worker.metering.say(self.readings())
        self._account = None
        if self.state is State.READY:
            self.state, self.reason = State.GONE, "its template has ended"
        self._ended(self)
        try:
            await zygote.remove()  # once its last fork has ended
        except SandboxError as error:
            log.warning("template function=%s: %s", self.ask.function.tag, error)

    async def removed(self) -> None:
        """Waits until nothing of it is left."""
        if self._watcher is not None:
            await asyncio.wait([self._watcher])


def _name_of(entry: bytes) -> str:
    try:
        kind, header, _ = next(entries(entry))
        return str(msgspec.json.decode(header)[0]) if kind == CONTROL else ""
    except (ValueError, IndexError, TypeError):
        return ""
