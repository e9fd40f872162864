"""Files of a volume brought here, several at a time. Each takes its name when it is complete."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import click

from ..exception import Error
from ..protocol.ids import ulid
from ..volume import FileEntry, FileEntryType, Volume
from .transfer import Transfer

TOGETHER = 8
"""Files that are fetched at once: a small one is a question and an answer, and they wait for each other."""


class Wanted(NamedTuple):
    """A file of the volume, and where it goes."""

    entry: FileEntry
    local: Path


def download(
    volume: Volume, path: str, destination: Path, *, force: bool, transfer: Transfer
) -> list[tuple[str, str]]:
    """Fetches a file, or a folder with all that is in it. Returns what can't be had, with the reason.

    Raises click.UsageError, before anything is fetched, where a file is here already and may not be replaced.
    """
    wanted, folders, left_out = _sorted_out(list(volume.iterdir(path)), path, destination)
    taken = [each.local for each in wanted if os.path.lexists(each.local)]
    if taken and not force:
        more = f" and {len(taken) - 1:,} more are" if len(taken) > 1 else " is"
        raise click.UsageError(f"{taken[0]}{more} here already; --force replaces files")
    for folder in (*folders, *(each.local.parent for each in wanted)):
        folder.mkdir(parents=True, exist_ok=True)
    transfer.expect(len(wanted), sum(each.entry.size for each in wanted))
    with ThreadPoolExecutor(TOGETHER) as pool:
        tasks = [pool.submit(_fetch, volume, each, transfer) for each in wanted]
        try:
            left_out += [reason for task in tasks if (reason := task.result()) is not None]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return left_out


def _sorted_out(
    entries: Sequence[FileEntry], path: str, destination: Path
) -> tuple[list[Wanted], list[Path], list[tuple[str, str]]]:
    """Which files there are to fetch, which folders to make, and what is neither."""
    asked = "/".join(part for part in path.split("/") if part not in ("", "."))
    above = asked.rpartition("/")[0]
    is_file = len(entries) == 1 and entries[0].path == asked
    # As cp does: below a folder that is here, else under the name that was given.
    below = destination.is_dir() or str(destination).endswith("/")
    start = above if below or is_file else asked
    wanted: list[Wanted] = []
    folders: list[Path] = [] if is_file else [destination / asked[len(start) :].lstrip("/")]
    left_out: list[tuple[str, str]] = []
    for entry in entries:
        inner = entry.path[len(start) :].lstrip("/")
        local = destination / inner if below or not is_file else destination
        if ".." in inner.split("/"):
            left_out.append((entry.path, "it is no path of a file"))
        elif entry.type is FileEntryType.DIRECTORY:
            folders.append(local)
        elif entry.type in (FileEntryType.FILE, FileEntryType.SYMLINK):
            wanted.append(Wanted(entry, local))
        else:
            left_out.append((entry.path, "it is no file with content"))
    return wanted, folders, left_out


def _fetch(volume: Volume, wanted: Wanted, transfer: Transfer) -> tuple[str, str] | None:
    """A link gives what it leads to; one that leads nowhere, out of the volume or to a folder is left out."""
    draft = wanted.local.with_name(f".ionian-{ulid()}")

    def moved(*, advance: int, **_: Any) -> None:
        transfer.moved(0, advance)

    try:
        with draft.open("xb") as file:
            volume.read_file_into_fileobj(wanted.entry.path, file, moved)
        draft.replace(wanted.local)
    except (Error, FileNotFoundError, IsADirectoryError) as error:
        if wanted.entry.type is not FileEntryType.SYMLINK:
            raise
        return wanted.entry.path, str(error)
    finally:
        draft.unlink(missing_ok=True)
    transfer.moved(1, 0)
    return None
