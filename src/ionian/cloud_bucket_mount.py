"""Buckets of object stores as folders of containers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import later
from .arguments import flag, mount_point, wrong
from .exception import InvalidError
from .execution import is_local
from .secret import Secret


class CloudBucketMount:
    """A bucket of an S3-compatible store, mounted with `volumes={"/path": CloudBucketMount(…)}`.

    ```python
    @app.function(
        volumes={"/data": modal.CloudBucketMount("measurements", secret=modal.Secret.from_name("aws"), read_only=True)}
    )
    def count() -> int:
        return len(os.listdir("/data"))
    ```

    Args:
        bucket_name: the bucket.
        bucket_endpoint_url: where the store answers, "https://…"; Amazon's unless given.
        key_prefix: what all keys begin with that are seen, ending in "/".
        secret: has AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, AWS_REGION where they are needed), or
            GOOGLE_ACCESS_KEY_ID and GOOGLE_ACCESS_KEY_SECRET. No container sees them. Without it the bucket has to be public.
        read_only: containers can't write to it.
        requester_pays: requests are paid for by who has the secret.
        force_path_style: the bucket's name stands in the path of its address, not in the host name.
    """

    def __init__(
        self,
        bucket_name: str,
        bucket_endpoint_url: str | None = None,
        key_prefix: str | None = None,
        secret: Secret | None = None,
        oidc_auth_role_arn: str | None = None,
        read_only: bool = False,
        requester_pays: bool = False,
        force_path_style: bool = False,
    ) -> None:
        self.bucket_name = bucket_name
        self.bucket_endpoint_url = bucket_endpoint_url
        self.key_prefix = key_prefix
        self.secret = secret
        self.oidc_auth_role_arn = oidc_auth_role_arn
        self.read_only = read_only
        self.requester_pays = requester_pays
        self.force_path_style = force_path_style
        if is_local():
            self._check()

    def _check(self) -> None:
        later.refuse("CloudBucketMount.__init__", oidc_auth_role_arn=self.oidc_auth_role_arn)
        if not _is_text(self.bucket_name) or not self.bucket_name or "/" in self.bucket_name:
            raise wrong("bucket_name", "the name of a bucket", self.bucket_name)
        _check_endpoint(self.bucket_endpoint_url)
        prefix = self.key_prefix
        if prefix is not None and not (_is_text(prefix) and prefix.endswith("/") and _is_plain(prefix)):
            raise wrong("key_prefix", 'what keys begin with, ending in "/": "2026/raw/"', prefix)
        if self.secret is not None and not isinstance(self.secret, Secret):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise wrong("secret", "a modal.Secret", self.secret)
        for name in ("read_only", "requester_pays", "force_path_style"):
            flag(name, getattr(self, name))
        if self.requester_pays and self.secret is None:
            raise InvalidError("requester_pays: a bucket whose requests are paid for needs a secret, too")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CloudBucketMount) and vars(self) == vars(other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"CloudBucketMount({', '.join(f'{name}={value!r}' for name, value in vars(self).items() if value)})"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value and "\n" not in value


def _is_plain(prefix: str) -> bool:
    return not {"", ".", ".."} & set(prefix[:-1].split("/"))


def _check_endpoint(url: Any) -> None:
    if url is None:
        return
    from urllib.parse import urlsplit

    parts = urlsplit(str(url))
    if not _is_text(url) or parts.scheme not in ("http", "https") or not parts.hostname:
        raise wrong("bucket_endpoint_url", "a URL like https://storage.example.com", url)
    if parts.username or parts.password:
        raise InvalidError("bucket_endpoint_url: credentials belong into the secret, not into the URL")


def bucket_mounts(value: Any) -> dict[str, CloudBucketMount]:
    """The buckets in the argument `volumes` of functions and apps."""
    if not isinstance(value, Mapping):
        return {}  # refused with the volumes
    items: dict[Any, Any] = dict(value)  # pyright: ignore[reportUnknownArgumentType]
    return {
        mount_point("volumes", path): bucket
        for path, bucket in items.items()
        if isinstance(bucket, CloudBucketMount)
    }


def without_buckets(where: str, value: Any) -> Any:
    """The argument `volumes` of what can't have buckets."""
    if bucket_mounts(value):
        raise InvalidError(
            f"{where}: expected a modal.Volume for each path, got a CloudBucketMount; buckets are mounted by @app.function, "
            "@app.cls and App"
        )
    return value
