import hashlib
from pathlib import Path
from typing import Any, cast

import pytest

from ionian.client.hashes import FileDigest, HashCache
from ionian.client.upload import CHUNK, Uploader
from ionian.exception import ExecutionError, InvalidError
from ionian.link import Link
from ionian.local_files import LocalFile
from ionian.protocol.messages import Blob, Done, FindBlobs, MissingBlobs


class Store:
    """The side of the server: keeps blobs, in the chunks of the protocol."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.parts: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.chunks: list[int] = []

    def request(self, message: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        if isinstance(message, FindBlobs):
            self.asked += message.digests
            return MissingBlobs([digest for digest in message.digests if digest not in self.blobs]), b""
        assert isinstance(message, Blob)
        part = self.parts.get(message.digest, b"")
        assert len(part) == message.offset
        self.parts[message.digest] = part + payload
        self.chunks.append(len(payload))
        if len(part) + len(payload) == message.size:
            content = self.parts.pop(message.digest)
            assert hashlib.sha256(content).hexdigest() == message.digest
            self.blobs[message.digest] = content
        return Done(), b""


def uploader(store: Store, folder: Path) -> Uploader:
    return Uploader(cast(Link, store), HashCache(folder / "cache" / "hashes.json"))


def file(folder: Path, name: str, content: bytes) -> LocalFile:
    (folder / name).write_bytes(content)
    return LocalFile(folder / name, f"/root/{name}")


def test_only_what_is_missing_is_sent_and_each_content_once(tmp_path: Path):
    store = Store()
    files = [file(tmp_path, "a", b"same"), file(tmp_path, "b", b"same"), file(tmp_path, "c", b"there")]
    store.blobs[hashlib.sha256(b"there").hexdigest()] = b"there"
    sender = uploader(store, tmp_path)
    references = sender.references(files)
    assert [(ref.path, store.blobs[ref.digest], ref.size) for ref in references] == [
        ("/root/a", b"same", 4),
        ("/root/b", b"same", 4),
        ("/root/c", b"there", 5),
    ]
    assert (sender.files_sent, sender.sent) == (1, 4)
    sender.references(files)
    assert len(store.asked) == 2


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_file_of_any_size_arrives_in_chunks(size: int, tmp_path: Path):
    store = Store()
    (reference,) = uploader(store, tmp_path).references([file(tmp_path, "a", bytes(size))])
    assert store.blobs[reference.digest] == bytes(size)
    assert max(store.chunks) <= CHUNK


def test_many_files_arrive_like_one(tmp_path: Path):
    store = Store()
    files = [file(tmp_path, str(n), str(n).encode()) for n in range(100)]
    references = uploader(store, tmp_path).references(files)
    assert [store.blobs[ref.digest] for ref in references] == [str(n).encode() for n in range(100)]


@pytest.mark.parametrize("later", [b"other", b"longer than it was", b"", b"x"])
def test_a_file_that_changes_while_it_is_sent_is_refused(
    later: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = Store()
    files = [file(tmp_path, "a", b"first")]
    first = FileDigest(hashlib.sha256(b"first").hexdigest(), 5, 0o644)
    files[0].local.write_bytes(later)
    sender = uploader(store, tmp_path)
    monkeypatch.setattr(HashCache, "digests", lambda self, paths: dict.fromkeys(paths, first))  # type: ignore[misc]
    with pytest.raises(ExecutionError, match="changed while it was sent"):
        sender.references(files)
    assert store.blobs == {}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(InvalidError, match="nowhere can't be read"):
        uploader(Store(), tmp_path).references([LocalFile(tmp_path / "nowhere", "/root/nowhere")])
