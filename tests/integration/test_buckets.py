"""Buckets of an object store as folders of containers (programs/buckets.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home, new_home
from tests.integration.object_store import ObjectStore, object_store
from tests.integration.seen import seen_by

from ionian.worker.buckets import lacking

pytestmark = [
    pytest.mark.container,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(lacking()), reason=f"no bucket can be mounted here: {lacking()}"),
]

KEY = "a-key-of-a-bucket-that-no-container-sees"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("moto") / "log") as store:
        store.make_bucket("measurements")
        for key in ("2026/kept.txt", "2026/old.txt", "2025/other.txt"):
            store.request("PUT", f"measurements/{key}", key.encode())
        yield store


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with new_home() as home:
        yield home


@pytest.fixture(scope="module")
def seen(home: Home, store: ObjectStore) -> dict[str, Any]:
    return seen_by(home, "buckets.py", environment={"BUCKET_URL": store.url})[0]


def test_a_container_reads_what_begins_with_the_prefix_and_writes_there(
    seen: dict[str, Any], store: ObjectStore
) -> None:
    wrote = seen["wrote"]
    assert (wrote["there"], wrote["read"], wrote["owner"]) == (["kept.txt", "old.txt"], "2026/kept.txt", 0)
    assert wrote["large"] == 20 << 20
    assert store.keys("measurements") == [
        "2025/other.txt",
        "2026/kept.txt",
        "2026/large",
        "2026/made/new.txt",
    ]
    assert store.request("GET", "measurements/2026/made/new.txt") == b"made in a container"
    assert len(store.request("GET", "measurements/2026/large")) == 20 << 20


def test_a_bucket_that_is_mounted_read_only_is_not_written_to(seen: dict[str, Any]) -> None:
    assert "/all/2026/made/new.txt" in seen["read"]["names"]
    assert "/all/2025/other.txt" in seen["read"]["names"]
    assert "Read-only file system" in seen["read"]["write"]


def test_a_file_in_a_bucket_is_not_appended_to(seen: dict[str, Any]) -> None:
    assert seen["wrote"]["append"].startswith(("OSError", "PermissionError"))


def test_the_credentials_of_a_bucket_are_nowhere_in_a_container_or_a_log(
    seen: dict[str, Any], home: Home
) -> None:
    assert seen["wrote"]["keys"] == []
    logs = [
        path for name in ("logs", "applogs") for path in (home.folder / name).rglob("*") if path.is_file()
    ]
    assert logs
    assert not [path for path in logs if KEY.encode() in path.read_bytes()]


def test_a_secret_without_keys_is_refused_in_a_sentence(seen: dict[str, Any]) -> None:
    assert "the secret of the bucket 'measurements' at /data lacks AWS_ACCESS_KEY_ID" in seen["lacking"]


def test_nothing_of_a_mount_is_left(seen: dict[str, Any], home: Home) -> None:
    assert seen
    home.ionian("server", "stop")
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(home.folder) not in mounts
    assert not list(home.folder.glob("workers/*/buckets/*"))
