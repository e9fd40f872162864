"""Buckets as volumes: what is refused where it is written."""

from __future__ import annotations

from typing import Any

import pytest

import ionian
from ionian import CloudBucketMount, Secret, Volume
from ionian.exception import InvalidError, UnimplementedError


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("bucket_name", ""),
        ("bucket_name", "a/b"),
        ("bucket_name", 3),
        ("bucket_endpoint_url", "storage.example.com"),
        ("bucket_endpoint_url", "ftp://storage.example.com"),
        ("key_prefix", "2026"),
        ("key_prefix", "../"),
        ("key_prefix", "/a/"),
        ("key_prefix", "a//"),
        ("secret", "key"),
        ("read_only", "yes"),
        ("requester_pays", 1),
        ("force_path_style", None),
    ],
)
def test_a_wrong_argument_is_refused_by_name(argument: str, value: Any) -> None:
    given: dict[str, Any] = {"bucket_name": "b", argument: value}
    with pytest.raises(InvalidError, match=f"{argument}: expected"):
        CloudBucketMount(**given)


def test_credentials_are_not_part_of_a_url_and_who_pays_has_some() -> None:
    with pytest.raises(InvalidError, match="credentials belong into the secret"):
        CloudBucketMount("b", bucket_endpoint_url="https://me:key@storage.example.com")
    with pytest.raises(InvalidError, match="requester_pays: a bucket whose requests are paid for needs"):
        CloudBucketMount("b", requester_pays=True)
    with pytest.raises(UnimplementedError, match="oidc_auth_role_arn"):
        CloudBucketMount("b", oidc_auth_role_arn="arn:aws:iam::1:role/x")
    assert CloudBucketMount("b", secret=Secret.from_dict({}), requester_pays=True).requester_pays


def test_a_function_mounts_what_its_app_mounts_where_it_has_nothing_of_its_own() -> None:
    of_app, own = CloudBucketMount("of-app"), CloudBucketMount("own")
    app = ionian.App("a", volumes={"/bucket": of_app, "/volume": Volume.from_name("v"), "/both": of_app})

    @app.function(volumes={"/own": own, "/volume": own, "/both": Volume.from_name("w")}, serialized=True)
    def function() -> None: ...

    options = function.options
    assert options.buckets == {"/bucket": of_app, "/own": own, "/volume": own}
    assert list(options.volumes) == ["/both"]


def test_variants_and_image_steps_mount_no_bucket() -> None:
    app = ionian.App("a")

    @app.function(serialized=True)
    def function() -> None: ...

    with pytest.raises(InvalidError, match="got a CloudBucketMount"):
        function.with_options(volumes={"/b": CloudBucketMount("b")})  # pyright: ignore
    with pytest.raises(InvalidError, match="got a CloudBucketMount"):
        ionian.Image.debian_slim("3.11").run_commands("true", volumes={"/b": CloudBucketMount("b")})  # pyright: ignore
