"""Cgroups behind one small interface: v2 where this process may write one, else v1, else none (see soft.py)."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .spec import Limits

PERIOD_US = 100_000  # of the CPU quota; the kernel's own default
MIB = 1 << 20
WORKER_LEAF = "ionian-worker"
V1_CONTROLLERS = ("memory", "cpu", "cpuacct", "pids")


@dataclass
class Reading:
    cpu_s: float
    memory_bytes: int  # without page cache that the kernel can drop
    peak_bytes: int = 0  # 0: the kernel does not tell


class Cgroup:
    """One sandbox's cgroup: limits are set when it is made, the launcher's child joins by `joins`."""

    def __init__(self, folders: dict[str, Path], version: int) -> None:
        self._folders = folders
        self._version = version

    @property
    def safety(self) -> str:
        return f"cgroup v{self._version}"

    @property
    def joins(self) -> list[str]:
        """The files into which a process writes "0" to join.

        In v1 the one for single threads, as who joins has no other yet: only there the kernel need not hold up all forks of
        the machine, for which it waits 10 ms (an RCU grace period, measured).
        """
        name = "cgroup.procs" if self._version == 2 else "tasks"
        return [str(folder / name) for folder in dict.fromkeys(self._folders.values())]

    def read(self) -> Reading:
        memory = self._folders["memory"]
        if self._version == 2:
            cpu = _table(self._folders["cpuacct"] / "cpu.stat").get("usage_usec", 0) / 1e6
            now, idle = (
                _number(memory / "memory.current"),
                _table(memory / "memory.stat").get("inactive_file", 0),
            )
            return Reading(cpu, max(0, now - idle), _number(memory / "memory.peak"))
        cpu = _number(self._folders["cpuacct"] / "cpuacct.usage") / 1e9
        now = _number(memory / "memory.usage_in_bytes")
        idle = _table(memory / "memory.stat").get("total_inactive_file", 0)
        return Reading(cpu, max(0, now - idle))

    def oom_kills(self) -> int:
        name = "memory.events" if self._version == 2 else "memory.oom_control"
        return _table(self._folders["memory"] / name).get("oom_kill", 0)

    def limit(self, limits: Limits) -> None:
        memory, cpu, pids = (self._folders[c] for c in ("memory", "cpu", "pids"))
        v2 = self._version == 2
        if limits.memory_limit_mib:
            size = str(limits.memory_limit_mib * MIB)
            _write(memory / ("memory.max" if v2 else "memory.limit_in_bytes"), size)
            # Swap would only make a runaway slower; not every kernel accounts it.
            swap = ("memory.swap.max", "0") if v2 else ("memory.memsw.limit_in_bytes", size)
            if (memory / swap[0]).exists():
                _write(memory / swap[0], swap[1])
        if limits.cpu_milli_limit:
            quota = max(1000, limits.cpu_milli_limit * PERIOD_US // 1000)
            if v2:
                _write(cpu / "cpu.max", f"{quota} {PERIOD_US}")
            else:
                _write(cpu / "cpu.cfs_period_us", str(PERIOD_US))
                _write(cpu / "cpu.cfs_quota_us", str(quota))
        if limits.pids:
            _write(pids / "pids.max", str(limits.pids))

    def stand_back(self, back: bool) -> None:
        """What is in it gets a tenth of the cores that others get who want them too; or as much again."""
        name, usual = ("cpu.weight", 100) if self._version == 2 else ("cpu.shares", 1024)
        file = self._folders["cpu"] / name
        try:
            _write(file, str(usual // 10 if back else usual))
        except OSError:
            pass  # it has ended, or this kernel shares out cores otherwise

    def remove(self) -> bool:
        """Whether it is gone. What has just died can count for a moment longer: ask again then."""
        left = [folder for folder in dict.fromkeys(self._folders.values()) if not _rmdir(folder)]
        return not left


@dataclass
class Tree:
    """The folders, one a controller, below which this worker makes a cgroup for each sandbox."""

    folders: dict[str, Path]
    version: int

    def make(self, name: str, limits: Limits) -> Cgroup:
        group = Cgroup({c: f / name for c, f in self.folders.items()}, self.version)
        for folder in dict.fromkeys(group._folders.values()):
            try:
                os.mkdir(folder)
            except OSError:
                folder.mkdir(parents=True, exist_ok=True)
        group.limit(limits)
        return group

    def remove(self) -> None:
        for folder in dict.fromkeys(self.folders.values()):
            _rmdir(folder)

    def stale(self) -> list[Path]:
        """The folders of dead workers, anywhere in these hierarchies: one started elsewhere had another place."""
        tops = dict.fromkeys(_top(folder) for folder in self.folders.values())
        return [Path(at, n) for top in tops for at, names, _ in os.walk(top) for n in names if is_stale(n)]


def worker_name(pid: int | None = None) -> str:
    """The folder of a worker's cgroups: it holds the worker's start time, so a stale one is told by its name."""
    pid = pid or os.getpid()
    return f"ionian-{pid}-{start_time(pid)}"


@cache
def _name_of_own(pid: int) -> str:
    return worker_name(pid)


def own_name() -> str:
    """The name of this process, which stays what it is."""
    return _name_of_own(os.getpid())


def start_time(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 when there is none."""
    return _stat_field(pid, 19)


