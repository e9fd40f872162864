"""Layers go from one worker to another by the blob store: only what lacks, never what is damaged, never half."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.worker.images.running import go

from ionian.protocol.layers import FindLayers, FoundLayers
from ionian.protocol.messages import FindBlobs, MissingBlobs
from ionian.protocol.spec import FileRef, ImageSpec, Instruction
from ionian.server.blobs import BlobStore
from ionian.server.layers import remove_damaged
from ionian.worker.images import ImageStore, Sharing, packed
from ionian.worker.images.records import Record

pytestmark = pytest.mark.timeout(120)


class Side:
    """A worker's store of images, whose server is the blob store alone."""

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self.blobs = blobs
        self.asked: list[Any] = []
        self.other: Side | None = None
        self.content = root / "content"
        self.content.mkdir(parents=True, exist_ok=True)
        self.store = ImageStore(root / "images", self.content_of)
        self.sharing = Sharing(self.store, self, self.ask)
        self.store.elsewhere = self.sharing.bring
        self.said: list[str] = []

    async def content_of(self, digest: str) -> Path:
        return self.content / digest

    async def ask(self, message: Any) -> tuple[Any, bytes]:
        """The server's part."""
        self.asked.append(message)
        if isinstance(message, FindBlobs):
            return MissingBlobs(self.blobs.missing(message.digests)), b""
        assert isinstance(message, FindLayers)
        remove_damaged(self.blobs, message.damaged)
        if self.other is None:
            return FoundLayers(), b""
        return await self.other.sharing.give(message.name, message.arch, pack=True)

    # --- the blobs, as a worker on the server's machine has them

    async def fetch(self, digest: str) -> Path:
        return self.blobs.path(digest)

    async def store_path(self, path: Path) -> str:
        return self.blobs.put(path.read_bytes())

    def drop(self, digest: str) -> None:
        pass

    # --- images

    def build(self, image_id: str, *files: str) -> Path:
        """An image with a layer for each file, which holds its own name; the folder of its last layer."""
        steps = [Instruction("FROM", ["scratch", ""])]
        for name in files:
            (self.content / name).write_text(name)
            steps.append(Instruction("COPY", ["/"], [FileRef(f"{name}.txt", name, len(name))]))
        go(
            self.store.build(
                ImageSpec(steps),
                image_id=image_id,
                secrets={},
                report=lambda step: self.said.append(f"{step.state} {step.text}"),
            )
        )
        return self.store.paths(self.record(image_id))[-1]

    def record(self, image_id: str) -> Record:
        record = self.store.record_of(image_id)
        assert record is not None
        return record

    def files(self, image_id: str) -> dict[str, str]:
        """The files of an image's layers."""
        return {
            path.name: path.read_text()
            for layer in self.store.paths(self.record(image_id))
            for path in layer.glob("*.txt")
        }

    def bring(self, image_id: str) -> bool:
        return go(self.store.bring(image_id)) is not None

    def left_over(self) -> list[str]:
        return [path.name for path in (self.store.root / "tmp").iterdir()]


Pair = tuple[Side, Side]


@pytest.fixture
def sides(tmp_path: Path) -> Pair:
    """Two workers of a server: what the first has, the second gets."""
    blobs = BlobStore(tmp_path / "blobs")
    first, second = Side(tmp_path / "first", blobs), Side(tmp_path / "second", blobs)
    second.other = first
    return first, second


def test_an_image_is_brought_from_another_worker(sides: Pair) -> None:
    first, second = sides
    first.build("im-a", "one", "two")
    assert second.bring("im-a")
    assert second.files("im-a") == {"one.txt": "one", "two.txt": "two"}
    assert second.record("im-a") == first.record("im-a")


def test_layers_are_packed_when_somebody_asks_and_once(sides: Pair, tmp_path: Path) -> None:
    first, second = sides
    first.build("im-a", "one", "two")
    assert first.blobs.entries() == []
    second.bring("im-a")
    packs = {entry.digest: entry.used_at for entry in first.blobs.entries()}
    assert len(packs) == 2
    third = Side(tmp_path / "third", first.blobs)
    third.other = second  # which packs nothing: what it was given is a blob already
    assert third.bring("im-a")
    assert {entry.digest for entry in first.blobs.entries()} == set(packs)


def test_with_layers_goes_all_that_is_known_of_those_below(sides: Pair) -> None:
    first, second = sides
    first.build("im-a", "one")
    first.build("im-b", "one", "two")
    first.build("im-c", "three")
    found, _ = go(first.sharing.give("im-b", first.record("im-b").arch, pack=True))
    known = {below.name: below.layers for below in found.below}
    assert known.pop("im-a") == known.pop("im-b") - 1 == 1
    assert sorted(known.values()) == [0, 1, 2]  # the steps: scratch, and a file each
    second.other = None
    for below in found.below:
        record = msgspec.json.decode(below.known, type=Record)
        assert record.layers == [layer.name for layer in found.layers[: below.layers]]


