"""A template's forks, from inside: what it does when it is told to fork, until the fork is a container.

    T (the template) ──fork──▶ A ──unshare, fork──▶ B (pid 1 of the container: its init) ──go──▶ P (pid 2: the agent)

What needs a right is done from outside meanwhile, and looked at from there; see worker/sandbox/warden.py. A and B are
made by a bare fork: the handlers that libraries registered for forks run once, where they are meant to, in P.

A fork that is made ahead of its container goes on to P, who does what is the same for any container and then waits. Most of
a start is the copying of pages that P writes to.
"""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
from array import array
from collections.abc import Callable
from typing import NoReturn

from ..protocol.container import AHEAD, FORK_FD
from . import init

CAPSET = {"x86_64": 126, "aarch64": 91}
CAP_VERSION_3 = 0x20080522
PIDFD_OPEN = 434
"""The same everywhere. Pythons that were built for an older kernel, as many of conda's, have no `os.pidfd_open` (python-trio/trio#2855)."""
PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 22, 24, 47, 4
SECCOMP_MODE_FILTER = 2
MAX_FDS = 64

# PyDLL keeps the interpreter's lock over the call: the child has it, as it has the thread.
_libc = ctypes.PyDLL(None, use_errno=True)
_MACHINE = os.uname().machine

# What each fork would make anew, and every page that it writes to is copied for it: functions that ctypes looks up (it keeps
# them in _libc), sums of enums, and signal's sets of enums.
_KEPT = (_libc.fork, _libc.unshare, _libc.prctl, _libc.syscall)
_SIGNALS = set(map(int, signal.valid_signals()))
_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)
_RIGHTS = (int(socket.SOL_SOCKET), int(socket.SCM_RIGHTS))
_ROOM = socket.CMSG_SPACE(MAX_FDS * 4)


class Forks:
    """The template's end of what leads to its warden.

    forks = Forks()
    forks.guard()              # before any user code
    ...                        # the user's imports
    if forks.wait(flush, renew):  # from the main thread, with no frame of the user's on the stack
        ...                    # in each container: its descriptors are in their places
    else:
        ...                    # in the template, when it is to end
    """

    def __init__(self, fd: int = FORK_FD) -> None:
        os.set_inheritable(fd, False)
        self._socket = socket.socket(fileno=fd)
        self._own = {fd}
        self._folder = "/"
        self._begun: dict[int, int] = {}  # A's that may live: pidfd → pid
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def guard(self) -> None:
        """Notes which descriptors are ours: those are closed in each container, what user code opens is not.

        That each `unshare` is looked at by the warden holds from the first instruction on (worker/sandbox/supervision.py).
        """
        listed = {int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2}
        self._own |= {fd for fd in listed if _is_open(fd)}  # all but the one that listed them

    def wait(self, before: Callable[[], None], ahead: Callable[[], None]) -> bool:
        """Forks when it is told to, and calls `before` right before each fork. True in a container, which has called `ahead`
        if it was made before it was wanted; False in the template, when no more are wanted."""
        try:
            self._folder = os.getcwd()
        except OSError:
            pass  # it was deleted
        while True:
            asked, fds = self._hear()
            if not asked:
                return False
            flags, warden = json.loads(asked)["flags"], socket.socket(fileno=fds[0])
            before()
            pid = _libc.fork()
            if pid == 0:
                self._become_container(flags, warden, ahead)
                return True
            warden.close()
            self._watch(pid)

    def _hear(self) -> tuple[bytes, list[int]]:
        """What the warden asks next. An A that was begun may wait until it is wanted, or for its cgroup; it holds up no other."""
        while True:
            ready = {fd for fd, _ in self._poll.poll()}
            for fd in ready & self._begun.keys():
                self._poll.unregister(fd)
                os.close(fd)
                _reap(self._begun.pop(fd))
            if self._socket.fileno() in ready:
                return _receive(self._socket)

    def _watch(self, pid: int) -> None:
        fd = _libc.syscall(PIDFD_OPEN, pid, 0)
        if fd < 0:  # it is gone already, as user code ignores SIGCHLD; or there is no descriptor left
            _reap(pid)
            return
        self._begun[fd] = pid
        self._poll.register(fd, select.POLLIN)

    def _become_container(self, flags: int, warden: socket.socket, ahead: Callable[[], None]) -> None:
        """A, B and P; only P returns."""
        try:
            self._let_go(warden)
            _unshare(warden, flags)
            _settle(warden)
            asked, fds = _receive(warden)
            if asked == AHEAD:
                status, targets = self._go_ahead(warden, ahead)
            else:
                status, targets = _given(warden, asked, fds)
                program = os.fork()
                if program:
                    _be_init(program, status)
                self._lead()
            self._place(status, targets)
        except BaseException as error:
            _fail(warden, error)

    def _go_ahead(self, worker: socket.socket, ahead: Callable[[], None]) -> tuple[int, dict[int, int]]:
        """B makes P and becomes its init; P goes as far as it can, and waits until a container is wanted."""
        inits, programs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = os.fork()
        if program:
            programs.close()
            worker.close()
            _, fds = _receive(inits)
            if not fds:
                os._exit(0)  # P has ended
            _be_init(program, fds[0])
        inits.close()
        self._lead()
        ahead()
        worker.send(AHEAD)
        status, targets = _given(worker, *_receive(worker))
        socket.send_fds(programs, [b"status"], [status])
        programs.close()
        return status, targets

    def _let_go(self, warden: socket.socket) -> None:
        """Closes what is the template's: by its ends others know that it has ended."""
        self._socket.detach()
        kept = warden.fileno()
        for fd in self._own | self._begun.keys():
            if fd != kept:
                os.closerange(fd, fd + 1)  # which raises nothing where the template has closed it before

    def _lead(self) -> None:
        """Makes P a session of its own, in the folder that its template left."""
        os.setsid()
        try:
            os.chdir(self._folder)
        except OSError:
            pass  # it is not there for all
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())

    def _place(self, status: int, targets: dict[int, int]) -> None:
        """P's descriptors, each at its number."""
        os.close(status)
        came = set(targets.values())
        if came.isdisjoint(targets):  # as nearly always
            for target, fd in targets.items():
                os.dup2(fd, target, inheritable=target <= 2)
            for fd in came:
                os.close(fd)
            return
        above = max(targets) + 1
        moved = {target: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for target, fd in targets.items()}
        for fd in came:
            os.close(fd)
        for target, fd in moved.items():
            os.dup2(fd, target, inheritable=target <= 2)
            os.close(fd)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # user code ignores SIGCHLD


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _unshare(warden: socket.socket, flags: int) -> None:
    """A: makes the namespaces and their first process, which alone returns; and is ended by the warden."""
    os.chdir("/")
    warden.send(b"A")
    if _libc.unshare(flags) < 0:
        raise OSError(f"its namespaces: {os.strerror(ctypes.get_errno())}")
    if _libc.fork() == 0:
        warden.send(b"B")
        return
    poll = select.poll()
    poll.register(warden, 0)
    poll.poll()  # the warden ends us; or it has ended itself
    os._exit(0)


