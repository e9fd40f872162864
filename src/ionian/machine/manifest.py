"""What a version of a volume holds, path by path, and how changes to an older version go into a newer one.

A manifest names content by its SHA-256; the content itself is a blob. Paths are bytes, as they are on the disk: names that
are no Unicode travel, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeVar

import msgspec

from .beneath import NAME_MAX, PATH_MAX

T = TypeVar("T")

FILES_MAX = 2_000_000
"""Files, folders and links of one volume: a manifest of so many is held in memory by whoever works on it."""

MODE = 0o777
"""What is kept of a mode. Not setuid and its kin: a file of one machine's container gives nobody rights on another."""


class BadManifest(ValueError):
    """What came is no manifest, or names what no volume can hold. The message is a sentence."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A file, folder or link of a volume."""

    kind: Literal["file", "folder", "link"]
    mode: int = 0o755
    content: bytes = b""  # of a file its SHA-256 in hexadecimal digits, of a link where it leads
    size: int = 0
    mtime_ns: int = 0

    @property
    def digest(self) -> str:
        """Of a file: the name of its content."""
        return self.content.decode()


Manifest = dict[bytes, Entry]


class Change(msgspec.Struct, frozen=True, array_like=True):
    """What became of a path: what it was when whoever changed it last looked, and what it is now; None: nothing."""

    path: bytes
    was: Entry | None
    now: Entry | None


def same(one: Entry | None, other: Entry | None) -> bool:
    """Whether two are the same to who reads them; a time alone makes no difference."""
    if one is None or other is None:
        return one is other
    return (one.kind, one.mode, one.content) == (other.kind, other.mode, other.content)


def pack(value: Manifest | Sequence[Change]) -> bytes:
    """A manifest, or changes, as bytes; equal ones are equal bytes."""
    if isinstance(value, dict):
        value = dict(sorted(value.items()))
    return msgspec.msgpack.encode(value)


def unpack_manifest(data: bytes) -> Manifest:
    """Raises BadManifest."""
    manifest = _unpack(data, Manifest)
    _check(manifest.items())
    for path in manifest:
        above = path.rpartition(b"/")[0]
        if above and (above not in manifest or manifest[above].kind != "folder"):
            raise BadManifest(f"{shown(path)} is below what is no folder")
    return manifest


def unpack_changes(data: bytes) -> list[Change]:
    """Raises BadManifest."""
    changes = _unpack(data, list[Change])
    _check((change.path, change.now) for change in changes)
    return changes


def _unpack(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadManifest(f"expected the files of a volume, got other bytes ({error})") from None


def _check(entries: Iterable[tuple[bytes, Entry | None]]) -> None:
    for number, (path, entry) in enumerate(entries):
        if number >= FILES_MAX:
            raise BadManifest(f"a volume on several machines holds up to {FILES_MAX:,} files")
        if why := trouble_with(path):
            raise BadManifest(why)
        if entry is None:
            continue
        if entry.mode & ~MODE or entry.size < 0:
            raise BadManifest(
                f"{shown(path)}: expected a mode of up to 777 and a size of 0 or more, got {entry.mode:o} and {entry.size}"
            )
        if entry.kind == "file" and not _is_digest(entry.content):
            raise BadManifest(f"{shown(path)}: expected a SHA-256 in 64 hexadecimal digits")
        if entry.kind == "link" and (not 0 < len(entry.content) < PATH_MAX or b"\0" in entry.content):
            raise BadManifest(f"{shown(path)}: expected a link to a path of up to {PATH_MAX} bytes")


def _is_digest(content: bytes) -> bool:
    return len(content) == 64 and not content.strip(b"0123456789abcdef")


def trouble_with(path: bytes) -> str:
    """Why no volume on several machines can hold a path; "": it can."""
    parts = path.split(b"/")
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        return f"expected a path within the volume, without '.' and '..', got {shown(path)}"
    if len(path) > PATH_MAX or any(len(part) > NAME_MAX for part in parts):
        return f"{shown(path)}: a volume on several machines holds paths of up to {PATH_MAX} bytes, of names of up to {NAME_MAX}"
    return ""


def shown(path: bytes) -> str:
    """A path for people: quoted, on one line."""
    text = path.decode(errors="backslashreplace")
    return repr(text if len(text) <= 200 else f"{text[:200]}…")


def merge(newest: Mapping[bytes, Entry], changes: Iterable[Change]) -> tuple[Manifest, list[bytes]]:
    """The newest version with these changes to an older one, and the paths at which another's write gave way to them.

    Of two who changed one path the last wins. What was deleted stays if another has changed it meanwhile.
    """
    merged = dict(newest)
    lost: list[bytes] = []
    known = sorted(changes, key=lambda change: change.path)
    _delete(merged, [change for change in reversed(known) if change.now is None])
    for change in known:
        if change.now is not None:
            _put(merged, change, change.now, lost)
    return merged, lost


def _delete(merged: Manifest, gone: Sequence[Change]) -> None:
    if not gone:
        return
    inside = Counter(path.rpartition(b"/")[0] for path in merged)
    for change in gone:  # what is in a folder comes before it
        found = merged.get(change.path)
        if found is None or not same(found, change.was) or inside[change.path]:
            continue
        del merged[change.path]
        inside[change.path.rpartition(b"/")[0]] -= 1


def _put(merged: Manifest, change: Change, now: Entry, lost: list[bytes]) -> None:
    path = change.path
    found = merged.get(path)
    if found is not None and not same(found, change.was) and not same(found, now):
        lost.append(path)
    if found is not None and found.kind == "folder" and now.kind != "folder":
        below = [other for other in merged if other.startswith(path + b"/")]
        lost += below
        for other in below:
            del merged[other]
    merged[path] = now
    while path := path.rpartition(b"/")[0]:
        above = merged.get(path)
        if above is not None and above.kind == "folder":
            return
        if above is not None:
            lost.append(path)
        merged[path] = Entry("folder")
