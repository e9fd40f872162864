"""The shell round the dispatcher: feeds it what peers say, carries out what it decides."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import faults
from ..core.actions import Action, Cancel, ConfirmResults, Deliver, Failed, Run, Start, Stop, Take, Tried
from ..core.dispatcher import Dispatcher
from ..core.versions import same_containers
from ..protocol import workers
from ..protocol.apps import ContainerNews, Log, ResourcesChecked
from ..protocol.batch import Batch
from ..protocol.calls import OpenCall
from ..protocol.clusters import first_of, whole
from ..protocol.images import every_instruction
from ..protocol.spec import FunctionSpec, Resources
from ..protocol.stream import Refused
from ..protocol.tags import shown
from ..protocol.wire import OUTPUTS, RUN
from ..protocol.workers import ContainerState, Inventory, StartContainer, StopContainer, TakeBack, TakenBack
from .auth import Actor
from .call_records import CallRecords, Record
from .containers import Containers
from .counts import Counts
from .durable import STORE
from .execs import Execs
from .failures import lost, no_function
from .news import News
from .replays import Replays
from .samples import Samples
from .telemetry import Telemetry
from .terminals import Terminals
from .web import WEB

if TYPE_CHECKING:
    from .server import Server
    from .session import Session

log = logging.getLogger("ionian.server")

STOP_WAIT_S = 40.0
"""For so long the end of an app waits for its containers' last words: an @exit has 30 s."""

BACK_WAIT_S = 10.0
"""For so long who asks for containers waits, after a start of the server, for a worker that knows of them."""

_now = time.monotonic


