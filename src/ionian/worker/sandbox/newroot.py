"""The root of a fork: what bubblewrap makes for a container, made from outside with the newer mount calls.

Everything is made in the warden's own mount namespace, from sources that it staged before the template ran, and then
given its place in the fork's. Nothing is taken from the template's mounts, which user code may have moved; what it
wrote is the highest of the lower layers, and read only.

Standard library only: part of the warden. Its working folder is the stage, so paths like "3/upper" are short enough
for an option of a file system (256 bytes).
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

from . import mounts

NODES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {
    "fd": "/proc/self/fd",
    "core": "/proc/kcore",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
PLAIN = mounts.NO_SUID | mounts.NO_DEV
CLOSED = PLAIN | mounts.READ_ONLY

Plan = dict[str, Any]
"""What a template is made of, by the names of its sources on the stage: see `zygote._plan`."""


class Ground:
    """What all forks of a template share: staged once, cloned for each."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.room: str = plan["room"]
        mounts.keep_private()
        _attach(mounts.new("tmpfs", {"mode": "755"}), self.room)
        self._stage_kernel_files()
        for name, _, read_only, is_device in plan["shows"]:
            kept = mounts.NO_SUID if is_device else PLAIN
            mounts.restrict(name, kept | (mounts.READ_ONLY if read_only and not is_device else 0))
        self.folders = {name: os.path.isdir(name) for name, *_ in plan["shows"]}
        self.lower = ":".join([f"{plan['own']}/upper", *reversed(plan["layers"])])

    def _stage_kernel_files(self) -> None:
        room, plan = self.room, self.plan
        self._make_room("empty", 0o755)
        os.close(os.open(f"{room}/null", os.O_CREAT | os.O_WRONLY, 0o600))
        _attach(mounts.clone("/dev/null"), f"{room}/null")
        mounts.restrict(f"{room}/null", CLOSED)
        self.closed: dict[str, str] = {}  # below /proc → what stands there
        for number, path in enumerate(plan["read_only"]):
            self._show(path, f"{room}/{number}")
            self.closed[path.removeprefix("/proc/")] = f"{room}/{number}"
        for path in plan["masked"]:
            self.closed[path.removeprefix("/proc/")] = f"{room}/null"
        for path in plan["hidden"]:
            if path.startswith("/proc/"):
                self.closed[path.removeprefix("/proc/")] = f"{room}/empty"
        self._make_room("sys", 0o755, closed=False)
        for path in plan["sys"]:
            os.makedirs(os.path.dirname(room + path), exist_ok=True)
            self._show(path, room + path)
        for path in plan["hidden"]:
            if path.startswith("/sys/"):
                _attach(mounts.clone(f"{room}/empty"), room + path)
        mounts.restrict(f"{room}/sys", CLOSED)

    def _make_room(self, name: str, mode: int, *, closed: bool = True) -> None:
        os.mkdir(f"{self.room}/{name}")
        _attach(mounts.new("tmpfs", {"mode": f"{mode:o}", "size": "64k"}), f"{self.room}/{name}")
        if closed:
            mounts.restrict(f"{self.room}/{name}", CLOSED)

    def _show(self, path: str, at: str) -> None:
        if os.path.isdir(path):
            os.mkdir(at)
        else:
            os.close(os.open(at, os.O_CREAT | os.O_WRONLY, 0o600))
        _attach(mounts.clone(path), at)
        mounts.restrict(at, CLOSED)


