"""The files of one volume, for who does not mount it: listed, read, written, removed, copied."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ionian import faults
from ionian.machine.beneath import FOLDER, folder, give, link, opened, parts_of, rooted, sync_disk
from ionian.protocol.ids import ulid
from ionian.protocol.volumes import AT_ONCE, FilePart, FileType, VolumeFile

FICLONE = 0x40049409
COPIED_AT_ONCE = 64 << 20
COMPARED_AT_ONCE = 1 << 20

TYPES: dict[int, FileType] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


@dataclass
class Content:
    """What a file shall hold: these bytes, or those of a file elsewhere."""

    path: str
    mode: int
    source: bytes | Path


@dataclass
class Draft:
    """A file beside the volume, all of whose content is there."""

    path: str
    mode: int
    file: Path


class VolumeFiles:
    """The files below `root`. What is written lies in `drafts`, on the same disk, until it is complete.

    Raises BadPath, and OSError whose text is for people; both name the path.
    """

    def __init__(self, root: Path, drafts: Path) -> None:
        self._root = root
        self._drafts = drafts

    def list(self, path: str, after: str) -> tuple[list[VolumeFile], bool]:
        """What a folder holds, by name, after a name, and whether there is more; of a file, itself."""
        parts = parts_of(path)
        with rooted(self._root) as root, _about(path), opened(root, parts, os.O_PATH) as found:
            status = os.fstat(found)
            if not stat.S_ISDIR(status.st_mode):
                return [_entry("/".join(parts), status)], False
            with opened(root, parts, FOLDER) as listed:
                names = sorted(name for name in map(_readable, os.listdir(listed)) if name > after)
                entries = [_child(parts, name, listed) for name in names[:AT_ONCE]]
        return [entry for entry in entries if entry is not None], len(names) > AT_ONCE

    def read(self, path: str, offset: int, length: int) -> tuple[FilePart, bytes]:
        """A part of a file."""
        with (
            rooted(self._root) as root,
            _about(path),
            opened(root, parts_of(path), os.O_RDONLY | os.O_NONBLOCK) as file,
        ):
            status = os.fstat(file)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is no file with content")
            part = os.pread(file, max(0, length), max(0, offset))
            return FilePart(status.st_size, f"{status.st_dev}:{status.st_ino}"), part

    def existing(self, paths: Sequence[str]) -> list[str]:
        """Those of these paths that are taken."""
        with rooted(self._root) as root:
            return [path for path in paths if self._taken(root, path)]

    def _taken(self, root: int, path: str) -> bool:
        *parents, name = _below(path)
        try:
            with folder(root, tuple(parents)) as at:
                os.lstat(name, dir_fd=at)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _said(error, path) from None
        return True

    def put(self, contents: Sequence[Content], *, force: bool) -> list[str]:
        """Writes files: each whole, on the disk, and only then in its place. Returns those that others gave way to."""
        with rooted(self._root) as root, ExitStack() as drafts:
            status = os.fstat(root)
            owner = (status.st_uid, status.st_gid)
            written: list[tuple[Path, str]] = []
            for content in contents:
                _below(content.path)
                with _about(content.path):
                    draft = self._draft(lambda file, of=content: _fill(file, of), owner)
                    drafts.callback(draft.unlink, missing_ok=True)
                    written.append((draft, content.path))
            _sync([draft for draft, _ in written])
            return self._place(root, written, owner, force=force)

    def place(self, drafts: Sequence[Draft], *, force: bool) -> list[str]:
        """The same with drafts that hold their content already."""
        with rooted(self._root) as root:
            status = os.fstat(root)
            owner = (status.st_uid, status.st_gid)
            for draft in drafts:
                _below(draft.path)
                with _about(draft.path):
                    _finish(draft, owner)
            with _about(drafts[0].path):
                _sync([draft.file for draft in drafts])
            return self._place(root, [(draft.file, draft.path) for draft in drafts], owner, force=force)

    def _place(
        self, root: int, drafts: Sequence[tuple[Path, str]], owner: tuple[int, int], *, force: bool
    ) -> list[str]:
        """Gives drafts that are on the disk their names; returns which of these were taken. Those of one folder are synced
        together."""
        changed: set[tuple[str, ...]] = set()
        replaced: list[str] = []
        for draft, path in drafts:
            if faults.ARMED:
                faults.reach("volume.placed")
            *parents, name = _below(path)
            with _about(path), folder(root, tuple(parents), owner) as at:
                if force and _is_there(name, at):
                    replaced.append(path)
                _name(draft, name, at, force=force)
            changed.add(tuple(parents))
        for parents in changed:
            with suppress(OSError), folder(root, parents) as at:  # one that went meanwhile needs no sync
                os.fsync(at)
        return replaced

    def new_draft(self) -> Path:
        """Where a draft may lie."""
        return self._drafts / ulid()

    def _draft(self, fill: Callable[[int], None], owner: tuple[int, int]) -> Path:
        """A file with all its content, which is not yet on the disk."""
        draft = self.new_draft()
        file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fill(file)
            give(file, owner)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        return draft

    def remove(self, path: str, *, recursive: bool) -> None:
        """Removes a file; or a folder with all that is in it, which has to be said."""
        *parents, name = _below(path)
        with rooted(self._root) as root, _about(path), folder(root, tuple(parents)) as at:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=at).st_mode):
                os.unlink(name, dir_fd=at)
            elif recursive:
                shutil.rmtree(name, dir_fd=at)
            else:
                raise IsADirectoryError(errno.EISDIR, "it is a folder; recursive=True removes folders")

    def copy(self, sources: Sequence[str], destination: str, *, recursive: bool) -> None:
        """Copies files, or folders where that is said, as `cp` does."""
        target = parts_of(destination)
        with rooted(self._root) as root:
            into = self._is_folder(root, target)
            if not into and (len(sources) > 1 or destination.endswith("/")):
                raise NotADirectoryError(f"{destination}: there is no such folder to copy into")
            for source in sources:
                parts = _below(source)
                self._copy(
                    root, parts, (*target, parts[-1]) if into else _below(destination), recursive=recursive
                )

    def _is_folder(self, root: int, parts: tuple[str, ...]) -> bool:
        try:
            with folder(root, parts):
                return True
        except OSError:
            return False

    def _copy(self, root: int, source: tuple[str, ...], target: tuple[str, ...], *, recursive: bool) -> None:
        path = "/".join(source)
        if target[: len(source)] == source:
            raise OSError(errno.EINVAL, f"{path}: it can't be copied to itself or below itself")
        status = os.fstat(root)
        owner = (status.st_uid, status.st_gid)
        with _about(path), folder(root, source[:-1]) as at:
            mode = os.lstat(source[-1], dir_fd=at).st_mode
            if stat.S_ISREG(mode):
                with opened(at, source[-1:], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK) as file:
                    draft = self._draft(lambda new: _copied(file, new, mode), owner)
                try:
                    _sync([draft])
                    self._place(root, [(draft, "/".join(target))], owner, force=True)
                finally:
                    draft.unlink(missing_ok=True)
                return
            if stat.S_ISDIR(mode) and not recursive:
                raise IsADirectoryError(errno.EISDIR, "it is a folder; recursive=True copies folders")
            if stat.S_ISLNK(mode):
                with folder(root, target[:-1], owner) as to:
                    _relink(os.readlink(source[-1], dir_fd=at), target[-1], to, owner)
                return
            if not stat.S_ISDIR(mode):
                raise OSError(errno.EINVAL, "it is no file, folder or link")
            with folder(root, target, owner), folder(root, source) as listed:
                names = os.listdir(listed)
        for name in names:
            self._copy(root, (*source, name), (*target, name), recursive=True)


MANY = 8
"""Files that are synced one by one; more are on the disk sooner by one sync of all that was written to it."""


def _sync(drafts: Sequence[Path]) -> None:
    """What these files hold is on the disk when this returns."""
    one_for_all = len(drafts) > MANY
    for draft in drafts[:1] if one_for_all else drafts:
        file = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if one_for_all:
                sync_disk(file)
            else:
                os.fsync(file)
        finally:
            os.close(file)


def _name(draft: Path, name: str, at: int, *, force: bool) -> None:
    if draft.parent.stat().st_dev != os.fstat(at).st_dev:
        raise OSError(
            errno.EXDEV,
            "it would lie on another disk than volumes/drafts of the server, from where a file takes its name at once; "
            "all of volumes/ has to be on one disk",
        )
    if not force:
        try:
            os.link(draft, name, dst_dir_fd=at)
        except FileExistsError:  # what was sent again, for a server that was killed amid it, is no other file
            if not _is_same(draft, name, at):
                raise
        return
    try:
        os.rename(draft, name, dst_dir_fd=at)
    except IsADirectoryError:
        raise IsADirectoryError(errno.EISDIR, "there is a folder of that name") from None


def _is_there(name: str, at: int) -> bool:
    try:
        os.lstat(name, dir_fd=at)
    except FileNotFoundError:
        return False
    return True


def _is_same(draft: Path, name: str, at: int) -> bool:
    with suppress(OSError), draft.open("rb") as new:
        there = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        with os.fdopen(there, "rb") as old:
            if os.fstat(there).st_size != os.fstat(new.fileno()).st_size:
                return False
            while part := new.read(COMPARED_AT_ONCE):
                if part != old.read(COMPARED_AT_ONCE):
                    return False
            return True
    return False


def _below(path: str) -> tuple[str, ...]:
    parts = parts_of(path)
    if not parts:
        raise OSError(errno.EINVAL, f"expected a path of a file or folder in the volume, got {path!r}")
    return parts


@contextmanager
def _about(path: str) -> Generator[None]:
    """Errors within name the path as its user wrote it, and no path of the server's."""
    try:
        yield
    except OSError as error:
        raise _said(error, path) from None


