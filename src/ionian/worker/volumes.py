"""A volume, or a folder of it, made ready to be mounted: it belongs to the ids that containers have."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from ..machine.beneath import FOLDER, BadPath, folder, opened, parts_of, rooted
from ..protocol.spec import VolumeMount
from .sandbox import Bind, IdMap, SandboxError


async def bind_of(root: Path, mount: VolumeMount) -> Bind:
    """What shows a volume inside. The launcher opens a folder of it anew, by the same rule: nothing leads out of the volume.

    Raises SandboxError.
    """
    ids = IdMap.current()
    owner = (ids.host_uid, ids.host_gid)
    if mount.sub_path or not _is_given(root, owner):  # a large tree takes its time
        await asyncio.to_thread(_prepare, root, mount, owner)
    return Bind(root, mount.path, mount.read_only, below=mount.sub_path)


def _prepare(root: Path, mount: VolumeMount, owner: tuple[int, int]) -> None:
    if not _is_given(root, owner):
        _give(root, owner)
    try:
        if parts := parts_of(mount.sub_path):
            _make(root, parts, owner)
    except (OSError, BadPath) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SandboxError(
            f"the folder {mount.sub_path!r} of the volume at {mount.path} can't be mounted: {why}; "
            "sub_path names a folder, and no link there may lead out of the volume"
        ) from None


def _make(root: Path, parts: tuple[str, ...], owner: tuple[int, int]) -> None:
    with rooted(root) as at:
        try:
            with opened(at, parts, FOLDER):
                return
        except FileNotFoundError:
            with folder(at, parts, owner):
                pass


def _is_given(root: Path, owner: tuple[int, int]) -> bool:
    return os.geteuid() != 0 or root.stat().st_uid == owner[0]


def _give(root: Path, owner: tuple[int, int]) -> None:
    """A volume that no container has had yet, with what its user put there before, to the ids of containers.

    Itself last, so that a worker which was killed amid it begins anew; and what was sent meanwhile after that.
    """
    _give_content(root, owner)
    os.chown(root, *owner)
    _give_content(root, owner)


def _give_content(root: Path, owner: tuple[int, int]) -> None:
    ours = os.geteuid()
    for _, folders, files, at in os.fwalk(root):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):  # it went meanwhile
                if os.lstat(name, dir_fd=at).st_uid == ours:
                    os.chown(name, *owner, dir_fd=at, follow_symlinks=False)
