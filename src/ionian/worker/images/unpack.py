"""Layers of a registry's image into one folder: tar streams one over the other, their deletions carried out."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import IO, cast

from . import overlay
from .registry import Layer, Registry, RegistryError

OPAQUE = ".wh..wh..opq"
WHITEOUT = ".wh."

Give = Callable[[Path, int, int], None]
"""Gives a file to a user and group as the image numbers them."""


def unpack(registry: Registry, layers: list[Layer], target: Path, give: Give) -> None:
    """Writes what the layers (lowest first) add up to into `target`. Raises RegistryError, OSError."""
    for layer in layers:
        with registry.blob(layer.digest) as raw:
            hashed = _Hashed(raw, layer)
            try:
                apply(_plain(hashed, layer.media_type), target, give)
                hashed.drain()
            except (tarfile.TarError, zlib.error, EOFError, HTTPException) as error:
                raise RegistryError(
                    f"layer {layer.digest[:19]} broke off or is no archive: {error}"
                ) from None
        if hashed.digest() != layer.digest:
            raise RegistryError(f"expected a layer with digest {layer.digest}, got {hashed.digest()}")


def apply(stream: IO[bytes], target: Path, give: Give, *, layer: bool = True) -> None:
    """Applies one layer's tar stream to `target`. An archive that is no `layer` may be packed, and deletes nothing."""
    folders: list[tuple[Path, tarfile.TarInfo]] = []
    made: set[str] = set()  # by this layer: an opaque mark spares them
    with tarfile.open(fileobj=stream, mode="r|" if layer else "r|*") as tar:
        for member in tar:
            folder, name = os.path.split("/" + member.name.strip("/"))
            if name in ("", ".", ".."):
                continue
            # A link in the path leads inside the image, never out of it.
            real, _ = overlay.resolve([target], folder)
            place = target / real.lstrip("/")
            _make_parents(place, give)
            if layer and name == OPAQUE:
                for entry in list(place.iterdir()):
                    if str(entry) not in made:
                        overlay.remove(entry)
            elif layer and name.startswith(WHITEOUT):
                overlay.remove(place / name[len(WHITEOUT) :])
            else:
                _write(tar, member, place / name, target)
                made.add(str(place / name))
                _finish(member, place / name, folders, give)
    for path, member in reversed(
        folders
    ):  # last: writing into a folder changes its time, and needs its mode open
        if path.is_dir() and not path.is_symlink():
            path.chmod(member.mode & 0o7777)
            os.utime(path, (member.mtime, member.mtime))


def _make_parents(folder: Path, give: Give) -> None:
    """Makes folders that no layer lists: root's, open to all."""
    if folder.is_dir():
        return
    _make_parents(folder.parent, give)
    folder.mkdir()
    folder.chmod(0o755)
    give(folder, 0, 0)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, target: Path) -> None:
    if member.isdir():
        if not path.is_dir() or path.is_symlink():
            overlay.remove(path)
            path.mkdir()
        return
    overlay.remove(path)
    if member.issym():
        path.symlink_to(member.linkname)
    elif member.islnk():
        folder, name = os.path.split("/" + member.linkname.strip("/"))
        real, _ = overlay.resolve([target], folder)
        os.link(target / real.lstrip("/") / name, path, follow_symlinks=False)
    elif member.isfile():
        content = tar.extractfile(member)
        with path.open("wb") as file:
            shutil.copyfileobj(cast(IO[bytes], content), file, 1 << 20)
    elif member.isfifo():
        os.mkfifo(path)
    # Device files are left out: a container has its own /dev.


def _finish(
    member: tarfile.TarInfo, path: Path, folders: list[tuple[Path, tarfile.TarInfo]], give: Give
) -> None:
    if member.islnk() or not os.path.lexists(path):
        return
    give(path, member.uid, member.gid)
    if member.isdir():
        path.chmod(0o755)
        folders.append((path, member))
    elif not member.issym():
        path.chmod(stat.S_IMODE(member.mode))
        os.utime(path, (member.mtime, member.mtime))


class _Hashed:
    """A stream that hashes what is read from it."""

    def __init__(self, raw: IO[bytes], layer: Layer) -> None:
        self._raw = raw
        self._layer = layer
        self._read = 0
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._raw.read(size)
        self._hash.update(data)
        self._read += len(data)
        if self._layer.size and self._read > self._layer.size:
            raise RegistryError(
                f"layer {self._layer.digest[:19]} is larger than the {self._layer.size} bytes that were announced"
            )
        return data

    def drain(self) -> None:
        while self.read(1 << 20):
            pass

    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


def _plain(stream: _Hashed, media_type: str) -> IO[bytes]:
    raw = cast(IO[bytes], stream)
    if media_type.endswith("gzip"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if media_type.endswith("zstd"):
        return _zstd(raw)
    return raw


def _zstd(stream: IO[bytes]) -> IO[bytes]:
    """Decompresses by the `zstd` program: Python has no zstd before 3.14. A file between keeps it simple."""
    program = shutil.which("zstd")
    if program is None:
        raise RegistryError(
            "this image's layers are compressed by zstd: install the package zstd on this machine"
        )
    with tempfile.TemporaryFile() as packed:
        shutil.copyfileobj(stream, packed, 1 << 20)
        packed.seek(0)
        plain = tempfile.TemporaryFile()  # noqa: SIM115
        subprocess.run([program, "-dc"], stdin=packed, stdout=plain, check=True)
    plain.seek(0)
    return cast(IO[bytes], plain)
