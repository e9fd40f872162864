"""A worker's streams to its server: one for what is said, one for bulk; both come back after a cut."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..machine.identity import machine_id
from ..machine.state import VOLUME_MARK
from ..protocol.messages import Hello, Welcome
from ..protocol.stream import ConnectionLost, Peer, Refused, dial
from ..protocol.wire import RUN
from ..version import VERSION

if TYPE_CHECKING:
    from .worker import Worker

log = logging.getLogger("ionian.worker")

PAUSE_MAX_S = 0.5

FINAL = ("AuthError", "VersionError")
"""Refusals that another try would not change."""


class _Stream(Peer):
    """The worker's end."""

    def __init__(self, uplink: Uplink) -> None:
        super().__init__()
        self._uplink = uplink

    def closed(self) -> None:
        self._uplink.lost(self)

    def received(self, message: Any, request: int, payload: bytes) -> None:
        self._uplink.worker.received(self, message, request, payload)

    def batch(self, kind: int, header: memoryview, payload: memoryview) -> None:
        if kind != RUN:
            super().batch(kind, header, payload)
        self._uplink.worker.run(header, payload)


class Uplink:
    """Finds the server, says Hello, and does it again whenever the stream is lost."""

    def __init__(
        self, worker: Worker, find: Callable[[], tuple[str, str] | None], volumes: Path | None = None
    ) -> None:
        self.worker = worker
        self._find = find
        self._volumes = volumes  # where this machine has the server's, by its user's word
        self.stream: _Stream | None = None
        self._bulk: _Stream | None = None
        self._bulk_lock = asyncio.Lock()
        self._lost = asyncio.Event()
        self.shared_blobs: Path | None = None
        self.shared_volumes: Path | None = None  # the server's, where this machine sees them
        self.refused: Refused | None = None
        self._dismissed = False

    async def keep(self, patience_s: float) -> None:
        """Stays connected; comes back when no server was found for so long (0: never), or it refused this worker."""
        loop = asyncio.get_running_loop()
        missing_since, pause, missing = loop.time(), 0.02, False
        while not self._dismissed:
            try:
                stream, welcome = await self._open("worker")
            except Exception as error:
                if isinstance(error, Refused) and error.type in FINAL:
                    self.refused = error
                    return
                if not missing and not patience_s:
                    log.warning("no server can be reached, trying again: %s", error)
                missing = True
                if patience_s and loop.time() - missing_since > patience_s:
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, PAUSE_MAX_S)
                continue
            is_here = welcome.machine == machine_id()
            self.shared_blobs = Path(welcome.blob_folder) if is_here and welcome.blob_folder else None
            self.shared_volumes = Path(welcome.volume_folder) if is_here and welcome.volume_folder else None
            if self._volumes is not None:
                if why := await asyncio.to_thread(unlike, self._volumes, welcome.volume_mark):
                    self.refused = Refused("InvalidError", why)
                    stream.disconnect()
                    return
                self.shared_volumes = self._volumes
            self._lost.clear()
            self.stream = stream
            self.worker.connected(stream)
            log.info("connected epoch=%d", welcome.epoch)
            if not self._dismissed:
                await self._lost.wait()
            missing_since, pause, missing = loop.time(), 0.02, False

    def dismiss(self) -> None:
        """This worker shall end, when its containers have said their last words; to say so twice is harmless."""
        self._dismissed = True
        self._lost.set()

    def close(self) -> None:
        """Ends the streams, after what was said on them."""
        self._dismissed = True
        for stream in (self.stream, self._bulk):
            if stream is not None:
                stream.disconnect()

    def lost(self, stream: _Stream) -> None:
        """A stream ended."""
        if stream is self._bulk:
            self._bulk = None
        if stream is self.stream:
            self.stream = None
            self._lost.set()

    async def _open(self, role: str) -> tuple[_Stream, Welcome]:
        found = await asyncio.to_thread(self._find)
        if found is None:
            raise ConnectionLost("no server is announced")
        url, token = found
        stream = await dial(url, lambda: _Stream(self))
        welcome, _ = await stream.request(Hello(role, token, VERSION, self.worker.worker_id))
        assert isinstance(welcome, Welcome)
        if not stream.connected:  # lost behind the answer: nobody was told yet
            raise ConnectionLost("the server closed the stream")
        return stream, welcome

    async def bulk(self, message: Any, payload: bytes | memoryview = b"") -> tuple[Any, bytes]:
        """A request on the stream for bulk data. Raises ConnectionLost or Refused."""
        async with self._bulk_lock:
            if self._bulk is None:
                try:
                    self._bulk, _ = await self._open("blobs")
                except Refused:
                    raise
                except Exception as error:
                    raise ConnectionLost(str(error)) from error
        return await self._bulk.request(message, payload)


def unlike(volumes: Path, mark: str) -> str:
    """Why a folder is not that of the server's volumes; "": it is."""
    try:
        if mark and (volumes / VOLUME_MARK).read_text().strip() == mark:
            return ""
        why = f"its file {VOLUME_MARK} is not that of the server"
    except OSError as error:
        why = f"{VOLUME_MARK}: {error.strerror}"
    return (
        f"the setting `volumes` of this worker: expected the folder that the server has its volumes in, got {volumes} ({why}); "
        "mount the same file system on both machines, or leave the setting out: then commit and reload go over the server"
    )


def announced(runtime: Path) -> tuple[str, str] | None:
    """URL and token of the server that this user runs on this machine; it is elsewhere after a restart."""
    try:
        facts = json.loads((runtime / "server.json").read_text())
        return facts["local"], (runtime / "worker.token").read_text().strip()
    except (OSError, ValueError, KeyError):
        return None
