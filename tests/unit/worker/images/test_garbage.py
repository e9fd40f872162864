"""Images that nobody needs go, the longest unused first; what somebody needs stays, whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.worker.images.running import go

from ionian.protocol.spec import FileRef, ImageSpec, Instruction
from ionian.worker.images import ImageStore, garbage
from ionian.worker.images.garbage import Swept, parsed_size
from ionian.worker.images.locks import locked, shared

pytestmark = pytest.mark.timeout(120)

SIZE = 256 << 10
AGES = {"im-a": 300.0, "im-b": 200.0, "im-c": 100.0}


class Made:
    """A store of images, each of a base that all share and a layer of its own."""

    def __init__(self, root: Path) -> None:
        self.blobs = root / "blobs"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.root = root / "images"
        self.store = self.another()

    def another(self) -> ImageStore:
        """The same folder, as another worker sees it."""

        async def fetch(digest: str) -> Path:
            return self.blobs / digest

        return ImageStore(self.root, fetch)

    def copy(self, name: str) -> Instruction:
        """A step with a file of SIZE bytes."""
        (self.blobs / name).write_bytes(name[:1].encode() * SIZE)
        return Instruction("COPY", ["/"], [FileRef(f"{name}.bin", name, SIZE)])

    def build(self, *names: str, used_ago_s: float | None = None) -> None:
        """Images of the same base, used so long ago."""
        for name in names:
            spec = ImageSpec([Instruction("FROM", ["scratch", ""]), self.copy("base"), self.copy(name)])
            go(self.store.build(spec, image_id=name, secrets={}, report=lambda step: None))
            ago = AGES.get(name, 0.0) if used_ago_s is None else used_ago_s
            at = time.time() - ago
            os.utime(self.root / "locks" / f"{name}.use", (at, at))

    def there(self) -> set[str]:
        """The images whose files are all there."""
        names = [path.name for path in (self.root / "i").iterdir()]
        return {name for name in names if self.store.record_of(name) is not None}


def collect(store: ImageStore, budget: str = "", **options: Any) -> Swept:
    return go(store.collect(budget, **options))


def _long_ago(path: Path) -> float:
    del path
    return 0.0


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    # When a file took its name can't be set: of these images the time of their use alone counts.
    monkeypatch.setattr(garbage, "_made_at", _long_ago)
    return Made(tmp_path)


def test_the_longest_unused_go_until_the_rest_is_within_the_budget(made: Made) -> None:
    made.build("im-c", "im-a", "im-b")
    swept = collect(made.store, str(3 * SIZE + 100_000))
    assert swept.images == ["im-a"]
    assert made.there() == {"im-b", "im-c"}
    assert SIZE <= swept.freed < 2 * SIZE
    assert collect(made.store, str(3 * SIZE + 100_000)).images == []
    assert list((made.root / "tmp").iterdir()) == []


def test_a_layer_stays_as_long_as_one_image_has_it(made: Made) -> None:
    made.build("im-a", "im-b")
    collect(made.store, only=["im-a"])
    assert made.there() == {"im-b"}
    swept = collect(made.store, everything=True)
    assert (made.there(), swept.used) == (set(), 0)
    assert list((made.root / "l").iterdir()) == []
    made.build("im-a")
    assert made.there() == {"im-a"}


def test_what_a_server_needs_stays_whatever_the_budget_says(made: Made) -> None:
    made.build("im-a", "im-b", "im-c")
    garbage.keep(made.store, "wo-1", ["im-a"])
    garbage.keep(made.another(), "wo-2", ["im-b"])
    assert collect(made.store, everything=True).images == ["im-c"]
    assert collect(made.store, only=["im-a"]).images == []
    garbage.keep(made.store, "wo-1", [])
    assert collect(made.store, everything=True).images == ["im-a"]
    assert made.there() == {"im-b"}


def test_what_a_server_needed_that_is_gone_for_a_week_may_go(made: Made) -> None:
    made.build("im-a")
    garbage.keep(made.store, "wo-1", ["im-a"])
    long_ago = time.time() - garbage.KEPT_FOR_S - 1
    os.utime(made.root / "keep" / "wo-1", (long_ago, long_ago))
    assert collect(made.store, everything=True).images == ["im-a"]


def test_what_was_used_a_short_while_ago_stays(made: Made) -> None:
    made.build("im-a", "im-b", "im-c")
    assert collect(made.store, everything=True, min_age_s=150).images == ["im-a", "im-b"]


def test_what_another_process_uses_stays_until_that_is_killed(made: Made) -> None:
    made.build("im-a", "im-b")
    user = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from ionian.worker.images.uses import Uses\n"
            "assert Uses(Path(sys.argv[1])).hold('im-a'); print('held', flush=True); time.sleep(100)",
            str(made.root / "locks"),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert user.stdout is not None
        assert user.stdout.readline() == b"held\n"
        assert collect(made.store, everything=True).images == ["im-b"]
        assert made.there() == {"im-a"}
    finally:
        user.send_signal(signal.SIGKILL)
        user.wait()
    assert collect(made.store, everything=True).images == ["im-a"]


def test_what_this_process_needs_stays_and_what_it_no_longer_does_goes(made: Made) -> None:
    made.build("im-a", "im-b")
    needed = {"im-a"}
    made.store.uses.needed = lambda: needed
    assert made.store.find("im-a") is not None
    assert made.store.find("im-b") is not None
    assert collect(made.store, everything=True).images == ["im-b"]
    needed.clear()
    assert collect(made.store, everything=True).images == ["im-a"]


def test_source_files_of_a_container_stay_and_others_go(made: Made) -> None:
    async def main() -> None:
        files = made.copy("x").files
        mounted = await made.store.mount_layer(files)
        made.store.uses.needed = lambda: {mounted.name}
        await made.store.collect("", everything=True)
        assert mounted.is_dir()
        made.store.uses.needed = set[str]
        await made.store.collect("", everything=True)
        assert not mounted.exists()
        assert (await made.store.mount_layer(files)).is_dir()

    go(main())


def test_nothing_is_removed_while_an_image_is_built(made: Made) -> None:
    made.build("im-a")

    async def main() -> None:
        async with shared(made.root / "locks" / "collecting"):
            assert (await made.store.collect("", everything=True)).busy
        async with locked(made.root / "locks" / "collecting"):
            spec = ImageSpec([Instruction("FROM", ["scratch", ""]), made.copy("late")])
            build = asyncio.ensure_future(
                made.store.build(spec, image_id="im-late", secrets={}, report=lambda step: None)
            )
            await asyncio.sleep(0)
            assert not build.done()
        await build

    go(main())
    assert made.there() == {"im-a", "im-late"}


@pytest.mark.parametrize("removals", range(4))
def test_a_collection_that_is_killed_leaves_what_is_needed_and_nothing_half_gone(
    made: Made, removals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.build("im-a", "im-b", "im-c")
    garbage.keep(made.store, "wo-1", ["im-c"])
    made.store.uses.settle()
    done: list[object] = []

    def counted(act: Callable[..., object]) -> Callable[..., object]:
        def counting(*args: object, **options: object) -> object:
            if len(done) >= removals:
                raise KeyboardInterrupt
            done.append(args)
            return act(*args, **options)

        return counting

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", counted(Path.rename))
        patched.setattr(garbage.Sweep, "_remove_image", counted(garbage.Sweep._remove_image))  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(KeyboardInterrupt):
            garbage.Sweep(made.store, 0.0, ()).run(0)
    assert "im-c" in made.there()
    after = Made(made.root.parent)
    assert collect(after.store, everything=True).used < 2 * SIZE + 100_000
    assert after.there() == {"im-c"}
    after.build("im-a", "im-b")
    assert after.there() == {"im-a", "im-b", "im-c"}


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("50GB", 50 * 10**9), ("1.5TiB", 3 << 39), ("20 gi", 20 << 30), ("3k", 3000)],
)
def test_a_budget_is_a_size_as_people_write_it(text: str, size: int) -> None:
    assert parsed_size(text) == size


@pytest.mark.parametrize("text", ["much", "GB", "5 apples", "1.2.3GB", "-5GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"image_budget: expected a size such as 50GB"):
        parsed_size(text)
