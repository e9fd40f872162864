"""Cards that are this worker's: of several workers on one machine, whoever runs them, one offers a card."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import socket

from .cdi import CdiDevice

log = logging.getLogger("ionian.worker")


class Claims:
    """A name in the kernel for each card: it goes with the process, however that ends, and lies in no folder that one
    user has and another has not. Workers in network namespaces of their own don't see each other's.

    `scope`: specs that are not the machine's own name cards of their own.
    """

    def __init__(self, scope: str = "") -> None:
        self._scope = scope
        self._held: list[socket.socket] = []

    def take(self, device: CdiDevice) -> bool:
        """Whether the card is this worker's from now on."""
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.bind(_name(self._scope, device))
        except OSError as error:
            holder.close()
            if error.errno == errno.EADDRINUSE:
                log.warning(
                    "gpu=%s is not offered: another worker on this machine does; stop that one, or let it do the work",
                    device.full_name,
                )
                return False
            log.warning("gpu=%s can't be kept from other workers: %s", device.full_name, error)
            return True
        self._held.append(holder)
        return True

    def release(self) -> None:
        """Others may have the cards."""
        while self._held:
            self._held.pop().close()


def _name(scope: str, device: CdiDevice) -> str:
    """By the numbers of its nodes, which are the same by whatever path or name they are found."""
    numbers: list[str] = []
    for node in device.nodes:
        found = os.stat(node).st_rdev
        numbers.append(f"{os.major(found)}:{os.minor(found)}")
    key = "\n".join([scope, *(sorted(numbers) or [device.full_name])])
    return f"\0ionian-card-{hashlib.sha256(key.encode()).hexdigest()[:32]}"
