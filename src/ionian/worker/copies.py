"""Volumes on a machine that does not see the server's disk: a working copy of each, and what goes between it and the server.

The containers of this machine share one copy, so that they see at once what another writes, as they do on the server's machine. Of an
isolated volume each has one of its own, on the server's machine, too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any

from .. import faults
from ..machine.manifest import BadManifest, Change, Manifest, pack, unpack_manifest
from ..machine.state import private_folder
from ..machine.working_copy import FULL, Update, WorkingCopy
from ..protocol.ids import ulid
from ..protocol.messages import FindBlobs
from ..protocol.spec import VolumeMount
from ..protocol.stream import ConnectionLost, Refused
from ..protocol.volumes import CommitChanges, FindVersion
from .blobs import Blobs
from .sandbox import Bind, IdMap, SandboxError, remove_folders
from .sent import SentCommit, keep, kept
from .volumes import bind_of

if TYPE_CHECKING:
    from .uplink import Uplink

log = logging.getLogger("ionian.worker")

COMMIT_EVERY_S = 5.0
"""What containers write is committed so often without their asking for it."""

SHARE = 20
"""Of a core at most this part goes into looking at one copy: one of millions of files is looked at less often."""

AT_ONCE = 8
"""Files that are on their way at the same time."""

COPY = "working-copy"
"""By this name volume_sync.py, inside, tells a copy from the server's own folder."""

OWN = "own"
"""The folder of copies that are one container's."""

PAUSE_S = 0.2
"""Between two looks for a server that was lost."""

LAST_S = 60.0
"""What a container wrote is committed before its end is told, unless that takes longer than this: then later."""


class Copies:
    """The copies of one worker: of a volume for all its containers, and of an isolated one for each."""

    def __init__(self, uplink: Uplink, blobs: Blobs, folder: Path) -> None:
        self._uplink = uplink
        self._blobs = blobs
        self._folder = folder
        self._making = asyncio.Lock()
        self._copies: dict[tuple[str, str], Copy] = {}  # by volume, and the container whose own it is

    async def sweep(self) -> None:
        """What containers of a worker that was killed had for themselves is gone with them."""
        await remove_folders(list(self._folder.glob(f"*/{OWN}/*")), IdMap.current())

    async def bind(self, mount: VolumeMount, container_id: str) -> Bind:
        """What shows a volume inside: the server's own folder where this machine sees it, else a copy. Raises
        SandboxError."""
        shared = self._uplink.shared_volumes
        if shared is not None and not (mount.isolated and container_id):
            root = shared / mount.volume_id
            root.mkdir(mode=0o700, exist_ok=True)
            return await bind_of(root, mount)
        return await bind_of((await self._copy(mount, container_id)).root, mount)

    async def fresh(self, mounts: Sequence[VolumeMount], container_id: str) -> None:
        """A container that starts finds the newest version. Raises SandboxError."""
        for mount in self._copied(mounts, container_id):
            try:
                await (await self._copy(mount, container_id)).reload()
            except (Refused, BadManifest, OSError) as error:
                raise SandboxError(
                    f"the volume at {mount.path} can't be brought to this machine: {said(error)}"
                ) from None

    async def commit(self, mount: VolumeMount, container_id: str) -> None:
        """What was written becomes a version. Raises Refused, OSError."""
        await (await self._copy(mount, container_id)).commit(container_id)

    async def reload(self, mount: VolumeMount, container_id: str) -> None:
        """The newest version is taken up. Raises Refused, BadManifest, OSError."""
        await (await self._copy(mount, container_id)).reload()

    async def left(self, mounts: Sequence[VolumeMount], container_id: str) -> None:
        """A container has ended: what it wrote is committed; where that can't be now it is later."""
        for mount in self._copied(mounts, container_id):
            key = _key(mount, container_id)
            copy = self._copies.get(key)
            if copy is None:
                continue
            if key[1]:
                copy.left = True
            try:
                if not mount.read_only:
                    await asyncio.wait_for(copy.commit(container_id), LAST_S)
                await self._drop(key, copy)
            except Exception as error:  # its end must be told, whatever became of this
                log.warning(
                    "volume=%s container=%s not committed yet: %s", mount.volume_id, container_id, said(error)
                )

    async def keep_committing(self) -> None:
        """Commits what containers write, until it is cancelled."""
        while True:
            await asyncio.sleep(COMMIT_EVERY_S)
            for key, copy in list(self._copies.items()):
                if time.monotonic() < copy.next_look or self._uplink.stream is None:
                    continue
                try:
                    await copy.commit("")
                    await self._drop(key, copy)
                except Refused as error:
                    log.warning("volume=%s not committed: %s", copy.volume_id, error)
                    if error.type == "NotFoundError":  # it was deleted
                        copy.left = True
                        await self._drop(key, copy)
                except Exception as error:
                    log.warning("volume=%s not committed: %s", copy.volume_id, said(error))

    def _copied(self, mounts: Sequence[VolumeMount], container_id: str) -> list[VolumeMount]:
        """Those that are not the server's own folder."""
        if self._uplink.shared_volumes is None:
            return list(mounts)
        return [mount for mount in mounts if mount.isolated and container_id]

    async def _copy(self, mount: VolumeMount, container_id: str) -> Copy:
        key = _key(mount, container_id)
        async with self._making:  # one that is made deletes the drafts of those before it
            copy = self._copies.get(key)
            if copy is None:
                folder = self._folder / mount.volume_id
                place = folder / OWN / key[1] if key[1] else folder
                copy = await asyncio.to_thread(Copy, mount.volume_id, place, self._uplink, self._blobs)
                self._copies[key] = copy
            return copy

    async def _drop(self, key: tuple[str, str], copy: Copy) -> None:
        """A copy goes whose container has ended, once what it wrote is committed."""
        if copy.left and self._copies.pop(key, None) is not None and key[1]:
            await remove_folders([copy.place], IdMap.current())


