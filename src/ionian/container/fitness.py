"""Whether containers can be forked from what user code has made of this process; if not, why: a clause for its author.

A fork copies memory and nothing else that lives: no thread, no child, and descriptors and shared memory only as one
thing that all containers would have together.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import threading
import time
from typing import Any

from . import native
from .files import DELETED, can_reopen, descriptors
from .gpus import Gpus
from .results import flush_output

STATELESS = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}
"""Devices that are the same for whoever opened them."""

ENDING_S = 0.5
"""A thread that was joined may be there for a moment longer: that is how long, on a busy machine."""

HANDLED_S = 10.0
"""Handlers of a fork take milliseconds, in a process of many gigabytes a second, on a busy machine a few more."""

UNMISSED = {
    "jemalloc_bg_thd": "jemalloc has handlers for forks, and starts it again in a child where it is needed",
    "polars-ooc-clea": "it deletes files that polars spilled, which go with their container; not the pool that computes",
}
"""Native threads, by their names (15 letters), that a fork does well without, and why."""

TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


class Fitness:
    """Made before user code runs: what is there already is ours."""

    def __init__(self, gpus: Gpus) -> None:
        self._gpus = gpus
        self.descriptors = descriptors()
        self._shared = _shared_memory()

    def reason(self, who: str) -> str:
        """Why no container can be forked now, about `who` ("its import"); "" if they can."""
        for check in (
            self._gpus.reason,
            _children,
            _python_threads,
            _loops,
            self._open,
            self._sharing,
            _timers,
        ):
            found = check()
            if found:
                return f"{who} {found}"
        found = _native_threads()  # last, for it forks
        return f"{who} {found}" if found else ""

    def _open(self) -> str:
        now = descriptors()
        for fd, (what, inode) in now.items():
            if self.descriptors.get(fd) == (what, inode) or what in STATELESS:
                continue
            if fd <= 2:
                return f"puts another file in place of its standard {('input', 'output', 'error')[fd]}"
            if not can_reopen(fd, what):
                return f"keeps {_described(fd, what)} open"
        gone = self.descriptors.keys() - now.keys()
        return f"closes a descriptor that is not its own ({min(gone)})" if gone else ""

    def _sharing(self) -> str:
        for what in sorted(_shared_memory() - self._shared):
            if what.startswith("/dev/shm/sem."):
                return "makes a lock or semaphore of multiprocessing, which all its containers would share"
            return f"maps memory that all its containers would share ({what or 'without a name'})"
        return ""


def _children() -> str:
    me = os.getpid()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                name, _, rest = file.read().partition(b" (")[2].rpartition(b") ")
        except OSError:
            continue  # it has ended
        if int(rest.split()[1]) == me:
            return f"leaves a process running ({name.decode(errors='replace')})"
    return ""


def _python_threads() -> str:
    known: set[int | None] = {threading.main_thread().ident}
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            return f"starts a thread ({thread.name}{_module_of(thread)})"
    for ident, frame in sys._current_frames().items():
        if ident not in known:
            return f"starts a thread (of module {frame.f_globals.get('__name__', 'unknown')})"
    return ""


def _module_of(thread: threading.Thread) -> str:
    target = getattr(thread, "_target", None)
    module = getattr(target, "__module__", None) or type(thread).__module__
    return "" if module == "threading" else f" of module {module}"


def _loops() -> str:
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None:
        return ""
    import gc

    for each in gc.get_objects():
        if issubclass(type(each), asyncio.AbstractEventLoop) and not each.is_closed():
            return "keeps an event loop, which can't be shared"
    return ""


def _timers() -> str:
    if any(signal.getitimer(timer)[0] for timer in TIMERS):
        return "sets a timer (signal.alarm or setitimer), which a fork does not have"
    return ""


def _native_threads() -> str:
    """Those that are left where a fork's handlers have run: pools that know about forks have ended theirs by then."""
    flush_output()
    native.flush_streams()
    child = os.fork()
    if child == 0:
        os._exit(0)
    if not _ends(child):
        return "registers what hangs in the child of a fork (os.register_at_fork or a library's own)"
    until = time.monotonic() + ENDING_S
    while (names := _other_tasks()) and time.monotonic() < until:
        time.sleep(ENDING_S / 100)
    if not names:
        return ""
    count = "a native thread" if len(names) == 1 else f"{len(names)} native threads"
    hint = ", maybe OpenMP's" if native.libraries("libgomp") else ""
    return f"leaves {count} running ({', '.join(sorted(set(names)))}{hint})"


def _ends(child: int) -> bool:
    """Waits for the end of a child; one that does not come to it is killed."""
    until = time.monotonic() + HANDLED_S
    try:
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > until:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return False
            time.sleep(0.001)
    except ChildProcessError:
        pass  # user code has SIGCHLD ignored: it is gone
    return True


def _other_tasks() -> list[str]:
    names = [_name_of(int(task)) for task in os.listdir("/proc/self/task") if int(task) != os.getpid()]
    return [name for name in names if name not in UNMISSED]


def _name_of(task: int) -> str:
    try:
        with open(f"/proc/self/task/{task}/comm") as file:
            return file.read().strip()
    except OSError:
        return "ended"


def _described(fd: int, what: str) -> str:
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        return "a socket" + _peer_of(fd)
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISREG(mode):
        return f"the file {what.removesuffix(DELETED)}"
    if stat.S_ISDIR(mode):
        return f"the folder {what}"
    return what


def _peer_of(fd: int) -> str:
    try:
        with socket.socket(fileno=os.dup(fd)) as opened:
            peer = opened.getpeername()
    except OSError:
        return ""
    return f" (to {peer[0]}:{peer[1]})" if isinstance(peer, tuple) else ""


def _shared_memory() -> set[str]:
    """The writable mappings of which a fork would have no copy of its own."""
    with open("/proc/self/maps") as file:
        lines = [line.split(None, 5) for line in file]
    return {
        fields[5].strip() if len(fields) > 5 else ""
        for fields in lines
        if fields[1][1] == "w" and fields[1][3] == "s"
    }
