"""The worker: containers and images of one machine, on behalf of a server."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import config, faults
from ..machine.manifest import BadManifest
from ..machine.state import StateFolder
from ..protocol.apps import BuildStep, ExecData, ExecTaken, ImageBuilt, KillExec, ResizeExec, StartExec
from ..protocol.batch import BLOB, LOST, Batch
from ..protocol.clusters import of_member
from ..protocol.codec import encode
from ..protocol.layers import GiveLayers
from ..protocol.messages import Done, Failure
from ..protocol.spec import ImageSpec, VolumeMount
from ..protocol.stream import ConnectionLost, Peer, Refused
from ..protocol.usage import MeteredKept, Reading
from ..protocol.volumes import CommitMounted, ReloadMounted
from ..protocol.wire import MAX_INLINE, RESULTS, RUN, pack_entry
from ..protocol.workers import (
    CancelInputs,
    CollectImages,
    ConfirmResults,
    ContainerState,
    DropTemplates,
    FromContainer,
    HoldLogs,
    ImagesCollected,
    Inventory,
    KeepImages,
    Leave,
    MakeImage,
    Prewarm,
    StartContainer,
    StopContainer,
    StopImage,
    TakeBack,
    TakenBack,
    ToContainer,
)
from .blobs import Blobs
from .buckets import Buckets
from .build_accounts import BuildAccounts
from .capacity import capacity
from .cluster import ClusterContainer
from .container import Container
from .copies import Copies, said
from .devices import Devices
from .exec import Execs, Insides
from .failures import failure, lost
from .guest import ShellContainer
from .images import BuiltImage, ImageError, ImageStore, Sharing, Unpackable, garbage, inner_ring, mount_name
from .large_inputs import parts_of
from .metering import Metering
from .network.network import Network
from .packets import LargeResult
from .replay import ReplayContainer
from .samples import Samples
from .sandbox import Bind, ResourceUse, Spawner, sweep
from .templates import Templates
from .uplink import Uplink

log = logging.getLogger("ionian.worker")

CROWDED = 16 << 20
"""Bytes on their way to the server past which the logs of containers are no longer read."""

CHECK_S = 0.1


class Worker:
    """Everything of one worker process."""

    def __init__(
        self,
        state: StateFolder,
        name: str,
        worker_id: str,
        find: Callable[[], tuple[str, str] | None],
        *,
        ignore_gpu: bool = False,
        volumes: Path | None = None,
    ) -> None:
        self.name = name
        self.worker_id = worker_id
        self.state = state
        folder = state.worker(name)
        self.scratch = folder / "scratch"
        self.scratch.mkdir(mode=0o711, exist_ok=True)
        self.uplink = Uplink(self, find, volumes)
        self.blobs = Blobs(self.uplink, folder / "blobs")
        self.copies = Copies(self.uplink, self.blobs, folder / "working")
        self.images = ImageStore(state.images, self.blobs.fetch, self._bind_of)
        self.images.uses.needed = self._images_in_use
        self.sharing = Sharing(self.images, self.blobs, self.uplink.bulk)
        self.images.elsewhere = self.sharing.bring
        self.devices = Devices.found()
        if not ignore_gpu:
            self.devices.claim()
        self.network = Network(folder)
        self.buckets = Buckets(folder / "buckets")
        self.execs = Execs(self)
        self.templates = Templates(self)
        self.metering = Metering(self)
        self.build_accounts = BuildAccounts(self.metering.say)
        self._samples = Samples(self)
        self._ignore_gpu = ignore_gpu
        self._containers: dict[int, Container] = {}
        self._unconfirmed: dict[int, bytes] = {}  # seq → packed results
        self._last_words: dict[int, tuple[ContainerState, bytes]] = {}  # ended while no server listened
        self._seq = 0
        self._rings: dict[str, asyncio.Task[Path]] = {}
        self._builds: dict[str, asyncio.Task[None]] = {}  # by image
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ending = False
        self.held: set[str] = set()  # apps whose logs nobody can take just now
        self._checker: asyncio.TimerHandle | None = None

    # --- its life

    async def live(self, patience_s: float) -> None:
        """Serves until no server wants it any more; ends its containers then."""
        Spawner.of_this_loop().network = self.network
        self._later(self.network.start())
        await sweep(self.scratch)  # what a killed worker left
        await self.buckets.sweep()
        await self.copies.sweep()
        self._check()
        committing = self._later(self.copies.keep_committing())
        try:
            await self.uplink.keep(patience_s)
        finally:
            committing.cancel()
            if self._checker is not None:
                self._checker.cancel()
            self._ending = True
            containers = list(self._containers.values())
            for container in containers:
                container.stop(0.0, "its worker ends")
            if containers:
                await asyncio.wait([c.task for c in containers], timeout=10)
            self.devices.release()
            await self.templates.close()
            self.uplink.close()
            self.network.close()
            Spawner.of_this_loop().close()

    def connected(self, stream: Peer) -> None:
        """A server listens: what it has to know comes first, in the order in which it happened."""
        alive = [c for c in self._containers.values() if not c.ended]
        containers = [c.running() for c in alive if c.ask.guest is None]
        ending = [c.running() for c in alive if c.ask.guest is not None]
        self.held.clear()
        self._end_guests("")
        self.execs.kill_all()
        stream.send(
            Inventory(
                self.worker_id,
                self.name,
                capacity(self.devices, self._ignore_gpu),
                containers,
                ending,
                follows=len(self._unconfirmed),
            )
        )
        for entry in self._unconfirmed.values():
            stream.send_entry(entry)
        words, self._last_words = self._last_words, {}
        for message, payload in words.values():
            stream.send(message, payload)
        self.metering.connected()
        for container in self._containers.values():
            container.again()

    def _check(self) -> None:
        self._checker = asyncio.get_running_loop().call_later(CHECK_S, self._check)
        now = time.monotonic_ns()
        for container in list(self._containers.values()):
            container.check(now)
        self.templates.check()
        self.metering.check()
        self._samples.check()

    def readings(self) -> list[Reading]:
        """What containers, templates and builds used since they were read before."""
        readings = [reading for container in self._containers.values() for reading in container.reading()]
        return readings + self.templates.readings() + self.build_accounts.readings()

    def uses(self) -> Iterator[tuple[int, ResourceUse, list[str]]]:
        """What each container used until now, and its devices."""
        for container in self._containers.values():
            for one in container.members():
                if (use := one.use()) is not None:
                    yield one.number, use, one.ask.devices

    @property
    def crowded(self) -> bool:
        """Whether more is on its way to the server than should be, or nobody listens."""
        stream = self.uplink.stream
        return stream.backlog > CROWDED if stream is not None else not self._ending

    # --- from the server

    def received(self, stream: Peer, message: Any, request: int, payload: bytes) -> None:
        """What the server says."""
        match message:
            case StartContainer() if self._ending:
                pass
            case StartContainer():
                self._containers[message.number] = self._made(message)
            case StopContainer():
                if (container := self._containers.get(message.number)) is not None:
                    container.stop(message.grace_s, message.reason)
            case TakeBack():
                self._take_back(message.number)
            case CancelInputs():
                self._cancel(message)
            case Prewarm():
                self.templates.prewarm(message)
            case DropTemplates(app_id, keep):
                self.templates.drop(app_id, keep)
            case ConfirmResults():
                if faults.ARMED:
                    faults.reach("worker.confirmed")
                for seq in message.seqs:
                    self._unconfirmed.pop(seq, None)
            case MeteredKept(seq):
                self.metering.kept(seq)
            case ToContainer():
                number, rank = of_member(message.number)
                container = self._containers.get(number)
                if container is not None and (member := container.member(rank)) is not None:
                    member.to_agent(payload)
            case HoldLogs(app_id, hold):
                (self.held.add if hold else self.held.discard)(app_id)
            case StartExec():
                self._later(self.execs.start(stream, message, request))
            case ExecData() | ExecTaken() | ResizeExec() | KillExec():
                if isinstance(message, KillExec):
                    self._end_guests(message.exec_id)
                self.execs.received(message, payload)
            case Leave():
                self.uplink.dismiss()
            case MakeImage():
                self._builds[message.image_id] = self._later(self._make_image(stream, message, request))
            case KeepImages():
                self._later(asyncio.to_thread(garbage.keep, self.images, self.worker_id, message.image_ids))
            case GiveLayers():
                self._later(self._give_layers(stream, message, request))
            case CollectImages():
                self._later(self._collect(stream, message, request))
            case StopImage():
                if (build := self._builds.get(message.image_id)) is not None:
                    build.cancel()
            case _:
                log.warning("unexpected %s", type(message).__name__)

    def run(self, header: memoryview, payload: memoryview) -> None:
        """Inputs for a container."""
        if faults.ARMED:
            faults.reach("worker.run")
        batch = Batch.unpack_header(header)
        container = self._containers.get(batch.container)
        if container is None or container.ended:
            return  # its end is on its way to the server, which then knows that these were not run
        if BLOB in batch.code:
            batch.payload = bytes(payload)
            container.expect(batch)
            self._later(self._run_blobs(container, batch))
        else:
            container.give(batch, pack_entry(RUN, bytes(header), payload))

    def _made(self, ask: StartContainer) -> Container:
        if ask.replay is not None:
            return ReplayContainer(self, ask)
        if ask.shell is not None:
            return ShellContainer(self, ask)
        return ClusterContainer(self, ask) if ask.function.cluster_size else Container(self, ask)

    def _end_guests(self, exec_id: str) -> None:
        """A person went away: what they run ends, wherever it stands; "": all of them, for the server was lost."""
        for container in list(self._containers.values()):
            guest = container.ask.guest
            if guest is not None and exec_id in (guest.exec_id, ""):
                container.stop(0.0, "its person went away")

    async def _run_blobs(self, container: Container, batch: Batch) -> None:
        try:
            parts = await parts_of(batch, self.blobs, self.scratch)
        except Exception as error:
            if container.came(batch):
                self._keep(
                    container, lost(batch, f"its argument could not be brought to its container: {error}")
                )
            return
        if container.came(batch):
            for part in parts:
                container.give(*part)

    def _take_back(self, number: int) -> None:
        container = self._containers.get(number)
        if container is not None and not container.ended:
            self.say(TakenBack(number, container.take_back()))

    def _cancel(self, message: CancelInputs) -> None:
        container = self._containers.get(message.number)
        if container is not None and not container.ended and (taken := container.cancel(message)):
            self.say(TakenBack(message.number, taken))

    async def _make_image(self, stream: Peer, message: MakeImage, request: int) -> None:
        started = time.monotonic()
        cached = self.images.find(message.image_id) is not None
        try:
            built = await self._build(
                message.image_id,
                message.image,
                message.environment,
                message.secrets,
                message.devices,
                message.app_id,
            )
        except ImageError as error:
            stream.refuse(request, "ImageBuildError", str(error))
            return
        except Exception as error:
            log.exception("image=%s", message.image_id)
            stream.refuse(request, "ImageBuildError", f"the image could not be built: {error}")
            return
        except asyncio.CancelledError:
            stream.refuse(request, "ImageBuildError", "the build was stopped, for nobody waited for it")
            raise
        size = await asyncio.to_thread(self.images.size_of, built)
        seconds = time.monotonic() - started
        stream.reply(request, ImageBuilt(message.image_id, built.python_version, seconds, cached, size))

    async def _collect(self, stream: Peer, message: CollectImages, request: int) -> None:
        try:
            await asyncio.to_thread(garbage.keep, self.images, self.worker_id, message.keep)
            swept = await self.images.collect(
                config.get("image_budget"),
                everything=message.everything,
                min_age_s=message.min_age_s,
                only=message.only,
            )
        except (OSError, ValueError) as error:
            log.warning("images were not collected: %s", error)
            stream.refuse(request, "ExecutionError", f"images were not collected: {error}")
            return
        stream.reply(request, ImagesCollected(swept.images, swept.freed, swept.used, swept.busy))

    async def _give_layers(self, stream: Peer, message: GiveLayers, request: int) -> None:
        try:
            answer, known = await self.sharing.give(message.name, message.arch, pack=message.pack)
        except (ConnectionLost, Refused, OSError, Unpackable) as error:
            stream.refuse(
                request, "ExecutionError", f"{message.name} can't be given to other workers: {error}"
            )
            return
        stream.reply(request, answer, known)

    def _images_in_use(self) -> set[str]:
        """The images, and layers of source files, of containers and templates."""
        asks = [container.ask for container in self._containers.values()] + self.templates.asks()
        names = {mount_name(ask.function.mounts) for ask in asks if ask.function.mounts}
        builds = {image_id for image_id, task in self._builds.items() if not task.done()}
        return {ask.function.image_id for ask in asks} | names | builds

    # --- for its containers

    def insides_of(self, container_id: str) -> Insides:
        """A container that a person runs a program in. Raises Refused."""
        for one in [member for container in self._containers.values() for member in container.members()]:
            if one.ask.container_id == container_id and (insides := one.insides()) is not None:
                return insides
        raise Refused(
            "ExecutionError", f"container {container_id} is still being made, or has just ended; try again"
        )

    def has_of(self, function_id: str) -> bool:
        """Whether a container of this function is here, and is not at its end."""
        return any(c.ask.function.function_id == function_id for c in self._containers.values() if c.wanted)

    async def image(
        self,
        image_id: str,
        spec: ImageSpec,
        environment: str,
        secrets: dict[str, dict[str, str]],
        devices: Sequence[str],
        app_id: str,
    ) -> BuiltImage:
        """An image, built here, with these secrets and devices of its steps, where this worker lacks it: for an app."""
        found = self.images.find(image_id) or await self._brought(image_id)
        return found or await self._build(image_id, spec, environment, secrets, devices, app_id)

    async def _brought(self, image_id: str) -> BuiltImage | None:
        """An image that another worker has."""
        self.say(BuildStep(image_id, 1, 1, "fetched from another worker", "start"))
        try:
            return await self.images.bring(image_id)
        finally:
            self.say(BuildStep(image_id, 1, 1, "fetched from another worker", "done"))

    async def _build(
        self,
        image_id: str,
        spec: ImageSpec,
        environment: str,
        secrets: dict[str, dict[str, str]],
        devices: Sequence[str],
        app_id: str,
    ) -> BuiltImage:
        def report(step: BuildStep) -> None:
            self.say(step)

        gpu = self.devices.model_of(devices)
        with self.build_accounts.of(image_id, app_id, environment, devices, gpu):
            built = await self.images.build(
                spec,
                image_id=image_id,
                secrets=secrets,
                report=report,
                environment=environment,
                cards=self.devices.edits(devices),
            )
        if built.python:
            await self.ring(built)
        return built

    async def _bind_of(self, mount: VolumeMount) -> Bind:
        await self.copies.fresh([mount], "")
        return await self.copies.bind(mount, "")

    async def ring(self, image: BuiltImage) -> Path:
        """The folder with `ionian` and `cloudpickle` as this image's Python wants them."""
        task = self._rings.get(image.image_id)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._rings[image.image_id] = asyncio.ensure_future(inner_ring(self.state.images, image))
        return await asyncio.shield(task)

    def results(self, container: Container, batch: Batch) -> None:
        """Results of a container."""
        if max(batch.code) >= BLOB:  # only we name blobs; user code could name another's
            batch.code = [code & ~BLOB for code in batch.code]
        if container.leaving or max(batch.size) > MAX_INLINE:
            before = next(reversed(container.leaving), None)
            container.leaves(batch, self._later(self._results_blobs(container, batch, before)))
        else:
            self._keep(container, batch)

    async def _results_blobs(
        self, container: Container, batch: Batch, before: asyncio.Future[None] | None
    ) -> None:
        payloads, codes = [b""] if isinstance(batch, LargeResult) else batch.payloads(), list(batch.code)
        for at, size in enumerate(batch.size):
            if size > MAX_INLINE:
                try:
                    if isinstance(batch, LargeResult):
                        with batch.file:
                            digest = await self.blobs.store_file(batch.file, size)
                    else:
                        digest = await self.blobs.store(payloads[at])
                    payloads[at] = f"{digest} {size}".encode()
                    codes[at] |= BLOB
                except Exception as error:
                    payloads[at] = failure(f"its result of {size} bytes could not be kept: {error}")
                    codes[at] = LOST
        if before is not None:
            await asyncio.wait([before])  # the end of a generator must not overtake its items
        batch.size, batch.code, batch.payload = [len(p) for p in payloads], codes, b"".join(payloads)
        self._keep(container, batch)

    def _keep(self, container: Container, batch: Batch) -> None:
        """Results stay here until their caller has them."""
        self._seq += 1
        batch.container, batch.seq = container.number, self._seq
        entry = batch.pack(RESULTS)
        self._unconfirmed[self._seq] = entry
        if faults.ARMED:
            faults.reach("worker.result")
        stream = self.uplink.stream
        if stream is not None:
            stream.send_entry(entry)

    def asked(self, container: Container, entry: bytes) -> None:
        """User code of a container asks for something."""
        self.say(FromContainer(container.number), entry)

    def of_volume(self, container: Container, message: CommitMounted | ReloadMounted, request: int) -> None:
        """User code of a container commits or reloads a volume, which is for this worker to do."""
        self._later(self._of_volume(container, message, request))

    async def _of_volume(
        self, container: Container, message: CommitMounted | ReloadMounted, request: int
    ) -> None:
        mounted = {mount.volume_id: mount for mount in container.ask.function.volumes}
        answer: Done | Failure = Done()
        try:
            if (mount := mounted.get(message.volume_id)) is None:
                raise Refused(
                    "InvalidError", f"this container does not mount the volume {message.volume_id!r}"
                )
            if isinstance(message, CommitMounted):
                await self.copies.commit(mount, container.ask.container_id)
            else:
                await self.copies.reload(mount, container.ask.container_id)
        except Refused as refused:
            answer = Failure(refused.type, refused.message)
        except (BadManifest, OSError) as error:
            answer = Failure("ExecutionError", f"the volume can't be brought up to date: {said(error)}")
        container.to_agent(encode(answer, -request))

    def say(self, message: Any, payload: bytes = b"") -> None:
        """Says something that only a server that listens now needs to hear."""
        stream = self.uplink.stream
        if stream is not None:
            stream.send(message, payload)

    def tell(self, message: ContainerState) -> None:
        """A container's state; the inventory says it too, to the next server."""
        self.say(message)

    def ended(self, container: Container, message: ContainerState, failure: bytes) -> None:
        """A container has ended."""
        self._containers.pop(container.number, None)
        stream = self.uplink.stream
        if stream is not None:
            stream.send(message, failure)
        else:
            self._last_words[container.number] = (message, failure)

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("worker task failed", exc_info=task.exception())
