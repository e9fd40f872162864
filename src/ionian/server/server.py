"""The server: one object that owns the store, the engine and the listening socket."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from picows import WSUpgradeRequest, WSUpgradeResponseWithListener

from ..machine.identity import machine_id
from ..machine.state import StateFolder
from ..protocol.apps import ContainerInfo
from ..protocol.spec import FunctionSpec, Resources
from ..protocol.stream import Refused, listen, listen_local
from ..protocol.usage import Metered
from ..protocol.volumes import OFFERS_SOCKET
from ..protocol.workers import ContainerState
from ..version import VERSION
from .always_on import AlwaysOn, configured
from .attempts import Attempts
from .auth import Actor, admit_token, local_token
from .blobs import BlobStore
from .bucket import configured_bucket
from .budgets import Budgets
from .builds import WORKER_WAIT_S, Builds
from .containers import Container
from .dashboard import Dashboard
from .durable import Durable
from .engine import Engine
from .garbage import collect_garbage, collect_versions
from .handlers.apps import end_app
from .handlers.blobs import share_blobs
from .handlers.context import Context
from .handlers.environments import delete_all_of
from .handlers.functions import variants_of
from .handlers.handle import handle
from .image_garbage import ImageGarbage
from .items import Desk
from .keeper import Keeper
from .layers import LayerExchange
from .master_key import KeyRing, SecretError
from .metering import Metering
from .metrics import Metrics
from .owners import Owners
from .pages import page
from .prewarming import Prewarming
from .retention import Retention
from .roster import roster
from .schedules import Scheduler, scheduled_call
from .secrets import Secrets
from .session import Session, forwarded_for
from .store import Store
from .store.apps import DEPLOYER
from .store.schedules import Due
from .store.schema import App
from .store.usage import Used
from .sweeping import BETWEEN_S
from .tunnels import Tunnels
from .web import Web
from .web.addresses import endpoints
from .web.certificate import Certificate

log = logging.getLogger("ionian.server")

COLLECT_EVERY_S = 3600.0
"""How often blobs that nobody needs are deleted."""

KEEP_COUNTS_S = 8 * 24 * 3600.0
"""How long it is kept what functions did in each minute: statistics go back seven days."""

KEEP_DETAILS_S = 30 * 24 * 3600.0
"""How long it is kept what each container and call used; what functions used is kept for good."""

SWEEP_EVERY_S = 10.0
"""How often containers are looked for whose end was never heard."""


CUT_OFF_S = 0.1
"""Who revokes the own token still hears that it is done."""


class Server:
    """Everything of one server. It is the `Engine` of the handlers, too."""

    def __init__(
        self,
        state: StateFolder,
        *,
        database: str = "",
        local: bool = False,
        worker_options: Sequence[str] = (),
        web_host: str = "127.0.0.1",
        web_port: int = 0,
        domain: str = "",
        certificate: Certificate | None = None,
        dashboard_port: int = 0,
        dashboard_url: str = "",
    ) -> None:
        self.state = state
        self.machine = machine_id()
        self.store = Store.open(database or state.database_url)
        self.epoch = self.store.next_epoch()
        self.secrets = Secrets(self.store.secrets, KeyRing.load(state.master_key))
        self.secrets.settle()
        self.context = Context(
            state, self.store, BlobStore(state.blobs), self.secrets, self, configured_bucket()
        )
        self.sessions: set[Session] = set()
        self.cuts = 0  # how often a token was cut off
        self.attempts = Attempts(time.monotonic)
        known = {worker.worker_id for worker in self.store.workers.alive()}
        self.engine = Engine(self, self.epoch, known)
        self.durable = self.context.durable = Durable(self)
        self.desk = self.context.desk = Desk(self)
        self.web = self.context.web = Web(
            self, host=web_host, port=web_port, domain=domain, certificate=certificate
        )
        self.tunnels = self.context.tunnels = Tunnels(web_host, certificate)
        self.dashboard = self.context.dashboard = Dashboard(
            self, host=web_host, port=dashboard_port, url=dashboard_url
        )
        self.retention = Retention(self.store)
        self.budgets = Budgets(self)
        self.always_on = AlwaysOn(self, configured())
        self.metering = Metering(self.store, self._spent)
        self.scheduler = Scheduler(self.store.schedules, self._run_scheduled)
        self.builds = Builds(self)
        self.image_garbage = self.context.image_garbage = ImageGarbage(self)
        self.context.layers = LayerExchange(self)
        self.apps = Owners(self)
        self.prewarming = Prewarming(self)
        self.metrics = Metrics(
            lambda: len(self.engine.workers),
            lambda: len(self.engine.containers.all()),
            self.engine.dispatcher.core.functions.values,
            self.engine.counts.totals,
            self.engine.telemetry,
        )
        self.store.database.timed = self.metrics.committed
        self.keeper = Keeper(self, local, list(worker_options))
        self._collector: asyncio.Task[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._listener: asyncio.Server | None = None
        self._local_listener: asyncio.Server | None = None
        self.local_url = ""  # for the processes of this user on this machine
        self._tasks: set[asyncio.Task[Any]] = set()
        self._used: list[Used] = []  # by containers that have ended, not in the store yet
        self._keeping_usage = False
        self._answering: set[asyncio.Task[tuple[Any, bytes]]] = set()

    # --- its life

    async def start(self, host: str, port: int) -> str:
        """Takes up the apps that were running and listens; returns the URL. Raises OSError for a port in use."""
        admit_token(self.store, local_token(self.state, "client"), kind="client", name="local")
        admit_token(self.store, local_token(self.state, "worker"), kind="worker", name="local")
        await asyncio.to_thread(self.context.versions.settle)
        deleted = self.store.environments.being_deleted()
        for app in self.store.apps.live():
            if app.environment in deleted:
                continue
            await self.publish(app, self.store.functions.of(app.app_id))
            if app.client != DEPLOYER:
                self.apps.client_gone(app.client)
        await self.durable.start()
        for environment in deleted:  # a server was killed amid it
            await delete_all_of(environment, self.context)
        await self.budgets.start()
        await self.desk.start()
        self.retention.start()
        self.engine.counts.stored = self.durable.waiting_by_function
        self.engine.counts.start()
        await asyncio.to_thread(self.engine.telemetry.start, self.context)
        self.scheduler.start()
        self.dashboard.start()
        self._listener, url = await listen(self._accept, host, port)
        self._local_listener, self.local_url = await listen_local(
            self._accept_local, self.state.runtime / "server.sock"
        )
        self.context.offers.listen(self.state.runtime / OFFERS_SOCKET)
        self.keeper.start()
        self._collector = asyncio.ensure_future(self._collect())
        self._sweep()
        return url

    def _accept_local(self, request: WSUpgradeRequest) -> Session | WSUpgradeResponseWithListener | None:
        return self._accept(request, local=True)

    def _accept(
        self, request: WSUpgradeRequest, local: bool = False
    ) -> Session | WSUpgradeResponseWithListener | None:
        if any(name.lower() == "origin" for name in request.headers):
            return None  # a page in a browser: it has no business here
        if (answer := page(request, self.store, self.metrics, self.attempts)) is not None:
            return answer
        session = Session(self, forwarded="" if local else forwarded_for(request.headers), local=local)
        self.sessions.add(session)
        return session

    async def stop(self) -> None:
        """Ends connections, the local worker and its containers."""
        if self._collector is not None:
            self._collector.cancel()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for listener in (self._listener, self._local_listener):
            if listener is not None:
                listener.close()
        await self.keeper.stop()
        for session in list(self.sessions):
            session.disconnect()
        self.context.offers.stop()
        self.scheduler.stop()
        self.budgets.stop()
        self.retention.stop()
        self.tunnels.stop()
        await self.web.stop()
        await self.dashboard.stop()
        await self.durable.stop()
        await self.desk.stop()
        await self.engine.replays.flush()
        await self.engine.counts.stop()
        await self.metering.stop()
        await asyncio.to_thread(self.context.logbook.close)
        await asyncio.to_thread(self.engine.telemetry.stop)
        await asyncio.to_thread(self.context.versions.stop)
        self.store.close()

    # --- what sessions and the engine ask for

    async def handle(self, actor: Actor, message: Any, payload: bytes) -> tuple[Any, bytes]:
        """The answer to a request. Raises Refused."""
        return await handle(actor, message, payload, self.context)

    def begin(self, actor: Actor, message: Any, payload: bytes) -> asyncio.Task[tuple[Any, bytes]]:
        """Answers a request in a task of its own, which goes on when nobody waits for it any more."""
        task = asyncio.ensure_future(self.handle(actor, message, payload))
        self._answering.add(task)
        task.add_done_callback(self._answered)
        return task

    def _answered(self, task: asyncio.Task[tuple[Any, bytes]]) -> None:
        self._answering.discard(task)
        if not task.cancelled():
            task.exception()  # told to who asked, if anybody is there

    async def open_secrets(self, app_id: str, secret_ids: list[str]) -> dict[str, dict[str, str]]:
        """The plain values of secrets of an app."""
        app = await asyncio.to_thread(self.store.apps.find, app_id)
        if app is None:
            raise Refused("NotFoundError", f"there is no app {app_id}")
        return await asyncio.to_thread(self.secrets.each, app, secret_ids)

    async def open_build_secrets(self, app_id: str, secret_ids: list[str]) -> dict[str, dict[str, str]]:
        """The plain values of secrets of an image's steps. Those that are gone are left out: the image may be there."""
        opened: dict[str, dict[str, str]] = {}
        for secret_id in secret_ids:
            try:
                opened |= await self.open_secrets(app_id, [secret_id])
            except SecretError as error:
                log.info("app=%s: %s", app_id, error)
        return opened

    async def missing_volumes(self, environment: str, function: FunctionSpec) -> str:
        """Why a function can't have its volumes; "" where all are there."""
        wanted = {mount.volume_id: mount.path for mount in function.volumes}
        gone = await asyncio.to_thread(self.store.volumes.missing, environment, set(wanted)) if wanted else ()
        for volume_id in gone:
            return f"the volume {volume_id} that it mounts at {wanted[volume_id]} was deleted; run or deploy the app again"
        return ""

    def remember_worker(self, actor: Actor, name: str) -> None:
        """A worker joined: after a restart this server waits for it."""
        self._beside(self.store.workers.joined, actor.id, name=name, token_id=actor.token_id)

    def forget_worker(self, worker_id: str) -> None:
        """A worker is gone for good."""
        self._beside(self.store.workers.gone, worker_id)

    def record_usage(self, container: Container, message: ContainerState) -> None:
        """Keeps what a container used."""
        used = Used(
            container.container_id,
            message.usage,
            container.actor.environment,
            container.app_id,
            container.function_id,
            container.worker_id,
        )
        self._used.append(used)
        if not self._keeping_usage:
            self._keeping_usage = True
            self._track(asyncio.ensure_future(self._keep_usage()))

    def _spent(self, told: Sequence[Metered]) -> None:
        """What was used is in the store."""
        self.budgets.spent()
        for metered in told:
            for reading in metered.readings:
                self.metrics.used(reading)

    async def _keep_usage(self) -> None:
        """One transaction for all that ended during the last: a sync for each container would be most of its cost here."""
        try:
            while self._used:
                used, self._used = self._used, []
                await asyncio.to_thread(self.store.usage.record_all, used)
        finally:
            self._keeping_usage = False

    async def share_blobs(self, actor: Actor, app_id: str, digests: list[str]) -> None:
        """Lets the containers of an app read these blobs. Raises Refused where the actor may not hand them on."""
        app = await asyncio.to_thread(self.store.apps.find, app_id)
        if app is not None:
            await share_blobs(actor, app, digests, self.context)

    async def _collect(self) -> None:
        while True:
            await asyncio.sleep(COLLECT_EVERY_S)
            versions = self._beside(collect_versions, self.store, self.context.versions.content)
            logs = self._beside(self._purge_logs)
            counts = self._beside(self._purge_counts)
            usage = self._beside(self._purge_usage)
            self.beside(self._collect_images())
            self.beside(self._collect_blobs())
            await asyncio.wait(
                [versions, logs, counts, usage]
            )  # a failure is logged, and the next hour tries again

    async def _collect_blobs(self) -> None:
        needed = await self.image_garbage.needed()
        await asyncio.to_thread(collect_garbage, self.store, self.context.blobs, needed)

    async def _collect_images(self) -> None:
        done = await self.image_garbage.collect()
        if done.freed:
            log.info("images collected=%d freed=%d used=%d", len(done.images), done.freed, done.used)

    def _purge_logs(self) -> None:
        self.context.logbook.files.purge([app.app_id for app in self.store.apps.live()])
        self.context.build_logs.purge()

    def _purge_counts(self) -> None:
        while self.store.counts.purge(int(time.time() - KEEP_COUNTS_S) // 60):
            time.sleep(BETWEEN_S)

    def _purge_usage(self) -> None:
        while self.store.metered.purge(time.time() - KEEP_DETAILS_S):
            time.sleep(BETWEEN_S)

    def _sweep(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._sweep)
        self.engine.containers.sweep()
        self.always_on.look()
        if self.engine.traces is not None:
            self.engine.traces.sweep()
        self.engine.pump()

    def _beside(self, function: Any, *args: Any, **kwargs: Any) -> asyncio.Task[None]:
        task = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
        self._track(task)
        return task

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something without waiting for it; a failure is logged."""
        self._track(asyncio.ensure_future(work))

    def _track(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("writing to the store failed", exc_info=task.exception())

    async def end_app(self, app_id: str, reason: str) -> None:
        """Stops an app, whoever wants it."""
        await end_app(app_id, reason, self.context)

    # --- Engine of the handlers

    async def publish(self, app: App, specs: Sequence[FunctionSpec], *, recreate: bool = False) -> None:
        """These are the functions of the app."""
        await self._publish(app, specs, recreate=recreate)

    async def roll(self, app: App, specs: Sequence[FunctionSpec], *, recreate: bool = False) -> None:
        """The same, with other containers for all of them."""
        await self._publish(app, specs, recreate=recreate, roll=True)

    async def _publish(
        self, app: App, specs: Sequence[FunctionSpec], *, recreate: bool = False, roll: bool = False
    ) -> None:
        variants = await asyncio.to_thread(variants_of, app, specs, self.context)
        self.engine.publish(
            app.app_id,
            app.environment,
            [*specs, *variants],
            detached=app.detach,
            recreate=recreate,
            roll=roll,
        )
        if any(endpoints(spec) for spec in specs) or self.web.addresses.of_app(app.app_id):
            environment = await asyncio.to_thread(self.store.environments.find, app.environment)
            suffix = environment.web_suffix if environment is not None else ""
            await self.web.publish(app, suffix, list(specs))
        await self.budgets.published()
        self.prewarming.published(app.app_id, deployed=app.state == "deployed", roll=roll or recreate)
        if app.state == "deployed":
            await self.scheduler.publish(app.app_id, specs)

    async def _run_scheduled(self, call_id: str, due: Due) -> None:
        """Begins the call of a function whose time has come."""
        message, inputs = scheduled_call(call_id, due)
        await self.durable.keep(message, inputs)

    async def add(self, app: App, specs: Sequence[FunctionSpec]) -> None:
        """The app has these functions, too."""
        self.engine.add(app.app_id, app.environment, list(specs))

    async def fitted(self, tag: str, resources: Resources) -> Resources:
        """What workers can give a container, at most what is asked."""
        await self.engine.any_worker(WORKER_WAIT_S)
        return self.engine.check_resources({tag: resources}).functions[tag]

    async def budget_changed(self) -> None:
        """What a budget allows counts from now on."""
        await self.budgets.published()

    def cut_off(self, token_id: str) -> None:
        """Ends the connections of who came with a token, once what they asked for last is answered."""
        self.cuts += 1
        for session in list(self.sessions):
            if session.actor.token_id == token_id:
                asyncio.get_running_loop().call_later(CUT_OFF_S, session.disconnect)

    def containers_of(self, app_id: str) -> int:
        """How many containers an app has."""
        return self.engine.containers.count_of(app_id)

    def roster(self, environment: str, app_id: str) -> list[ContainerInfo]:
        """The containers of an environment or app, and those that are wanted."""
        return roster(self.engine, environment, app_id)

    def app_of_container(self, container_id: str) -> str:
        """The app of a container."""
        container = self.engine.containers.find(container_id)
        return container.app_id if container is not None else ""

    def app_of_call(self, call_id: str) -> str:
        """The app of a call that goes on."""
        call = self.engine.dispatcher.core.calls.get(call_id)
        return call.function.app_id if call is not None else ""

    def function_of_container(self, container_id: str) -> str:
        """The function of a container."""
        container = self.engine.containers.find(container_id)
        return container.function_id if container is not None else ""

    def cluster_size(self, container_id: str) -> int:
        """How many containers the cluster has that a container stands for; 0 where it stands for none."""
        container = self.engine.containers.find(container_id)
        return container.cluster_size if container is not None and not container.rank else 0

    def environment_of_container(self, container_id: str) -> str | None:
        """The environment of a container."""
        container = self.engine.containers.find(container_id)
        return container.actor.environment if container is not None else None

    @property
    def knows_containers(self) -> bool:
        """Whether all workers of before have come back, or have had the time to."""
        return self.engine.dispatcher.core.settled

    def pinned_version(self, container_id: str) -> int:
        """The version of its app that a container stays in; 0 where it does not."""
        container = self.engine.containers.find(container_id)
        found = self.engine.specs.get(container.function_id) if container is not None else None
        return found[0].version if found is not None and found[0].pinned else 0

    async def workers_back(self) -> None:
        """Waits, right after the start, until a worker has said which containers it has."""
        await self.engine.workers_back()

    def end_container(self, container_id: str, graceful: bool) -> bool:
        """Ends a container."""
        return self.engine.end_container(container_id, graceful)

    async def stop_app(self, app_id: str, reason: str) -> None:
        """Ends the calls and containers of an app, and waits until their usage is in the store."""
        app = await asyncio.to_thread(self.store.apps.find, app_id)
        await self.durable.ends.end_app(
            app_id, ephemeral=app is not None and not app.detach and not app.version
        )
        await self.engine.stop_app(app_id)
        self.prewarming.ended(app_id)
        self.web.addresses.forget(app_id)
        self.durable.ends.app_ended(app_id)
        await self.scheduler.drop(app_id)
        await self.metering.written()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=5)

    @property
    def busy(self) -> bool:
        """Whether anybody needs this server now."""
        return bool(self.engine.clients) or bool(self.engine.specs) or self.dashboard.watched


def announce(state: StateFolder, url: str, local_url: str) -> None:
    """Writes where the server is, for the processes of this user."""
    file = state.runtime / "server.json"
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.write_text(
        json.dumps(
            {
                "url": url,
                "local": local_url,
                "pid": os.getpid(),
                "version": VERSION,
                "host": socket.gethostname(),
            }
        )
    )
    temporary.replace(file)
