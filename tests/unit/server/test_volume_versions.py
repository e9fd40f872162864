from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from threading import Event, Thread

import pytest
from tests.unit.server.answering import Server

from ionian.machine.manifest import Change, Entry, Manifest, pack, unpack_manifest
from ionian.server.store.volumes import Commit
from ionian.server.volume_versions import VolumeGone, VolumeVersions

VOLUME = "vo-1"


@pytest.fixture
def versions(server: Server) -> VolumeVersions:
    return server.context.versions


def changed(server: Server, path: bytes, content: bytes) -> str:
    """Changes that write one file, as a worker sends them."""
    blobs = server.context.blobs
    now = Entry("file", 0o644, blobs.put(content).encode(), len(content))
    return blobs.put(pack([Change(path, None, now)]))


def newest(server: Server, versions: VolumeVersions) -> dict[bytes, bytes]:
    blobs = server.context.blobs
    manifest: Manifest = unpack_manifest(blobs.read(versions.newest(VOLUME)))
    return {path: blobs.read(entry.digest) for path, entry in manifest.items()}


def test_a_commit_that_is_sent_again_leaves_what_another_has_committed_in_between(
    server: Server, versions: VolumeVersions
) -> None:
    mine, theirs = changed(server, b"a", b"mine"), changed(server, b"a", b"theirs")
    first = versions.commit(VOLUME, mine, "me", Commit("1"))
    versions.commit(VOLUME, theirs, "another", Commit("2"))
    again = VolumeVersions(server.context.state, server.store, server.context.blobs)  # of the next start
    assert again.commit(VOLUME, mine, "me", Commit("1")) == first
    assert newest(server, again) == {b"a": b"theirs"}


def test_so_does_one_that_changed_nothing(server: Server, versions: VolumeVersions) -> None:
    mine = changed(server, b"a", b"mine")
    versions.commit(VOLUME, mine, "me", Commit("1"))
    versions.commit(VOLUME, mine, "a third", Commit("2"))
    versions.commit(VOLUME, changed(server, b"a", b"theirs"), "another", Commit("3"))
    versions.commit(VOLUME, mine, "a third", Commit("2"))
    assert newest(server, versions) == {b"a": b"theirs"}


def test_a_commit_is_forgotten_when_its_answer_was_had_and_with_its_volume(
    server: Server, versions: VolumeVersions
) -> None:
    known = server.store.volumes.committed
    versions.commit(VOLUME, changed(server, b"a", b"1"), "me", Commit("1"))
    versions.commit(VOLUME, changed(server, b"a", b"2"), "another", Commit("2"))
    versions.commit(VOLUME, changed(server, b"a", b"3"), "me", Commit("3", answered="1"))
    assert [bool(known(VOLUME, commit)) for commit in "123"] == [False, True, True]
    versions.forget(VOLUME)
    assert not known(VOLUME, "2")


def test_a_volume_that_is_deleted_while_a_version_of_it_is_made_has_none(
    server: Server, versions: VolumeVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions.commit(VOLUME, changed(server, b"a", b"1"), "me", Commit("1"))

    @contextmanager
    def meanwhile(_: Iterable[str]) -> Generator[None]:
        versions.forget(VOLUME)
        yield

    monkeypatch.setattr(versions.content, "secured", meanwhile)
    with pytest.raises(VolumeGone, match=f"there is no volume {VOLUME} any more"):
        versions.commit(VOLUME, changed(server, b"a", b"2"), "me", Commit("2"))
    assert server.store.volumes.versions() == []
    assert not server.store.volumes.committed(VOLUME, "2")


def test_a_server_that_ends_waits_for_the_version_that_is_being_made(
    server: Server, versions: VolumeVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploading, done = Event(), Event()

    @contextmanager
    def upload(_: Iterable[str]) -> Generator[None]:
        uploading.set()
        done.wait()
        yield

    monkeypatch.setattr(versions.content, "secured", upload)
    making = versions.threads.submit(versions.commit, VOLUME, changed(server, b"a", b"1"), "me")
    uploading.wait()
    stopping = Thread(target=versions.stop)
    stopping.start()
    stopping.join(0.05)
    assert stopping.is_alive()
    done.set()
    stopping.join()
    assert making.result() == server.store.volumes.newest(VOLUME).manifest
