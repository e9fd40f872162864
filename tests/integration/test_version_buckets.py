"""The content of volumes' versions in a bucket of an S3 server."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.integration.machines import Machines, machines
from tests.integration.object_store import ObjectStore, object_store
from tests.integration.processes import running
from tests.integration.relay import Relay, relay
from tests.integration.seen import PROGRAMS
from tests.unit.server.answering import Server

from ionian.machine.manifest import Change, Entry, pack
from ionian.machine.state import StateFolder
from ionian.server.blobs import BlobStore, NoSuchBlob
from ionian.server.bucket import Bucket, BucketError
from ionian.server.garbage import collect_versions
from ionian.server.store.volumes import Commit
from ionian.server.volume_versions import LacksContent, VolumeVersions

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

KEY = "a-key-of-the-server-that-nobody-sees"
PROGRAM = PROGRAMS / "committing.py"
VOLUME = "vo-1"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("moto") / "log") as store:
        store.make_bucket("versions")
        yield store


@pytest.fixture(scope="module")
def reach(store: ObjectStore) -> Iterator[Relay]:
    with relay(int(store.url.rpartition(":")[2])) as made:
        yield made


@pytest.fixture
def surroundings(reach: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(reach).items():
        monkeypatch.setenv(name, value)


def environment(reach: Relay) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{reach.port}",
        "AWS_ACCESS_KEY_ID": "an-id",
        "AWS_SECRET_ACCESS_KEY": KEY,
    }


@pytest.fixture
def bucket(surroundings: None, request: pytest.FixtureRequest) -> Bucket:
    """A prefix of this test's own."""
    return Bucket(f"s3://versions/{request.node.name}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(StateFolder(tmp_path / "home"))
    yield made
    made.close()


@pytest.fixture
def versions(server: Server, bucket: Bucket) -> VolumeVersions:
    return with_bucket(server, bucket)


def with_bucket(server: Server, bucket: Bucket | None) -> VolumeVersions:
    """What a start of the server with this bucket has."""
    return VolumeVersions(server.context.state, server.store, server.context.blobs, bucket)


def changed(server: Server, path: bytes, content: bytes, mode: int = 0o644) -> str:
    """Changes that write one file, as a worker sends them."""
    blobs = server.context.blobs
    now = Entry("file", mode, blobs.put(content).encode(), len(content))
    return blobs.put(pack([Change(path, None, now)]))


def lose(server: Server) -> None:
    """The server's disk has none of the content any more."""
    for folder in server.context.blobs.folder.glob("??"):
        shutil.rmtree(folder)


def objects(store: ObjectStore, prefix: str) -> list[str]:
    found = (key.removeprefix(f"{prefix}/") for key in store.keys("versions") if key.startswith(f"{prefix}/"))
    return sorted(key.replace("/", "") for key in found if key != "server")


def test_what_is_committed_is_in_the_bucket_and_read_from_there(
    server: Server, versions: VolumeVersions, store: ObjectStore, bucket: Bucket, tmp_path: Path
) -> None:
    large = bytes(range(256)) * (40 << 10)  # more than a part
    digests = [server.context.blobs.put(content) for content in (b"small", large)]
    for path, content in ((b"small", b"small"), (b"large", large), (b"empty", b"")):
        version = versions.commit(VOLUME, changed(server, path, content), "me")
    assert set(objects(store, bucket.url.removeprefix("s3://versions/"))) >= {version, *digests}
    lose(server)
    again = with_bucket(server, bucket)
    assert again.newest(VOLUME) == version
    again.content.copy(digests[1], tmp_path / "large")
    assert (tmp_path / "large").read_bytes() == large
    assert again.content.part(digests[1], 1000, 4) == (len(large), large[1000:1004])
    assert again.commit(VOLUME, changed(server, b"new", b"new"), "me") != version


def test_a_server_with_a_new_disk_and_the_same_database_has_the_files_again(
    server: Server, versions: VolumeVersions, bucket: Bucket, tmp_path: Path
) -> None:
    versions.commit(VOLUME, changed(server, b"a", b"content"), "me")
    state = StateFolder(tmp_path / "new")
    VolumeVersions(state, server.store, BlobStore(state.blobs), bucket).settle()
    assert (state.volume(VOLUME) / "a").read_bytes() == b"content"


def test_a_change_of_a_mode_needs_no_content_that_only_the_bucket_has(
    server: Server, versions: VolumeVersions
) -> None:
    versions.commit(VOLUME, changed(server, b"a", b"kept"), "me")
    lose(server)
    changes = changed(server, b"a", b"kept", 0o755)
    shutil.rmtree(server.context.blobs.path(server.context.blobs.put(b"kept")).parent)
    versions.commit(VOLUME, changes, "me")
    blobs = server.context.blobs
    gone = blobs.put(b"of nobody")
    changes = blobs.put(pack([Change(b"b", None, Entry("file", 0o644, gone.encode(), 9))]))
    blobs.path(gone).unlink()
    with pytest.raises(LacksContent):
        versions.commit(VOLUME, changes, "me")


def test_a_bucket_out_of_reach_leaves_the_old_version_and_the_commit_works_when_it_is_back(
    server: Server, versions: VolumeVersions, reach: Relay
) -> None:
    before = versions.commit(VOLUME, changed(server, b"a", b"old"), "me")
    new = changed(server, b"a", b"new")
    with reach.out():
        with pytest.raises(BucketError, match=r"^s3://versions/.* does not answer; .*try again") as told:
            versions.commit(VOLUME, new, "me", Commit("1"))
        assert KEY not in str(told.value)
        assert versions.newest(VOLUME) == before
    assert versions.commit(VOLUME, new, "me", Commit("1")) == versions.newest(VOLUME) != before


def test_a_damaged_object_is_found_by_its_digest(
    server: Server, versions: VolumeVersions, store: ObjectStore, bucket: Bucket, tmp_path: Path
) -> None:
    versions.commit(VOLUME, changed(server, b"a", b"content"), "me")
    digest = server.context.blobs.put(b"content")
    store.request("PUT", f"{bucket.url.removeprefix('s3://')}/{digest[:2]}/{digest[2:]}", b"damaged")
    lose(server)
    with pytest.raises(BucketError, match=f"other content for {digest} than was kept there"):
        versions.content.copy(digest, tmp_path / "copy")
    with pytest.raises(NoSuchBlob):
        versions.content.copy("0" * 64, tmp_path / "other")


def test_what_no_newest_version_needs_goes_from_the_bucket_when_it_is_old(
    server: Server, versions: VolumeVersions, store: ObjectStore, bucket: Bucket
) -> None:
    for content in (b"old", b"new"):
        newest = versions.commit(VOLUME, changed(server, b"a", content), "me")
    prefix = bucket.url.removeprefix("s3://versions/")
    assert collect_versions(server.store, versions.content) == 0
    assert len(objects(store, prefix)) == 5  # three manifests, of which the first is that of nothing
    keep = {newest, server.context.blobs.put(b"new")}
    assert versions.content.collect(lambda: keep, min_age_s=-3600) == 3
    assert set(objects(store, prefix)) == keep


def test_a_bucket_is_one_servers(
    server: Server, versions: VolumeVersions, bucket: Bucket, tmp_path: Path
) -> None:
    versions.commit(VOLUME, changed(server, b"a", b"a"), "me")
    other = Server(StateFolder(tmp_path / "other"))
    theirs = with_bucket(other, Bucket(bucket.url))
    with pytest.raises(BucketError, match="has the volumes of another server"):
        theirs.commit(VOLUME, changed(other, b"a", b"a"), "me")
    with pytest.raises(BucketError, match="has the volumes of another server"):
        collect_versions(other.store, theirs.content)
    other.close()


def test_a_server_without_the_bucket_says_which_one_it_needs(
    server: Server, versions: VolumeVersions, bucket: Bucket
) -> None:
    versions.commit(VOLUME, changed(server, b"a", b"a"), "me")
    with pytest.raises(BucketError, match=f"is in {bucket.url}; start the server with that as volume_bucket"):
        with_bucket(server, None).newest(VOLUME)


def test_a_volume_moves_into_the_bucket_with_its_next_commit(
    server: Server, bucket: Bucket, store: ObjectStore
) -> None:
    with_bucket(server, None).commit(VOLUME, changed(server, b"a", b"before"), "me")
    moved = with_bucket(server, bucket)
    moved.commit(VOLUME, changed(server, b"b", b"after"), "me")
    kept = {server.context.blobs.put(content) for content in (b"before", b"after")}
    assert kept <= set(objects(store, bucket.url.removeprefix("s3://versions/")))


@pytest.mark.parametrize("url", ["versions", "s3://", "s3://x", "https://versions/a", "s3://versions/a?b"])
def test_what_names_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(BucketError, match="volume_bucket: expected s3://BUCKET or s3://BUCKET/PREFIX, got"):
        Bucket(url)


def test_a_bucket_that_is_not_there_is_said(server: Server, surroundings: None) -> None:
    versions = with_bucket(server, Bucket("s3://no-such-bucket"))
    with pytest.raises(BucketError, match="s3://no-such-bucket answers NoSuchBucket"):
        versions.commit(VOLUME, changed(server, b"a", b"a"), "me")


def test_credentials_are_read_from_the_file_that_is_named_and_a_wrong_one_is_refused(
    server: Server, surroundings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    for wrong in ("", f"[default]\naws_access_key_id = {KEY}\n", KEY):
        file.write_text(wrong)
        with pytest.raises(
            BucketError, match=r"expected a file that can be read, with .* in its section"
        ) as told:
            Bucket("s3://versions/by-file")
        assert KEY not in str(told.value)
    file.write_text(f"[default]\naws_access_key_id = an-id\naws_secret_access_key = {KEY}\n")
    with_bucket(server, Bucket("s3://versions/by-file")).commit(VOLUME, changed(server, b"a", b"a"), "me")


# --- with machines


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, reach: Relay) -> Iterator[Machines]:
    folder: Path = tmp_path_factory.mktemp("machines")
    with ExitStack() as undo:
        url = "s3://versions/far"
        made = undo.enter_context(
            machines(folder, ("one", "two"), IONIAN_VOLUME_BUCKET=url, **environment(reach))
        )
        written(made, 1)
        yield made


def write(far: Machines, generation: int) -> subprocess.CompletedProcess[str]:
    """The program that writes a generation on one machine and reads it on another."""
    arguments = ("run", "-q", f"{PROGRAM}::write", "--generation", str(generation))
    return far.home.ionian(*arguments, environment=far.client, timeout_s=250)


def written(far: Machines, generation: int) -> None:
    """It does so."""
    done = write(far, generation)
    assert done.returncode == 0, done.stdout + far.said()
    assert done.stdout.splitlines()[-1] == f'[["{generation}"], ["{generation}"]]'


def looked(far: Machines) -> list[str]:
    """What a client sees."""
    done = far.home.ionian("python", "-q", PROGRAM, environment=far.client)
    assert done.returncode == 0, done.stdout + far.said()
    return json.loads(done.stdout.splitlines()[-1])


def test_machines_find_in_the_bucket_what_the_servers_disk_has_no_more(far: Machines) -> None:
    far.stop_server()
    for worker in far.workers:
        worker.stop()
        shutil.rmtree(worker.folder / "workers" / worker.name / "working")
    for folder in (far.home.folder / "blobs").glob("??"):
        shutil.rmtree(folder)
    far.start_server()
    for worker in far.workers:
        worker.start(far.home)
    before = int(looked(far)[0])
    written(far, before + 1)


def test_a_server_killed_amid_a_commit_leaves_the_old_version_and_the_commit_goes_on(
    far: Machines, tmp_path: Path
) -> None:
    before = int(looked(far)[0])
    killed = tmp_path / "killed"
    far.stop_server()
    far.start_server(IONIAN_FAULT="version.made", IONIAN_FAULT_ONCE=str(killed))
    arguments = ("run", "-q", f"{PROGRAM}::write", "--generation", str(before + 1))
    with running(far.home, *arguments, cwd=PROGRAMS, environment=far.client) as client:
        assert far.process is not None
        far.process.wait(timeout=120)
        far.start_server()
        assert client.end(timeout_s=200) == 0, client.text + far.said()
    assert killed.exists()
    assert client.said[-1] == f'[["{before + 1}"], ["{before + 1}"]]'


def test_while_the_bucket_is_out_of_reach_a_commit_says_so_and_is_done_when_it_is_back(
    far: Machines, reach: Relay
) -> None:
    before = int(looked(far)[0])
    with reach.out():
        told = write(far, before + 1)
        assert told.returncode == 1
        assert "s3://versions/far does not answer" in told.stdout
        assert looked(far) == [str(before)]
    later = [str(before + 1)]
    while looked(far) != later:  # its worker tries again every few seconds; the time limit is the test's
        pass
    written(far, before + 2)
    assert KEY not in told.stdout + far.said()
