"""The images of a worker: built instruction by instruction, each result a layer that every image shares."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import re
import secrets as random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from ionian.protocol.apps import BuildStep
from ionian.protocol.spec import FileRef, ImageSpec, Instruction, VolumeMount

from ..devices import Edits
from ..sandbox import Bind, IdMap, remove_folders
from . import overlay
from .builder import Builder, Draft
from .dockerfile import Resolved, resolve
from .files import Files
from .garbage import Sweep, Swept, budget_of
from .host import HostSettings
from .locks import POLL_S, locked, shared, try_lock
from .overlay import Owner
from .records import DEFAULT_PATH, BuiltImage, ImageError, Record, write_whole
from .registry import OutOfReach
from .sharing import Packs
from .sizes import Sizes
from .stages import Order, Stages
from .uses import Uses

Report = Callable[[BuildStep], None]

MOST_LAYERS = 20
"""A longer chain is merged into one layer. The mount options of an overlay end at one page; the worker adds a
layer of source files, and containers must stay within 24."""

SETTINGS = ("ENV", "ARG", "USER", "SHELL", "ENTRYPOINT", "CMD")
"""Instructions that make no layer: nobody is asked for what they do."""

RECIPE = 1
"""Goes up when a layer of the same instruction would come out otherwise: older layers are then built anew."""


COLLECTING = "collecting"
"""The lock that builds hold together, and who removes images alone."""


class ImageStore:
    """Images in a folder: `l/` layers, `k/` what is known of each, `i/` names of images, `cache/` packages."""

    def __init__(
        self,
        root: Path,
        fetch: Callable[[str], Awaitable[Path]],
        volume: Callable[[VolumeMount], Awaitable[Bind]] | None = None,
    ) -> None:
        """`fetch` brings a blob, `volume` makes a volume ready to be mounted."""
        self.root = root
        self._volume = volume
        ids = IdMap.current()
        self.ids = ids
        self.owner = Owner(ids.host_uid, ids.host_gid, ids.count)
        self.files = Files(root, self.owner, fetch)
        self.out_of_reach = OutOfReach()
        self.sizes = Sizes(root)
        self.packs = Packs(root)
        self.collecting = root / "locks" / COLLECTING
        self.elsewhere: Callable[[str], Awaitable[tuple[Record, int] | None]] | None = None
        """What another worker has under a name, and how many layers had to be fetched: set by who can ask one."""
        self.uses = Uses(root / "locks")
        self._swept = False
        for name in ("l", "k", "i", "tmp", "locks"):
            (root / name).mkdir(parents=True, exist_ok=True)

    async def build(
        self,
        spec: ImageSpec,
        *,
        image_id: str,
        secrets: dict[str, dict[str, str]],
        report: Report,
        environment: str = "main",
        cards: Edits | None = None,
    ) -> BuiltImage:
        """Builds what is missing of an image. Raises ImageError, with the instruction that failed.

        `secrets`: the values of each secret that an instruction names. `environment` is whose package cache it uses.
        `cards`: what a step gets that asks for GPUs.
        """
        steps = spec.instructions
        if not steps or steps[0].op != "FROM":
            raise ImageError(
                "expected an image to begin with FROM: use Image.debian_slim() or Image.from_registry()"
            )
        if not self._swept:
            await self.sweep()
        host = await asyncio.to_thread(HostSettings.read)
        order = Order(image_id, steps, secrets, host, environment, cards or Edits(), report)
        async with shared(self.collecting):  # nothing is removed meanwhile
            record = await Stages(self, order).build()
            self.remember(image_id, record)
            self.uses.hold(image_id)
        return self.built(image_id, record)

    def find(self, image_id: str) -> BuiltImage | None:
        """An image that was built before; None where there is none, or where a part of it is gone. It is in use then."""
        record = self.record_of(image_id)
        if record is None or not self.uses.hold(image_id) or (record := self.record_of(image_id)) is None:
            return None
        return self.built(image_id, record)

    async def bring(self, image_id: str) -> BuiltImage | None:
        """An image that another worker has: its layers are fetched, and nothing is built. None where none has it."""
        async with locked(self.root / "locks" / f"{_safe(image_id)}.bring"):
            if (found := self.find(image_id)) is not None:
                return found
            async with shared(self.collecting):
                record = await self.brought(image_id)
                if record is None:
                    return None
                self.remember(image_id, record)
                self.uses.hold(image_id)
            return self.built(image_id, record)

    async def brought(self, name: str, news: News | None = None) -> Record | None:
        """What another worker has under an image's id, a step's key or a base's pin, its layers fetched. It is called with the
        lock of builds held."""
        found = await self.elsewhere(name) if self.elsewhere is not None else None
        if found is None:
            return None
        record, fetched = found
        async with self.making(record.key):  # what was built here meanwhile stays what the key means
            record = self.load(record.key) or self.save(record)
        if news is not None:
            news.fetched(fetched)
        return record

    def known_as(self, name: str) -> Record | None:
        """What is here under an image's id, a step's key or a base's pin."""
        if name.startswith("im-"):
            return self.record_of(name)
        return self.load(name) or self.pinned(self.root / "k" / f"{name}.base")

    def names(self) -> Iterator[tuple[str, Record]]:
        """All that `known_as` finds. Blocks."""
        files = [
            *(self.root / "k").glob("*.json"),
            *(self.root / "k").glob("*.base"),
            *(self.root / "i").glob("im-*"),
        ]
        for file in files:
            name = file.name.removesuffix(".json").removesuffix(".base")
            if (record := self.known_as(name)) is not None:
                yield name, record

    def pinned(self, pin: Path) -> Record | None:
        """The record of the base that a file names."""
        try:
            return self.load(pin.read_text())
        except OSError:
            return None

    def record_of(self, image_id: str) -> Record | None:
        """What is known of an image that was built before; None where there is none, or where a part of it is gone."""
        try:
            key = (self.root / "i" / _safe(image_id)).read_text()
        except OSError:
            return None
        return self.load(key)

    def remember(self, image_id: str, record: Record) -> None:
        """From now on this is the image of that id."""
        write_whole(self.root / "i" / _safe(image_id), record.key.encode())

    def size_of(self, built: BuiltImage) -> int:
        """The bytes on the disk of an image's layers. Blocks."""
        return sum(self.sizes.of(layer.name) for layer in built.layers)

    def size_above(self, record: Record, below: Record) -> int:
        """The bytes on the disk of the layers that an image has beyond another's. Blocks."""
        return sum(self.sizes.of(name) for name in record.layers if name not in below.layers)

    async def mount_layer(self, files: list[FileRef]) -> Path:
        """A layer that holds these files at their absolute paths, to be put over an image's. Made once."""
        key = _mount_key(files)
        while not self.uses.hold(key[:12]):
            await asyncio.sleep(POLL_S)
        if self.path(key[:12]).is_dir():
            return self.path(key[:12])
        async with shared(self.collecting), self.layer(key, "mount") as draft:
            if draft is not None:
                try:
                    await self.files.place(files, "/", draft.folder, ())
                except OSError as error:
                    raise ImageError(f"source files: {self._explain(error)}") from error
        return self.path(key[:12])

    async def volume(self, mount: VolumeMount) -> Bind:
        """What shows a volume to a step."""
        if self._volume is None:
            raise ImageError(
                f"volume {mount.volume_id} can't be mounted by this builder, which has no volumes"
            )
        return await self._volume(mount)

    def making(self, key: str) -> AbstractAsyncContextManager[None]:
        """The lock of who makes what a key stands for."""
        return locked(self.root / "locks" / f"{key[:12]}.step")

    def scratch(self, key: str) -> Path:
        """A new name below `tmp/` for what a maker of `key` needs meanwhile."""
        return self.root / "tmp" / f"{key[:12]}-{os.getpid()}-{random.token_hex(3)}"

    async def collect(
        self, setting: str, *, everything: bool = False, min_age_s: float = 0.0, only: Collection[str] = ()
    ) -> Swept:
        """Removes what nobody needs beyond the budget that the setting gives, or all of it; or `only` these images.

        What was used within `min_age_s` stays. Raises ValueError for a setting that is no size.
        """
        self.uses.settle()
        descriptor = os.open(self.collecting, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not try_lock(descriptor):
                return Swept(busy=True)
            swept = await asyncio.to_thread(self._collect, setting, everything, min_age_s, only)
        finally:
            os.close(descriptor)
        await remove_folders(swept.doomed, self.ids)
        return swept

    def _collect(self, setting: str, everything: bool, min_age_s: float, only: Collection[str]) -> Swept:
        sweep = Sweep(self, min_age_s, only)
        return sweep.run(0 if everything else budget_of(setting, self, sweep.swept.used))

    async def sweep(self) -> None:
        """Removes the drafts of builders that died; the first build of a process does it."""
        self._swept = True
        for draft in list((self.root / "tmp").iterdir()):
            process = draft.name.split("-")[1:2]
            if process and process[0].isdigit() and not Path(f"/proc/{process[0]}").exists():
                await remove_folders([draft], self.ids)

    def path(self, name: str) -> Path:
        """Where a layer lies."""
        return self.root / "l" / name

    def paths(self, record: Record) -> list[Path]:
        """Where an image's layers lie, lowest first."""
        return [self.path(name) for name in record.layers]

    def load(self, key: str) -> Record | None:
        """What is known under a key; None where there is nothing, or where one of its layers is gone."""
        record = Record.load(self.root / "k" / f"{key}.json")
        if record is None or not all(path.is_dir() for path in self.paths(record)):
            return None
        return record

    def save(self, record: Record) -> Record:
        """Keeps a record under its key."""
        record.save(self.root / "k" / f"{record.key}.json")
        return record

    @asynccontextmanager
    async def layer(self, key: str, what: str) -> AsyncGenerator[Draft | None]:
        """Makes the layer of a key, one maker at a time: a draft to fill, or None where it is there already.

        When the block ends well the draft becomes the layer, else nothing is left of it.
        """
        async with locked(self.root / "locks" / key[:12]):
            place = self.path(key[:12])
            if place.is_dir():
                yield None
                return
            scratch = self.scratch(key)
            scratch.mkdir(parents=True)
            draft = Draft(scratch / "layer", scratch)
            try:
                yield draft
                if not draft.folder.is_dir():
                    draft.make(self.owner)
                draft.folder.rename(place)
            finally:
                await asyncio.shield(remove_folders([scratch], self.ids))

    def news(self, order: Order, number: int, instruction: Instruction) -> News:
        """What is said of one instruction of a build."""
        return News(order.image_id, number, len(order.steps), instruction, order.report)

    async def step(
        self,
        builder: Builder,
        below: Record,
        instruction: Instruction,
        forced: str,
        sources: Mapping[str, Record],
    ) -> Record:
        """The record after an instruction: found, or built. `sources`: the images that it copies from."""
        try:
            return await self._step(builder, below, instruction, forced, sources)
        except OSError as error:
            raise ImageError(f"{builder.news.text}: {self._explain(error)}") from error

    async def _step(
        self,
        builder: Builder,
        below: Record,
        instruction: Instruction,
        forced: str,
        sources: Mapping[str, Record],
    ) -> Record:
        news = builder.news
        if instruction.op == "FROM":
            record = await builder.begin(instruction, forced)
            news.done(await asyncio.to_thread(self.size_above, record, below) if news.said else 0)
            return record
        resolved = Resolved(instruction)
        if instruction.docker is not None:
            resolved = await asyncio.to_thread(resolve, instruction, below, self.paths(below), sources)
        key = _hash([RECIPE, below.key, forced, *builder.key_of(resolved.instruction), *resolved.key])
        known = self.load(key)
        if known is not None:
            news.cached()
            return known
        news.start()
        if not forced and instruction.op not in SETTINGS:
            known = await self.brought(key, news)
            if known is not None:
                news.done(await asyncio.to_thread(self.size_above, known, below))
                return known
        async with self.making(key):
            known = self.load(key)
            if known is not None:
                news.cached()
                return known
            record = await builder.apply(resolved, below.but(key=key))
            if len(record.layers) > MOST_LAYERS:
                record = await self._flatten(record)
            self.save(record)
        news.done(await asyncio.to_thread(self.size_above, record, below))
        return record

    async def _flatten(self, record: Record) -> Record:
        key = _hash(["merge", record.layers])
        async with self.layer(key, "merge") as draft:
            if draft is not None:
                try:
                    await asyncio.to_thread(overlay.merge, self.paths(record), draft.folder)
                except PermissionError as error:
                    raise ImageError(
                        f"more than {MOST_LAYERS} steps must be merged, and {error.filename} belongs to another user of "
                        "the image: let the step that made it leave it readable, or write several steps as one"
                    ) from None
        return record.but(layers=[key[:12]])

    def built(self, image_id: str, record: Record) -> BuiltImage:
        """An image as containers are told of it."""
        python = record.python
        return BuiltImage(
            image_id=image_id,
            layers=self.paths(record),
            env={"PATH": DEFAULT_PATH} | record.env,
            workdir=record.workdir or "/root",
            python=python.path if python else "",
            python_version=python.version if python else "",
            entrypoint=record.entrypoint,
            cmd=record.cmd,
        )

    def _explain(self, error: OSError) -> str:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return (
                f"the disk that holds {self.root} is full; nothing was kept of this step. Make room there, or "
                "give the worker another folder"
            )
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"


class News:
    """What is said of one instruction while it is built."""

    def __init__(
        self, image_id: str, step: int, steps: int, instruction: Instruction, report: Report
    ) -> None:
        self.text = describe(instruction)
        self._ids = (image_id, step, steps)
        self._report = report
        self._began = time.monotonic()
        self.said = False

    def start(self) -> None:
        self.said = True
        self._send("start", self.text)

    def log(self, line: str) -> None:
        self._send("log", line)

    def source(self, text: str) -> None:
        self._send("source", text)

    def fetched(self, layers: int) -> None:
        """Another worker had it."""
        self.source(f"{self.text}: from another worker, {layers} layer{'s' * (layers != 1)} fetched")

    def cached(self) -> None:
        self.said = False
        self._send("cached", self.text)

    def done(self, size: int) -> None:
        """It is made; `size`: the bytes of its layer."""
        if self.said:
            self._send("done", self.text, time.monotonic() - self._began, size)

    def _send(self, state: str, text: str, seconds: float = 0.0, size: int = 0) -> None:
        image_id, step, steps = self._ids
        self._report(BuildStep(image_id, step, steps, text, state, seconds, size))  # pyright: ignore[reportArgumentType]


def describe(instruction: Instruction) -> str:
    """An instruction as a line for people. Values of variables are not shown."""
    args = instruction.args
    if instruction.op == "ENV":
        args = args[::2]
    if instruction.op == "FROM" and args[:1] == ["image"]:
        args = args[1:]
    if instruction.op == "ARG":
        args = args[:1]
    elif instruction.docker is not None and instruction.op != "ENV":
        return f"{instruction.docker.text[:180].rstrip()} (line {instruction.docker.line})"
    if instruction.op == "COPY":
        args = [f"{len(instruction.files)} file{'s' * (len(instruction.files) != 1)}", *args]
    if instruction.op == "CALL":
        args = args[1:2]
    text = " ".join(args) if instruction.op != "RUN" else "; ".join(" ".join(args).strip().splitlines())
    return f"{instruction.op} {text}"[:200].rstrip()


def _hash(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def mount_name(files: list[FileRef]) -> str:
    """The name of the layer of `mount_layer`."""
    return _mount_key(files)[:12]


def _mount_key(files: list[FileRef]) -> str:
    return _hash(["mount", RECIPE, [(file.path, file.digest, file.mode) for file in files]])


def _safe(image_id: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", image_id):
        raise ImageError(f"expected an image id such as im-01JD…, got {image_id!r}")
    return image_id
