"""Versions of volumes that containers of several machines have.

The server's own folder of a volume is one working copy among others, of which this machine's containers and the handlers of files
have their part; the workers of other machines have theirs. What was changed in any of them goes into the newest version, path by
path. A version is a manifest; which one is the newest stands in the store, so a version is there as a whole or not at all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ionian import faults
from ionian.machine.manifest import (
    BadManifest,
    Change,
    Manifest,
    merge,
    pack,
    shown,
    unpack_changes,
    unpack_manifest,
)
from ionian.machine.state import StateFolder
from ionian.machine.working_copy import FULL, WorkingCopy

from .blobs import BlobError, BlobStore
from .bucket import Bucket, BucketError
from .store import Store
from .store.schema import VolumeVersion
from .store.volumes import Commit
from .version_content import VersionContent

log = logging.getLogger("ionian.server")

CHANGES_MAX = 1 << 30
"""Bytes of a manifest or of changes: more than those of the most files that a volume may have with paths of usual length."""

THREADS = 8
"""Of a server, for what may wait for a bucket that does not answer: all else must not wait with it."""


class LacksContent(BlobError):
    """Changes name content that is not here, as that of a version which is gone may be."""


class VolumeGone(BlobError):
    """The volume was deleted while a version of it was made."""


class VolumeVersions:
    """One a server. Safe to use from any thread; blocks."""

    def __init__(
        self, state: StateFolder, store: Store, blobs: BlobStore, bucket: Bucket | None = None
    ) -> None:
        self._state = state
        self._store = store
        self._blobs = blobs
        self.threads = ThreadPoolExecutor(THREADS, "versions")
        self.content = VersionContent(blobs, bucket, lambda: state.volume_mark)
        self._guard = threading.Lock()
        self._places: dict[str, _Place] = {}

    def settle(self) -> None:
        """A server that was killed had named a version as the newest that its folder has not taken up, or not all of it."""
        for newest in self._store.volumes.versions():
            volume_id = newest.volume_id
            copy = WorkingCopy(self._state.volume(volume_id), self._kept(volume_id), (0, 0))
            try:
                self._check(newest)
                if copy.version != newest.manifest:
                    self.newest(volume_id)
            except (OSError, BlobError, BadManifest) as error:
                log.error("volume=%s its folder can't take up its newest version: %s", volume_id, error)

    def stop(self) -> None:
        """What is under way is done when this returns, and nothing begins any more: the next server has this folder then, and would
        not know that a thread of this one names a version."""
        self.threads.shutdown(cancel_futures=True)

    def newest(self, volume_id: str) -> str:
        """The digest of the newest manifest, with what was written to the server's own folder until now."""
        place = self._place(volume_id)
        with place.lock:
            return self._looked(place)

    def commit(self, volume_id: str, changes: str, who: str, commit: Commit | None = None) -> str:
        """Changes of a worker's, in a blob, go into the newest version; returns its digest. A commit that is known is not done
        again. Raises BadManifest, LacksContent, VolumeGone, BlobError."""
        place = self._place(volume_id)
        with place.lock:
            if commit is not None and (known := self._store.volumes.committed(volume_id, commit.commit_id)):
                return known
            before = self._looked(place)
            wanted = self._wanted(changes, before)
            version = self._merged(place, before, wanted, who, commit)
            if version != before:
                try:
                    self._take_up(place, version)
                except (
                    OSError,
                    BlobError,
                    BadManifest,
                ) as error:  # the version is there, whatever became of the folder
                    log.error("volume=%s its folder can't take up its newest version: %s", volume_id, error)
            return version

    def _wanted(self, changes: str, newest: str) -> list[Change]:
        if self._blobs.size(changes) > CHANGES_MAX:
            raise BadManifest(f"expected changes of up to {CHANGES_MAX:,} bytes")
        wanted = unpack_changes(self._blobs.read(changes))
        lacking = self._blobs.missing(
            change.now.digest for change in wanted if change.now is not None and change.now.kind == "file"
        )
        if lacking and not contents(self._manifest(newest)).issuperset(lacking):
            raise LacksContent(f"the content of {len(lacking)} files was not sent; send it again")
        return wanted

    def forget(self, volume_id: str) -> None:
        """The volume is gone. Who makes a version of it just now finds that when it is made: to wait for it may take long."""
        with self._guard:
            self._places.pop(volume_id, None)
        self._store.volumes.forget(volume_id)
        self._kept(volume_id).unlink(missing_ok=True)

    # --- one volume, whose lock is held

    def _looked(self, place: _Place) -> str:
        """The newest version, once what was changed in the server's folder is in it and what others changed is there."""
        self._end_if_gone(place)
        copy = place.copy(self._state, self._kept(place.volume_id))
        newest = self._store.volumes.newest(place.volume_id)
        self._check(newest)
        version = newest.manifest
        found = copy.changes(self._blobs.writes)
        try:
            self._blobs.adopt(found.drafts)
        finally:
            found.drop()
        for trouble in found.troubles[:1]:
            log.warning(
                "volume=%s files=%d are not in its version, one is %s",
                place.volume_id,
                len(found.troubles),
                trouble,
            )
        if found.changes or not version:
            version = self._merged(place, version, found.changes, "this machine")
            copy.committed(found.changes)
        if copy.version != version:
            self._take_up(place, version)
        return version

    def _merged(
        self,
        place: _Place,
        version: str,
        changes: Iterable[Change],
        who: str,
        commit: Commit | None = None,
    ) -> str:
        newest = self._manifest(version) if version else Manifest()
        merged, lost = merge(newest, changes)
        if merged == newest and version:
            if commit is not None:
                self._store.volumes.changed_nothing(place.volume_id, version, commit)
                self._end_if_gone(place)
            return version
        made = self._blobs.put(pack(merged))
        with self.content.secured({made, *self._unsecured(place, newest, merged)}):
            if faults.ARMED:
                faults.reach("version.made")
            number = self._store.volumes.advance(place.volume_id, made, self.content.place, commit)
        self._end_if_gone(place)
        if faults.ARMED:
            faults.reach("version.newest")
        log.info("volume=%s version=%d files=%d by %s", place.volume_id, number, len(merged), who)
        if lost:
            log.warning(
                "volume=%s files=%d replaced by %s that others had changed meanwhile, one is %s",
                place.volume_id,
                len(lost),
                who,
                shown(lost[0]),
            )
        return made

    def _end_if_gone(self, place: _Place) -> None:
        """What the store was told of a volume after it was forgotten would stay there, and its content with it."""
        with self._guard:
            if self._places.get(place.volume_id) is place:
                return
        self._store.volumes.forget(place.volume_id)
        raise VolumeGone(f"there is no volume {place.volume_id} any more: it was deleted meanwhile")

    def _unsecured(self, place: _Place, newest: Manifest, merged: Manifest) -> set[str]:
        """What of a version is not in the bucket with the one before; all of it, where that is elsewhere."""
        if not self.content.place:
            return set()
        in_place = self._store.volumes.newest(place.volume_id).bucket == self.content.place
        return contents(merged) - (contents(newest) if in_place else set())

    def _take_up(self, place: _Place, version: str) -> None:
        """The server's folder holds this version. Where its disk is full it does so later: the version is in the store."""
        copy = place.copy(self._state, self._kept(place.volume_id))
        manifest = self._manifest(version)
        update = copy.plan(version, manifest, self._state.volume_drafts)
        try:
            for path, draft in update.drafts.items():
                self.content.copy(manifest[path].digest, draft)
            troubles = copy.apply(update, _placing)
        except (OSError, BlobError) as error:
            if isinstance(error, OSError) and error.errno not in FULL:
                raise
            log.warning(
                "volume=%s its folder can't take up version %s yet: %s", place.volume_id, version, error
            )
            return
        finally:
            update.drop()
        for trouble in troubles[:1]:
            log.warning("volume=%s files=%d not taken up, one is %s", place.volume_id, len(troubles), trouble)

    def _manifest(self, version: str) -> Manifest:
        return unpack_manifest(self.content.read(version))

    def _check(self, newest: VolumeVersion) -> None:
        """Raises BucketError where its content is in a bucket that this server does not have."""
        if newest.bucket not in ("", self.content.place):
            raise BucketError(
                f"the content of this volume's versions is in {newest.bucket}; start the server with that as volume_bucket"
            )

    def _kept(self, volume_id: str) -> Path:
        return self._state.volume_copies / volume_id

    def _place(self, volume_id: str) -> _Place:
        with self._guard:
            return self._places.setdefault(volume_id, _Place(volume_id))


class _Place:
    """One volume, and the lock of who works on it."""

    def __init__(self, volume_id: str) -> None:
        self.volume_id = volume_id
        self.lock = threading.Lock()
        self._copy: WorkingCopy | None = None

    def copy(self, state: StateFolder, kept: Path) -> WorkingCopy:
        """The server's folder of it. Its first container on this machine makes it another's."""
        root = state.volume(self.volume_id)
        status = root.stat()
        if self._copy is None:
            self._copy = WorkingCopy(root, kept, (status.st_uid, status.st_gid))
        self._copy.owner = (status.st_uid, status.st_gid)
        return self._copy


def contents(manifest: Manifest) -> set[str]:
    """The digests of its files."""
    return {entry.digest for entry in manifest.values() if entry.kind == "file"}


def version_blobs(store: Store, read: Callable[[str], bytes], bucket: str = "") -> set[str]:
    """What the newest versions consist of that are in a bucket, or on the server's disk: no garbage there."""
    found: set[str] = set()
    for newest in store.volumes.versions():
        if newest.bucket == bucket:
            found |= {newest.manifest, *contents(unpack_manifest(read(newest.manifest)))}
    return found


def _placing() -> None:
    if faults.ARMED:
        faults.reach("version.placing")
