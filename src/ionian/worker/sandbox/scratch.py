"""The scratch folder of a sandbox: what it writes, on disk. And what dead workers have left."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from . import cgroup
from .idmap import IdMap
from .remover import Remover
from .spawner import Spawner
from .spec import SandboxError

OWNER = ".owner"


def prepare(folder: Path, ids: IdMap) -> None:
    """Makes upper/, work/ and tmp/. The folder is closed to others: what a sandbox writes may be setuid."""
    # It gets its name when its owner is written in it, so that sweep() knows whose it is at every moment.
    owner = cgroup.own_name()
    made = str(folder if folder.exists() else folder.with_name(f".{folder.name}.{owner}"))
    try:
        _make_folder(made)
        file = os.open(f"{made}/{OWNER}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(file, owner.encode())
        finally:
            os.close(file)
        for name, mode in (("", 0o700), ("upper", 0o755), ("work", 0o700), ("tmp", 0o1777)):
            path = f"{made}/{name}"
            if name:
                _make_folder(path)
            os.chmod(path, mode)
            if os.geteuid() == 0:
                os.chown(path, ids.host_uid, ids.host_gid)
        if made != str(folder):
            os.rename(made, folder)
    except OSError as error:
        raise SandboxError(f"the scratch folder {folder} can't be made: {error.strerror}") from None


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path)
    except OSError:  # it is there, or what is above it is not
        os.makedirs(path, exist_ok=True)


async def remove(folders: Sequence[Path], ids: IdMap) -> None:
    """Deletes folders with files of any mapped owner and any mode."""
    spawner = Spawner.of_this_loop()
    there = [
        str(f.absolute())
        for f in folders
        if os.path.lexists(f)
        and not (ids == IdMap.current() and await Remover.of(spawner).remove(f.absolute(), spawner))
    ]
    if not there:
        return
    _, _, end = await spawner.run({"do": "remove", "paths": there}, ids)
    if (await end).status != 0:
        left = next((f for f in there if os.path.lexists(f)), None)
        if left:
            raise SandboxError(
                f"{left} could not be deleted; see the worker's standard error for what rm said"
            )


async def sweep(root: Path) -> list[Path]:
    """Deletes what workers that are dead left: their cgroups, and their scratch folders directly below `root`."""
    roots = cgroup.writable_roots()
    for folder in roots.stale() if roots else ():
        cgroup.remove_tree(folder)
    left = [f for f in root.iterdir() if _is_left(f)] if root.is_dir() else []
    await remove(left, IdMap.current())
    return left


def _is_left(folder: Path) -> bool:
    try:
        return cgroup.is_stale((folder / OWNER).read_text())
    except OSError:
        return folder.name.startswith(".") and cgroup.is_stale(folder.suffix[1:])
