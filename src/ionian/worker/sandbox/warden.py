"""The warden of a template: gives each of its forks what only somebody with rights can give, from outside.

    worker ──SEQPACKET──▶ warden ──SEQPACKET──▶ T ──fork──▶ A ──unshare, fork──▶ B (pid 1 of a fork) ──go──▶ P (the agent)

User code never has a right in the template (T). What needs one, the warden does: a process of this machine's Python that
the launcher forks for each template. It is in the template's user namespace, where it has every capability, and in a
mount namespace of its own; no user code runs in it, and none can see it, as its pid namespace is ours. In order:

 1. "conceive": T is told to fork. A says that it is there (the kernel tells its pid) and calls `unshare`, where it waits
    (supervision.py). The warden looks at who calls, and has it put into the container's cgroups, so that all that comes of
    it is born in there. This far one fork is kept ahead: the kernel takes 10 ms for a change of cgroup (an RCU grace
    period, measured), and T's memory does not change while it waits.
 2. "fork": A is let go on. It forks B, the first process of its pid namespace, and is ended once B is known.
 3. B gets its ids, hostname, /proc and root, then gives up its capabilities and puts on the filter of a container.
 4. census.py looks whether that is so. Only then the worker gets B's pidfd and the warden's way to it, by which it gives B
    the container's descriptors, and says "go". Until then B waits, without any right: a worker keeps one ahead.

Whatever goes wrong ends A and B. Standard library only; it runs in the launcher's child, never in the worker.
"""

from __future__ import annotations

import array
import json
import os
import select
import signal
import socket
from typing import Any, NoReturn

from . import mounts, supervision
from .birth import Birth, Ended
from .census import Family, Suspect, children
from .namespaces import NEW_NET, NEW_UTS, UNSHARED
from .newroot import Ground

MAX_FDS = 64
PR_SET_PDEATHSIG = 1
TOO_MANY = 1000
"""Refused calls of unshare of one template. An honest one makes hardly any: a library that tries, perhaps."""


class Warden:
    def __init__(
        self, control: socket.socket, template: socket.socket, init: int, request: dict[str, Any]
    ) -> None:
        self.control = control
        self.template = template
        self.flags = UNSHARED | (0 if request["network"] else NEW_NET)
        self.old_proc: bool = request["old_proc"]
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
        self.refusals = 0
        self.births: dict[int, Birth] = {}  # by the worker's number
        self.callers: dict[int, Birth] = {}  # by the pid that may call unshare, once
        self.waiting: dict[int, Birth] = {}  # by the descriptor that it waits for
        self.living: set[int] = set()  # the first processes of what was made
        self.mover = start_mover()
        self.poll = select.poll()
        for fd in (control.fileno(), self.listener):
            self.poll.register(fd, select.POLLIN)
        self.poll.register(template, 0)  # it says nothing; but it ends

    def serve(self) -> None:
        """Until the worker has gone or wants no more forks, or the template has ended."""
        self.say({"ready": True})
        try:
            while True:
                for fd, event in self.poll.poll():
                    if fd == self.control.fileno():
                        if not self.take():
                            return
                    elif fd == self.template.fileno():
                        for birth in list(self.births.values()):
                            self.over(birth, "it has ended")
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
        request: dict[str, Any] = json.loads(data)
        birth = self.births.get(request["id"])
        if request["do"] == "conceive":
            birth = self.births[request["id"]] = Birth(self, request["id"], fds)
            if self.listener < 0:
                self.over(birth, "the template calls unshare again and again")
            else:
                self.resume(birth)
        elif birth is None:  # it failed, and that is on its way to the worker
            for fd in fds:
                os.close(fd)
        elif request["do"] == "fork":
            birth.want(request)
            self.resume(birth)
        else:
            self.over(birth, "it took too long")
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
        self.living = self.living.intersection(children(self.family.init)) | {birth.pid}
        self.say({"id": birth.number, "pid": birth.pid}, [birth.pidfd, birth.way])
        birth.close(made=True)

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
            self.refusals += 1
            if self.refusals == TOO_MANY:
                self.give_up()
            return
        birth.call = call
        self.resume(birth)

    def give_up(self) -> None:
        """Supervises no more: the kernel itself refuses each call then, and ours is no work that user code can make."""
        self.poll.unregister(self.listener)
        os.close(self.listener)
        self.listener = -1
        for birth in list(self.births.values()):
            self.over(birth, "the template calls unshare again and again")

    def move(self, pid: int, groups: list[int]) -> int:
        """Has a process put into cgroups; returns an eventfd that says when it is done."""
        done = os.eventfd(0)
        socket.send_fds(self.mover, [b"%d" % pid], [done, *groups])
        return done

    def come_home(self) -> None:
        """Back into our own namespaces."""
        for fd in self.home:
            mounts.check(mounts.libc.setns(fd, 0), "leaving the fork's namespaces")
        os.fchdir(self.stage)

    def say(self, what: dict[str, object], fds: list[int] | None = None) -> None:
        try:
            socket.send_fds(self.control, [json.dumps(what).encode()], fds or [])
        except ConnectionError:
            pass  # the worker has gone, which the next read tells


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


def start_mover() -> socket.socket:
    """A child of ours that writes into cgroups, where the kernel makes it wait."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        move_all(theirs)
    theirs.close()
    return ours


def move_all(asked: socket.socket) -> NoReturn:
    try:
        mounts.libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.closerange(3, asked.fileno())  # the worker's end, above all
        os.closerange(asked.fileno() + 1, 65536)
        while True:
            pid, fds = receive(asked)
            if not pid:
                break
            done, *groups = fds
            try:
                for group in groups:
                    os.write(group, pid)
                os.eventfd_write(done, 1)
            except OSError:
                os.eventfd_write(done, 2)
            for fd in fds:
                os.close(fd)
    finally:
        os._exit(0)
