"""Cgroups on trees of plain files, with the contents that kernels give; the live v1 tree is tested by integration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ionian.worker.sandbox import cgroup
from ionian.worker.sandbox.cgroup import V1_CONTROLLERS, Tree, find_v1, find_v2
from ionian.worker.sandbox.spec import Limits

SERVICE = "/user.slice/user-1000.slice/user@1000.service/app.slice/ionian-worker.service"


def record(folder: Path, **files: str) -> None:
    """Files of a cgroup as recorded; a dot in a name is written as two underscores."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    """/sys/fs/cgroup of a systemd machine whose worker runs in a unit with Delegate=yes."""
    record(
        tmp_path / SERVICE.lstrip("/"),
        cgroup__controllers="cpuset cpu io memory pids\n",
        cgroup__procs="4711\n",
        cgroup__subtree_control="",
    )
    return tmp_path


def test_a_delegated_v2_group_is_used_and_the_worker_moves_to_a_leaf(v2: Path):
    moved: list[Path] = []
    tree = find_v2(v2, SERVICE, moved.append)
    own = v2 / SERVICE.lstrip("/")
    assert tree == Tree(dict.fromkeys(V1_CONTROLLERS, own), 2)
    assert moved == [own / "ionian-worker"]
    assert (own / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_a_second_worker_of_the_unit_moves_nothing(v2: Path):
    own = v2 / SERVICE.lstrip("/")
    record(own / "ionian-worker", cgroup__controllers="cpu memory pids\n", cgroup__procs="4711\n")
    moved: list[Path] = []
    tree = find_v2(v2, SERVICE + "/ionian-worker", moved.append)
    assert tree is not None
    assert tree.folders["memory"] == own
    assert moved == []


def test_a_v2_group_that_lacks_a_controller_is_not_used(tmp_path: Path):
    record(tmp_path, cgroup__controllers="hugetlb\n", cgroup__procs="1\n")
    assert find_v2(tmp_path, "/", lambda _: None) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_v2_group_of_somebody_else_is_not_used(v2: Path):
    (v2 / SERVICE.lstrip("/") / "cgroup.procs").chmod(0o444)
    assert find_v2(v2, SERVICE, lambda _: None) is None


def test_v2_limits_readings_and_kills(v2: Path):
    own = v2 / SERVICE.lstrip("/")
    group = Tree(dict.fromkeys(V1_CONTROLLERS, own), 2)
    record(own / "one", memory__swap__max="max")
    made = group.make("one", Limits(cpu_milli_limit=1500, memory_limit_mib=512, pids=99))
    at = own / "one"
    assert (at / "memory.max").read_text() == str(512 << 20)
    assert (at / "memory.swap.max").read_text() == "0"
    assert (at / "cpu.max").read_text() == "150000 100000"
    assert (at / "pids.max").read_text() == "99"
    assert made.joins == [str(at / "cgroup.procs")]
    record(
        at,
        cpu__stat="usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n",
        memory__current="104857600\n",
        memory__peak="209715200\n",
        memory__stat="anon 90000000\nfile 14857600\ninactive_file 4857600\n",
        memory__events="low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\noom_group_kill 0\n",
    )
    reading = made.read()
    assert (reading.cpu_s, reading.memory_bytes, reading.peak_bytes) == (2.5, 100_000_000, 209_715_200)
    assert made.oom_kills() == 2
    assert made.safety == "cgroup v2"


def test_v1_limits_readings_and_kills(tmp_path: Path):
    tree = Tree({c: tmp_path / c for c in V1_CONTROLLERS}, 1)
    made = tree.make("one", Limits(cpu_milli_limit=250, memory_limit_mib=64))
    assert (tmp_path / "memory/one/memory.limit_in_bytes").read_text() == str(64 << 20)
    assert (tmp_path / "cpu/one/cpu.cfs_quota_us").read_text() == "25000"
    assert not (tmp_path / "pids/one/pids.max").exists()
    assert len(made.joins) == 4
    record(
        tmp_path / "memory/one",
        memory__usage_in_bytes="50000000\n",
        memory__stat="cache 1\ntotal_inactive_file 10000000\n",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    )
    record(tmp_path / "cpuacct/one", cpuacct__usage="1500000000\n")
    assert (made.read().cpu_s, made.read().memory_bytes) == (1.5, 40_000_000)
    assert made.oom_kills() == 1


def test_v1_hierarchies_that_share_a_mount_are_found_with_our_place_in_each(tmp_path: Path):
    for place in ("cpu,cpuacct/mine", "memory/mine", "pids"):
        (tmp_path / place).mkdir(parents=True)
    mounts = [
        (tmp_path / "cpu,cpuacct", {"rw", "cpu", "cpuacct"}),
        (tmp_path / "memory", {"rw", "memory"}),
        (tmp_path / "pids", {"rw", "pids"}),
    ]
    tree = find_v1(mounts, {"cpu": "/mine", "cpuacct": "/mine", "memory": "/mine", "pids": "/of/the/host"})
    assert tree is not None
    assert tree.folders["cpu"] == tree.folders["cpuacct"] == tmp_path / "cpu,cpuacct/mine"
    assert tree.folders["pids"] == tmp_path / "pids"  # in a container, the mount is already our place


def test_a_v1_machine_without_a_memory_controller_has_no_tree(tmp_path: Path):
    assert find_v1([(tmp_path, {"cpu", "cpuacct", "pids"})], {}) is None


def test_a_workers_folder_is_stale_once_its_process_is_another():
    own = cgroup.worker_name()
    assert not cgroup.is_stale(own)
    assert cgroup.is_stale(own + "1")  # the pid came again, with another start
    assert not cgroup.is_stale("system.slice")
    assert not cgroup.is_stale("ionian-worker")
