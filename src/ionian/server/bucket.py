"""Content by its SHA-256 as the objects of a bucket of an S3-compatible store.

Credentials and address come from the environment, by the names that all tools of S3 know: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL; or from the file that AWS_SHARED_CREDENTIALS_FILE names. What the store answers is told by its code alone: its text may have keys in it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from configparser import Error as ParserError
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .. import config
from .blobs import DIGEST, BlobError, Entry, NoSuchBlob

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

PART = 8 << 20
"""Bytes of an object that are read at a time, and the least part of an upload."""

PARTS_MAX = 9_000
"""An upload may have 10,000 parts."""

AT_ONCE = 8
"""Objects, or parts of few large ones, on their way to the bucket at the same time: so many parts are in memory."""

ASKED_AT_ONCE = 1_000
"""Objects of one list, and of one deletion."""

RETRIES = 4
RETRIED_FOR = timedelta(seconds=20)
"""A store that does not answer is asked again for so long; then whoever waits is told."""

TIMEOUT = timedelta(seconds=120)
"""For one part, of a store behind a slow line."""

EMPTY = hashlib.sha256().hexdigest()
"""No object: a part of nothing can't be asked for."""

OWNER = "server"
"""The object that says which server keeps its content here: another one would take it for garbage."""

URL = re.compile(r"s3://([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])(?:/([^\s?#]*))?\Z")


class BucketError(BlobError):
    """The bucket can't be used now, or not at all. The message says which, and what it answered."""


