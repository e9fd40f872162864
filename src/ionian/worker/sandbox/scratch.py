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
    made = folder if folder.exists() else folder.with_name(f".{folder.name}.{cgroup.worker_name()}")
    try:
        made.mkdir(parents=True, exist_ok=True)
        (made / OWNER).write_text(cgroup.worker_name())
        for name, mode in (("", 0o700), ("upper", 0o755), ("work", 0o700), ("tmp", 0o1777)):
            path = made / name
            path.mkdir(exist_ok=True)
            path.chmod(mode)
            if os.geteuid() == 0:
                os.chown(path, ids.host_uid, ids.host_gid)
        if made != folder:
            made.rename(folder)
    except OSError as error:
        raise SandboxError(f"the scratch folder {folder} can't be made: {error.strerror}") from None


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
