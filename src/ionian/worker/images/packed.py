"""A layer as one file: a tar archive in the form of OCI's layers, compressed by zstd.

What a layer is on the disk (`overlay.py`) is kept: owners as the image numbers them, modes, times, links of both kinds, attributes, and
what it hides of the layers below. Equal layers become equal files. What was changed on the way is found by the file's digest, and
nothing is written outside of the layer, whatever the file says.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from ..sandbox import IdMap
from . import overlay
from .unpack import OPAQUE, WHITEOUT, Give

XATTR = "SCHILY.xattr."
"""How GNU tar and OCI's tools name extended attributes in a pax header."""

LEVEL = 3
"""zstd's own default: a higher one takes longer than most networks do for what it saves."""

CHUNK = 1 << 20


class Unpackable(Exception):
    """A layer has no packed form. The message says why."""


class Damaged(Exception):
    """A packed layer is not what its digest says, or no layer at all."""


# --- to a file


def pack(folder: Path, file: Path, ids: IdMap) -> tuple[str, int]:
    """Writes a layer into a file; the digest and size of it. Blocks. Raises Unpackable, OSError."""
    with file.open("wb") as plain:
        hashed = _Hashed(cast(IO[bytes], plain))
        with (
            zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).stream_writer(
                cast(Any, hashed), closefd=False
            ) as packed,
            tarfile.open(
                fileobj=cast(IO[bytes], packed), mode="w|", format=tarfile.PAX_FORMAT, bufsize=CHUNK
            ) as tar,
        ):
            _Packing(folder, tar, ids).run()
    return hashed.digest(), hashed.size


class _Packing:
    """The walk through one layer."""

    def __init__(self, root: Path, tar: tarfile.TarFile, ids: IdMap) -> None:
        self._root = root
        self._tar = tar
        self._ids = ids
        self._linked: dict[tuple[int, int], str] = {}  # files of several names → the first one

    def run(self) -> None:
        self._add(self._root, ".", self._root.lstat())
        for path, name in _below(self._root, ""):
            self._add(path, name, path.lstat())

    def _add(self, path: Path, name: str, status: os.stat_result) -> None:
        folder, base = os.path.split(name)
        if base.startswith(WHITEOUT):
            raise Unpackable(f"{name} has a name that packed layers give to deletions")
        if overlay.is_whiteout(status):
            self._mark(os.path.join(folder, WHITEOUT + base))
            return
        member = self._member(path, name, status)
        if member is None:
            return
        if member.isreg():
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as content:
                self._tar.addfile(member, content)
            return
        self._tar.addfile(member)
        if member.isdir() and overlay.is_opaque(path):
            self._mark(os.path.join(name, OPAQUE))

    def _mark(self, name: str) -> None:
        member = tarfile.TarInfo(name)
        member.mode = 0
        self._tar.addfile(member)

    def _member(self, path: Path, name: str, status: os.stat_result) -> tarfile.TarInfo | None:
        """What the archive says of a file; None for what no layer needs: sockets, and devices, which containers have of their own."""
        member = tarfile.TarInfo(name)
        member.mode = stat.S_IMODE(status.st_mode)
        member.uid = _inside(self._ids.uids, status.st_uid)
        member.gid = _inside(self._ids.gids, status.st_gid)
        member.pax_headers = dict(_attributes(path))
        seconds, rest = divmod(status.st_mtime_ns, 10**9)
        if rest or seconds < 0:
            member.pax_headers["mtime"] = f"{seconds}.{rest:09}"
        member.mtime = max(0, seconds)
        if stat.S_ISDIR(status.st_mode):
            member.type = tarfile.DIRTYPE
            return member
        if status.st_nlink > 1:
            first = self._linked.setdefault((status.st_dev, status.st_ino), name)
            if first != name:
                member.type, member.linkname, member.pax_headers = tarfile.LNKTYPE, first, {}
                return member
        if stat.S_ISLNK(status.st_mode):
            member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            member.size = status.st_size
        elif stat.S_ISFIFO(status.st_mode):
            member.type = tarfile.FIFOTYPE
        else:
            return None
        return member


def _below(folder: Path, name: str) -> Iterator[tuple[Path, str]]:
    """All below a folder, each folder before what is in it, in an order that is always the same."""
    for entry in sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name)):
        inner = f"{name}/{entry.name}" if name else entry.name
        yield Path(entry.path), inner
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path), inner)


def _attributes(path: Path) -> Iterator[tuple[str, str]]:
    """The attributes that a program may see. What the overlay notes for itself holds for the file system it lies in alone."""
    with suppress(OSError):
        for name in sorted(os.listxattr(path, follow_symlinks=False)):
            if kept_attribute(name):
                value = os.getxattr(path, name, follow_symlinks=False)
                yield XATTR + name, value.decode(errors="surrogateescape")


