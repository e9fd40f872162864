"""Secrets: sealed with a key of their own each, which the master key wraps. Plain values are only ever in memory.

The store has no master key and the key file no secret, so a copy of either alone tells nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import time
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ionian.protocol.ids import ulid

from .store.schema import App, Secret
from .store.secrets import SecretRows

KEY_SIZE = 32
NONCE_SIZE = 12
ID_LENGTH = 26


class SecretError(Exception):
    """A master key or secret can't be used. The message says why and what to do; it holds no secret."""


class MasterKey:
    """The key that wraps each secret's own. Purposes get keys derived from it, so none weakens another."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise SecretError(f"expected a master key of {KEY_SIZE} bytes, got {len(key)}")
        self.id = _derive(key, "key id").hex()[:16]
        self.wrapping = AESGCM(_derive(key, "wrap"))
        self.naming = _derive(key, "name")

    @classmethod
    def load(cls, file: Path) -> MasterKey:
        """The key in IONIAN_MASTER_KEY (32 bytes in base 64), else in the file, which is made where it is missing."""
        text = os.environ.get("IONIAN_MASTER_KEY")
        if text:
            return cls(_from_base64(text, "IONIAN_MASTER_KEY"))
        if not file.exists():
            _create(file)
        return cls(_from_base64(file.read_text(), str(file)))


class Secrets:
    """Keeps and opens the secrets of apps. Blocks: call it in a thread."""

    def __init__(self, rows: SecretRows, master: MasterKey) -> None:
        self._rows = rows
        self._master = master

    def put(self, app: App, values: dict[str, str]) -> str:
        """Keeps a secret; returns its id. Equal values in an app of one name and environment have an equal id,
        in later runs too, and nobody without the master key can tell values from an id."""
        content = msgspec.json.encode(dict(sorted(values.items())))
        secret_id = self._name(app, content)
        key = os.urandom(KEY_SIZE)
        self._rows.put(
            Secret(
                app.app_id,
                secret_id,
                app.environment,
                self._master.id,
                _seal(self._master.wrapping, key, _bound_to(app, secret_id, self._master.id)),
                _seal(AESGCM(key), content, _bound_to(app, secret_id, "")),
                time.time(),
            )
        )
        return secret_id

    def values(self, app: App, secret_ids: list[str]) -> dict[str, str]:
        """The variables of these secrets of an app; a later secret wins. Raises SecretError."""
        found = self.each(app, secret_ids)
        return {name: value for secret_id in secret_ids for name, value in found[secret_id].items()}

    def each(self, app: App, secret_ids: list[str]) -> dict[str, dict[str, str]]:
        """The variables of each of these secrets of an app. Raises SecretError."""
        rows = self._rows.find(app.app_id, secret_ids)
        for secret_id in secret_ids:
            if secret_id not in rows:
                raise SecretError(f"app {app.app_id} has no secret {secret_id}; run the program again")
        return {secret_id: self._open(app, rows[secret_id]) for secret_id in secret_ids}

    def rewrap(self, previous: MasterKey) -> int:
        """After a change of the master key: wraps anew what the previous one wrapped; returns how many."""
        rows = [row for row in self._rows.sealed_otherwise(self._master.id) if row.key_id == previous.id]
        for row in rows:
            key = _unseal(previous.wrapping, row.wrapped_key, _row_bound_to(row, previous.id))
            row.wrapped_key = _seal(self._master.wrapping, key, _row_bound_to(row, self._master.id))
            row.key_id = self._master.id
            self._rows.replace(row)
        return len(rows)

    def _open(self, app: App, row: Secret) -> dict[str, str]:
        if row.key_id != self._master.id:
            raise SecretError(
                f"secret {row.secret_id} was sealed with master key {row.key_id}, this server has {self._master.id}; "
                "put the former master.key (or IONIAN_MASTER_KEY) back: without it the secret is lost"
            )
        key = _unseal(self._master.wrapping, row.wrapped_key, _bound_to(app, row.secret_id, row.key_id))
        content = _unseal(AESGCM(key), row.sealed, _bound_to(app, row.secret_id, ""))
        return msgspec.json.decode(content, type=dict[str, str])

    def _name(self, app: App, content: bytes) -> str:
        message = b"\0".join((app.environment.encode(), app.name.encode(), content))
        digest = hmac.digest(self._master.naming, message, "sha256")
        return "st-" + base64.b32encode(digest).decode()[:ID_LENGTH]


def _bound_to(app: App, secret_id: str, key_id: str) -> bytes:
    """What a seal is good for: a row copied to another app or environment doesn't open."""
    return "\0".join((app.environment, app.app_id, secret_id, key_id)).encode()


def _row_bound_to(row: Secret, key_id: str) -> bytes:
    return "\0".join((row.environment, row.app_id, row.secret_id, key_id)).encode()


def _seal(key: AESGCM, content: bytes, bound_to: bytes) -> bytes:
    nonce = os.urandom(NONCE_SIZE)
    return nonce + key.encrypt(nonce, content, bound_to)


def _unseal(key: AESGCM, sealed: bytes, bound_to: bytes) -> bytes:
    try:
        return key.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], bound_to)
    except InvalidTag:
        raise SecretError(
            "a secret in the database was changed or moved to another app; it can't be used"
        ) from None


def _derive(key: bytes, purpose: str) -> bytes:
    return hmac.digest(key, f"ionian {purpose}".encode(), hashlib.sha256)


def _from_base64(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_SIZE:
        raise SecretError(
            f"expected {KEY_SIZE} bytes in base 64 in {where}; make a key with: head -c {KEY_SIZE} /dev/urandom | base64"
        )
    return key


def _create(file: Path) -> None:
    """Writes a new key, complete or not at all; of two processes the first wins."""
    temporary = file.with_name(f"{file.name}.{ulid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(base64.b64encode(os.urandom(KEY_SIZE)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, file)
        except FileExistsError:
            pass
    finally:
        temporary.unlink()
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
