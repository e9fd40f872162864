"""Image builds: which worker makes an image, and who hears how it goes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ..protocol.apps import BuildImage, BuildStep, ImageBuilt
from ..protocol.images import every_instruction, known_image
from ..protocol.spec import ImageSpec, Resources
from ..protocol.stream import ConnectionLost, Peer, Refused
from ..protocol.workers import MakeImage, StopImage
from . import owners
from .build_logs import BuildLog
from .handlers.apps import app_of
from .handlers.images import check_images
from .handlers.objects import name_of
from .handlers.specs import check_secrets, check_volumes

if TYPE_CHECKING:
    from ..core.guests import Guest
    from .server import Server
    from .session import Session
    from .store.schema import App

WORKER_WAIT_S = 60.0
"""For so long a build waits for a first worker."""

GPU_POLL_S = 0.5
"""How often a build that waits for a GPU looks again: builds take long, and few of them have one."""

TRIES = 5
"""A build that takes its worker down with it does not do so for ever."""


class Builds:
    """The builds under way. Those of one image are one build, however many ask."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._running: dict[str, asyncio.Task[ImageBuilt]] = {}
        self._listeners: dict[str, set[Session]] = {}
        self._history: dict[str, list[BuildStep]] = {}
        self._logs: dict[str, BuildLog] = {}

    async def build(self, message: BuildImage, session: Session) -> ImageBuilt:
        """The image, once it is there. Raises Refused (ImageBuildError)."""
        listeners = self._listeners.setdefault(message.image_id, set())
        for step in self._history.get(message.image_id, []):
            session.send(step)
        listeners.add(session)
        task = self._running.get(message.image_id)
        if task is None:
            task = self._running[message.image_id] = asyncio.ensure_future(self._make(message, session))
            task.add_done_callback(lambda _: self._forget(message.image_id))
        try:
            return await asyncio.shield(task)
        finally:
            listeners.discard(session)
            if not listeners and not task.done():
                asyncio.get_running_loop().call_later(owners.CLIENT_GONE_S, self._give_up, message.image_id)

    def under_way(self) -> set[str]:
        """The images that are being built."""
        return set(self._running)

    def step(self, step: BuildStep) -> None:
        """News from a worker: of a build that clients wait for, or one for a container whose worker lacked the image."""
        if step.state in ("start", "done"):
            building = step.state == "start" or step.step < step.steps
            self._server.engine.dispatcher.image_building(step.image_id, building)
        if step.image_id not in self._running:
            return
        self._history.setdefault(step.image_id, []).append(step)
        if (log := self._logs.get(step.image_id)) is not None:
            log.heard(step)
        for session in self._listeners.get(step.image_id, ()):
            session.send(step)

    def _give_up(self, image_id: str) -> None:
        """Stops a build that nobody waits for; what is finished of it stays."""
        task = self._running.get(image_id)
        if task is not None and not self._listeners.get(image_id):
            task.cancel()

    def _forget(self, image_id: str) -> None:
        self._running.pop(image_id, None)
        self._history.pop(image_id, None)
        self._logs.pop(image_id, None)
        self._listeners.pop(image_id, None)
        self._server.engine.dispatcher.image_building(image_id, False)

    async def _make(self, message: BuildImage, session: Session) -> ImageBuilt:
        """Has it made, and writes down what came of it."""
        context = self._server.context
        app = await app_of(session.actor, "BuildImage", message.app_id, context)
        await asyncio.to_thread(check_images, message.image_id, message.image, context, session.actor)
        await asyncio.to_thread(check_volumes, app, message.image, context)
        secrets = await self._secrets(message, app, session)
        by = await name_of(session.actor, context)
        log = self._logs[message.image_id] = context.build_logs.begin(app.environment, message.image)
        images, named = context.store.images, (app.environment, message.image_id)
        spec = known_spec(message.image)
        try:
            built = await self._made(message, app, secrets)
        except Refused as refused:
            log.failed()
            self._server.metrics.built("failed")
            await asyncio.to_thread(images.failed, *named, spec, app=app.name, by=by, error=refused.message)
            raise
        except asyncio.CancelledError:
            log.failed()
            self._server.metrics.built("stopped")
            raise
        self._server.metrics.built("cached" if built.cached else "built", built.seconds)
        await asyncio.to_thread(
            images.built,
            *named,
            spec,
            app=app.name,
            by=by,
            seconds=built.seconds,
            python=built.python,
            size=built.size,
            cached=built.cached,
        )
        return built

    async def _made(self, message: BuildImage, app: App, secrets: dict[str, dict[str, str]]) -> ImageBuilt:
        started = time.monotonic()
        for _ in range(TRIES):
            worker, guest = await self._place(message)
            devices = guest.reservation.devices if guest is not None else []
            make = MakeImage(message.image_id, message.image, app.environment, secrets, devices, app.app_id)
            try:
                reply, _ = await worker.request(make)
            except ConnectionLost:
                continue
            except asyncio.CancelledError:
                worker.send(StopImage(message.image_id))
                raise
            finally:
                if guest is not None:
                    self._server.engine.dispatcher.guests.leave(guest.worker.id, guest.number)
            assert isinstance(reply, ImageBuilt)
            reply.seconds = time.monotonic() - started
            return reply
        raise Refused(
            "ImageBuildError", f"the worker was lost {TRIES} times while it built the image; see its log"
        )

    async def _place(self, message: BuildImage) -> tuple[Peer, Guest | None]:
        """The worker that builds it, and the GPUs that are held for it there meanwhile. Waits until some are free."""
        engine = self._server.engine
        worker = await engine.any_worker(WORKER_WAIT_S)
        asked = [
            step.resources.gpus for step in every_instruction(message.image) if step.resources is not None
        ]
        asked = [gpus for gpus in asked if gpus]
        if not asked:
            return worker, None
        if any(gpus != asked[0] for gpus in asked):
            raise Refused(
                "InvalidError", "the steps of an image ask for different GPUs: expected the same for all"
            )
        wanted = Resources(cpu_milli=1, memory_mib=1, gpus=asked[0])
        while (guest := engine.dispatcher.guests.take(wanted, message.image_id)) is None:
            if never := engine.dispatcher.why_never(wanted):
                raise Refused(
                    "ImageBuildError",
                    f"no worker can build this image with the GPU that it asks for: {never}",
                )
            await asyncio.sleep(GPU_POLL_S)
        try:
            return engine.execs.worker(guest.worker.id), guest
        except BaseException:
            engine.dispatcher.guests.leave(guest.worker.id, guest.number)
            raise

    async def _secrets(self, message: BuildImage, app: App, session: Session) -> dict[str, dict[str, str]]:
        wanted = {secret for step in message.image.instructions for secret in step.secret_ids}
        opened: dict[str, dict[str, str]] = {}
        below = {secret for step in every_instruction(message.image) for secret in step.secret_ids} - wanted
        if below:  # of an image that is there already, most likely
            opened = await self._server.open_build_secrets(message.app_id, sorted(below))
        if wanted:
            await asyncio.to_thread(check_secrets, app, wanted, self._server.context, session.actor)
            opened |= await self._server.open_secrets(message.app_id, sorted(wanted))
        return opened


def known_spec(image: ImageSpec) -> ImageSpec:
    """How an image is built: of one that is a known image and nothing else, that one's steps."""
    below = image.instructions[0].image if known_image(image) is not None else None
    return image if below is None else below
