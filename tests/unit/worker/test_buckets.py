"""What rclone is told about a bucket."""

from __future__ import annotations

import pytest

from ionian.protocol.spec import BucketMount
from ionian.worker.buckets import environment, lacking
from ionian.worker.sandbox import SandboxError

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}


def told(bucket: BucketMount, values: dict[str, str]) -> dict[str, str]:
    begin = "RCLONE_CONFIG_BUCKET_"
    return {
        name.removeprefix(begin): value
        for name, value in environment(bucket, values).items()
        if name.startswith(begin)
    }


def test_a_plain_user_s_worker_says_that_it_mounts_no_bucket_before_all_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "/nowhere")
    assert lacking().startswith("a worker that mounts buckets runs as root, and this one as a plain user")


def test_every_option_of_a_bucket_is_told_to_rclone() -> None:
    bucket = BucketMount(
        "/data", "b", "https://storage.example.com", "p/", "st-1", requester_pays=True, path_style=True
    )
    said = told(bucket, {**KEYS, "AWS_SESSION_TOKEN": "session", "AWS_REGION": "eu-1"})
    assert said == {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENDPOINT": "https://storage.example.com",
        "REGION": "eu-1",
        "ACCESS_KEY_ID": "id",
        "SECRET_ACCESS_KEY": "key",
        "SESSION_TOKEN": "session",
        "FORCE_PATH_STYLE": "true",
        "REQUESTER_PAYS": "true",
        "NO_CHECK_BUCKET": "true",
        "CHUNK_SIZE": "16Mi",
    }


def test_a_public_bucket_of_amazon_needs_no_keys() -> None:
    said = told(BucketMount("/data", "b"), {})
    assert (said["PROVIDER"], said["FORCE_PATH_STYLE"]) == ("AWS", "false")
    assert "ACCESS_KEY_ID" not in said
    assert "ENDPOINT" not in said


def test_keys_of_google_are_taken() -> None:
    values = {"GOOGLE_ACCESS_KEY_ID": "id", "GOOGLE_ACCESS_KEY_SECRET": "key"}
    said = told(BucketMount("/data", "b", "https://storage.googleapis.com", secret_id="st-1"), values)
    assert (said["ACCESS_KEY_ID"], said["SECRET_ACCESS_KEY"]) == ("id", "key")


@pytest.mark.parametrize(
    ("values", "lacks"),
    [
        ({}, "AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": "id"}, "AWS_SECRET_ACCESS_KEY"),
        ({"GOOGLE_ACCESS_KEY_ID": "id"}, "GOOGLE_ACCESS_KEY_SECRET"),
    ],
)
def test_a_secret_that_lacks_a_key_is_refused_by_its_name(values: dict[str, str], lacks: str) -> None:
    with pytest.raises(SandboxError, match=f"the secret of the bucket 'b' at /data lacks {lacks}"):
        environment(BucketMount("/data", "b", secret_id="st-1"), values)


def test_the_environment_has_nothing_else_of_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the worker's own")
    monkeypatch.setenv("ANYTHING", "else")
    assert not {"the worker's own", "else"} & set(environment(BucketMount("/data", "b"), {}).values())
