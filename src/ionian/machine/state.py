"""The folder in which a server keeps what it must not lose, and the runtime files by which processes find it."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

import platformdirs

SOCKET_PATH_MAX = 100
"""A Unix socket's path holds 107 bytes; the longest file name that we put in the runtime folder gets 40 of them."""

SOCKET_NAME_MAX = 40


VOLUME_MARK = "mark"
"""A file beside the volumes."""

STAY = "stay"
"""A file of the runtime folder: while it is there, an idle server does not end."""

STARTING = "starting.lock"
"""Held by a server in the background from the moment that it is begun until it has said where it is."""


class StateError(Exception):
    """A folder or file of the state can't be used. The message says which, and what to do."""


class StateFolder:
    """Where everything of one server (and of the worker beside it) lies. Nothing of it is readable by other users.

    ```
    root/state.db        SQLite, unless another database is configured
    root/master.key      seals the secrets; lost, they are lost
    root/blobs/          content by its SHA-256
    root/volumes/VO-ID/  the files of a volume
    root/copies/VO-ID    which version of a volume those are
    root/images/         a worker's layers, shared by the workers of this user
    root/workers/NAME/   what else a worker keeps
    root/applogs/AP-ID/  what containers wrote
    root/buildlogs/ENV/  what builds of images printed
    root/logs/           what background processes print
    root/run/            locks, sockets, tokens, server.json
    ```
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()

    @classmethod
    def default(cls) -> StateFolder:
        """The folder that IONIAN_HOME names, or this user's data folder."""
        return cls(os.environ.get("IONIAN_HOME") or platformdirs.user_data_path("ionian"))

    def __repr__(self) -> str:
        return f"StateFolder({str(self.root)!r})"

    @property
    def database_url(self) -> str:
        """SQLite in this folder, for a server with no database configured."""
        return f"sqlite:///{self._folder() / 'state.db'}"

    @property
    def master_key(self) -> Path:
        """The file with the key that wraps the keys of the secrets."""
        return self._folder() / "master.key"

    @property
    def blobs(self) -> Path:
        """Content-addressed files."""
        return self._folder("blobs")

    @property
    def volumes(self) -> Path:
        """One folder a volume."""
        return self._folder("volumes")

    @property
    def images(self) -> Path:
        """Image layers of this machine's workers."""
        return self._folder("images")

    @property
    def app_logs(self) -> Path:
        """What containers wrote: a folder an app."""
        return self._folder("applogs")

    @property
    def build_logs(self) -> Path:
        """What builds of images printed: a folder an environment."""
        return self._folder("buildlogs")

    @property
    def logs(self) -> Path:
        """What server and workers print when they run in the background."""
        return self._folder("logs")

    @property
    def volume_drafts(self) -> Path:
        """What is being written to volumes: beside them, so that a complete file only takes its name."""
        return self._folder("volumes", "drafts")

    @property
    def volume_mark(self) -> str:
        """What is written in the folder of the volumes: a machine that sees it by another path knows it by that."""
        file = self.volumes / VOLUME_MARK
        draft = file.with_name(f".{secrets.token_hex(8)}")
        try:
            if not file.exists():
                draft.write_text(secrets.token_hex(16) + "\n")
                with suppress(FileExistsError):  # another process made it
                    os.link(draft, file)
            return file.read_text().strip()
        except OSError:  # a full disk, say: then no other machine knows the folder
            return ""
        finally:
            draft.unlink(missing_ok=True)

    @property
    def volume_copies(self) -> Path:
        """Of volumes that containers of several machines have: which version the folder here holds."""
        return self._folder("copies")

    def volume(self, volume_id: str) -> Path:
        """The folder of one volume. A root worker gives it to the ids of its containers, so its owner may be another."""
        folder = self.volumes / volume_id
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def worker(self, name: str) -> Path:
        """What one worker keeps for itself: scratch folders of its containers, its id."""
        return self._folder("workers", name)

    @property
    def runtime(self) -> Path:
        """Locks, sockets, tokens and `server.json`: a private folder whose path is short enough for sockets."""
        folder = self._folder("run")
        if len(os.fsencode(folder)) + 1 + SOCKET_NAME_MAX <= SOCKET_PATH_MAX:
            return folder
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        parent = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        if len(os.fsencode(parent)) > SOCKET_PATH_MAX - SOCKET_NAME_MAX - 40:
            parent = "/tmp"
        return private_folder(Path(parent, f"ionian-{os.getuid()}-{digest}"))

    def _folder(self, *parts: str) -> Path:
        folder = private_folder(self.root)
        for part in parts:
            folder = private_folder(folder / part)
        return folder


def private_folder(folder: Path) -> Path:
    """The folder, made where it is missing, for this user alone. Raises StateError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.getuid():
            raise StateError(
                f"expected {folder} to belong to user {os.getuid()}, it belongs to {status.st_uid}; "
                "set IONIAN_HOME to a folder of your own"
            )
        if status.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise StateError(
            f"can't use {folder}: {error.strerror}; set IONIAN_HOME to a folder that you can write"
        ) from None
    return folder
