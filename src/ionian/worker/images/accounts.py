"""Users and groups of an image, by its own /etc/passwd and /etc/group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import overlay
from .records import ImageError


@dataclass
class Account:
    """A user of an image, and the groups that it is in."""

    uid: int
    gid: int
    name: str = ""
    home: str = "/"
    groups: list[int] = field(default_factory=list[int])


def find(layers: Sequence[Path], text: str) -> Account:
    """The account that `name`, `uid`, `name:group` or `uid:gid` means. Raises ImageError."""
    user, _, group = text.partition(":")
    rows = [row for row in _rows(layers, "/etc/passwd") if len(row) >= 6]
    row = next((row for row in rows if row[0] == user), None)
    if row is None and user.isdecimal():
        row = next((row for row in rows if row[2] == user), [user, "", user, user if group else "0", "", "/"])
    if row is None:
        raise ImageError(f"the image has no user {user!r}: its /etc/passwd doesn't name it")
    gid = int(row[3]) if not group else _group(layers, group)
    members = [
        int(one[2]) for one in _rows(layers, "/etc/group") if len(one) >= 4 and row[0] in one[3].split(",")
    ]
    return Account(int(row[2]), gid, row[0], row[5] or "/", [] if group else members)


def owner(layers: Sequence[Path], text: str) -> tuple[int, int]:
    """The ids that `--chown` means: a user without a group has the group of the same number."""
    user, _, group = text.partition(":")
    uid = int(user) if user.isdecimal() else find(layers, user).uid
    if group:
        return uid, _group(layers, group)
    return uid, uid if user.isdecimal() else find(layers, user).gid


def _group(layers: Sequence[Path], name: str) -> int:
    if name.isdecimal():
        return int(name)
    for row in _rows(layers, "/etc/group"):
        if row[0] == name and len(row) >= 3 and row[2].isdecimal():
            return int(row[2])
    raise ImageError(f"the image has no group {name!r}: its /etc/group doesn't name it")


def _rows(layers: Sequence[Path], path: str) -> list[list[str]]:
    _, found = overlay.resolve(layers, path)
    if found is None or not found.is_file():
        return []
    return [line.split(":") for line in found.read_text(errors="replace").splitlines() if line]
