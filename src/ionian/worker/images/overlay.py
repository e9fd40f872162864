"""Trees of overlay layers as files: looking a path up through them, marking deletions, merging a chain into one.

A layer is the upper side of an overlay. A *whiteout* in it (a character device 0:0, which a plain user may make
too) hides a name of the layers below; the attribute `user.overlay.opaque` on a folder hides all that is below it.
The attributes are always `user.overlay.*`: containers mount their layers with `userxattr`.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

OPAQUE = "user.overlay.opaque"
MAX_LINKS_FOLLOWED = 40  # as the kernel has it

WORLD_WRITABLE = {"tmp": 0o1777, "var/tmp": 0o1777}
"""Folders whose usual mode is not 0755: a layer that makes them must not close them."""


class Owner:
    """The user and group of the host that own the files of layers (root inside a container)."""

    def __init__(self, uid: int, gid: int, ids: int = 1) -> None:
        self.uid = uid
        self.gid = gid
        self._ids = ids  # how many a sandbox has
        # Only root may give files away; a plain user's files are its own, which is the id that its sandboxes map.
        self.active = os.geteuid() == 0

    def take(self, path: Path | str, status: os.stat_result | None = None) -> None:
        """Makes `path` (not what it points at) the owner's, unless it is by what is known of it."""
        if self.active and (status is None or (status.st_uid, status.st_gid) != (self.uid, self.gid)):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def here(self, uid: int, gid: int) -> tuple[int, int]:
        """The user and group of the host that these numbers of an image are in a sandbox; root's where it has no such ids."""
        inside = uid < self._ids and gid < self._ids
        return self.uid + (uid if inside else 0), self.gid + (gid if inside else 0)

    def give(self, path: Path, uid: int, gid: int) -> None:
        """Gives a file to a user and group as images number them."""
        if self.active:
            os.chown(path, *self.here(uid, gid), follow_symlinks=False)

    def take_tree(self, root: Path) -> None:
        """Makes everything below `root`, and root, the owner's."""
        if not self.active:
            return
        self.take(root)
        for folder, names, files in os.walk(root):
            for name in (*names, *files):
                self.take(os.path.join(folder, name))


