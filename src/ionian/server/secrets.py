"""Secrets: sealed with a key of their own each, which the master key wraps. Plain values are only ever in memory.

The store has no master key and the key file no secret, so a copy of either alone tells nothing.
"""

from __future__ import annotations

import base64
import hmac
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ionian import faults

from .master_key import KEY_SIZE, KeyRing, MasterKey, SecretError
from .store.schema import App, NamedObject, Secret, SecretValue
from .store.secrets import AnyWrapped, SecretRows, Wrapped

log = logging.getLogger("ionian.server")

NONCE_SIZE = 12
ID_LENGTH = 26

NAMING = "naming"
"""The key from which the ids of secrets without a name follow. It stays when the master key changes, and the ids so too."""

USED_EVERY_S = 60.0
"""When a secret was used last is noted so often at most: containers start by the hundred."""


class Rotated(NamedTuple):
    """What became of a change of the master key."""

    key_id: str
    wrapped: int  # keys of secrets that it wraps now
    source: str
    former: list[str]  # ids of keys that can be taken out of the source


class Secrets:
    """Keeps and opens secrets. Blocks: call it in a thread. Safe to use from any."""

    def __init__(self, rows: SecretRows, ring: KeyRing) -> None:
        self._rows = rows
        self._ring = ring
        self._known = dict(
            ring.by_id
        )  # former ones, too: who has read a row may be slower than a change of the key
        self._sealing = (
            threading.Lock()
        )  # held where something is sealed and stored: all or nothing before a new key
        self._rotating = threading.Lock()
        self._naming = self._naming_key()

    # --- secrets of an app

    def put(self, app: App, values: dict[str, str]) -> str:
        """Keeps a secret; returns its id. Equal values in an app of one name and environment have an equal id,
        in later runs too, and nobody without the master key can tell values from an id."""
        content = msgspec.json.encode(dict(sorted(values.items())))
        secret_id = self._name(app, content)
        with self._sealing:
            master, key = self._ring.current, os.urandom(KEY_SIZE)
            self._rows.put(
                Secret(
                    app.app_id,
                    secret_id,
                    app.environment,
                    master.id,
                    _seal(master.wrapping, key, _bound_to(app, secret_id, master.id)),
                    _seal(AESGCM(key), content, _bound_to(app, secret_id, "")),
                    time.time(),
                )
            )
        return secret_id

    def values(self, app: App, secret_ids: list[str]) -> dict[str, str]:
        """The variables of these secrets for an app; a later secret wins. Raises SecretError."""
        found = self.each(app, secret_ids)
        return {name: value for secret_id in secret_ids for name, value in found[secret_id].items()}

    def each(self, app: App, secret_ids: list[str]) -> dict[str, dict[str, str]]:
        """The variables of each of these secrets for an app: its own ones, and those with names. Raises SecretError."""
        own = self._rows.find(app.app_id, secret_ids)
        named = self._rows.named([secret_id for secret_id in secret_ids if secret_id not in own])
        for secret_id in secret_ids:
            if secret_id not in own and secret_id not in named:
                raise SecretError(
                    f"app {app.name} has no secret {secret_id}: it may have been deleted; make it again, and deploy or run "
                    "the program again"
                )
        self._note_use(list(named.values()))
        opened = {secret_id: self._open(app, row) for secret_id, row in own.items()}
        return opened | {secret_id: self._open_named(row) for secret_id, row in named.items()}

    # --- secrets with names

    def put_named(
        self,
        secret_id: str,
        *,
        environment: str,
        name: str,
        created_by: str,
        change: Callable[[Callable[[], dict[str, str]] | None], dict[str, str] | None],
    ) -> NamedObject:
        """Makes or changes the secret of a name: `change` gets a way to open the values that it has (None: there is no such
        secret), and says which it shall have (None: those that it has). What it raises leaves all as it was."""

        def seal(found: Wrapped[SecretValue] | None, bound_to: str) -> SecretValue | None:
            wanted = change(None if found is None else lambda: self._open_named(found))
            if wanted is None:
                return None
            row = None if found is None else found.row
            version = 1 if row is None else row.version + 1
            master, key = self._ring.current, os.urandom(KEY_SIZE)
            content = msgspec.json.encode(dict(sorted(wanted.items())))
            return SecretValue(
                secret_id if row is None else row.object_id,
                version,
                time.time(),
                None if row is None else row.last_used_at,
                master.id,
                _seal(master.wrapping, key, _named_bound_to(bound_to, master.id)),
                _seal(AESGCM(key), content, _named_bound_to(f"{bound_to}\0{version}", "")),
            )

        with self._sealing:
            return self._rows.put_named(secret_id, environment, name, created_by, seal)

    def names_of(self, secret_id: str) -> set[str]:
        """The names of the variables of a secret with a name."""
        found = self._rows.named([secret_id])
        return set(self._open_named(found[secret_id])) if secret_id in found else set()

    def opens(self, key_id: str) -> bool:
        """Whether what this master key sealed can be opened."""
        return key_id in self._known

    def _note_use(self, rows: list[Wrapped[SecretValue]]) -> None:
        now = time.time()
        old = [each.row.object_id for each in rows if now - (each.row.last_used_at or 0.0) > USED_EVERY_S]
        if old:
            self._rows.used(old, now)

    # --- another master key

    def rotate(self) -> Rotated:
        """Another master key takes the place of this one, while secrets are opened and kept as before. Raises SecretError.

        Wherever it is cut off, the source of the keys has all that anything is wrapped with: the new key is there before it
        wraps anything, and the former ones until they wrap nothing. `settle`, at the next start, does the rest.
        """
        with self._rotating:
            ring = self._ring.with_new()
            self._known |= ring.by_id
            former = [key.id for key in ring.former]
            if faults.ARMED:
                faults.reach("rotation.key")
            with self._sealing:  # who seals now has stored what it sealed, or will seal with the new key
                self._ring = ring
            wrapped = self._rewrap()
            if faults.ARMED:
                faults.reach("rotation.wrapped")
            self._ring = ring.without_former()
            log.info("master key=%s wraps %d keys, former=%s", ring.current.id, wrapped, ",".join(former))
            return Rotated(ring.current.id, wrapped, ring.source, former)

    def settle(self) -> None:
        """At the start: wraps anew what a former key of the ring wraps, and says what none opens."""
        with self._rotating:
            if self._ring.former:
                wrapped = self._rewrap()
                log.info("master key=%s wraps %d more keys", self._ring.current.id, wrapped)
                self._ring = self._ring.without_former()
        lost = self._rows.sealed_otherwise(self._ring.current.id)
        for key_id, count in lost.items():
            log.error(
                "%d secrets are sealed with master key %s, and %s has %s: put the former key back, behind the present one; "
                "without it they are lost, and have to be made anew",
                count,
                key_id,
                self._ring.source,
                self._ring.current.id,
            )

    def _rewrap(self) -> int:
        ring = self._ring

        def rewrap(found: AnyWrapped) -> tuple[str, bytes] | None:
            master = ring.by_id[found.row.key_id]
            try:
                key = _unseal(master.wrapping, found.row.wrapped_key, _wrapped_to(found, master.id))
            except SecretError as error:  # it was of no use before
                log.error("secret of %r: %s", found.bound_to, error)
                return None
            if faults.ARMED:
                faults.reach("rotation.secret")
            return ring.current.id, _seal(ring.current.wrapping, key, _wrapped_to(found, ring.current.id))

        wrapped = self._rows.rewrap([key.id for key in ring.former], rewrap)
        with self._sealing:
            self._keep_naming(self._naming)
        return wrapped

    # --- opened

    def _open(self, app: App, row: Secret) -> dict[str, str]:
        master = self._master(row.secret_id, row.key_id)
        key = _unseal(master.wrapping, row.wrapped_key, _bound_to(app, row.secret_id, row.key_id))
        content = _unseal(AESGCM(key), row.sealed, _bound_to(app, row.secret_id, ""))
        return msgspec.json.decode(content, type=dict[str, str])

    def _open_named(self, found: Wrapped[SecretValue]) -> dict[str, str]:
        row = found.row
        master = self._master(row.object_id, row.key_id)
        key = _unseal(master.wrapping, row.wrapped_key, _named_bound_to(found.bound_to, row.key_id))
        version = f"{found.bound_to}\0{row.version}"
        content = _unseal(AESGCM(key), row.sealed, _named_bound_to(version, ""))
        return msgspec.json.decode(content, type=dict[str, str])

    def _master(self, secret_id: str, key_id: str) -> MasterKey:
        if key_id not in self._known:
            raise SecretError(
                f"secret {secret_id} was sealed with master key {key_id}, this server has {self._ring.current.id}; "
                f"put the former key back into {self._ring.source}: without it the secret is lost"
            )
        return self._known[key_id]

    # --- ids

    def _name(self, app: App, content: bytes) -> str:
        message = b"\0".join((app.environment.encode(), app.name.encode(), content))
        digest = hmac.digest(self._naming, message, "sha256")
        return "st-" + base64.b32encode(digest).decode()[:ID_LENGTH]

    def _naming_key(self) -> bytes:
        row = self._rows.key(NAMING)
        if row is None:
            self._keep_naming(self._ring.current.naming)
        elif row.key_id in self._ring.by_id:
            return _unseal(self._ring.by_id[row.key_id].wrapping, row.wrapped_key, _key_bound_to(row.key_id))
        return self._ring.current.naming  # of a lost key: what is kept with it stays, in case it is found

    def _keep_naming(self, key: bytes) -> None:
        row = self._rows.key(NAMING)
        if row is None or row.key_id in self._ring.by_id:
            master = self._ring.current
            self._rows.put_key(NAMING, master.id, _seal(master.wrapping, key, _key_bound_to(master.id)))


def _bound_to(app: App, secret_id: str, key_id: str) -> bytes:
    """What a seal is good for: a row copied to another app or environment doesn't open."""
    return "\0".join((app.environment, app.app_id, secret_id, key_id)).encode()


def _named_bound_to(bound_to: str, key_id: str) -> bytes:
    return f"{bound_to}\0{key_id}".encode()


def _key_bound_to(key_id: str) -> bytes:
    return f"{NAMING}\0{key_id}".encode()


def _wrapped_to(found: AnyWrapped, key_id: str) -> bytes:
    return f"{found.bound_to}\0{key_id}".encode()


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
