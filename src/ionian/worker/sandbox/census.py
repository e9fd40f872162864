"""What a template's processes are, read from outside: nothing that they say of themselves is believed.

Standard library only: part of the warden.
"""

from __future__ import annotations

import os
from typing import NamedTuple

NO_CAPS = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0000000000000000")
FILTERS = 3  # the supervision of a template, its own, and that of a container

TEMPLATE = 3
"""The number of a template in its own pid namespace: see container/init.py for why it is not 2."""


class Suspect(Exception):
    """A process is not what it has to be; the message says in what."""


class Family(NamedTuple):
    """The template's init, and what is known of it: its number here, and how deep its pid namespace lies."""

    init: int
    depth: int

    @staticmethod
    def of(init: int) -> Family:
        return Family(init, len(_numbers(status(init))))

    def check_forked_by_template(self, pid: int) -> None:
        """The caller of `unshare` has to be a child of the template, and that a child of the init with its number."""
        child = status(pid)
        template = status(int(child.get("PPid", 0)))
        numbers = _numbers(template)
        if len(numbers) != self.depth or numbers[-1] != TEMPLATE or int(template.get("PPid", 0)) != self.init:
            raise Suspect("it was not made by the template")

    def check_first_of_its_namespace(self, pid: int, parent: int) -> None:
        """The fork has to be the first process of the namespace that `parent` made."""
        child = status(pid)
        numbers = _numbers(child)
        if int(child.get("PPid", 0)) != parent or len(numbers) != self.depth + 1 or numbers[-1] != 1:
            raise Suspect("its first process is another than the one that was made for it")

    def strangers(self, known: set[int]) -> list[int]:
        """Children of the init that are first in a pid namespace of their own, and not known."""
        return [
            pid
            for pid in children(self.init)
            if pid not in known and len(_numbers(status(pid))) == self.depth + 1
        ]


def check_harmless(pid: int, proc: int, group: str, joined: int) -> None:
    """A fork has to be one process of one thread, alone in its namespace (whose /proc is open as `proc`), without any
    capability or a way to one, filtered, and in the `joined` hierarchies in its own cgroup."""
    listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc)
    try:
        processes = [name for name in os.listdir(listing) if name.isdigit()]
    finally:
        os.close(listing)
    if processes != ["1"]:
        raise Suspect("it has more processes than one")
    has = status(pid)
    if any(has.get(name) != value for name, value in NO_CAPS.items()):
        raise Suspect("it did not give up its capabilities")
    if has.get("NoNewPrivs") != "1" or has.get("Seccomp") != "2":
        raise Suspect("it has no filter")
    if int(has.get("Seccomp_filters", FILTERS)) < FILTERS:
        raise Suspect("it did not put on the filter of a container")
    if has.get("Threads") != "1":
        raise Suspect("it has more threads than one")
    if not joined:
        return
    with open(f"/proc/{pid}/cgroup") as file:
        places = sum(line.rstrip("\n").endswith(f"/{group}") for line in file)
    if places != joined:
        raise Suspect("it left its cgroup")


def status(pid: int) -> dict[str, str]:
    """/proc/<pid>/status; empty when there is no such process."""
    try:
        with open(f"/proc/{pid}/status") as file:
            lines = [line.partition(":") for line in file]
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in lines}


def children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _numbers(has: dict[str, str]) -> list[int]:
    """The numbers of a process in each pid namespace from ours down to its own."""
    return [int(word) for word in has.get("NSpid", "0").split()]
