"""Inputs whose arguments are in files, from the worker to a process that runs them."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import pytest
from tests.unit.worker.feeding import Container, held, play, running

from ionian.protocol.batch import BLOB, Batch
from ionian.protocol.ids import new_id
from ionian.protocol.wire import MAX_INLINE
from ionian.serialization import dumps
from ionian.worker.blobs import Blobs
from ionian.worker.large_inputs import Part, parts_of

LARGE = "x" * MAX_INLINE

CALL = new_id("fc")


class Kept(Blobs):
    """Blobs that are there, by the names of their files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def fetch(self, digest: str) -> Path:
        return self.folder / digest


def blob(folder: Path, value: object) -> bytes:
    content = dumps(((value,), {}))
    (folder / f"blob{len(content)}").write_bytes(content)
    return f"blob{len(content)} {len(content)}".encode()


async def parts(folder: Path, *values: object) -> list[Part]:
    """The parts of a batch, in which large values are blobs."""
    is_large = [isinstance(value, str) and len(value) >= MAX_INLINE for value in values]
    payloads = [
        blob(folder, value) if large else dumps(((value,), {}))
        for value, large in zip(values, is_large, strict=True)
    ]
    batch = Batch(
        CALL,
        range(len(values)),
        [len(payload) for payload in payloads],
        b"".join(payloads),
        attempt=[1] * len(values),
        code=[BLOB if large else 0 for large in is_large],
    )
    return await parts_of(batch, Kept(folder), folder)


async def give(container: Container, folder: Path, *values: object) -> list[Part]:
    given = await parts(folder, *values)
    for part in given:
        container.feed.give(*part)
    return given


@pytest.mark.parametrize(
    ("function", "most", "size"), [("echo", 1, 0), ("echo", 2, 0), ("later", 1, 0), ("later", 2, 0)]
)
def test_large_and_small_inputs_run_in_order(tmp_path: Path, function: str, most: int, size: int):
    async def scene() -> None:
        async with running(function, most=most, size=size) as container:
            values = ("one", "two", LARGE, "three", LARGE + "y")
            given = await give(container, tmp_path, *values)
            assert [len(batch) for batch, *_ in given] == [2, 1, 1, 1]
            rows = await container.results(5)
            assert sorted((row[1], row[4]) for row in rows) == list(enumerate(values))

    play(scene)


def test_a_batched_function_takes_them_beside_small_ones(tmp_path: Path):
    async def scene() -> None:
        async with running("listed", size=2, wait_ms=5000) as container:
            await give(container, tmp_path, "one", LARGE)
            rows = await container.results(2)
            assert sorted(row[4] for row in rows) == [("one", 2, True), (LARGE, 2, True)]

    play(scene)


def test_one_that_is_taken_back_is_closed(tmp_path: Path):
    async def scene() -> None:
        async with running("hold") as container:
            container.give(CALL, {9: "runs"})
            await container.has_begun()
            given = await give(container, tmp_path, LARGE, "two", LARGE)
            assert all(file is None or file.closed for *_, file in given)
            assert held(container.feed.take_back_some(CALL, {0})) == [(CALL, [0])]
            assert held(container.feed.take_back()) == [(CALL, [1]), (CALL, [2])]
            container.open_gate()
            await container.results(1)
            await asyncio.to_thread(gc.collect)
            assert not [
                link for link in map(_target, Path("/proc/self/fd").iterdir()) if str(tmp_path) in link
            ]

    play(scene)


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def test_a_blob_that_can_not_be_had_is_an_error(tmp_path: Path):
    async def scene() -> None:
        batch = Batch(CALL, [0], [9], b"missing 5", attempt=[1], code=[BLOB])
        with pytest.raises(OSError, match="missing"):
            await parts_of(batch, Kept(tmp_path), tmp_path)

    play(scene)
