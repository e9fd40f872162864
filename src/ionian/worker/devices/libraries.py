"""The driver's libraries where a program finds them.

A CDI spec shows `libcuda.so.550.54.14` and leaves the rest to hooks: `ldconfig`, which makes `libcuda.so.1` and lists
it, and links of other names. Hooks are programs of this machine that change a container's files with all rights; none
is run. Instead each library is shown once more, under all its names, in a folder of its own, which LD_LIBRARY_PATH
names. It must not be the folder that the spec shows them in: that is the image's own /usr/lib, and a search path of
it would put the image's libraries before those that come with a Python.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from ..sandbox import Bind
from .cdi import ContainerEdits, Hook

FOLDER = "/usr/local/nvidia/lib64"
"""Where NVIDIA's own images look for the driver's libraries."""

LIBRARY = re.compile(r"lib.+\.so(\.\d+)*")


def shown(mounts: Iterable[Bind], edits: Iterable[ContainerEdits]) -> list[Bind]:
    """Binds of every library among `mounts` in FOLDER, and of the links that the hooks of `edits` would make."""
    by_target = {bind.target: bind.source for bind in mounts}
    out: dict[str, Path] = {}
    for target, source in by_target.items():
        name = posixpath.basename(target)
        if not LIBRARY.fullmatch(name) or not source.is_file():
            continue
        for each in {name, *_other_names(source)}:
            out[f"{FOLDER}/{each}"] = source
    known = {**by_target, **out}
    for goal, link in (pair for edit in edits for hook in edit.hooks for pair in _links(hook)):
        source = known.get(posixpath.normpath(posixpath.join(posixpath.dirname(link), goal)))
        source = source or known.get(f"{FOLDER}/{posixpath.basename(goal)}")
        if source is None:
            continue  # to a file that the driver did not bring
        if LIBRARY.fullmatch(posixpath.basename(link)):
            out.setdefault(f"{FOLDER}/{posixpath.basename(link)}", source)
        elif link not in by_target:
            out.setdefault(link, source)
    return [Bind(source, target) for target, source in sorted(out.items())]


def _other_names(library: Path) -> list[str]:
    """The links to a library beside it: this machine's ldconfig made them."""
    stem = library.name.split(".so")[0] + ".so"
    try:
        return [
            entry.name
            for entry in os.scandir(library.parent)
            if entry.name.startswith(stem)
            and LIBRARY.fullmatch(entry.name)
            and entry.is_symlink()
            and os.path.samefile(entry.path, library)
        ]
    except OSError:
        return []


def _links(hook: Hook) -> list[tuple[str, str]]:
    """(goal, link) of a hook of `nvidia-ctk hook create-symlinks --link GOAL::LINK`."""
    if "create-symlinks" not in hook.args:
        return []
    args = hook.args
    given = [args[at + 1] for at, word in enumerate(args[:-1]) if word == "--link"]
    given += [word.removeprefix("--link=") for word in args if word.startswith("--link=")]
    pairs = [text.partition("::") for text in given]
    return [(goal, link) for goal, sign, link in pairs if sign and link.startswith("/")]