SAID = {
    errno.ENOENT: "there is no such file or folder in the volume",
    errno.EEXIST: "it is there already; force=True replaces files",
    errno.EXDEV: "a link there leads out of the volume",
    errno.ELOOP: "a part of it is a link, or links lead in a circle",
}


def _said(error: OSError, path: str) -> OSError:
    """The same error in words of the volume's user."""
    if error.errno is None or (error.strerror or "").startswith(f"{path or '/'}: "):
        return error  # said already
    # What Python raises for a call has the name of a file; what we raise has its text.
    text = (
        (SAID.get(error.errno) if error.filename is not None else "") or error.strerror or "it can't be used"
    )
    made = OSError(error.errno, text)  # of the class that the number has
    return type(made)(error.errno, f"{path or '/'}: {text}")


def _readable(name: str) -> str:
    """A name as text; of one that is no Unicode what there is of it."""
    return os.fsencode(name).decode(errors="replace")


def _child(parts: tuple[str, ...], name: str, at: int) -> VolumeFile | None:
    try:
        return _entry("/".join((*parts, name)), os.lstat(name, dir_fd=at))
    except FileNotFoundError:  # it went meanwhile, or has no name in Unicode
        return None


def _entry(path: str, status: os.stat_result) -> VolumeFile:
    kind = TYPES.get(stat.S_IFMT(status.st_mode), "other")
    return VolumeFile(path, kind, status.st_mtime, status.st_size if kind == "file" else 0)


def _fill(file: int, content: Content) -> None:
    if isinstance(content.source, bytes):
        with os.fdopen(os.dup(file), "wb") as stream:
            stream.write(content.source)
        os.fchmod(file, content.mode)
        return
    source = os.open(content.source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _copied(source, file, content.mode)
    finally:
        os.close(source)


def _finish(draft: Draft, owner: tuple[int, int]) -> None:
    file = os.open(draft.file, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fchmod(file, draft.mode)
        give(file, owner)
    finally:
        os.close(file)


def _copied(source: int, file: int, mode: int) -> None:
    try:
        fcntl.ioctl(file, FICLONE, source)  # shares the blocks, where the disk can
    except OSError:
        at = 0
        while sent := os.sendfile(file, source, at, COPIED_AT_ONCE):
            at += sent
    os.fchmod(file, mode & 0o777)


def _relink(leads_to: str, name: str, at: int, owner: tuple[int, int]) -> None:
    try:
        os.unlink(name, dir_fd=at)
    except FileNotFoundError:
        pass
    link(leads_to, name, at, owner)
