"""Many files to a volume: what the server has is not sent again, and the rest goes several files at a time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Protocol

from . import link
from .arguments import flag, wrong
from .exception import ExecutionError, InvalidError
from .steps import Blocking, Steps, run, run_async
from .volume_files import path_of
from .volume_offers import Large, NotOffered, OfferedUpload

if TYPE_CHECKING:
    from typing_extensions import Self

    from .protocol.volumes import NewFile
    from .volume import Volume

CHUNK = 1 << 20
TOGETHER = 8
"""Files that are sent at once: the server syncs each to its disk."""

ASKED_AT_ONCE = 2_000
IN_MEMORY = 4 << 20
"""Bytes of what was given as an open file that are kept in memory until the end of the block."""


class Observer(Protocol):
    """Is told how an upload is doing, from several threads."""

    def expect(self, files: int, amount: int) -> None:
        """So many files, and so many bytes, there will be."""
        ...

    def moved(self, files: int, amount: int) -> None:
        """So many files more are in the volume, and so many bytes more at the server."""
        ...


class VolumeUpload:
    """A block that collects files; they are sent at its end: `with volume.batch_upload() as batch:`."""

    def __init__(self, volume: Volume, force: bool) -> None:
        self._volume = volume
        self._force = flag("force", force)
        self._files: dict[str, tuple[Path | IO[bytes], int | None]] = {}
        self.observer: Observer | None = None

    def put_file(self, local_file: Any, remote_path: Any, mode: int | None = None) -> None:
        """A local file, or an open one (binary), to a path in the volume.

        Args:
            mode: its permissions; those of the local file unless given, 0o644 for an open one.
        """
        remote = path_of("remote_path", remote_path)
        if remote.endswith("/") or not remote.strip("/"):
            raise wrong("remote_path", "the path of a file in the volume, not of a folder", remote_path)
        if mode is not None and (not isinstance(mode, int) or not 0 <= mode <= 0o7777):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise wrong("mode", "permissions like 0o644", mode)
        if isinstance(local_file, (str, os.PathLike)):
            local = Path(local_file)  # pyright: ignore[reportUnknownArgumentType]
            if not local.is_file():
                raise FileNotFoundError(f"local_file: there is no file {os.fspath(local)!r} here")
            self._add(remote, local, mode)
        else:
            self._add(remote, _kept(local_file), mode)

    def put_directory(self, local_path: Any, remote_path: Any, recursive: bool = True) -> None:
        """The files of a local folder, below a path in the volume; those in its folders, too, if `recursive`."""
        remote = path_of("remote_path", remote_path)
        local = Path(local_path)
        if not local.is_dir():
            raise FileNotFoundError(f"local_path: there is no folder {os.fspath(local)!r} here")
        for file in _files_of(local, flag("recursive", recursive)):
            self._add(str(PurePosixPath(remote, file.relative_to(local).as_posix())), file, None)

    def _add(self, remote: str, source: Path | IO[bytes], mode: int | None) -> None:
        path = "/".join(part for part in remote.split("/") if part not in ("", "."))
        if path in self._files:
            raise InvalidError(f"remote_path: two files of this upload are for {path!r}")
        self._files[path] = (source, mode)

    # --- the end of the block

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            run(self._send())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await run_async(self._send())

    def _send(self) -> Steps[None]:
        volume_id = yield from self._volume._found()  # pyright: ignore[reportPrivateUsage]
        if self._files:
            yield Blocking(lambda: _Sender(volume_id, self._force, self.observer).send(self._files))


def _files_of(local: Path, recursive: bool) -> Iterator[Path]:
    for at, folders, names in os.walk(local):
        yield from (Path(at, name) for name in sorted(names) if Path(at, name).is_file())
        folders[:] = sorted(folders) if recursive else []


def _kept(file: Any) -> IO[bytes]:
    """The content of an open file: it may be closed before the block ends."""
    if not hasattr(file, "read"):
        raise wrong("local_file", "a path, or a file that is open for reading", file)
    if getattr(file, "seekable", lambda: False)():
        file.seek(0)
    kept = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - it lives until the upload does
    while content := file.read(CHUNK):
        if not isinstance(content, bytes):
            raise wrong("local_file", "a file that is open in binary mode", file)
        kept.write(content)
    return kept


class _Sender:
    def __init__(self, volume_id: str, force: bool, observer: Observer | None) -> None:
        self._volume_id = volume_id
        self._force = force
        self._observer = observer
        self._offering: link.Offering | None = None

    def send(self, files: dict[str, tuple[Path | IO[bytes], int | None]]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        if not self._force:
            self._refuse_existing(list(files))
        if self._observer is not None:
            self._observer.expect(len(files), sum(_size_of(source) for source, _ in files.values()))
        self._offering = link.current().offering()
        try:
            with ThreadPoolExecutor(TOGETHER) as pool:
                items = list(files.items())
                for at in range(0, len(items), ASKED_AT_ONCE):
                    self._send_some(items[at : at + ASKED_AT_ONCE], pool)
        finally:
            if self._offering is not None:
                self._offering.close()

    def _refuse_existing(self, paths: list[str]) -> None:
        from .protocol.volumes import FindExisting

        for at in range(0, len(paths), ASKED_AT_ONCE):
            found, _ = link.current().request(FindExisting(self._volume_id, paths[at : at + ASKED_AT_ONCE]))
            if found.paths:
                more = f" and {len(found.paths) - 1:,} more are" if len(found.paths) > 1 else " is"
                raise FileExistsError(
                    f"{found.paths[0]}{more} in the volume already; batch_upload(force=True) replaces files"
                )

    def _send_some(self, items: Sequence[tuple[str, tuple[Path | IO[bytes], int | None]]], pool: Any) -> None:
        """Small files travel with their names, several in one message; large ones go before."""
        from .protocol.volumes import AT_ONCE, INLINE_MAX

        small: list[tuple[NewFile, bytes]] = []
        large: list[Large] = []
        for file, content, source in pool.map(_looked_at, items):
            if file.size <= INLINE_MAX:
                small.append((file, content))
            else:
                large.append(Large(file, source))
        if large:
            self._send_large(large, pool)
        list(pool.map(self._put, _batches(small, AT_ONCE)))

    def _send_large(self, large: list[Large], pool: Any) -> None:
        """To a server on this machine by descriptor; to another by their content, named by its digest."""
        if self._offering is not None:
            offered = OfferedUpload(self._volume_id, self._force, self._offering, self._moved)
            try:
                offered.send(large, pool)
                return
            except NotOffered:
                self._offering.close()
                self._offering = None
        self._send_blobs(list(pool.map(_with_digest, large)), pool)

    def _send_blobs(self, large: list[Large], pool: Any) -> None:
        from .protocol.messages import FindBlobs
        from .protocol.volumes import AT_ONCE

        named = {each.file.digest: each for each in large}
        missing, _ = link.current().request(FindBlobs(list(named)))
        digests: list[str] = missing.digests
        there = sum(each.file.size for each in large) - sum(named[digest].file.size for digest in digests)
        self._moved(0, there)
        for each in [pool.submit(self._send_blob, named[digest]) for digest in digests]:
            each.result()
        files = [(each.file, b"") for each in large]
        list(pool.map(self._put, (files[at : at + AT_ONCE] for at in range(0, len(files), AT_ONCE))))

    def _put(self, batch: Sequence[tuple[NewFile, bytes]]) -> None:
        from .protocol.volumes import PutFiles

        message = PutFiles(self._volume_id, [file for file, _ in batch], self._force)
        payload = b"".join(content for _, content in batch)
        link.current().request(message, payload)
        self._moved(len(batch), len(payload))

    def _send_blob(self, large: Large) -> None:
        if isinstance(large.source, Path):
            with large.source.open("rb") as file:
                self._send_content(file, str(large.source), large.file)
        else:
            large.source.seek(0)
            self._send_content(large.source, "an open file", large.file)

    def _send_content(self, content: BinaryIO | IO[bytes], name: str, file: NewFile) -> None:
        """In chunks. A server that was started again lacks those before. It hashes what came: a change since it was hashed here
        shows there.
        """
        from .protocol.messages import Blob

        for last in (False, False, True):
            at = 0
            content.seek(0)
            try:
                while at < file.size:
                    chunk = content.read(min(CHUNK, file.size - at))
                    if not chunk:
                        raise ExecutionError(
                            f"{name} changed while it was sent; send it again when it is complete"
                        )
                    link.current().request(Blob(file.digest, file.size, at), chunk)
                    at += len(chunk)
                    self._moved(0, len(chunk))
                return
            except InvalidError as error:
                self._moved(0, -at)
                if last:
                    raise ExecutionError(f"{name}: {error}") from None

    def _moved(self, files: int, amount: int) -> None:
        if self._observer is not None:
            self._observer.moved(files, amount)


def _size_of(source: Path | IO[bytes]) -> int:
    return source.stat().st_size if isinstance(source, Path) else source.seek(0, os.SEEK_END)


IN_A_MESSAGE = 1 << 20


def _batches(files: Iterable[tuple[NewFile, bytes]], count: int) -> Iterator[Sequence[tuple[NewFile, bytes]]]:
    batch: list[tuple[NewFile, bytes]] = []
    total = 0
    for file in files:
        if batch and (len(batch) == count or total + len(file[1]) > IN_A_MESSAGE):
            yield batch
            batch, total = [], 0
        batch.append(file)
        total += len(file[1])
    if batch:
        yield batch


def _looked_at(
    item: tuple[str, tuple[Path | IO[bytes], int | None]],
) -> tuple[NewFile, bytes, Path | IO[bytes]]:
    """A file with its size; its content, too, where that is small."""
    from .protocol.volumes import INLINE_MAX, NewFile

    path, (source, mode) = item
    if not isinstance(source, Path):
        size, content = _read(source, INLINE_MAX)
        return NewFile(path, size, "", 0o644 if mode is None else mode), content, source
    with source.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777 if mode is None else mode
        size, content = _read(file, INLINE_MAX)
    return NewFile(path, size, "", mode), content, source


def _read(file: BinaryIO | IO[bytes], inline: int) -> tuple[int, bytes]:
    file.seek(0)
    content = file.read(inline + 1)
    return (len(content), content) if len(content) <= inline else (file.seek(0, os.SEEK_END), b"")


def _with_digest(large: Large) -> Large:
    from .protocol.volumes import NewFile

    file, source = large
    with source.open("rb") if isinstance(source, Path) else contextlib.nullcontext(source) as content:
        content.seek(0)
        hashed, size = hashlib.sha256(), 0
        while chunk := content.read(CHUNK):
            hashed.update(chunk)
            size += len(chunk)
    return Large(NewFile(file.path, size, hashed.hexdigest(), file.mode), source)