def _key(mount: VolumeMount, container_id: str) -> tuple[str, str]:
    return mount.volume_id, container_id if mount.isolated else ""


class Copy:
    """The copy of one volume."""

    def __init__(self, volume_id: str, place: Path, uplink: Uplink, blobs: Blobs) -> None:
        self.volume_id = volume_id
        self.place = private_folder(place)
        self.left = False  # nobody writes to it any more
        self.root = place / COPY
        self.root.mkdir(mode=0o755, exist_ok=True)
        self._drafts = private_folder(place / "drafts")
        for draft in self._drafts.iterdir():  # of a worker that was killed
            draft.unlink()
        ids = IdMap.current()
        self._files = WorkingCopy(self.root, place / "kept", (ids.host_uid, ids.host_gid))
        self._sent_in = place / "sent"
        self._unanswered = kept(self._sent_in)  # of a worker that was killed
        self._answered = ""  # the id of the last commit
        self._uplink = uplink
        self._blobs = blobs
        self._lock = asyncio.Lock()
        self.next_look = 0.0

    async def commit(self, container_id: str) -> None:
        """What was written here becomes a version. Raises Refused, and OSError where something can't be read."""
        await _to_its_end(self._commit(container_id))

    async def reload(self) -> None:
        """Takes up the newest version. What was written here and is not committed stays. Raises Refused, BadManifest,
        OSError; then this copy is as it was."""
        await _to_its_end(self._reload())

    async def _commit(self, container_id: str) -> None:
        async with self._lock:
            await self._end_unanswered()
            began = time.monotonic()
            found = await asyncio.to_thread(self._files.changes, self._drafts)
            self.next_look = time.monotonic() + SHARE * (time.monotonic() - began)
            try:
                if found.changes:
                    await self._send(found.changes, found.drafts, container_id)
            finally:
                found.drop()
        if found.troubles and container_id:
            raise OSError(
                f"{len(found.troubles)} files of the volume can't be committed; one is {found.troubles[0]}"
            )

    async def _send(self, changes: list[Change], drafts: dict[str, Path], container_id: str) -> None:
        await self._send_content(drafts)
        if faults.ARMED:
            faults.reach("copy.sent")
        commit = SentCommit(ulid(), changes)
        await asyncio.to_thread(keep, self._sent_in, commit)
        await self._end(commit, container_id)

    async def _end_unanswered(self) -> None:
        """What was sent is sent again as it was: the server may have it, and others may have committed since."""
        commit, self._unanswered = self._unanswered, None
        if commit is not None:
            try:
                await self._end(commit, "")
            except Refused as refused:  # then it is a change still
                log.info("volume=%s an earlier commit was not taken: %s", self.volume_id, refused)

    async def _end(self, commit: SentCommit, container_id: str) -> None:
        try:
            digest = await self._blobs.store(pack(commit.changes))
            await self._ask(
                CommitChanges(self.volume_id, digest, container_id, commit.commit_id, self._answered)
            )
        except Refused as refused:
            self._sent_in.unlink(missing_ok=True)
            if refused.type == "ConflictError":  # the server has lost older content: all goes anew
                await asyncio.to_thread(self._files.forget)
            raise
        if faults.ARMED:
            faults.reach("copy.committed")
        await asyncio.to_thread(self._files.committed, commit.changes)
        self._sent_in.unlink(missing_ok=True)
        self._answered = commit.commit_id

    async def _send_content(self, drafts: dict[str, Path]) -> None:
        missing: list[str] = []
        digests = sorted(drafts)
        for at in range(0, len(digests), 1000):
            missing += (await self._ask(FindBlobs(digests[at : at + 1000]))).digests

        await _all([lambda draft=drafts[digest]: self._blobs.store_path(draft) for digest in missing])

    async def _reload(self) -> None:
        async with self._lock:
            await self._end_unanswered()
            version = (await self._ask(FindVersion(self.volume_id))).version
            if version == self._files.version:
                return
            manifest = await self._manifest(version)
            update = await asyncio.to_thread(self._files.plan, version, manifest, self._drafts)
            try:
                await self._fetch(update)
                if faults.ARMED:
                    faults.reach("copy.fetched")
                for trouble in await asyncio.to_thread(self._files.apply, update, _placing):
                    log.warning("volume=%s not taken up: %s", self.volume_id, trouble)
            finally:
                update.drop()

    async def _manifest(self, version: str) -> Manifest:
        draft = self._drafts / version
        try:
            await self._blobs.fetch_into(version, draft)
            return await asyncio.to_thread(lambda: unpack_manifest(draft.read_bytes()))
        finally:
            draft.unlink(missing_ok=True)

    async def _fetch(self, update: Update) -> None:
        """Brings the content of all drafts; that of several once."""
        by_digest: dict[str, list[Path]] = {}
        for path, entry in update.new:
            if path in update.drafts:
                by_digest.setdefault(entry.digest, []).append(update.drafts[path])

        async def fetch(digest: str, drafts: list[Path]) -> None:
            await self._blobs.fetch_into(digest, drafts[0])
            for other in drafts[1:]:
                await asyncio.to_thread(copyfile, drafts[0], other)

        await _all(
            [
                lambda digest=digest, drafts=drafts: fetch(digest, drafts)
                for digest, drafts in by_digest.items()
            ]
        )

    async def _ask(self, message: Any) -> Any:
        """The server's answer; one that is lost is asked again when it is back."""
        while True:
            try:
                return (await self._uplink.bulk(message))[0]
            except ConnectionLost:
                await asyncio.sleep(PAUSE_S)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Whoever waits may go away: a thread that is at work on the copy does not."""
    await asyncio.shield(asyncio.ensure_future(work))


async def _all(work: Sequence[Callable[[], Any]]) -> None:
    """Does all, a few at a time; the first failure ends the others."""
    waiting = iter(work)

    async def take() -> None:
        for one in waiting:
            await one()

    tasks = [asyncio.ensure_future(take()) for _ in range(min(AT_ONCE, len(work)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)  # nothing writes to a draft that is to be deleted


def said(error: BaseException) -> str:
    """A failure in a sentence."""
    if isinstance(error, Refused):
        return error.message
    if isinstance(error, TimeoutError):
        return "the server has not answered yet"
    if isinstance(error, OSError) and error.errno in FULL:
        return f"the disk of this worker is full ({error.strerror}); make room there and try again"
    return str(error) or type(error).__name__


def _placing() -> None:
    if faults.ARMED:
        faults.reach("copy.placing")
