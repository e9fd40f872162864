"""The memory that a worker may use, by files as kernels have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ionian.worker.memory import Memory, above

MACHINE = Memory(total=8000, available=6000)
V1 = "cgroup {at} cgroup rw,nosuid,memory 0 0\n"
V2 = "cgroup2 {at} cgroup2 rw,nosuid 0 0\n"


def limited(folder: Path, limit: str, used_mib: int, droppable_mib: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(limit + "\n")
    (folder / "memory.current").write_text(f"{used_mib << 20}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {droppable_mib << 20}\n")
    return folder


def test_the_kernel_says_how_much_there_is() -> None:
    memory = Memory.now()
    assert 0 < memory.available <= memory.total


def test_a_cgroup_leaves_what_its_processes_do_not_hold(tmp_path: Path) -> None:
    folder = limited(tmp_path, str(1000 << 20), used_mib=700, droppable_mib=200)
    assert MACHINE.within(folder, 2) == Memory(total=1000, available=500)


def test_a_cgroup_gives_no_more_than_the_machine_has(tmp_path: Path) -> None:
    folder = limited(tmp_path, str(7000 << 20), used_mib=100, droppable_mib=0)
    assert MACHINE.within(folder, 2) == Memory(total=7000, available=6000)


@pytest.mark.parametrize("limit", ["max", str(9_223_372_036_854_771_712)])
def test_a_cgroup_without_a_limit_takes_nothing(limit: str, tmp_path: Path) -> None:
    assert MACHINE.within(limited(tmp_path, limit, 100, 0), 2) == MACHINE
    assert MACHINE.within(tmp_path / "none", 2) == MACHINE


def test_version_1_has_other_names(tmp_path: Path) -> None:
    (tmp_path / "memory.limit_in_bytes").write_text(f"{1000 << 20}\n")
    (tmp_path / "memory.usage_in_bytes").write_text(f"{700 << 20}\n")
    (tmp_path / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {200 << 20}\n")
    assert MACHINE.within(tmp_path, 1) == Memory(total=1000, available=500)


def test_each_cgroup_that_a_process_is_in_counts(tmp_path: Path) -> None:
    (tmp_path / "pod" / "worker").mkdir(parents=True)
    found = above(V2.format(at=tmp_path), "0::/pod/worker\n")
    assert list(found) == [(tmp_path / "pod" / "worker", 2), (tmp_path / "pod", 2), (tmp_path, 2)]


def test_a_container_that_sees_its_own_part_alone_is_in_that(tmp_path: Path) -> None:
    places = "4:cpu,memory:/kubepods/pod1/c1\n0::/\n"
    found = above("tmpfs / tmpfs rw 0 0\n" + V1.format(at=tmp_path), places)
    assert list(found) == [(tmp_path, 1)]
