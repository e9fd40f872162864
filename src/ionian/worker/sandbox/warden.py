"""The warden of a template: gives each of its forks what only somebody with rights can give, from outside.

    worker ──SEQPACKET──▶ warden ──SEQPACKET──▶ T ──fork──▶ A ──unshare, fork──▶ B (pid 1 of a fork) ──go──▶ P (the agent)

User code never has a right in the template (T). What needs one, the warden does: a process of this machine's Python that
the launcher forks for each template. It is in the template's user namespace, where it has every capability, and in a
mount namespace of its own; no user code runs in it, and none can see it, as its pid namespace is ours. In order:

 1. T is told to fork; while it does so, the parts of the new root are made.
 2. A says that it is there (the kernel tells its pid) and calls `unshare`, where it waits (supervision.py). The warden looks
    at who calls, puts it into the container's cgroups, so all that comes of it is born in there, and lets it go on.
 3. A forks B, the first process of its pid namespace, and is ended once B is known.
 4. B gets its ids, hostname, /proc and root, then gives up its capabilities and puts on the filter of a container.
 5. census.py looks whether that is so. Only then the worker gets B's pidfd, and may say "go".

Whatever goes wrong ends A and B. Standard library only; it runs in the launcher's child, never in the worker.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import signal
import socket
import struct
from collections.abc import Generator
from typing import Any

from . import mounts, supervision
from .census import Family, Suspect, check_harmless, children
from .newroot import Ground, Root

NEW_NS, NEW_CGROUP, NEW_UTS, NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000
UNSHARED = NEW_USER | NEW_NS | NEW_PID | NEW_IPC | NEW_UTS | NEW_CGROUP
MAX_FDS = 64
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

Request = dict[str, Any]
Steps = Generator[int, None, None]
"""One fork under way: it yields the descriptor that has to be readable before it goes on."""


class Ended(Exception):
    """The fork's process ended, or says that it can't go on."""


class Warden:
    def __init__(self, control: socket.socket, template: socket.socket, init: int, request: Request) -> None:
        self.control = control
        self.template = template
        self.flags = UNSHARED | (0 if request["network"] else NEW_NET)
        self.maps = {"uid_map": request["uid_map"], "gid_map": request["gid_map"]}
        self.filter = bytes.fromhex(request["filter"])
        self.ground = Ground(request["plan"])
        self.stage = os.open(".", os.O_PATH | os.O_CLOEXEC)
        kinds = ("mnt", "uts", "net") if self.flags & NEW_NET else ("mnt", "uts")
        # It could go into a fork's but not back into this machine's own, which belong to another user namespace.
        own = NEW_UTS | (self.flags & NEW_NET)
        mounts.check(mounts.libc.unshare(own), "namespaces to come back to")
        self.home = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
        self.family = Family.of(init)
        # The launcher's child has sent it before it became bubblewrap: first in the queue, from nobody else.
        _, fds = receive(template)
        self.listener = fds[0]
        self.births: dict[int, Birth] = {}  # by the worker's number
        self.callers: dict[int, Birth] = {}  # by the pid that may call unshare, once
        self.waiting: dict[int, Birth] = {}  # by the descriptor that it waits for
        self.living: set[int] = set()
        self.template_waits = False  # until it does, it writes: its files can't be lower layers yet
        self.poll = select.poll()
        for fd in (control.fileno(), self.listener):
            self.poll.register(fd, select.POLLIN)

    def serve(self) -> None:
        """Until the worker has gone, or wants no more forks."""
        self.say({"ready": True})
        try:
            while True:
                for fd, event in self.poll.poll():
                    if fd == self.control.fileno():
                        if not self.take():
                            return
                    elif fd != self.listener:
                        self.resume(self.waiting.get(fd))
                    elif event & select.POLLIN:
                        self.called()
                    else:
                        self.poll.unregister(fd)  # nobody is left who could call
        finally:
            for birth in list(self.births.values()):
                birth.close()

    def take(self) -> bool:
        data, fds = receive(self.control)
        if not data:
            return False
        request = json.loads(data)
        if request["do"] == "fork":
            birth = self.births[request["id"]] = Birth(self, request, fds)
            self.resume(birth)
        elif request["id"] in self.births:
            self.over(self.births[request["id"]], "it took too long")
        return True

    def resume(self, birth: Birth | None) -> None:
        """Lets a fork take its next steps."""
        if birth is None:
            return
        self.forget(birth)
        try:
            fd = next(birth.steps)
        except StopIteration:
            self.over(birth, "")
        except (Ended, Suspect, OSError, ValueError) as error:
            self.over(birth, str(error))
        else:
            birth.waits_for = fd
            self.waiting[fd] = birth
            self.poll.register(fd, select.POLLIN)

    def forget(self, birth: Birth) -> None:
        """What it waited for is of no interest any more."""
        if self.waiting.pop(birth.waits_for, None) is not None:
            self.poll.unregister(birth.waits_for)
        birth.waits_for = -1

    def over(self, birth: Birth, failed: str) -> None:
        """A fork is made, or is not to be."""
        self.forget(birth)
        self.births.pop(birth.number, None)
        if failed:
            birth.close()
            self.say({"id": birth.number, "failed": failed})
            return
        self.living.add(birth.pid)
        self.say({"id": birth.number, "pid": birth.pid}, [birth.pidfd])
        birth.made = True
        birth.close()

    def called(self) -> None:
        """Somebody in the template's sandbox calls unshare."""
        call = supervision.receive(self.listener)
        if call is None:
            return
        if call.pid not in self.callers:
            for birth in list(self.births.values()):  # what says who may call is perhaps not read yet
                self.resume(birth)
        birth = self.callers.pop(call.pid, None)
        if birth is None or call.flags != self.flags:
            supervision.refuse(self.listener, call)
            return
        birth.call = call
        self.resume(birth)
        if not birth.allowed:
            supervision.refuse(self.listener, call)

    def say(self, what: dict[str, object], fds: list[int] | None = None) -> None:
        try:
            socket.send_fds(self.control, [json.dumps(what).encode()], fds or [])
        except ConnectionError:
            pass  # the worker has gone, which the next read tells


