"""What the gateway asks of the kernel besides netlink: its rules, its settings, the namespace that a process is in."""

from __future__ import annotations

import ctypes
import os
import subprocess

HAS_IPV6 = os.path.exists("/proc/sys/net/ipv6")

libc = ctypes.CDLL(None, use_errno=True)


class CannotConnect(Exception):
    """The gateway can't be made; the message says what refused it."""


def nft(rules: str) -> None:
    """Has nft carry out commands, all or none. Raises CannotConnect."""
    done = subprocess.run(["nft", "-f", "-"], input=rules, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotConnect(f"nft: {(done.stderr.strip().splitlines() or ['it failed'])[0]}")


def put(setting: str, value: str) -> None:
    """Sets what the kernel keeps for the net namespace that this process is in; what is IPv6's only where there is IPv6."""
    if setting.startswith("net/ipv6/") and not HAS_IPV6:
        return
    write(f"/proc/sys/{setting}", value)


def write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
