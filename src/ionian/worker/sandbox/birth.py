"""One fork of a template, as the warden brings it about: see warden.py for the order and its reasons.

Standard library only: part of the warden.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import struct
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from . import mounts, supervision
from .census import Suspect, check_harmless, children
from .namespaces import NEW_NET, NEW_NS, NEW_UTS, process_files, raise_loopback
from .newroot import Root

if TYPE_CHECKING:
    from .warden import Warden

Steps = Generator[int, None, None]
"""One fork under way: it yields the descriptor that has to be readable before it goes on."""


class Ended(Exception):
    """The fork's process ended, or says that it can't go on."""


class Birth:
    """From the first process until that of the container, which has no rights then, waits for the worker; halfway it waits until it
    is wanted."""

    def __init__(self, warden: Warden, number: int, groups: list[int]) -> None:
        self.number = number
        self.pid = self.pidfd = -1
        self.waits_for = -1
        self.call: supervision.Call | None = None
        self.allowed = False
        self.steps = self._steps()
        self._warden = warden
        self._request: dict[str, Any] | None = None
        self._groups = groups
        self._parent = self._parent_fd = -1
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._root: Root | None = None
        self._proc = -1

    def want(self, request: dict[str, Any]) -> None:
        """What the container is to be."""
        self._request = request

    @property
    def way(self) -> int:
        """Our end of what leads to the fork: the worker's, once it is made."""
        return self._ours.fileno()

    def close(self, *, made: bool = False) -> None:
        """Lets go of it; ends all that there is of it unless it is a container now."""
        self.steps.close()
        if not made:
            self._end()
        if self.call is not None and not self.allowed:
            supervision.refuse(self._warden.listener, self.call)
        self._warden.callers.pop(self._parent, None)
        if self._root is not None:
            self._root.close()
        for fd in (*self._groups, self._parent_fd, self.pidfd, self._proc):
            if fd >= 0:
                os.close(fd)
        self._groups = []
        self._ours.close()
        self._theirs.close()

    def _steps(self) -> Steps:
        warden = self._warden
        self._ask()
        self._parent = yield from self._hear(b"A")
        self._parent_fd = os.pidfd_open(self._parent)
        warden.callers[self._parent] = self
        call = yield from self._its_call()
        yield from self._join_groups(call)
        request = yield from self._its_request()
        self.allowed = True
        supervision.allow(warden.listener, call)
        self._root = Root(warden.ground, request)  # while it makes its namespaces
        pid = yield from self._hear(b"B")
        self.pidfd = os.pidfd_open(pid)
        warden.family.check_first_of_its_namespace(pid, self._parent)
        self.pid = pid
        signal.pidfd_send_signal(self._parent_fd, signal.SIGKILL)
        try:
            self._furnish(pid, request, self._root)
        except OSError:
            self._refuse_words()  # it has ended, and said why
            raise
        self._ours.send(warden.filter)
        if (yield from self._hear(b"C")) != pid:
            raise Suspect("another process than its first answered")
        while not _readable(self._parent_fd):
            yield self._parent_fd  # it was told to end: nothing with its rights is left
        check_harmless(pid, self._proc, request["group"], len(self._groups))

    def _ask(self) -> None:
        """Tells the template to fork."""
        try:
            what = json.dumps({"flags": self._warden.flags}).encode()
            socket.send_fds(self._warden.template, [what], [self._theirs.fileno()], socket.MSG_DONTWAIT)
        except ConnectionError:
            raise Ended("the template has ended") from None
        except BlockingIOError:
            raise Ended("the template does not answer") from None
        self._theirs.close()

    def _its_call(self) -> Generator[int, None, supervision.Call]:
        """Waits until it calls unshare."""
        while self.call is None:
            yield self._ours.fileno()
            if self.call is None:
                self._refuse_words()
        return self.call

    def _its_request(self) -> Generator[int, None, dict[str, Any]]:
        """Waits until a container is wanted."""
        while self._request is None:
            yield self._ours.fileno()
            if self._request is None:
                self._refuse_words()
        return self._request

    def _refuse_words(self) -> None:
        """It can have nothing to say now but why it can't go on."""
        said = self._read()
        if said is not None:
            raise Ended(_words(said[0]))

    def _join_groups(self, call: supervision.Call) -> Generator[int, None, None]:
        """Puts the caller, who waits, into the container's cgroups. All that comes of it is born in there."""
        self._warden.family.check_forked_by_template(call.pid)
        if self._groups:
            done = self._warden.move(call.pid, self._groups)
            try:
                while not _readable(done):
                    yield done
                if os.eventfd_read(done) != 1:
                    raise Ended("it could not be put into its cgroup")
            finally:
                os.close(done)
        if not supervision.still_waits(self._warden.listener, call):
            raise Ended("its process ended before it was complete")

    def _hear(self, word: bytes) -> Generator[int, None, int]:
        """Waits until the fork says `word`; returns the pid of the process that said it, as the kernel tells it."""
        while (said := self._read()) is None:
            yield self._ours.fileno()
        data, pid = said
        if data != word:
            raise Ended(_words(data))
        return pid

    def _read(self) -> tuple[bytes, int] | None:
        room = socket.CMSG_SPACE(12)
        try:
            data, ancillary, _, _ = self._ours.recvmsg(
                1000, room, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        if not data:
            raise Ended("its process ended before it was complete")
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                return data, struct.unpack("iII", payload[:12])[0]
        raise Suspect("it does not say who it is")

    def _furnish(self, pid: int, request: dict[str, Any], root: Root) -> None:
        """Ids, /proc, hostname and root of the fork whose first process is `pid`."""
        warden = self._warden
        for name, text in warden.maps.items():
            with open(f"/proc/{pid}/{name}", "w") as file:
                file.write(text)
        if request["processes"]:
            resource.prlimit(pid, resource.RLIMIT_NPROC, (request["processes"], request["processes"]))
        self._proc = process_files(pid, old=warden.old_proc)
        joined = NEW_NS | NEW_UTS | (warden.flags & NEW_NET)
        mounts.check(mounts.libc.setns(self.pidfd, joined), "entering the fork's namespaces")
        try:
            socket.sethostname(request["hostname"])
            if joined & NEW_NET:
                raise_loopback()
            root.put(self._proc)
        finally:
            warden.come_home()

    def _end(self) -> None:
        """Who has a namespace of its own and is not known can only be of a tampered template, and has perhaps a
        capability in there: it is not left alive."""
        doomed = [self.pid] if self.pid > 0 else []
        if self.allowed and self.pid < 0:
            known = self._warden.living | {birth.pid for birth in self._warden.births.values()}
            doomed = [*children(self._parent), *self._warden.family.strangers(known)]
        for pid in doomed:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self._parent_fd >= 0:
            try:
                signal.pidfd_send_signal(self._parent_fd, signal.SIGKILL)
            except ProcessLookupError:
                pass


def _words(said: bytes) -> str:
    """What a fork says of its failure, which user code may have written: a line for a log."""
    text = said.decode(errors="replace")
    return "".join(letter if letter.isprintable() else " " for letter in text)[:500]


def _readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])