class Root:
    """One fork's root: made as descriptors here, then put in its place in the fork's mount namespace."""

    def __init__(self, ground: Ground, request: dict[str, Any]) -> None:
        """`request` has: scratch (its name), shm_bytes, binds and devices of its own: [source, target, read only]."""
        self._ground = ground
        self._open = ExitStack()
        try:
            self._make(f"{ground.plan['scratches']}/{request['scratch']}", request)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._open.close()

    def _make(self, scratch: str, request: dict[str, Any]) -> None:
        ground = self._ground
        self._root = self._keep(_overlay(ground.lower, f"{scratch}/upper", f"{scratch}/work"))
        self._tmp = self._keep(self._tmp_folder(scratch))
        self._dev = self._keep(_devices())
        self._nodes = {name: self._keep(mounts.clone(f"/dev/{name}")) for name in NODES}
        pts = {"ptmxmode": "666", "mode": "620", "newinstance": None}
        self._pts = self._keep(mounts.new("devpts", pts, mounts.NO_SUID | mounts.NO_EXEC))
        size: dict[str, str | int | None] = (
            {"size": str(request["shm_bytes"])} if request["shm_bytes"] else {}
        )
        self._shm = self._keep(mounts.new("tmpfs", {"mode": "1777", **size}, PLAIN))
        self._sys = self._keep(mounts.clone(f"{ground.room}/sys"))
        self._closed = {n: self._keep(mounts.clone(source)) for n, source in ground.closed.items()}
        self._shows = [
            (self._keep(mounts.clone(name)), target, ground.folders[name])
            for name, target, *_ in ground.plan["shows"]
        ]
        for kind in ("binds", "devices"):
            self._shows += [self._extra(kind, *each) for each in request[kind]]

    def _keep(self, fd: int) -> int:
        self._open.callback(os.close, fd)
        return fd

    def _tmp_folder(self, scratch: str) -> int:
        own = f"{self._ground.plan['own']}/tmp"
        if os.listdir(own):
            os.mkdir(f"{scratch}/tmp-work")
            return _overlay(own, f"{scratch}/tmp", f"{scratch}/tmp-work")
        mount = mounts.clone(f"{scratch}/tmp")
        mounts.restrict("", PLAIN, mount)
        return mount

    def _extra(self, kind: str, source: str, target: str, read_only: bool) -> tuple[int, str, bool]:
        mount = self._keep(mounts.clone(source))
        if kind == "devices":
            mounts.restrict("", mounts.NO_SUID, mount)
        else:
            mounts.restrict("", CLOSED if read_only else PLAIN, mount)
        return mount, target, os.path.isdir(source)

    def put(self, proc: int) -> None:
        """Called in the fork's mount namespace: puts everything in its place there, with `proc` as its /proc."""
        mounts.keep_private()
        # /proc is a mount of bubblewrap's, so user code can neither move nor replace it.
        mounts.attach(self._root, mounts.AT_FDCWD, "/proc")
        mounts.attach(proc, self._root, "proc")
        for name, mount in self._closed.items():
            mounts.attach(mount, proc, name)
        mounts.attach(self._dev, self._root, "dev")
        for name, mount in self._nodes.items():
            mounts.attach(mount, self._dev, name)
        mounts.attach(self._pts, self._dev, "pts")
        mounts.attach(self._shm, self._dev, "shm")
        mounts.attach(self._sys, self._root, "sys")
        mounts.attach(self._tmp, self._root, "tmp")
        for mount, target, is_folder in self._shows:
            place = mounts.place_below(self._root, target, is_folder=is_folder)
            try:
                mounts.attach_on(mount, place)
            finally:
                os.close(place)
        mounts.pivot_here(self._root)


def _overlay(lower: str, upper: str, work: str) -> int:
    """`volatile`: nothing of it outlives the container, and a sync of the whole disk at its end is not to be paid."""
    options = {"lowerdir": lower, "upperdir": upper, "workdir": work, "userxattr": None, "volatile": None}
    return mounts.new("overlay", options, PLAIN)


def _devices() -> int:
    folder = mounts.new("tmpfs", {"mode": "755"}, mounts.NO_SUID)
    for name in NODES:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444, dir_fd=folder))
    for name, target in LINKS.items():
        os.symlink(target, name, dir_fd=folder)
    for name in ("pts", "shm"):
        os.mkdir(name, 0o755, dir_fd=folder)
    return folder


def _attach(mount: int, path: str) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    mounts.attach_on(mount, place)
    os.close(place)
    os.close(mount)
