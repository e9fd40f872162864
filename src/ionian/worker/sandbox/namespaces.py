"""Namespaces, as the warden and its forks use them: their flags, and what is made in them.

Standard library only: part of the warden.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from . import mounts

NEW_NS, NEW_CGROUP, NEW_UTS, NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000
UNSHARED = NEW_USER | NEW_NS | NEW_PID | NEW_IPC | NEW_UTS | NEW_CGROUP
"""What is always a fork's own."""

SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", IFF_UP)
        fcntl.ioctl(sock, SIOCSIFFLAGS, request)


def process_files(pid: int, *, old: bool = False) -> int:
    """A new /proc for the pid namespace of `pid`, mounted nowhere yet; `old` makes it as before Linux 6.17."""
    attributes = mounts.NO_SUID | mounts.NO_DEV | mounts.NO_EXEC
    namespace = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if old:
            return _made_inside(namespace, attributes)
        try:
            return mounts.new("proc", {"pidns": namespace}, attributes)
        except OSError as error:
            if not mounts.is_unknown(error):
                raise
            return _made_inside(namespace, attributes)
    finally:
        os.close(namespace)


def give_number_back() -> None:
    """The next process of our pid namespace gets number 2, which is ours until we have ended."""
    try:
        with open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write("1")
    except OSError:
        pass  # a kernel without it: then user code is process 3


def _made_inside(namespace: int, attributes: int) -> int:
    """A /proc is that of its maker's namespace: a child in there makes it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    helper = os.fork()
    if helper == 0:
        try:
            mounts.check(mounts.libc.prctl(4, 0, 0, 0, 0), "not being traced")  # PR_SET_DUMPABLE
            mounts.check(mounts.libc.setns(namespace, NEW_PID), "entering the fork's pid namespace")
            if os.fork() == 0:
                socket.send_fds(theirs, [b"proc"], [mounts.new("proc", {}, attributes)])
                give_number_back()
                os._exit(0)
            os.wait()
        except OSError as error:
            theirs.send(str(error).encode())
        os._exit(0)
    theirs.close()
    said, fds, _, _ = socket.recv_fds(ours, 4096, 1, socket.MSG_CMSG_CLOEXEC)
    ours.close()
    os.waitpid(helper, 0)
    if not fds:
        raise OSError(said.decode() or "no /proc could be made for it")
    return fds[0]
