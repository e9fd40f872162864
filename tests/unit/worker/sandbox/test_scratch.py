from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from ionian.worker.sandbox import IdMap, SandboxError, Spawner, cgroup, sweep
from ionian.worker.sandbox.scratch import OWNER, prepare


def swept(root: Path) -> list[str]:
    async def main() -> list[Path]:
        try:
            return await sweep(root)
        finally:
            Spawner.of_this_loop().close()

    return sorted(path.name for path in asyncio.run(main()))


def name_of_a_dead_worker() -> str:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as worker:
        return cgroup.worker_name(worker.pid)


def test_a_scratch_folder_is_closed_and_what_is_in_it_is_as_a_root_needs_it(tmp_path: Path):
    prepare(tmp_path / "deep/one", IdMap.current())
    folder = tmp_path / "deep/one"
    modes = {name: (folder / name).stat().st_mode & 0o7777 for name in ("", "upper", "work", "tmp")}
    assert modes == {"": 0o700, "upper": 0o755, "work": 0o700, "tmp": 0o1777}
    assert (folder / "upper").stat().st_uid == IdMap.current().host_uid
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["one"]


def test_only_what_dead_workers_left_is_swept(tmp_path: Path):
    prepare(tmp_path / "mine", IdMap.current())
    (tmp_path / "of-nobody").mkdir()
    dead = name_of_a_dead_worker()
    prepare(tmp_path / "left", IdMap.current())
    (tmp_path / "left" / OWNER).write_text(dead)
    (tmp_path / f".begun.{dead}").mkdir()  # killed between mkdir and its first write
    (tmp_path / f".begun.{cgroup.worker_name()}").mkdir()
    assert swept(tmp_path) == [f".begun.{dead}", "left"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f".begun.{cgroup.worker_name()}",
        "mine",
        "of-nobody",
    ]


def test_a_root_that_is_not_there_has_nothing_to_sweep(tmp_path: Path):
    assert swept(tmp_path / "none") == []


def test_a_scratch_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SandboxError, match=r"the scratch folder .*/file/one can't be made: Not a directory"):
        prepare(tmp_path / "file/one", IdMap.current())
