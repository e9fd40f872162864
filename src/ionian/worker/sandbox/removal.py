"""Deletes small folders one after the other, in one process: most containers leave a few empty ones.

It is a child of the launcher, in the user namespace that the files' owners live in. What is not small is left, for
`rm` in a process of its own (launcher.py): nothing waits long here.

Standard library only: part of the launcher.
"""

from __future__ import annotations

import os
import socket

SMALL = 200
"""Entries of a folder that is deleted here, all below it counted."""

DONE, LARGE = b"d", b"l"
"""The answers: it is gone; or it was left, in part perhaps."""

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Large(Exception):
    """There is more in it than is deleted here, or what can't be deleted so simply."""


def serve(asked: socket.socket) -> None:
    """Deletes the folder that each message names, until nobody is there to ask."""
    while path := asked.recv(1 << 16):
        try:
            remove_small(path)
            answer = DONE
        except (OSError, Large):
            answer = LARGE
        asked.send(answer)


def remove_small(path: bytes) -> None:
    """Deletes a folder with all that is in it. Raises Large or OSError where it does not."""
    folder = os.open(path, _OPEN)
    try:
        device = os.fstat(folder).st_dev
        _empty(folder, device, _listed(folder, device, SMALL))
    finally:
        os.close(folder)
    os.rmdir(path)


Entries = dict[str, "Entries | None"]
"""Names in a folder; with each folder what is in it."""


def _listed(folder: int, device: int, room: int) -> Entries:
    """All in a folder, looked at before anything is deleted. No link and no mount is followed."""
    entries: Entries = {}
    with os.scandir(folder) as listing:
        for entry in listing:
            if len(entries) >= room:
                raise Large
            entries[entry.name] = {} if entry.is_dir(follow_symlinks=False) else None
    room -= len(entries)
    for name, below in entries.items():
        if below is not None:
            inner = os.open(name, _OPEN, dir_fd=folder)
            try:
                if os.fstat(inner).st_dev != device:
                    raise Large
                below.update(_listed(inner, device, room))
            finally:
                os.close(inner)
            room -= _count(below)
    return entries


def _count(entries: Entries) -> int:
    return len(entries) + sum(_count(below) for below in entries.values() if below)


def _empty(folder: int, device: int, entries: Entries) -> None:
    for name, below in entries.items():
        if below is None:
            os.unlink(name, dir_fd=folder)
            continue
        if below:
            inner = os.open(name, _OPEN, dir_fd=folder)
            try:
                if os.fstat(inner).st_dev != device:
                    raise Large
                _empty(inner, device, below)
            finally:
                os.close(inner)
        os.rmdir(name, dir_fd=folder)