def kept_attribute(name: str) -> bool:
    """Whether an attribute goes with the layer."""
    return name == "security.capability" or (
        name.startswith("user.") and not name.startswith("user.overlay.")
    )


def _inside(extents: tuple[tuple[int, int, int], ...], here: int) -> int:
    """An id of this machine as the image numbers it; root's where it is none of the image's."""
    return next((first + here - start for first, start, size in extents if start <= here < start + size), 0)


# --- from a file


def unpack(file: Path, folder: Path, digest: str, give: Give) -> None:
    """Writes a layer from a file into a new folder. Blocks. Raises Damaged, OSError; what is in the folder is worthless then."""
    with file.open("rb") as packed:
        hashed, why = _Hashed(cast(IO[bytes], packed)), ""
        try:
            plain = zstandard.ZstdDecompressor().stream_reader(cast(Any, hashed), read_size=CHUNK)
            with tarfile.open(fileobj=cast(IO[bytes], plain), mode="r|", bufsize=CHUNK) as tar:
                _Unpacking(folder, tar, give).run()
        except (zstandard.ZstdError, tarfile.TarError, EOFError, ValueError, Damaged) as error:
            why = str(error)
        while hashed.read(CHUNK):
            pass
    if hashed.digest() != digest:
        raise Damaged(f"its {hashed.size:,} bytes have the digest {hashed.digest()[:12]}")
    if why:
        raise Damaged(why)


class _Unpacking:
    """One archive on its way into a folder. Only what this archive made is a folder to write in or a file to link to."""

    def __init__(self, root: Path, tar: tarfile.TarFile, give: Give) -> None:
        self._root = root
        self._tar = tar
        self._give = give
        self._folders: dict[str, tarfile.TarInfo] = {}
        self._files: set[str] = set()

    def run(self) -> None:
        for member in self._tar:
            self._take(member)
        # Last: a folder must stay open to us until all is in it, which changes its time, too.
        for name, member in reversed(self._folders.items()):
            self._finish(member, self._root / name)

    def _take(self, member: tarfile.TarInfo) -> None:
        name = member.name
        if name == ".":
            self._folders[""] = member
            return
        folder, base = os.path.split(name)
        if name.startswith("/") or any(part in ("", ".", "..") for part in name.split("/")):
            raise Damaged(f"{name[:200]!r} leads out of the layer")
        if folder not in self._folders:
            raise Damaged(f"{name[:200]!r} lies in what is no folder of the layer")
        if name in self._folders or name in self._files:
            raise Damaged(f"{name[:200]!r} is there twice")
        path = self._root / name
        if base == OPAQUE:
            overlay.make_opaque(path.parent)
        elif base.startswith(WHITEOUT):
            if base[len(WHITEOUT) :] in ("", ".", ".."):
                raise Damaged(f"{name[:200]!r} hides nothing that could be there")
            overlay.white_out(path.with_name(base[len(WHITEOUT) :]))
        elif member.isdir():
            path.mkdir(0o700)
            self._folders[name] = member
        else:
            self._write(member, path)
            self._files.add(name)

    def _write(self, member: tarfile.TarInfo, path: Path) -> None:
        if member.islnk():
            if member.linkname not in self._files:
                raise Damaged(f"{member.name[:200]!r} is linked to what is no file of the layer")
            os.link(self._root / member.linkname, path, follow_symlinks=False)
            return
        if member.issym():
            path.symlink_to(member.linkname)
        elif member.isfifo():
            os.mkfifo(path)
        elif member.isreg():
            with path.open("xb") as file:
                shutil.copyfileobj(cast(IO[bytes], self._tar.extractfile(member)), file, CHUNK)
        else:
            raise Damaged(f"{member.name[:200]!r} is a device, and layers have none")
        self._finish(member, path)

    def _finish(self, member: tarfile.TarInfo, path: Path) -> None:
        self._give(path, member.uid, member.gid)
        for key, value in member.pax_headers.items():
            name = key.removeprefix(XATTR)
            if name != key and kept_attribute(name):
                with suppress(PermissionError):  # a capability, where the worker may not give any
                    os.setxattr(path, name, value.encode(errors="surrogateescape"), follow_symlinks=False)
        if not member.issym():
            path.chmod(member.mode & 0o7777)
        at = _nanoseconds(member)
        os.utime(path, ns=(at, at), follow_symlinks=False)


def _nanoseconds(member: tarfile.TarInfo) -> int:
    seconds, dot, rest = member.pax_headers.get("mtime", "").partition(".")
    if not dot or len(seconds) > 20:
        return int(member.mtime) * 10**9
    return int(seconds) * 10**9 + int(rest[:9].ljust(9, "0"))


class _Hashed:
    """A file of which is hashed what goes through."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def digest(self) -> str:
        return self._hash.hexdigest()
