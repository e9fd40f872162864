"""Files copied into a layer from other trees: another image (COPY --from), an archive that ADD unpacked."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import overlay
from .overlay import Owner

Give = tuple[int, int]
"""User and group, as the image numbers them."""


def matches(path: str, parts: Sequence[str]) -> bool:
    """Whether a file, or a folder that it lies in, is what the parts of a pattern name."""
    names = path.split("/")
    return len(names) >= len(parts) and all(map(fnmatch.fnmatchcase, names, parts))


def parts_of(pattern: str) -> list[str]:
    """The parts of a source; none for all of it. `..` does not lead out."""
    return [part for part in posixpath.normpath("/" + pattern).split("/") if part]


def is_folder(layers: Sequence[Path], path: str) -> bool:
    """Whether there is a folder at `path` of an image."""
    _, found = overlay.resolve(layers, path)
    return found is not None and found.is_dir()


def find(layers: Sequence[Path], pattern: str) -> list[str]:
    """The files and folders of a tree that a source means: their names there."""
    return sorted(_find(layers, "/", parts_of(pattern)))


def _find(layers: Sequence[Path], folder: str, parts: Sequence[str]) -> Iterator[str]:
    if not parts:
        yield folder
        return
    part, rest = parts[0], parts[1:]
    if not any(char in part for char in "*?["):
        path = posixpath.join(folder, part)
        real, found = overlay.resolve(layers, path)
        if found is not None:
            yield from [path] if not rest else _find(layers, real, rest)
        return
    for name in overlay.names(layers, overlay.resolve(layers, folder)[0]):
        if fnmatch.fnmatchcase(name, part):
            yield from _find(layers, posixpath.join(folder, name), rest)


class Copier:
    """Copies into one layer that stands on others."""

    def __init__(self, layer: Path, below: Sequence[Path], owner: Owner) -> None:
        self.layer = layer
        self.below = below
        self.owner = owner
        self.mode: int | None = None
        self.give: Give | None = (0, 0)  # None: as the file has it

    def copy(self, source: Sequence[Path], path: str, into: str) -> None:
        """What is at `path` of a tree to the name `into`; of a folder what it holds."""
        real, found = overlay.resolve(source, path)
        if found is not None:
            self._copy(source, real, found, into)

    def folder(self, path: str, like: Path | None = None) -> Path:
        """The folder `path` of the layer, links of the image followed; new ones belong to who gets the files."""
        real, _ = overlay.resolve([*self.below, self.layer], path)
        missing = [
            place for place in _upward(real) if overlay.lstat([*self.below, self.layer], place) is None
        ]
        place = overlay.make_folders(self.layer, real, self.owner, self.below)
        for name in missing:
            self._own(self.layer / name, None)
        if like is not None and missing:
            place.chmod(stat.S_IMODE(like.stat().st_mode))
            self._own(place, like)
        return place

    def _copy(self, source: Sequence[Path], real: str, found: Path, into: str) -> None:
        if found.is_dir() and not found.is_symlink():
            self.folder(into, found)
            for name, child in sorted(overlay.names(source, real).items()):
                self._copy(source, posixpath.join(real, name), child, posixpath.join(into, name))
            return
        folder, name = posixpath.split(into)
        place = self.folder(folder) / name
        overlay.remove(place)
        status = found.lstat()
        if stat.S_ISLNK(status.st_mode):
            place.symlink_to(os.readlink(found))
            self._own(place, found)
        elif stat.S_ISREG(status.st_mode):
            self._file(found, status, place)

    def _file(self, found: Path, status: os.stat_result, place: Path) -> None:
        mode = stat.S_IMODE(status.st_mode) if self.mode is None else self.mode
        ids = self._host_ids(found)
        same = not self.owner.active or (status.st_uid, status.st_gid) == ids
        if same and mode == stat.S_IMODE(status.st_mode):
            overlay.link_or_copy(found, place)
            return
        shutil.copy2(found, place)
        self._own(place, found)
        place.chmod(mode)

    def _own(self, place: Path, like: Path | None) -> None:
        if self.owner.active:
            os.chown(place, *self._host_ids(like), follow_symlinks=False)

    def _host_ids(self, like: Path | None) -> tuple[int, int]:
        if self.give is None and like is not None:
            status = like.lstat()
            return status.st_uid, status.st_gid
        return self.owner.here(*(self.give or (0, 0)))


def _upward(path: str) -> list[str]:
    """A folder and those that it lies in, the outermost first, as names without the first slash."""
    parts = [part for part in path.split("/") if part]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