def test_a_worker_unpacks_only_what_it_lacks(sides: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = sides
    first.build("im-a", "one", "two")
    first.build("im-b", "one", "two", "three")
    second.bring("im-a")
    unpacked: list[Path] = []
    real = packed.unpack

    def seen(file: Path, folder: Path, digest: str, give: packed.Give) -> None:
        unpacked.append(file)
        real(file, folder, digest, give)

    monkeypatch.setattr(packed, "unpack", seen)
    assert second.bring("im-b")
    assert len(unpacked) == 1
    assert second.files("im-b")["three.txt"] == "three"


def test_a_step_that_another_worker_has_is_fetched_and_not_built(sides: Pair) -> None:
    first, second = sides
    first.build("im-a", "one", "two")
    second.build("im-b", "one", "two", "three")
    fetched = [text for text in second.said if "from another worker" in text]
    assert [text.rpartition(", ")[2] for text in fetched] == ["1 layer fetched", "1 layer fetched"]
    assert second.files("im-b") == {"one.txt": "one", "two.txt": "two", "three.txt": "three"}


def test_what_was_built_upon_another_base_never_stands_on_ours(sides: Pair) -> None:
    first, second = sides
    base = first.build("im-a", "one")
    first.build("im-b", "one", "two")
    second.store.elsewhere = None
    other = second.build("im-a", "one")
    assert base.name == other.name  # the same step, and what it made differs
    (other / "one.txt").write_text("built elsewhere")
    second.store.elsewhere = second.sharing.bring
    assert second.bring("im-b")
    assert second.files("im-b") == {"one.txt": "one", "two.txt": "two"}
    assert second.files("im-a") == {"one.txt": "built elsewhere"}


@pytest.mark.parametrize("harm", [b"", b"not a layer", None])
def test_a_damaged_blob_is_made_again(
    sides: Pair, harm: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = sides
    first.build("im-a", "one")
    go(first.sharing.give("im-a", first.record("im-a").arch, pack=True))
    blob = first.blobs.path(first.blobs.entries()[0].digest)
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-7] if harm is None else harm)
    assert second.bring("im-a")
    assert second.files("im-a") == {"one.txt": "one"}
    said = [record.getMessage() for record in caplog.records if record.name == "ionian.worker"]
    assert [text for text in said if "is damaged: its" in text and text.endswith("; asking for it again")]


def test_a_blob_that_stays_damaged_leads_to_a_build(
    sides: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = sides
    first.build("im-a", "one")

    def changed(file: Path, folder: Path, digest: str, give: packed.Give) -> None:
        raise packed.Damaged("its 5 bytes have the digest 123")

    monkeypatch.setattr(packed, "unpack", changed)
    assert not second.bring("im-a")
    assert "could not be had from another worker, and is built" in caplog.messages[-1]
    assert second.left_over() == []
    second.build("im-a", "one")
    assert second.files("im-a") == {"one.txt": "one"}


def test_a_full_disk_leaves_nothing_half_unpacked(
    sides: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = sides
    first.build("im-a", "one", "two")

    def full(file: Path, folder: Path, digest: str, give: packed.Give) -> None:
        (folder / "half").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(packed, "unpack", full)
    assert not second.bring("im-a")
    assert "No space left on device" in caplog.messages[-1]
    assert second.left_over() == list((second.store.root / "l").iterdir()) == []


def test_an_image_that_can_t_be_packed_leaves_nothing_behind(sides: Pair) -> None:
    first, _ = sides
    layer = first.build("im-a", "one")
    (layer / ".wh.odd").touch()
    with pytest.raises(packed.Unpackable):
        go(first.sharing.give("im-a", first.record("im-a").arch, pack=True))
    assert first.left_over() == []


def test_another_kind_of_machine_is_given_nothing(sides: Pair) -> None:
    first, _ = sides
    first.build("im-a", "one")
    assert go(first.sharing.give("im-a", "other", pack=True)) == (FoundLayers(), b"")


@pytest.mark.parametrize("name", ["../im-a", "im-a/../../k/x", "", "a" * 100])
def test_a_name_leads_to_no_other_file(sides: Pair, name: str) -> None:
    first, _ = sides
    first.build("im-a", "one")
    assert go(first.sharing.give(name, first.record("im-a").arch, pack=True)) == (FoundLayers(), b"")


def test_what_is_known_of_an_image_must_match_its_layers(
    sides: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = sides
    first.build("im-a", "one")
    found, known = go(first.sharing.give("im-a", first.record("im-a").arch, pack=True))
    record = msgspec.json.decode(known, type=Record).but(layers=["../../etc"])

    async def lie(message: Any) -> tuple[Any, bytes]:
        return found, msgspec.json.encode(record)

    liar = Sharing(second.store, second, lie)
    assert go(liar.bring("im-a")) is None
    assert "what is known of it has other layers" in caplog.messages[-1]


KILLED = """
import sys
from pathlib import Path
from ionian.server.blobs import BlobStore
from tests.unit.worker.images.running import go
from tests.unit.worker.images.test_sharing import Side

first, second = (Side(Path(sys.argv[1], name), BlobStore(Path(sys.argv[1], "blobs"))) for name in ("first", "second"))
second.other = first
second.bring("im-a")
"""


@pytest.mark.parametrize("point", ["worker.packed", "worker.unpacked"])
def test_a_worker_that_is_killed_leaves_the_old_state(sides: Pair, tmp_path: Path, point: str) -> None:
    first, second = sides
    first.build("im-a", "one", "two")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path],
        env={**os.environ, "IONIAN_FAULT": f"{point}:2", "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    assert second.store.find("im-a") is None
    assert second.bring("im-a")
    assert second.files("im-a") == {"one.txt": "one", "two.txt": "two"}
    for side in sides:
        go(side.store.sweep())
        assert side.left_over() == []


def test_what_many_containers_wait_for_is_fetched_once(sides: Pair) -> None:
    first, second = sides
    first.build("im-a", "one")

    async def all_at_once() -> None:
        await asyncio.gather(*(second.store.bring("im-a") for _ in range(5)))

    go(all_at_once())
    assert len([message for message in second.asked if isinstance(message, FindLayers)]) == 1
