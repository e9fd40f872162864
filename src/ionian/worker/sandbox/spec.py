"""What a sandbox is asked to be, and how it ended."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

FILES = 65_536
"""Open files that a process may have; Python and users of select() are slow or wrong with a million."""


class SandboxError(Exception):
    """A sandbox could not be made; the message says what was missing and what to do."""


@dataclass
class Bind:
    """A file or folder of this machine, shown inside at `target`; or what is below it, where nothing may lead out of it."""

    source: Path
    target: str
    read_only: bool = True
    below: str = ""


@dataclass
class Limits:
    """The most that a sandbox may use; 0 is no limit."""

    cpu_milli_limit: int = 0
    memory_limit_mib: int = 0
    pids: int = 0


@dataclass
class SandboxSpec:
    """One sandbox.

    With `python` set, pid 1 is our init run by that Python and `argv` is what follows it: `["-m", "module", args…]`
    calls `main()` of a module in the same interpreter (found on `python_path` too), `["--", program, args…]` executes
    a program. Without it `argv` is the program, under bubblewrap's own pid 1: for images that have no Python.
    """

    layers: list[Path]  # lowest first
    scratch: Path  # a folder of this sandbox's own: upper/, work/ and tmp/ are made in it
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict[str, str])
    workdir: str = "/"
    binds: list[Bind] = field(default_factory=list[Bind])
    hostname: str = "ionian"
    devices: list[Bind] = field(default_factory=list[Bind])  # device nodes; read_only means nothing here
    pass_fds: dict[int, int] = field(default_factory=dict[int, int])  # number inside → our descriptor
    stdin: int = -1  # our descriptors; -1 is /dev/null
    stdout: int = -1
    stderr: int = -1
    limits: Limits = field(default_factory=Limits)
    as_build: bool = False  # uid 0 with the capabilities that Docker gives a build, in its own user namespace
    as_template: bool = False  # its program is forked into further sandboxes: see zygote.py
    network: bool = (
        True  # a net namespace from `Spawner.network`, else the host's own; False is loopback only
    )
    namespace: NetNamespace | None = (
        None  # the one that it has, where it was made before; its maker releases it
    )
    python: str = ""
    python_path: list[str] = field(default_factory=list[str])
    init: str = (
        ""  # a path inside of a (compiled) container/init.py; by default ours is shown at /dev/ionian-init.py
    )


@dataclass
class Exit:
    """How the program of a sandbox ended: one of `code` and `signal`; `oom` when memory was the reason."""

    code: int | None
    signal: int | None = None
    oom: bool = False


@dataclass
class ResourceUse:
    """What a sandbox has used until now."""

    cpu_s: float = 0.0
    memory_bytes: int = 0  # now, without the page cache that the kernel can drop
    peak_bytes: int = 0
    memory_gib_s: float = 0.0
    charged_cpu_s: float = 0.0  # of each second what was used or what was reserved, whichever is more
    charged_memory_gib_s: float = 0.0


@dataclass
class NetNamespace:
    """A net namespace for one sandbox, held by a descriptor, and the resolv.conf that is right in it."""

    fd: int
    resolver: Path

    def release(self) -> None:
        """Lets go of it: from here on it lives as long as what runs in it."""
        os.close(self.fd)


class NetNamespaces(Protocol):
    """Where sandboxes have their net namespaces from."""

    @property
    def gateway(self) -> object:
        """What joins them now: a namespace that another has joined leads nowhere. None: nothing does."""
        ...

    async def take(self) -> NetNamespace | None:
        """One for a sandbox; None: it has the machine's own network. Raises SandboxError."""
        ...

    async def join(self, namespace: int) -> None:
        """Makes an empty one, by descriptor, like those of take(). Raises SandboxError."""
        ...
