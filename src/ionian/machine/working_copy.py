"""A folder that holds a version of a volume and what was changed in it since: what that is, and how it takes up a newer one.

Containers write to the folder meanwhile. So it is read and written through open folders and never by a link, each file takes its
name when all of it is there, and what was changed since we looked stays as it is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from .beneath import folder, give, link, rooted, sync_disk
from .manifest import FILES_MAX, MODE, BadManifest, Change, Entry, Manifest, same, shown, trouble_with

READ_AT_ONCE = 1 << 20

FULL = (errno.ENOSPC, errno.EDQUOT)

RACY_NS = 100_000_000
"""A file that was changed so shortly before we looked may change again under the same time: next time it is read anew."""

Signature = tuple[int, int, int, int]
"""By which a file that was not changed is known without being read: inode, size, and the times of its content and inode."""


class _Kept(msgspec.Struct):
    """What outlives the process, beside the folder."""

    version: str = ""
    base: Manifest = msgspec.field(default_factory=Manifest)
    signatures: dict[bytes, Signature] = msgspec.field(default_factory=dict[bytes, Signature])
    pending: dict[bytes, Entry | None] = msgspec.field(default_factory=dict[bytes, Entry | None])
    """What is being done to hold another version: after a kill, what of it is there is nobody's change."""


@dataclass
class Changes:
    """What was changed since the base. `drafts`: copies of new content, by digest; whoever asked deletes them."""

    changes: list[Change] = field(default_factory=list[Change])
    drafts: dict[str, Path] = field(default_factory=dict[str, Path])
    troubles: list[str] = field(default_factory=list[str])

    def drop(self) -> None:
        """Deletes the drafts that are still there."""
        for draft in self.drafts.values():
            draft.unlink(missing_ok=True)


@dataclass
class Update:
    """What is to be done to hold another version. Content comes into `drafts` first, by path."""

    version: str
    gone: list[bytes] = field(default_factory=list[bytes])  # what is in a folder comes before it
    new: list[tuple[bytes, Entry]] = field(default_factory=list[tuple[bytes, Entry]])  # a folder comes first
    drafts: dict[bytes, Path] = field(default_factory=dict[bytes, Path])

    def drop(self) -> None:
        """Deletes the drafts that have no place yet."""
        for draft in self.drafts.values():
            draft.unlink(missing_ok=True)