class Engine:
    """All state of running code: the dispatcher, and the sessions its peers are reached by."""

    def __init__(self, server: Server, epoch: int, known_workers: set[str]) -> None:
        self.server = server
        self.dispatcher = Dispatcher(epoch=epoch, known_workers=known_workers)
        self.containers = Containers(self)
        self.samples = Samples(self.containers)
        self.execs = Execs(self)
        self.replays = Replays(self)
        self.terminals = server.context.terminals = Terminals(self)
        self.news = News(self, server.context.logbook)
        self.records = CallRecords()
        self.counts = Counts(server.store, epoch, self.dispatcher)
        self.telemetry = Telemetry(self)
        self.traces = self.telemetry.traces
        self.clients: dict[str, Session] = {}
        self.workers: dict[str, Session] = {}
        self.specs: dict[str, tuple[FunctionSpec, str, str]] = {}  # id → spec, app, environment
        # Calls that were not begun: caller → call → what their inputs are answered with.
        self._unknown: dict[str, dict[str, Answered]] = {}
        self._resumed: set[str] = set()  # calls that came back while their app had no budget left
        self._worker_there = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- apps

    def publish(
        self,
        app_id: str,
        environment: str,
        specs: list[FunctionSpec],
        *,
        detached: bool = False,
        recreate: bool = False,
        roll: bool = False,
    ) -> None:
        """These are the functions of an app from here on. What it had besides goes, once its inputs have ended.

        `detached`: its calls go on without their callers. `roll`: containers of what has not changed are replaced,
        too; `recreate`: all of them, and at once.
        """
        now = _now()
        if detached:
            self.dispatcher.detach_app(app_id)
        wanted = {spec.function_id for spec in specs}
        for function_id in [
            key for key, (_, app, _) in self.specs.items() if app == app_id and key not in wanted
        ]:
            spec = self.specs.pop(function_id)[0]
            self.server.durable.ends.function_removed(spec)
            self.dispatcher.remove_function(now, function_id)
        before = {key: self.specs[key][0] for key in wanted & self.specs.keys() if self._has_containers(key)}
        self.add(app_id, environment, specs)
        for function_id, spec in sorted(before.items()):
            if (roll or recreate) and same_containers(spec, self.specs[function_id][0]):
                self.dispatcher.rollover(now, function_id)
            if recreate:
                self.dispatcher.recreate(now, function_id)
        self.pump()

    def add(self, app_id: str, environment: str, specs: list[FunctionSpec]) -> None:
        """An app has these functions, too, or has them otherwise."""
        for spec in specs:
            self.specs[spec.function_id] = (spec, app_id, environment)
            of_all = whole(spec)
            allowed = self.server.budgets.allowed(app_id, of_all.scaling)
            self.dispatcher.add_function(_now(), replace(of_all, scaling=allowed), app_id, environment)
        self.pump()

    def scale(self, function_id: str) -> None:
        """The function has as many containers as its definition says by now, and as its budget allows."""
        spec, app_id, _ = self.specs[function_id]
        allowed = self.server.budgets.allowed(app_id, whole(spec).scaling)
        self.dispatcher.scale(_now(), function_id, allowed)

    def _has_containers(self, function_id: str) -> bool:
        state = self.dispatcher.state_of(function_id)
        return state is not None and state.containers + state.starting > 0

    def check_resources(self, functions: dict[str, Resources]) -> ResourcesChecked:
        """What the workers that are known can give each. Raises Refused with the reason where none could hold one."""
        checked = ResourcesChecked()
        for tag, asked in functions.items():
            resources = checked.functions[tag] = self.dispatcher.fitted(asked)
            reason = self.dispatcher.why_never(resources)
            if reason:
                raise Refused("ResourceExhaustedError", f"{shown(tag)} can't run: {reason}")
            if resources.gpus and self.dispatcher.ignores_gpu(resources):
                checked.without_gpu.append(tag)
        return checked

    async def stop_app(self, app_id: str) -> None:
        """Ends the calls and containers of an app; comes back when they are gone."""
        self.counts.app_stops(app_id)
        self.dispatcher.remove_app(_now(), app_id)
        self.pump()
        try:
            await self.containers.all_gone(app_id, STOP_WAIT_S)
        finally:
            for function_id in [key for key, (_, app, _) in self.specs.items() if app == app_id]:
                del self.specs[function_id]
            self.news.forget(app_id)
            self.server.context.logbook.nudge(app_id)

    def functions_of(self, app_id: str) -> dict[str, str]:
        """Tag → id, without variants."""
        return {
            spec.tag: key for key, (spec, app, _) in self.specs.items() if app == app_id and not spec.base_id
        }

    # --- callers

    def client_joined(self, session: Session) -> None:
        """A client said Hello, for the first time or again."""
        self.clients[session.actor.id] = session
        self.server.apps.client_back(session.actor.id)
        self.dispatcher.caller_back(_now(), session.actor.id)
        self.pump()

    def client_gone(self, session: Session) -> None:
        """A client's connection ended."""
        if self.clients.get(session.actor.id) is session:
            del self.clients[session.actor.id]
            self._unknown.pop(session.actor.id, None)
            self.dispatcher.caller_gone(_now(), session.actor.id)
            self.server.apps.client_gone(session.actor.id)
            self.server.durable.unsent.caller_gone(session.actor.id)
        self.news.unfollow(session)
        self.execs.client_gone(session)
        self.terminals.client_gone(session)

    def open_call(self, message: OpenCall, actor: Actor) -> None:
        """A call begins, or begins again. A call of an unknown function ends at once with that answer, and so does
        one of another environment's: its caller does not learn that it is there."""
        found = self.specs.get(message.function_id)
        foreign = found is not None and bool(actor.environment) and found[2] != actor.environment
        if not foreign and (why := self._no_budget(found, actor.id)):
            if not message.resumed:
                self._unknown.setdefault(actor.id, {})[message.call_id] = partial(_too_much, why)
                return
            self._resumed.add(message.call_id)  # what it sends again may run already
        if foreign or not self.dispatcher.open_call(
            _now(), message.call_id, message.function_id, actor.id, message.resumed
        ):
            function_id = message.function_id
            self._unknown.setdefault(actor.id, {})[message.call_id] = partial(_no_function, function_id)
            return
        if self.traces is not None and found is not None:
            self.traces.opened(message, *found)
        if message.parent and found is not None:
            spec, _, environment = found
            self.records.opened(
                Record(message.call_id, message.parent, spec.function_id, spec.tag, spec.module, environment)
            )

    def close_calls(self, call_ids: list[str], caller: str) -> None:
        """A caller wants no more of these calls."""
        now, unknown = _now(), self._unknown.get(caller)
        for call_id in call_ids:
            if unknown is not None:
                unknown.pop(call_id, None)
            self._resumed.discard(call_id)
            self.counts.given_up(call_id)
            if self.traces is not None:
                self.traces.closed(call_id)
            self.dispatcher.close_call(now, call_id)

    def caller_over(self, caller: str) -> None:
        """A caller, a container, has ended."""
        self._unknown.pop(caller, None)
        self.dispatcher.drop_caller(_now(), caller)
        self.server.durable.unsent.caller_over(caller)

    def put(self, batch: Batch, caller: str) -> None:
        """Inputs of a caller."""
        if not self.dispatcher.is_open(batch.call_id):
            answered = self._unknown.get(caller, {}).get(batch.call_id, partial(_no_function, ""))
            self._deliver(caller, answered(batch))
            return
        if self.server.budgets.over and (why := self._has_no_budget(batch.call_id, caller)):
            self._deliver(caller, _too_much(why, batch))
            return
        if self.records.calls:
            self.records.put(batch)
        if caller != STORE:
            self.counts.put(batch)
        if self.traces is not None:
            self.traces.put(batch)
        batch.payload = bytes(batch.payload)
        self.dispatcher.put(_now(), batch)

    def _no_budget(self, found: tuple[FunctionSpec, str, str] | None, caller: str) -> str:
        """Why a function takes no calls of a caller, or ""."""
        if found is None or caller == STORE:
            return ""
        return self.server.budgets.over.get(found[1], "")

    def _has_no_budget(self, call_id: str, caller: str) -> str:
        """Why a call gets no more inputs; "" where it does: what was spawned was promised."""
        call = self.dispatcher.core.calls.get(call_id)
        if caller in (STORE, WEB) or call_id in self._resumed or call is None:
            return ""
        return self.server.budgets.over.get(call.function.app_id, "")

    def confirm(self, caller: str, seq: int) -> None:
        """A caller has its results up to a number."""
        self.dispatcher.confirm(_now(), caller, seq)

    # --- workers

    def worker_joined(self, session: Session, inventory: Inventory) -> None:
        """A worker said what it has."""
        worker_id = session.actor.id
        log.info("worker joined worker=%s containers=%d", worker_id, len(inventory.containers))
        self.workers[worker_id] = session
        self._worker_there.set()
        for app_id in self.news.held:
            session.send(workers.HoldLogs(app_id, True))
        self.server.remember_worker(session.actor, inventory.name)
        self.containers.found(worker_id, inventory.containers)
        self.dispatcher.worker_joined(
            _now(),
            worker_id,
            inventory.capacity,
            inventory.containers,
            inventory.name,
            inventory.ending,
            inventory.follows,
        )
        self.server.durable.worker_joined()
        self.pump()
        self.server.prewarming.joined(session)
        self.server.image_garbage.joined(session)

    def worker_gone(self, session: Session) -> None:
        """A worker's connection ended; whether it lives is another question."""
        worker_id = session.actor.id
        if self.workers.get(worker_id) is not session:
            return
        del self.workers[worker_id]
        if not self.workers:
            self._worker_there.clear()
        log.info("worker gone worker=%s", worker_id)
        self.execs.worker_gone(worker_id)
        self.dispatcher.guests.all_leave(worker_id)
        self.dispatcher.worker_gone(_now(), worker_id)
        self.pump()
        self.server.keeper.worker_gone(worker_id)

    def worker_dead(self, worker_id: str) -> None:
        """A worker is known to have ended, and its containers with it."""
        self.counts.of_containers.worker_gone(worker_id)
        self.dispatcher.worker_gone(_now(), worker_id, dead=True)
        self.containers.lost(worker_id)
        self.server.forget_worker(worker_id)
        self.pump()

    async def any_worker(self, patience_s: float) -> Session:
        """A connected worker. Raises Refused where none comes."""
        try:
            await asyncio.wait_for(self._worker_there.wait(), patience_s)
        except asyncio.TimeoutError:
            raise Refused(
                "ResourceExhaustedError",
                "no worker is connected; start one with `ionian worker --server URL --token …`",
            ) from None
        return next(iter(self.workers.values()))

    async def workers_back(self) -> None:
        """Right after a start: waits until a worker of before has said which containers it has, or has had the time."""
        if not self.workers and not self.dispatcher.core.settled:
            try:
                await asyncio.wait_for(self._worker_there.wait(), BACK_WAIT_S)
            except asyncio.TimeoutError:
                log.info("no worker has come back yet")

    def results(self, worker_id: str, batch: Batch) -> None:
        """Results of a container."""
        batch.payload = bytes(batch.payload)
        container = self.containers.numbered(worker_id, batch.container)
        if container is not None:
            self.counts.of_containers.ran(container, batch)
        if self.traces is not None:
            self.traces.results(worker_id, batch)
        self.dispatcher.results(_now(), worker_id, batch)

    def taken_back(self, worker_id: str, message: TakenBack) -> None:
        """What a container had not claimed."""
        self.dispatcher.taken_back(_now(), worker_id, message)

    def container_state(self, worker_id: str, message: ContainerState, payload: bytes) -> None:
        """A container is ready, or has ended."""
        if message.running:
            self.server.web.container_ended(message)
        self.dispatcher.container_state(_now(), worker_id, message, payload)
        if message.state == "ended" and self.dispatcher.guests.leave(worker_id, message.number):
            self.dispatcher.fleet.room(_now())
        self.containers.state(worker_id, message)

    def dismiss_workers(self) -> None:
        """The server ends for good, and so shall its workers."""
        self.tell_workers(workers.Leave())

    def tell_workers(self, message: Any) -> None:
        """Says something to every worker."""
        for session in self.workers.values():
            session.send(message)

    def from_container(self, worker_id: str, number: int, entry: bytes) -> None:
        """User code in a container asks for something."""
        self.containers.received(worker_id, number, entry)

    def log(self, message: Log, payload: bytes) -> None:
        """What a container wrote."""
        self.server.context.logbook.write(message, payload)
        self.news.log(message, payload)

    def end_container(self, container_id: str, graceful: bool) -> bool:
        """A person ends a container, and the cluster that it belongs to. False: it is not there."""
        found = self.dispatcher.end_container(_now(), first_of(container_id), graceful=graceful)
        self.pump()
        return found

    def follow(self, app_id: str, session: Session) -> None:
        """A client wants to see the logs and news of an app."""
        self.news.follow(app_id, session)

    # --- carrying out

    def pump(self) -> None:
        """Carries out what the dispatcher has decided since the last time, and sets the clock for its next wish."""
        dispatcher = self.dispatcher
        for action in dispatcher.take():
            try:
                self._do(action)
            except Exception:  # the others are about other peers
                log.exception("action=%s", type(action).__name__)
        at = dispatcher.next_tick()
        if at is None or (self._timer is not None and self._timer_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_later(max(0.0, at - _now()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            self.dispatcher.tick(_now())
        finally:
            self.pump()

    def _do(self, action: Action) -> None:
        match action:
            case Run(worker_id, batch):
                if faults.ARMED:
                    faults.reach("server.run")
                if self.traces is not None:
                    self.traces.sent(worker_id, batch)
                self._to_worker(worker_id, batch.pack(RUN))
            case Deliver(caller, batch):
                if faults.ARMED:
                    faults.reach("server.deliver")
                self._deliver(caller, batch)
            case ConfirmResults(worker_id, seqs):
                if faults.ARMED:
                    faults.reach("server.confirm")
                self._tell(worker_id, workers.ConfirmResults(seqs))
            case Take(worker_id, number):
                self._tell(worker_id, TakeBack(number))
            case Cancel(worker_id, number, call_id, index, grace_s):
                self._tell(worker_id, workers.CancelInputs(number, call_id, index, grace_s))
            case Stop(worker_id, number, grace_s, reason):
                self._tell(worker_id, StopContainer(number, grace_s, reason))
            case Start():
                self._start(action)
            case Failed():
                self.replays.failed(action)
            case Tried():
                if action.caller == STORE:
                    self.server.durable.tries.tried(action)

    def _to_worker(self, worker_id: str, entry: bytes) -> None:
        session = self.workers.get(worker_id)
        if session is not None:
            session.send_entry(entry)

    def _tell(self, worker_id: str, message: Any) -> None:
        session = self.workers.get(worker_id)
        if session is not None:
            session.send(message)

    def _deliver(self, caller: str, batch: Batch) -> None:
        if self.records.calls:
            self.records.delivered(batch)
        if self.traces is not None:
            self.traces.delivered(batch)
        if caller != STORE:
            self.counts.delivered(caller, batch)
        elif self.server.durable.wants(batch.call_id):  # else it was cancelled, and is counted so
            self.counts.delivered(caller, batch, self.server.durable.age_s(batch.call_id))
        if caller.startswith("cl-"):
            session = self.clients.get(caller)
            if session is not None:
                session.send_entry(batch.pack(OUTPUTS))
        elif caller == STORE:
            self.server.durable.deliver(batch)
        elif caller == WEB:
            self.server.web.deliver(batch)
        else:
            self.containers.deliver(caller, batch)

    def _start(self, start: Start) -> None:
        found = self.specs.get(start.function_id)
        if found is None:
            return
        spec, app_id, environment = found
        self.server.prewarming.starting(start.function_id)
        self.counts.container_started(start.function_id)
        self.containers.starting(start, spec, app_id, environment)
        self.news.container(ContainerNews(app_id, spec.tag, start.container_id, "starting"))
        message = StartContainer(
            start.number,
            start.container_id,
            app_id,
            environment,
            spec,
            {},
            start.devices,
            self.functions_of(app_id),
        )
        if not spec.secret_ids and not spec.volumes and not spec.buckets and not build_secrets(spec):
            self._tell(start.worker_id, message)
            return
        task = asyncio.ensure_future(self._start_with_objects(start, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start_with_objects(self, start: Start, message: StartContainer) -> None:
        """Starts a container that stands on secrets and volumes, if they are still there."""
        try:
            if gone := await self.server.missing_volumes(message.environment, message.function):
                self._not_started(start, gone)
                return
            opened = await self.server.open_secrets(message.app_id, message.function.secret_ids)
            for secret_id in message.function.secret_ids:  # a later one wins
                message.secrets.update(opened[secret_id])
            message.bucket_secrets = await self.server.open_secrets(
                message.app_id, message.function.bucket_secret_ids
            )
            message.build_secrets = await self.server.open_build_secrets(
                message.app_id, build_secrets(message.function)
            )
        except Exception as error:
            log.exception("secrets of container=%s", start.container_id)
            self._not_started(start, f"the secrets of the function can't be opened: {error}")
            return
        if self.dispatcher.may_begin(start.worker_id, start.number):
            self._tell(start.worker_id, message)
            return
        # Meanwhile it was told to end, and its worker, which had never heard of it, could not answer.
        self.container_state(start.worker_id, ContainerState(start.number, "ended", "stopped"), b"")
        self.pump()

    def _not_started(self, start: Start, why: str) -> None:
        self.container_state(start.worker_id, ContainerState(start.number, "ended", "start", why), b"")
        self.pump()


Answered = Callable[[Batch], Batch]
"""What becomes of inputs that are not run."""


def _no_function(function_id: str, batch: Batch) -> Batch:
    return no_function(batch, function_id)


def _too_much(why: str, batch: Batch) -> Batch:
    return lost(batch, "ResourceExhaustedError", why)


def build_secrets(spec: FunctionSpec) -> list[str]:
    """The secrets that the steps of a function's image have."""
    return sorted({each for step in every_instruction(spec.image) for each in step.secret_ids})
