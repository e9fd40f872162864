"""A store of images for tests: with the bases that outlive a run, and blobs of its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.homes import cache_folder

from ionian.protocol.apps import BuildStep
from ionian.protocol.spec import FileRef, ImageSpec, Instruction
from ionian.worker.images import BuiltImage, ImageStore
from ionian.worker.images.step import Command, run
from ionian.worker.sandbox import Spawner

SLIM = Instruction("FROM", ["debian_slim", "3.11"])


Main = Callable[[], Coroutine[Any, Any, None]]


def shell(command: str, **more: Any) -> Instruction:
    return Instruction("RUN", [command], **more)


def go(main: Main) -> None:
    async def closing() -> None:
        try:
            await main()
        finally:
            Spawner.of_this_loop().close()

    asyncio.run(closing())


@dataclass
class Bench:
    """A store of images with the blobs that it may fetch, and what builds said."""

    root: Path
    blobs: Path
    said: list[BuildStep] = field(default_factory=list[BuildStep])
    count: int = 0

    def __post_init__(self) -> None:
        self.blobs.mkdir(exist_ok=True)
        self.store = ImageStore(self.root, self.fetch)

    async def fetch(self, digest: str) -> Path:
        return self.blobs / digest

    def file(self, path: str, content: str, mode: int = 0o644) -> FileRef:
        digest = hashlib.sha256(content.encode()).hexdigest()
        (self.blobs / digest).write_text(content)
        return FileRef(path, digest, len(content), mode)

    async def build(
        self, *steps: Instruction, secrets: dict[str, dict[str, str]] | None = None
    ) -> BuiltImage:
        self.count += 1
        self.said.clear()
        return await self.store.build(
            ImageSpec(list(steps)),
            image_id=f"im-{self.count}",
            secrets=secrets or {},
            report=self.said.append,
        )

    async def output(self, built: BuiltImage, *argv: str) -> str:
        """What a program says on a built image."""
        self.count += 1
        lines: list[str] = []
        command = Command(list(argv), built.layers, env=built.env, workdir=built.workdir)
        await run(command, self.root / "tmp" / f"output-{self.count}", lines.append)
        return "\n".join(lines)

    def states(self, op: str) -> list[str]:
        return [
            step.state for step in self.said if step.text.startswith(op) and step.state in ("cached", "done")
        ]

    def logged(self) -> str:
        return "\n".join(step.text for step in self.said if step.state == "log")

    def layers(self) -> set[str]:
        return {path.name for path in (self.root / "l").iterdir()}


@pytest.fixture(scope="session")
def cached() -> Path:
    """The images that outlive test runs: bases and wheels are had once."""
    folder = cache_folder() / "images"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@pytest.fixture
def bench(tmp_path: Path, cached: Path) -> Bench:
    """A store that begins with the cached bases and wheels, and nothing else."""

    async def base() -> None:
        store = ImageStore(cached, lambda digest: asyncio.sleep(0, Path()))
        await store.build(ImageSpec([SLIM]), image_id="im-test-base", secrets={}, report=lambda step: None)

    go(base)
    root = tmp_path / "images"
    root.mkdir()
    (root / "l").mkdir()
    (root / "k").mkdir()
    (root / "cache").symlink_to(cached / "cache")
    for pin in (cached / "k").glob("*.base"):
        record = json.loads((cached / "k" / f"{pin.read_text()}.json").read_text())
        for name in (pin.name, f"{pin.read_text()}.json"):
            shutil.copy(cached / "k" / name, root / "k" / name)
        for layer in record["layers"]:
            if not (root / "l" / layer).exists():
                (root / "l" / layer).symlink_to(cached / "l" / layer)
    return Bench(root, tmp_path / "blobs")