def parent_of(pid: int) -> int:
    return _stat_field(pid, 1)


def _stat_field(pid: int, index: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[index])


def is_stale(name: str) -> bool:
    """Whether `name` is the folder of a worker that no longer runs."""
    prefix, _, rest = name.partition("-")
    pid, _, began = rest.partition("-")
    return prefix == "ionian" and pid.isdigit() and began.isdigit() and start_time(int(pid)) != int(began)


@cache
def own_tree() -> Tree | None:
    """The tree of this process, made at the first call; None where no cgroup may be written."""
    roots = writable_roots()
    if roots is None:
        return None
    name = worker_name()
    try:
        tree = Tree({c: f / name for c, f in roots.folders.items()}, roots.version)
        for folder in dict.fromkeys(tree.folders.values()):
            folder.mkdir(parents=True, exist_ok=True)
            if tree.version == 2:
                _delegate(folder)
        atexit.register(_remove_own, tree, os.getpid())
        return tree
    except OSError:
        return None


@cache
def writable_roots() -> Tree | None:
    """Where this process' cgroups lie and may be written: its own place in each hierarchy."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    places = dict(_places(Path("/proc/self/cgroup").read_text()))
    v2 = next((Path(m[1]) for m in mounts if m[2] == "cgroup2"), None)
    if v2 is not None and "" in places and (tree := find_v2(v2, places[""], _move_self)):
        return tree
    hierarchies = [(Path(m[1]), set(m[3].split(","))) for m in mounts if m[2] == "cgroup"]
    return find_v1(hierarchies, places)


def _places(text: str) -> list[tuple[str, str]]:
    """/proc/self/cgroup: controller → path; v2 is under the empty name."""
    lines = [line.split(":", 2) for line in text.splitlines()]
    return [(controller, path) for _, controllers, path in lines for controller in controllers.split(",")]


def find_v1(hierarchies: list[tuple[Path, set[str]]], places: dict[str, str]) -> Tree | None:
    folders: dict[str, Path] = {}
    for mount, options in hierarchies:
        for controller in options.intersection(V1_CONTROLLERS):
            # In a container the mount may show only its own part of the hierarchy: then the path is not below it.
            below = mount / places.get(controller, "/").lstrip("/")
            folders[controller] = below if below.is_dir() else mount
    if set(folders) != set(V1_CONTROLLERS) or not all(os.access(f, os.W_OK) for f in folders.values()):
        return None
    return Tree(folders, 1)


def find_v2(mount: Path, place: str, move_self: Callable[[Path], None]) -> Tree | None:
    """A group whose children can have controllers: ours if it was delegated to us (a systemd unit's, `Delegate=yes`)."""
    own = mount / place.lstrip("/")
    try:
        have = set((own / "cgroup.controllers").read_text().split())
        if not {"memory", "cpu", "pids"} <= have or not os.access(own / "cgroup.procs", os.W_OK):
            return None
        if own.name == WORKER_LEAF:  # another worker has made this place already
            own = own.parent
        elif own != mount:  # a group with processes can have no controllers for its children, save the root
            leaf = own / WORKER_LEAF
            leaf.mkdir(exist_ok=True)
            move_self(leaf)
        _delegate(own)
    except OSError:
        return None
    return Tree(dict.fromkeys(V1_CONTROLLERS, own), 2)


def _move_self(leaf: Path) -> None:
    _write(leaf / "cgroup.procs", "0")


def _delegate(folder: Path) -> None:
    _write(folder / "cgroup.subtree_control", "+cpu +memory +pids")


def _remove_own(tree: Tree, pid: int) -> None:
    if os.getpid() == pid:
        tree.remove()


def remove_tree(folder: Path) -> None:
    """Removes a cgroup and those below it, as far as nothing runs in them."""
    for path, _, _ in os.walk(folder, topdown=False):
        _rmdir(Path(path))


def _top(folder: Path) -> Path:
    while (folder.parent / "cgroup.procs").exists():
        folder = folder.parent
    return folder


def _rmdir(folder: Path) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _write(path: Path, text: str) -> None:
    # Each start makes a dozen of these: a file object costs four times as much.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def _read(path: Path) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, 1 << 16)
    finally:
        os.close(file)


def _number(path: Path) -> int:
    try:
        return int(_read(path))
    except (OSError, ValueError):
        return 0


def _table(path: Path) -> dict[str, int]:
    try:
        pairs = [line.split() for line in _read(path).decode().splitlines()]
    except OSError:
        return {}
    return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].isdigit()}
