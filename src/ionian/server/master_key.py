"""The master key: where it comes from, and the ring of keys while one takes the place of another.

It stands in a file for its owner alone, in a variable, or is what a command prints. Each of them may hold several keys, one
behind the other: the first seals what is new; the others open what they sealed, until that is sealed anew.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ionian.protocol.ids import ulid

KEY_SIZE = 32

VARIABLE = "IONIAN_MASTER_KEY"
COMMAND = "IONIAN_MASTER_KEY_COMMAND"
VARIABLES = (VARIABLE, COMMAND)
"""What the server's own children don't inherit."""

COMMAND_S = 60.0
"""So long the command may take: it may ask another machine."""

HOW_TO_MAKE = f"head -c {KEY_SIZE} /dev/urandom | base64"


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
        self.text = base64.b64encode(key).decode()

    def __repr__(self) -> str:
        return f"MasterKey({self.id})"


class KeyRing:
    """The master key that counts, and the former ones that still open something."""

    def __init__(self, keys: Sequence[MasterKey], file: Path | None = None) -> None:
        """`file`: where they stand, if that is a file of ours, which may be written."""
        self.current = keys[0]
        self.by_id = {key.id: key for key in keys}
        self._file = file

    @property
    def former(self) -> list[MasterKey]:
        """Those that seal nothing new."""
        return [key for key in self.by_id.values() if key.id != self.current.id]

    @property
    def source(self) -> str:
        """Where the keys come from, for people."""
        return str(self._file) if self._file is not None else _outside() or VARIABLE

    @classmethod
    def load(cls, file: Path) -> KeyRing:
        """The keys of IONIAN_MASTER_KEY, else of IONIAN_MASTER_KEY_COMMAND, else of the file, which is made where it is
        missing. Each is 32 bytes in base 64."""
        outside = _outside()
        if outside:
            return cls(_from_outside(outside))
        if not file.exists():
            _write(file, [MasterKey(os.urandom(KEY_SIZE))], replace=False)
        if file.stat().st_mode & 0o077:  # of a copy that was put back
            file.chmod(0o600)
        return cls(_keys(file.read_text(), str(file)), file)

    def with_new(self) -> KeyRing:
        """The ring with another current key, and all that this one has. A file holds it before this returns."""
        if self._file is not None:
            keys = [MasterKey(os.urandom(KEY_SIZE)), *self.by_id.values()]
            _write(self._file, keys, replace=True)
            return KeyRing(keys, self._file)
        outside = _outside()
        found = _from_outside(outside)
        if found[0].id == self.current.id and len(found) == 1:
            raise SecretError(
                f"the master key comes from {outside}, which only you can change: make a key ({HOW_TO_MAKE}), put it before "
                "the present one there, with a space between"
                + (", start the server again" if outside == VARIABLE else "")
                + ", and say this again"
            )
        return KeyRing([*found, *(key for key in self.by_id.values() if key.id not in {k.id for k in found})])

    def without_former(self) -> KeyRing:
        """The ring with the current key alone: nothing is sealed with another any more."""
        if self._file is not None and self.former:
            _write(self._file, [self.current], replace=True)
        return KeyRing([self.current], self._file)


def _outside() -> str:
    """The variable from which the keys come; "" where they stand in the file."""
    return next((name for name in VARIABLES if os.environ.get(name)), "")


def _from_outside(variable: str) -> list[MasterKey]:
    text = os.environ[variable]
    if variable == COMMAND:
        try:
            done = subprocess.run(
                text, shell=True, capture_output=True, text=True, timeout=COMMAND_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise SecretError(f"the command of {COMMAND} has not ended within {COMMAND_S:.0f} s") from None
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise SecretError(f"the command of {COMMAND} failed with {done.returncode}: {last[:200]}")
        text = done.stdout
    return _keys(text, variable)


def _keys(text: str, where: str) -> list[MasterKey]:
    keys: list[MasterKey] = []
    for part in text.replace(",", " ").split() or [""]:
        try:
            key = base64.b64decode(part, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_SIZE:
            raise SecretError(
                f"expected {KEY_SIZE} bytes in base 64 in {where}; make a key with: {HOW_TO_MAKE}"
            )
        keys.append(MasterKey(key))
    return keys


def _derive(key: bytes, purpose: str) -> bytes:
    return hmac.digest(key, f"ionian {purpose}".encode(), hashlib.sha256)


def _write(file: Path, keys: Sequence[MasterKey], *, replace: bool) -> None:
    """Writes the keys, all or none; without `replace` the first of two processes wins."""
    temporary = file.with_name(f"{file.name}.{ulid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.writelines(f"{key.text}\n" for key in keys)
            stream.flush()
            os.fsync(stream.fileno())
        if replace:
            temporary.replace(file)
        else:
            try:
                os.link(temporary, file)
            except FileExistsError:
                pass
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
