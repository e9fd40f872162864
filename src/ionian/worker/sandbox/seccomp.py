"""The seccomp filter of every sandbox, assembled here: no compiler, no library.

Equal in effect to Docker's default profile for a container without capabilities: what that profile does not allow
is answered with EPERM, `clone3` with ENOSYS (so that libc falls back to `clone`, whose flags a filter can read),
and numbers newer than the table with ENOSYS. Beyond Docker's: no AF_ALG sockets and no TIOCSTI.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass

# name → (x86-64, aarch64); None where the architecture has no such call.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "_sysctl": (156, None),
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chown": (92, None),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "create_module": (174, None),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "get_kernel_syms": (177, None),
    "get_mempolicy": (239, 236),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lchown": (94, None),
    "lookup_dcookie": (212, 18),
    "mbind": (237, 235),
    "migrate_pages": (256, 238),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "query_module": (178, None),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "socket": (41, 198),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "sysfs": (139, None),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "ustat": (136, None),
    "vhangup": (153, 58),
    "vserver": (236, None),
}

# Looked at with their arguments, or answered in another way than EPERM; see `_rules`.
SPECIAL = frozenset(
    {"chown", "chroot", "clone", "clone3", "fchown", "fchownat", "ioctl", "lchown", "personality", "socket"}
)
DENIED = frozenset(NUMBERS) - SPECIAL
CHOWN_FAMILY = ("chown", "fchown", "fchownat", "lchown")

NEWEST = 462  # mseal: the newest call that Docker's profile knows; anything above is ENOSYS
# CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}: no namespace may be made, so none can be used to attack the kernel.
NEW_NAMESPACES = 0x7E020000
PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)  # the ones that weaken nothing
AF_ALG, AF_VSOCK = 38, 40
TIOCSTI, TIOCLINUX = 0x5412, 0x541C

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_LD, _JEQ, _JGT, _JSET, _RET = 0x20, 0x15, 0x25, 0x45, 0x06  # BPF_{LD|W|ABS, JMP|J..|K, RET|K}
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_OFF_NR, _OFF_ARCH, _OFF_ARGS = 0, 4, 16


@dataclass(frozen=True)
class Insn:
    code: int
    jt: int
    jf: int
    k: int


def build_filter(
    *,
    as_build: bool = False,
    as_template: bool = False,
    fake_chown: bool = False,
    machine: str | None = None,
) -> bytes:
    """The filter as an array of `struct sock_filter`, ready for `bwrap --seccomp`.

    `as_build` leaves chroot to a build step (its capability decides); `fake_chown` answers the chown family with
    success, for builds in a namespace that has one id only. `as_template` lets `unshare` through, and nothing else:
    there it is supervised (supervision.py).
    """
    machine = machine or platform.machine()
    if machine not in _AUDIT_ARCH:
        raise ValueError(
            f"expected an x86_64 or aarch64 machine, got {machine}: no seccomp filter is known for it"
        )
    denied = DENIED - {"unshare"} if as_template else DENIED
    program = _program(machine, denied, as_build=as_build, fake_chown=fake_chown)
    return b"".join(struct.pack("=HBBI", i.code, i.jt, i.jf, i.k) for i in program)


def number(name: str, machine: str) -> int | None:
    return NUMBERS[name][0 if machine == "x86_64" else 1]


def _program(machine: str, names: frozenset[str], *, as_build: bool, fake_chown: bool) -> list[Insn]:
    out = [
        Insn(_LD, 0, 0, _OFF_ARCH),
        Insn(_JEQ, 1, 0, _AUDIT_ARCH[machine]),
        _fail(errno.ENOSYS),  # 32-bit programs would need a second table
        Insn(_LD, 0, 0, _OFF_NR),
        Insn(_JGT, 0, 1, NEWEST),  # x32 calls are above it, too
        _fail(errno.ENOSYS),
    ]
    denied = sorted(n for name in names if (n := number(name, machine)) is not None)
    for nr in denied:
        out += [Insn(_JEQ, 0, 1, nr), _fail(errno.EPERM)]
    for name in sorted(SPECIAL):
        nr = number(name, machine)
        body = _rules(name, as_build=as_build, fake_chown=fake_chown)
        if nr is not None and body:
            out += [Insn(_JEQ, 0, len(body), nr), *body]
    return [*out, Insn(_RET, 0, 0, _ALLOW)]


def _rules(name: str, *, as_build: bool, fake_chown: bool) -> list[Insn]:
    """What happens once the call is known to be `name`; every branch ends in a return."""
    if name in CHOWN_FAMILY:
        return [_fail(0)] if fake_chown else []
    if name == "chroot":
        return [] if as_build else [_fail(errno.EPERM)]
    if name == "clone3":
        return [_fail(errno.ENOSYS)]
    if name == "clone":
        return [_arg(0), Insn(_JSET, 0, 1, NEW_NAMESPACES), _fail(errno.EPERM), Insn(_RET, 0, 0, _ALLOW)]
    if name == "ioctl":
        return _deny_values(1, (TIOCSTI, TIOCLINUX))
    if name == "socket":
        return _deny_values(0, (AF_ALG, AF_VSOCK))
    assert name == "personality"
    allowed = [i for p in PERSONALITIES for i in (Insn(_JEQ, 0, 1, p), Insn(_RET, 0, 0, _ALLOW))]
    return [_arg(0), *allowed, _fail(errno.EPERM)]


def _deny_values(arg: int, values: Iterable[int]) -> list[Insn]:
    tests = [i for v in values for i in (Insn(_JEQ, 0, 1, v), _fail(errno.EPERM))]
    return [_arg(arg), *tests, Insn(_RET, 0, 0, _ALLOW)]


def _arg(n: int) -> Insn:
    # The low 32 bits (both machines are little-endian): the kernel reads these arguments as 32-bit numbers, too.
    return Insn(_LD, 0, 0, _OFF_ARGS + 8 * n)


def _fail(number: int) -> Insn:
    return Insn(_RET, 0, 0, _ERRNO | number)