class Birth:
    """One fork, from the worker's request until its first process waits for "go"."""

    def __init__(self, warden: Warden, request: Request, fds: list[int]) -> None:
        self.number: int = request["id"]
        self.pid = self.pidfd = -1
        self.waits_for = -1
        self.call: supervision.Call | None = None
        self.allowed = False
        self.made = False
        self.steps = self._steps()
        self._warden = warden
        self._request = request
        self._given, self._groups = fds[: len(request["targets"]) + 1], fds[len(request["targets"]) + 1 :]
        self._parent = self._parent_fd = -1
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._root: Root | None = None
        self._proc = -1

    def close(self) -> None:
        self.steps.close()
        if not self.made:
            self._end()
        self._warden.callers.pop(self._parent, None)
        if self._root is not None:
            self._root.close()
        for fd in (*self._given, *self._groups, self._parent_fd, self.pidfd, self._proc):
            if fd >= 0:
                os.close(fd)
        self._given = self._groups = []
        self._ours.close()
        self._theirs.close()

    def _steps(self) -> Steps:
        warden = self._warden
        self._ask()
        if warden.template_waits:  # then there is something to do while it forks
            self._root = Root(warden.ground, self._request)
        self._parent = yield from self._hear(b"A")
        warden.template_waits = True
        self._parent_fd = os.pidfd_open(self._parent)
        warden.callers[self._parent] = self
        while self.call is None:
            yield self._ours.fileno()
            said = self._read() if self.call is None else None
            if said is not None:
                raise Ended(said[0].decode(errors="replace"))
        self._let_go_on(self.call)
        self._root = self._root or Root(warden.ground, self._request)
        pid = yield from self._hear(b"B")
        self.pidfd = os.pidfd_open(pid)
        warden.family.check_first_of_its_namespace(pid, self._parent)
        self.pid = pid
        signal.pidfd_send_signal(self._parent_fd, signal.SIGKILL)
        self._furnish(pid)
        self._ours.send(warden.filter)
        if (yield from self._hear(b"C")) != pid:
            raise Suspect("another process than its first answered")
        yield self._parent_fd  # it was told to end: nothing with its rights is left
        check_harmless(pid, self._proc, self._request["group"], len(self._groups))

    def _ask(self) -> None:
        what = {"flags": self._warden.flags, "targets": self._request["targets"]}
        try:
            data = [json.dumps(what).encode()]
            socket.send_fds(
                self._warden.template, data, [self._theirs.fileno(), *self._given], socket.MSG_DONTWAIT
            )
        except ConnectionError:
            raise Ended("the template has ended") from None
        except BlockingIOError:
            raise Ended("the template does not answer") from None
        self._theirs.close()
        for fd in self._given:
            os.close(fd)
        self._given = []

    def _hear(self, word: bytes) -> Generator[int, None, int]:
        """Waits until the fork says `word`; returns the pid of the process that said it, as the kernel tells it."""
        while True:
            said = self._read()
            if said is not None:
                break
            yield self._ours.fileno()
        data, pid = said
        if data != word:
            raise Ended(data.decode(errors="replace")[:500])
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

    def _let_go_on(self, call: supervision.Call) -> None:
        listener = self._warden.listener
        self._warden.family.check_forked_by_template(call.pid)
        for group in self._groups:
            os.write(group, b"%d" % call.pid)
        if not supervision.still_waits(listener, call):
            raise Ended("its process ended before it was complete")
        self.allowed = True
        supervision.allow(listener, call)

    def _furnish(self, pid: int) -> None:
        """Ids, /proc, hostname and root of the fork whose first process is `pid`."""
        warden, root = self._warden, self._root
        assert root is not None
        for name, text in warden.maps.items():
            with open(f"/proc/{pid}/{name}", "w") as file:
                file.write(text)
        self._proc = process_files(pid)
        joined = NEW_NS | NEW_UTS | (warden.flags & NEW_NET)
        mounts.check(mounts.libc.setns(self.pidfd, joined), "entering the fork's namespaces")
        try:
            socket.sethostname(self._request["hostname"])
            if joined & NEW_NET:
                raise_loopback()
            root.put(self._proc)
        finally:
            for fd in warden.home:
                mounts.check(mounts.libc.setns(fd, 0), "leaving the fork's namespaces")
            os.fchdir(warden.stage)

    def _end(self) -> None:
        """Ends all that there is of it. Who has a namespace of its own and is not known can only be of a tampered
        template, and has perhaps a capability in there."""
        family, known = self._warden.family, set(self._warden.living)
        for birth in self._warden.births.values():
            known.add(birth.pid)
        doomed = [self.pid] if self.pid > 0 else []
        if self._parent_fd >= 0 and self.pid < 0:
            doomed = [*children(self._parent), *family.strangers(known)]
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


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    room = socket.CMSG_SPACE(MAX_FDS * 4)
    try:
        data, ancillary, _, _ = sock.recvmsg(1 << 20, room, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return b"", []
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload[: len(payload) - len(payload) % 4])
    return data, list(fds)


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", IFF_UP)
        fcntl.ioctl(sock, SIOCSIFFLAGS, request)