def is_whiteout(status: os.stat_result) -> bool:
    """Whether a file of a layer says "deleted here"."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(folder: Path | str) -> bool:
    """Whether a folder of a layer hides what lower layers have in it."""
    try:
        return os.getxattr(folder, OPAQUE) == b"y"
    except OSError:
        return False


def make_opaque(folder: Path) -> None:
    """Marks a folder of a layer as hiding what lower layers have in it."""
    os.setxattr(folder, OPAQUE, b"y")


def white_out(path: Path) -> None:
    """Marks `path` of a layer as deleted."""
    os.mknod(path, stat.S_IFCHR, 0)


def lstat(layers: Sequence[Path], path: str) -> tuple[os.stat_result, Path] | None:
    """The topmost file at `path` and where it lies. No part of `path` may be a symbolic link, save the last."""
    parts = [part for part in path.split("/") if part]
    for layer in reversed(layers):
        place, hidden = layer, False
        for depth, part in enumerate(parts):
            place = place / part
            try:
                status = place.lstat()
            except FileNotFoundError:
                break
            except NotADirectoryError:
                return None
            if is_whiteout(status):
                return None
            last = depth == len(parts) - 1
            if last:
                return status, place
            if not stat.S_ISDIR(status.st_mode):
                return None
            hidden = hidden or is_opaque(place)
        else:
            return layer.lstat(), layer
        if hidden:
            return None
    return None


def resolve(layers: Sequence[Path], path: str) -> tuple[str, Path | None]:
    """Where `path` leads in the image, all links followed: its real name there, and the file (None: there is none).

    Parts that don't exist stay as they are, so the name serves for making the file, too.
    Raises OSError (ELOOP) where links go in circles.
    """
    todo = [part for part in path.split("/") if part][::-1]
    done: list[str] = []
    found: Path | None = layers[-1] if layers else None
    links = 0
    while todo:
        part = todo.pop()
        if part == ".":
            continue
        if part == "..":
            done = done[:-1]
            continue
        here = [*done, part]
        hit = lstat(layers, "/".join(here))
        if hit is not None and stat.S_ISLNK(hit[0].st_mode):
            links += 1
            if links > MAX_LINKS_FOLLOWED:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(hit[1])
            if target.startswith("/"):
                done = []
            todo.extend([name for name in target.split("/") if name][::-1])
            continue
        done = here
        found = None if hit is None else hit[1]
    if not done:
        found = layers[-1] if layers else None
    return "/" + "/".join(done), found


def names(layers: Sequence[Path], folder: str) -> dict[str, Path]:
    """What `folder` (a real name) holds: name → the topmost file of it."""
    out: dict[str, Path] = {}
    hidden: set[str] = set()
    for layer in reversed(layers):
        place = layer / folder.lstrip("/")
        if not place.is_dir() or place.is_symlink():
            if os.path.lexists(place):
                break
            continue
        for entry in os.scandir(place):
            if entry.name in out or entry.name in hidden:
                continue
            if is_whiteout(entry.stat(follow_symlinks=False)):
                hidden.add(entry.name)
            else:
                out[entry.name] = Path(entry.path)
        if is_opaque(place):
            break
    return out


def make_folders(layer: Path, path: str, owner: Owner, below: Sequence[Path] = ()) -> Path:
    """Makes the folder `path` (a real name) in a layer, with the modes and owners of the layers below.

    An overlay shows the attributes of the topmost folder, so a layer must repeat those of the ones it stands on.
    """
    place, done = layer, ""
    for part in (part for part in path.split("/") if part):
        place, done = place / part, f"{done}/{part}".lstrip("/")
        if place.is_dir():
            continue
        place.mkdir()
        under = lstat(below, done)
        if under is not None and stat.S_ISDIR(under[0].st_mode):
            copy_attributes(under[1], place)
        else:
            place.chmod(WORLD_WRITABLE.get(done, 0o755))
            owner.take(place)
    return place


def copy_attributes(source: Path | str, target: Path | str) -> None:
    """Gives `target` the mode, owner and times of `source`."""
    status = os.lstat(source)
    if os.geteuid() == 0:
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """A hard link; a copy where the file system has no more links for this file (ext4: 65,000) or refuses them."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EMLINK, errno.EPERM, errno.EXDEV):
            raise
        shutil.copy2(source, target, follow_symlinks=False)
        copy_attributes(source, target)


def merge(layers: Sequence[Path], target: Path) -> None:
    """Writes what an overlay of `layers` (lowest first) shows into `target`, as hard links to their files."""
    target.mkdir(exist_ok=True)
    for layer in layers:
        _merge_folder(layer, target)
        copy_attributes(layer, target)


def _merge_folder(source: Path, target: Path) -> None:
    for entry in list(os.scandir(source)):
        place = target / entry.name
        status = entry.stat(follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            remove(place)
            if not is_whiteout(status):
                link_or_copy(entry.path, place)
            continue
        if is_opaque(entry.path) or not place.is_dir() or place.is_symlink():
            remove(place)
            place.mkdir()
        _merge_folder(Path(entry.path), place)
        copy_attributes(entry.path, place)


def remove(path: Path) -> None:
    """Removes a file or a whole tree, whatever the modes of its folders; nothing there is fine."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        path.unlink()
        return
    for folder in _folders(path):
        if folder.stat(follow_symlinks=False).st_mode & 0o700 != 0o700:
            folder.chmod(0o700)
    shutil.rmtree(path)


def _folders(root: Path) -> Iterator[Path]:
    """root and each folder below it, a parent before its children are listed (so its mode can be mended first)."""
    yield root
    for entry in list(os.scandir(root)):
        if entry.is_dir(follow_symlinks=False):
            yield from _folders(Path(entry.path))
