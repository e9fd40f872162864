"""One build of an image: its stages, of which those that need nothing of each other are built at the same time."""

from __future__ import annotations

import asyncio
import secrets as random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ionian.protocol.apps import BuildStep
from ionian.protocol.spec import ImageSpec, Instruction

from ..devices import Edits
from .bases import architecture
from .builder import Builder
from .host import HostSettings
from .records import ImageError, Record

if TYPE_CHECKING:
    from .store import ImageStore, News, Report


@dataclass
class Order:
    """What a build is asked for."""

    image_id: str
    steps: list[Instruction]
    secrets: Mapping[str, dict[str, str]]
    host: HostSettings
    environment: str
    cards: Edits  # what a step gets that asks for GPUs
    report: Report


class Stages:
    """Builds the stages of an order; the last one is the image."""

    def __init__(self, store: ImageStore, order: Order) -> None:
        self.store = store
        self.order = order
        self._tasks: dict[str, asyncio.Task[Record]] = {}

    async def build(self) -> Record:
        """The record of the image. Raises ImageError; whatever is still being built then is given up."""
        stages = cut(self.order.steps)
        images: dict[str, set[str]] = {}  # with the secrets of the steps that take files from each
        for step in self.order.steps:
            for name in named(step):
                if name.startswith("image "):
                    images.setdefault(name, set()).update(step.secret_ids if step.op != "RUN" else ())
        try:
            for name, secrets in sorted(images.items()):
                pull = Instruction("FROM", ["registry", name.partition(" ")[2]], secret_ids=sorted(secrets))
                self._tasks[name] = asyncio.ensure_future(self._stage([(1, pull)]))
            for number, stage in enumerate(stages):
                self._tasks[f"stage {number}"] = asyncio.ensure_future(self._stage(stage))
            await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
            for task in self._tasks.values():
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error
            return self._tasks[f"stage {len(stages) - 1}"].result()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _stage(self, steps: Sequence[tuple[int, Instruction]]) -> Record:
        record = Record("", arch=architecture())
        forced = ""
        for number, instruction in steps:
            news = self.store.news(self.order, number, instruction)
            if instruction.force:
                forced = random.token_hex(8)
            if instruction.op == "FROM" and instruction.args[0] == "stage":
                record = await self._tasks[f"stage {instruction.args[1]}"]
                news.cached()
                continue
            if instruction.op == "FROM" and instruction.args[0] == "image":
                record = await self._known(instruction, news)
                continue
            sources = {name: await self._tasks[name] for name in named(instruction)}
            order, values = self.order, self._values(instruction, news)
            builder = Builder(self.store, order.host, order.environment, values, order.cards, news)
            record = await self.store.step(builder, record, instruction, forced, sources)
        return record

    async def _known(self, instruction: Instruction, news: News) -> Record:
        """An image that was built before; built now where this worker lacks it."""
        image_id = instruction.args[1]
        record = self.store.record_of(image_id)
        if record is not None:
            news.cached()
            return record
        if instruction.image is None:
            raise ImageError(f"{news.text}: this worker lacks it, and it was not said how it is built")
        news.start()
        record = await self.store.brought(image_id, news)
        if record is None:
            record = await self._built(instruction.image, image_id, news)
        self.store.remember(image_id, record)
        news.done(self.store.size_above(record, Record("")))
        return record

    async def _built(self, image: ImageSpec, image_id: str, news: News) -> Record:
        """An image below this one, whose build is told as what one step prints."""

        def report(step: BuildStep) -> None:
            if step.state in ("log", "source"):
                news.log(step.text)

        below = replace(self.order, image_id=image_id, steps=image.instructions, report=report)
        return await Stages(self.store, below).build()

    def _values(self, instruction: Instruction, news: News) -> dict[str, str]:
        """The values of the secrets that an instruction names, a later one winning."""
        secrets = self.order.secrets
        missing = [one for one in instruction.secret_ids if one not in secrets]
        if missing:
            raise ImageError(f"{news.text}: expected the values of secret {missing[0]}, and got none")
        return {name: value for one in instruction.secret_ids for name, value in secrets[one].items()}


def cut(steps: Sequence[Instruction]) -> list[list[tuple[int, Instruction]]]:
    """The stages, each beginning with its FROM; instructions with their numbers in the whole."""
    stages: list[list[tuple[int, Instruction]]] = []
    for number, instruction in enumerate(steps, 1):
        if instruction.op == "FROM":
            stages.append([])
        stages[-1].append((number, instruction))
    for number, stage in enumerate(stages):
        for _, step in stage:
            for name in named(step):
                kind, _, which = name.partition(" ")
                if kind == "stage" and not (which.isdecimal() and int(which) < number):
                    raise ImageError(f"expected an earlier stage of the image, got {name!r}")
    return stages


def named(instruction: Instruction) -> list[str]:
    """The stages and images that an instruction stands on or takes from: "stage 0", "image alpine:3"."""
    if instruction.op == "FROM":
        return [f"stage {instruction.args[1]}"] if instruction.args[0] == "stage" else []
    if instruction.docker is None:
        return []
    names = [instruction.docker.flags.get("from", "")]
    names += [mount.get("from", "") for mount in instruction.docker.mounts]
    return sorted({name for name in names if name})