class WorkingCopy:
    """One at a time may use it: its methods block, and do not lock.

    ```
    copy = WorkingCopy(root, kept, owner)
    changes = copy.changes(drafts)       # what lies below root, against what it held
    ...                                  # they become a version
    copy.committed(changes)
    update = copy.plan(version, manifest, drafts)
    ...                                  # each of update.drafts is filled
    copy.apply(update)
    ```
    """

    def __init__(self, root: Path, kept: Path, owner: tuple[int, int]) -> None:
        self.root = root
        self._kept_in = kept
        self.owner = owner
        self._kept = _read(kept)
        self._looked: dict[
            bytes, tuple[bytes, Signature]
        ] = {}  # the content of changes, until they are committed
        if self._kept.pending:
            self._settle()

    @property
    def version(self) -> str:
        """The version that it took up last; "": none."""
        return self._kept.version

    @property
    def base(self) -> Manifest:
        """What the folder held when it was last the same as a version, path by path."""
        return self._kept.base

    # --- what was changed

    def changes(self, drafts: Path) -> Changes:
        """What was changed since it last was the same as a version. Raises OSError where the disk of the drafts is full."""
        found = Changes()
        seen: set[bytes] = set()
        unseen: list[bytes] = []
        try:
            with rooted(self.root) as root:
                self._walk(root, found, seen, unseen, drafts)
        except BaseException:
            found.drop()
            raise
        hidden = tuple(path + b"/" for path in unseen)
        for path, was in self.base.items():
            if path not in seen and path not in unseen and not (hidden and path.startswith(hidden)):
                found.changes.append(Change(path, was, None))
                self._kept.signatures.pop(path, None)
        return found

    def _walk(self, root: int, found: Changes, seen: set[bytes], unseen: list[bytes], drafts: Path) -> None:
        waiting = [b""]
        while waiting:
            at = waiting.pop()
            try:
                with folder(root, _parts(at)) as listed, os.scandir(listed) as entries:
                    for one in entries:
                        path = at + b"/" + os.fsencode(one.name) if at else os.fsencode(one.name)
                        if len(seen) >= FILES_MAX:
                            raise BadManifest(f"a volume on several machines holds up to {FILES_MAX:,} files")
                        now = self._look(listed, one, path, found, unseen, drafts)
                        if now is None:
                            continue
                        seen.add(path)
                        if now.kind == "folder":
                            waiting.append(path)
                        if not same(now, was := self.base.get(path)):
                            found.changes.append(Change(path, was, now))
            except (FileNotFoundError, NotADirectoryError):
                continue  # it went meanwhile
            except OSError as error:
                if not at or error.errno in FULL:
                    raise
                found.troubles.append(f"{shown(at)}: {error.strerror}")
                unseen.append(at)

    def _look(
        self, at: int, one: os.DirEntry[str], path: bytes, found: Changes, unseen: list[bytes], drafts: Path
    ) -> Entry | None:
        if why := trouble_with(path):
            found.troubles.append(why)
            return None
        try:
            status = one.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                return Entry("folder", status.st_mode & MODE)
            if stat.S_ISLNK(status.st_mode):
                return Entry("link", MODE, os.fsencode(os.readlink(one.name, dir_fd=at)))
            if stat.S_ISREG(status.st_mode):
                return self._file(at, one.name, path, status, found, drafts)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in FULL:
                raise
            found.troubles.append(f"{shown(path)}: {error.strerror}")
            unseen.append(path)
        return None  # a socket or a pipe is one machine's

    def _file(
        self, at: int, name: str, path: bytes, status: os.stat_result, found: Changes, drafts: Path
    ) -> Entry:
        was = self.base.get(path)
        mode = status.st_mode & MODE
        if was is not None and was.kind == "file" and self._kept.signatures.get(path) == _signature(status):
            return was if was.mode == mode else msgspec.structs.replace(was, mode=mode)
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise FileNotFoundError(errno.ENOENT, "another took its place")
            draft = drafts / secrets.token_hex(16)
            try:
                digest = _copied(descriptor, before.st_size, draft)
                is_base = was is not None and was.content == digest.encode()
                if is_base or digest in found.drafts:
                    draft.unlink()
                else:
                    found.drafts[digest] = draft
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            self._sign(path, digest, before, os.fstat(descriptor), is_base=is_base)
        finally:
            os.close(descriptor)
        return Entry("file", mode, digest.encode(), before.st_size, before.st_mtime_ns)

    def _sign(
        self, path: bytes, digest: str, before: os.stat_result, after: os.stat_result, *, is_base: bool
    ) -> None:
        """Notes what a file looks like whose content is known, so that it need not be read again: that of the base now, that
        of a change when it is the base."""
        self._kept.signatures.pop(path, None)
        self._looked.pop(path, None)
        if _signature(before) == _signature(after) and time.time_ns() - after.st_ctime_ns > RACY_NS:
            if is_base:
                self._kept.signatures[path] = _signature(after)
            else:
                self._looked[path] = (digest.encode(), _signature(after))

    def committed(self, changes: Sequence[Change]) -> None:
        """These changes are in a version now."""
        for change in changes:
            self._now(change.path, change.now)
            content, signature = self._looked.pop(change.path, (b"", None))
            if signature is not None and change.now is not None and change.now.content == content:
                self._kept.signatures[change.path] = signature
        self._looked.clear()
        self._save()

    def forget(self) -> None:
        """All that is here is a change from now on."""
        self._kept = _Kept()
        self._save()

    # --- another version

    def plan(self, version: str, manifest: Mapping[bytes, Entry], drafts: Path) -> Update:
        """What has to be done to hold this version: each of the `drafts` is to be filled by the caller."""
        update = Update(version)
        update.gone = sorted((path for path in self.base if path not in manifest), reverse=True)
        for path in sorted(manifest):
            now, was = manifest[path], self.base.get(path)
            if same(now, was):
                continue
            update.new.append((path, now))
            if now.kind == "file" and (was is None or was.kind != "file" or was.content != now.content):
                update.drafts[path] = drafts / secrets.token_hex(16)
        return update

    def apply(self, update: Update, reached: Callable[[], None] = lambda: None) -> list[str]:
        """Does it; returns what could not be done, and why. What was changed here meanwhile stays, and is a change
        to the base that it had. Raises OSError."""
        troubles: list[str] = []
        self._kept.pending = {**dict.fromkeys(update.gone), **dict(update.new)}
        self._save()
        with rooted(self.root) as root:
            for draft in list(update.drafts.values())[:1]:
                file = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    sync_disk(file)  # a name must not be on the disk before the content is
                finally:
                    os.close(file)
            for path in update.gone:
                self._one(root, path, None, None, troubles)
            for path, entry in update.new:
                reached()
                self._one(root, path, entry, update.drafts.get(path), troubles)
            for path, entry in reversed(update.new):  # a folder may be closed to us by its mode
                if entry.kind == "folder" and same(self.base.get(path), entry):
                    with suppress(OSError), folder(root, _parts(path)) as at:
                        os.fchmod(at, entry.mode)
        self._kept.version = update.version
        self._kept.pending = {}
        self._save()
        return troubles

    def _settle(self) -> None:
        """What a process that was killed had done of an update is the base now."""
        with rooted(self.root) as root:
            for path, entry in self._kept.pending.items():
                *above, name = _parts(path)
                try:
                    with folder(root, tuple(above)) as at:
                        done = self._is(at, name, entry)
                except OSError:
                    done = entry is None
                if done:
                    self._now(path, entry)
        self._kept.pending = {}
        self._save()

    def _now(self, path: bytes, entry: Entry | None) -> None:
        """The base has this at a path."""
        if entry is None:
            self.base.pop(path, None)
            self._kept.signatures.pop(path, None)
        else:
            self.base[path] = entry

    def _is(self, at: int, name: str, entry: Entry | None) -> bool:
        """Whether at a name is what shall be there, but for its mode."""
        try:
            mode = os.lstat(name, dir_fd=at).st_mode
        except FileNotFoundError:
            return entry is None
        if entry is None:
            return False
        if entry.kind == "folder":
            return stat.S_ISDIR(mode)
        if entry.kind == "link":
            return stat.S_ISLNK(mode) and os.fsencode(os.readlink(name, dir_fd=at)) == entry.content
        return stat.S_ISREG(mode) and _digest(at, name) == entry.digest

    def _one(
        self, root: int, path: bytes, entry: Entry | None, draft: Path | None, troubles: list[str]
    ) -> None:
        *above, name = _parts(path)
        try:
            with folder(root, tuple(above), self.owner if entry is not None else None) as at:
                if not self._may_change(at, name, path, entry):
                    if self._is(at, name, entry):  # another wrote the same
                        self._now(path, entry)
                    return
                self._make_way(at, name, entry)
                if entry is not None:
                    self._place(at, name, path, entry, draft)
        except FileNotFoundError:
            if entry is not None:
                troubles.append(f"{shown(path)}: it went meanwhile")
                return
        except OSError as error:
            if error.errno in FULL:
                raise
            if entry is None and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return  # a folder in which something new is
            troubles.append(f"{shown(path)}: {error.strerror}")
            return
        self._now(path, entry)

    def _may_change(self, at: int, name: str, path: bytes, entry: Entry | None) -> bool:
        """Whether what is at a path is what the base has there, or what it shall have anyway."""
        was = self.base.get(path)
        try:
            status = os.lstat(name, dir_fd=at)
        except FileNotFoundError:
            return was is None or entry is None  # deleted here: that is a change, too
        if was is None:
            return stat.S_ISDIR(status.st_mode) and entry is not None and entry.kind == "folder"
        if was.kind == "folder":
            return stat.S_ISDIR(status.st_mode)
        if was.kind == "link":
            return stat.S_ISLNK(status.st_mode) and os.fsencode(os.readlink(name, dir_fd=at)) == was.content
        if not stat.S_ISREG(status.st_mode) or status.st_mode & MODE != was.mode:
            return False
        return self._kept.signatures.get(path) == _signature(status) or _digest(at, name) == was.digest

    def _make_way(self, at: int, name: str, entry: Entry | None) -> None:
        """Removes what is at a name, where that is not replaced or only changed."""
        try:
            is_folder = stat.S_ISDIR(os.lstat(name, dir_fd=at).st_mode)
        except FileNotFoundError:
            return
        if is_folder and (entry is None or entry.kind != "folder"):
            os.rmdir(name, dir_fd=at)
        elif not is_folder and (entry is None or entry.kind != "file"):
            os.unlink(name, dir_fd=at)

    def _place(self, at: int, name: str, path: bytes, entry: Entry, draft: Path | None) -> None:
        if entry.kind == "folder":
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=at)
            with folder(at, (name,)) as made:
                os.fchmod(made, entry.mode | 0o700)
                give(made, self.owner)
        elif entry.kind == "link":
            link(os.fsdecode(entry.content), name, at, self.owner)
        elif draft is None:  # only its mode is another
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
            try:
                os.fchmod(file, entry.mode)
            finally:
                os.close(file)
        else:
            self._file_at(at, name, path, entry, draft)

    def _file_at(self, at: int, name: str, path: bytes, entry: Entry, draft: Path) -> None:
        file = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fchmod(file, entry.mode)
            give(file, self.owner)
            os.utime(file, ns=(time.time_ns(), entry.mtime_ns))
            os.rename(draft, name, dst_dir_fd=at)
            placed = os.fstat(file)
            if abs(placed.st_ctime_ns - entry.mtime_ns) > RACY_NS:  # who writes to it gives it another time
                self._kept.signatures[path] = _signature(placed)
            else:
                self._kept.signatures.pop(path, None)
        finally:
            os.close(file)

    # --- what outlives the process

    def _save(self) -> None:
        draft = self._kept_in.with_suffix(".new")
        with open(draft, "wb") as file:
            file.write(msgspec.msgpack.encode(self._kept))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._kept_in)


def _read(kept: Path) -> _Kept:
    try:
        return msgspec.msgpack.decode(kept.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return _Kept()
    except (msgspec.DecodeError, UnicodeDecodeError):  # lost with the power; all is read anew
        return _Kept()


def _parts(path: bytes) -> tuple[str, ...]:
    return tuple(os.fsdecode(part) for part in path.split(b"/")) if path else ()


def _signature(status: os.stat_result) -> Signature:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _copied(source: int, size: int, draft: Path) -> str:
    """Copies what a file held when we looked, and no more of one that grows; returns the digest of the copy."""
    seen = hashlib.sha256()
    with open(draft, "xb", buffering=0) as file:
        at = 0
        while at < size and (part := os.pread(source, min(READ_AT_ONCE, size - at), at)):
            seen.update(part)
            view = memoryview(part)
            while len(view):
                view = view[file.write(view) :]
            at += len(part)
    return seen.hexdigest()


def _digest(at: int, name: str) -> str:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    with os.fdopen(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