def _settle(warden: socket.socket) -> None:
    """B: gives up all rights once its root is made."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _SIGNALS)  # for sigwait() later; pid 1 would ignore them
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # ignored, the end of P would not be told
    filter_, _ = _receive(warden)
    if not filter_:
        os._exit(0)
    os.chdir("/")
    _give_up_rights(filter_)
    warden.send(b"C")


def _given(worker: socket.socket, numbers: bytes, fds: list[int]) -> tuple[int, dict[int, int]]:
    """Waits until the container may go, which came from the worker by what was its warden's end before. Returns its status
    socket, and P's descriptors by their numbers."""
    if not numbers:
        os._exit(0)
    worker.close()
    if os.read(fds[0], 1) != b"g":
        os._exit(0)
    return fds[0], dict(zip(struct.unpack(f"{len(numbers) // 4}i", numbers), fds[1:], strict=True))


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    try:
        data, came, _, _ = sock.recvmsg(1 << 15, _ROOM, _CLOEXEC)
    except ConnectionError:
        return b"", []
    fds = array("i")
    for level, kind, payload in came:
        if (level, kind) == _RIGHTS:
            fds.frombytes(payload)
    return data, fds.tolist()


def _give_up_rights(filter_: bytes) -> None:
    for cap in range(64):
        if _libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0:
            break  # past the last one
    _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    nothing = struct.pack("6I", *[0] * 6)
    if _libc.syscall(CAPSET[_MACHINE], struct.pack("Ii", CAP_VERSION_3, 0), nothing) < 0:
        raise OSError(f"giving up capabilities: {os.strerror(ctypes.get_errno())}")
    code = array("B", filter_)
    program = struct.pack("HxxxxxxP", len(filter_) // 8, code.buffer_info()[0])
    if _libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) < 0:
        raise OSError(f"the filter: {os.strerror(ctypes.get_errno())}")


def _be_init(program: int, status: int) -> NoReturn:
    """B, when its program has been started: it holds no descriptor but one, and does what init.py does."""
    if status != 3:
        os.dup2(status, 3, inheritable=False)
    os.closerange(4, 65536)
    for low in (0, 1, 2):
        os.close(low)
    init.watch(program, 3)
    os._exit(0)


def _fail(warden: socket.socket, error: BaseException) -> NoReturn:
    try:
        warden.send(f"{type(error).__name__}: {error}".encode()[:500])
    except OSError:
        pass  # it does not listen any more
    os._exit(1)