def process_files(pid: int) -> int:
    """A new /proc for the pid namespace of `pid`, mounted nowhere yet."""
    attributes = mounts.NO_SUID | mounts.NO_DEV | mounts.NO_EXEC
    namespace = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return mounts.new("proc", {"pidns": namespace}, attributes)
    except OSError as error:
        if not mounts.is_unknown(error):
            raise
        return _made_inside(namespace, attributes)
    finally:
        os.close(namespace)


def _made_inside(namespace: int, attributes: int) -> int:
    """The same before Linux 6.17, where a /proc is always that of its maker: a child in the namespace makes it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    helper = os.fork()
    if helper == 0:
        try:
            mounts.check(mounts.libc.prctl(4, 0, 0, 0, 0), "not being traced")  # PR_SET_DUMPABLE
            mounts.check(mounts.libc.setns(namespace, NEW_PID), "entering the fork's pid namespace")
            if os.fork() == 0:
                socket.send_fds(theirs, [b"proc"], [mounts.new("proc", {}, attributes)])
                os._exit(0)
            os.wait()
        except OSError as error:
            theirs.send(str(error).encode())
        os._exit(0)
    theirs.close()
    said, fds = receive(ours)
    ours.close()
    os.waitpid(helper, 0)
    if not fds:
        raise Ended(said.decode() or "no /proc could be made for it")
    return fds[0]
