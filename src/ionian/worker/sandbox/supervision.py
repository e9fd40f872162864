"""The supervised `unshare`: a filter that lets every such call below a template wait for the warden's answer.

It is put on by the launcher's child, before bubblewrap and so before the first instruction of the image: nothing in a
template ever ran without it. bubblewrap itself makes its namespaces by `clone`.

Standard library only: part of the launcher and of the warden.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from typing import NamedTuple

UNSHARE = {"x86_64": 272, "aarch64": 97}
SECCOMP = {"x86_64": 317, "aarch64": 277}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SET_MODE_FILTER, NEW_LISTENER = 1, 8
ALLOW, USER_NOTIF = 0x7FFF0000, 0x7FC00000
RECV, SEND, ID_VALID = 0xC0502100, 0xC0182101, 0x40082102
CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE: the kernel goes on with the call as it was made
EPERM = 1

_NOTICE = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")

libc = ctypes.CDLL(None, use_errno=True)
MACHINE = os.uname().machine


class Call(NamedTuple):
    """Somebody below a template called unshare and waits. `pid` is the caller's number here."""

    id: int
    pid: int
    flags: int


def supervise() -> int:
    """Puts the filter on this process and all that it will become; returns the listener's descriptor."""
    code = b"".join(
        struct.pack("=HBBI", *line)
        for line in (
            (0x20, 0, 0, 4),  # the architecture
            (0x15, 0, 3, AUDIT_ARCH[MACHINE]),
            (0x20, 0, 0, 0),  # the number of the call
            (0x15, 0, 1, UNSHARE[MACHINE]),
            (0x06, 0, 0, USER_NOTIF),
            (0x06, 0, 0, ALLOW),  # the container's own filter knows all others
        )
    )
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    fd = libc.syscall(SECCOMP[MACHINE], SET_MODE_FILTER, NEW_LISTENER, program)
    if fd < 0:
        raise OSError(f"the supervision of a template: {os.strerror(ctypes.get_errno())}")
    return fd


def receive(listener: int) -> Call | None:
    """The next call that waits; None when its caller has died meanwhile."""
    buffer = bytearray(_NOTICE.size)
    try:
        fcntl.ioctl(listener, RECV, buffer)
    except FileNotFoundError:
        return None
    id_, pid, _, _, _, _, flags, *_ = _NOTICE.unpack(buffer)
    return Call(id_, pid, flags)


def still_waits(listener: int, call: Call) -> bool:
    """Whether the caller is still the one that called: what was read of /proc/<pid> before is about it then."""
    try:
        fcntl.ioctl(listener, ID_VALID, struct.pack("=Q", call.id))
    except OSError:
        return False
    return True


def allow(listener: int, call: Call) -> None:
    _answer(listener, call, 0, CONTINUE)


def refuse(listener: int, call: Call) -> None:
    _answer(listener, call, -EPERM, 0)


def _answer(listener: int, call: Call, error: int, flags: int) -> None:
    try:
        fcntl.ioctl(listener, SEND, _ANSWER.pack(call.id, 0, error, flags))
    except FileNotFoundError:
        pass  # the caller has died