class Bucket:
    """The objects `PREFIX/ab/cdef…`. Safe to use from any thread; blocks."""

    def __init__(self, url: str) -> None:
        """Raises BucketError for what names no bucket. Asks nothing yet."""
        found = URL.match(url)
        if found is None:
            raise BucketError(f"volume_bucket: expected s3://BUCKET or s3://BUCKET/PREFIX, got {url!r}")
        prefix = (found[2] or "").strip("/")
        self.url = f"s3://{found[1]}" + (f"/{prefix}" if prefix else "")
        self._store = _opened(found[1], prefix)
        self._owner = ""

    def claim(self, owner: str) -> None:
        """It is this server's from now on. Raises BucketError where it is another's."""
        if not owner:
            raise BucketError(
                "the server's folder of volumes has no mark; make room on its disk and try again"
            )
        if self._owner == owner:
            return
        with self._speaking():
            try:
                there = bytes(self._store.get(OWNER).bytes()).decode(errors="replace")
            except FileNotFoundError:
                self._store.put(OWNER, owner.encode())
                there = owner
        if there != owner:
            raise BucketError(
                f"{self.url} has the volumes of another server, which would take these for garbage; give each server a prefix "
                f"of its own, or delete the object {OWNER!r} there if that one is gone"
            )
        self._owner = owner

    def keep(self, contents: Mapping[str, Path]) -> None:
        """Uploads these files, each under the digest of its content, unless it is there. Raises BlobError, OSError."""
        files = max(1, min(AT_ONCE, len(contents)))
        with ThreadPoolExecutor(files) as threads:
            for _ in threads.map(partial(self._keep, parts=AT_ONCE // files), contents, contents.values()):
                pass

    def _keep(self, digest: str, file: Path, *, parts: int) -> None:
        size = file.stat().st_size
        if size and self._size(digest) != size:
            part = max(PART, size // PARTS_MAX)
            with self._speaking():
                self._store.put(_key(digest), file, chunk_size=part, max_concurrency=parts)

    def _size(self, digest: str) -> int:
        """Of what is there; 0: nothing is."""
        with self._speaking():
            try:
                return self._store.head(_key(digest))["size"]
            except FileNotFoundError:
                return 0

    def part(self, digest: str, offset: int, length: int) -> tuple[int, bytes]:
        """The size of what has this digest, and a part of it, shorter at its end. Raises NoSuchBlob, BucketError."""
        if digest == EMPTY:
            return 0, b""
        key = _key(digest)
        with self._speaking():
            try:
                found = self._store.get(key, options={"range": (offset, offset + max(1, length))})
                return found.meta["size"], bytes(found.bytes())
            except FileNotFoundError:
                raise NoSuchBlob(f"there is no blob {digest} in {self.url}") from None

    def parts(self, digest: str) -> Generator[bytes]:
        """All of it, part by part. Raises NoSuchBlob, BucketError: for one that is damaged at the end."""
        seen, at, size = hashlib.sha256(), 0, 1
        while at < size:
            size, part = self.part(digest, at, PART)
            seen.update(part)
            yield part
            if not part:
                break
            at += len(part)
        if seen.hexdigest() != digest:
            raise BucketError(
                f"{self.url} has other content for {digest} than was kept there: the object {_key(digest)} is damaged; "
                "bring it back from a version of the bucket's, or delete it and write the file anew"
            )

    def entries(self) -> list[Entry]:
        """Every object with its size and the time when it was written."""
        found: list[Entry] = []
        with self._speaking():
            for some in self._store.list(chunk_size=ASKED_AT_ONCE):
                for one in some:
                    digest = one["path"].replace("/", "", 1)
                    if DIGEST.match(digest):
                        found.append(Entry(digest, one["size"], one["last_modified"].timestamp()))
        return found

    def delete(self, digests: Collection[str]) -> None:
        """They are not there when this returns."""
        keys = [_key(digest) for digest in digests]
        with self._speaking():
            for at in range(0, len(keys), ASKED_AT_ONCE):
                self._store.delete(keys[at : at + ASKED_AT_ONCE])

    @contextmanager
    def _speaking(self) -> Generator[None]:
        """What goes wrong with the store is said in one sentence, and nothing of what it was asked with."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError, ValueError) as error:
            raise BucketError(
                f"{self.url} {_answer(str(error))}; the content of volumes' versions is there, so try again when it is "
                "reached (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the server say how)"
            ) from None


def configured_bucket() -> Bucket | None:
    """The one that is set for the content of volumes' versions. Raises BucketError."""
    url = config.get("volume_bucket")
    return Bucket(url) if url else None


def _opened(bucket: str, prefix: str) -> S3Store:
    try:
        from obstore.store import S3Store
    except ImportError:
        raise BucketError(
            "volume_bucket needs obstore on the server, which is not there: install ionian[s3]"
        ) from None
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=_credentials(),
        client_options={"allow_http": endpoint.startswith("http://"), "timeout": TIMEOUT},
        retry_config={"max_retries": RETRIES, "retry_timeout": RETRIED_FOR},
    )


def _credentials() -> S3Config:
    """Those of the file that is named, where the environment itself has none. Raises BucketError."""
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE")
    if not file or os.environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    profile = os.environ.get("AWS_PROFILE") or "default"
    parser = ConfigParser(interpolation=None)
    try:
        with open(file, encoding="utf-8") as opened:
            parser.read_file(opened)
        values = parser[profile]
        found: S3Config = {
            "access_key_id": values["aws_access_key_id"],
            "secret_access_key": values["aws_secret_access_key"],
        }
    except (OSError, UnicodeDecodeError, ParserError, KeyError):  # what it says may be a secret
        raise BucketError(
            f"AWS_SHARED_CREDENTIALS_FILE: expected a file that can be read, with aws_access_key_id and aws_secret_access_key "
            f"in its section [{profile}], got {file}"
        ) from None
    if token := values.get("aws_session_token"):
        found["session_token"] = token
    return found


def _key(digest: str) -> str:
    if not DIGEST.match(digest):
        raise BlobError(f"expected a SHA-256 in 64 hexadecimal digits, got {digest[:80]!r}")
    return f"{digest[:2]}/{digest[2:]}"


def _answer(text: str) -> str:
    if found := re.search(r"<Code>(\w+)</Code>", text) or re.search(r"status code: (\d{3}[ \w]*)", text):
        return f"answers {found[1]}"
    return "does not answer"
