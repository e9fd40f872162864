"""Files of the user's machine that an image or its containers get: named when defined, read when the app runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .exception import InvalidError, ModuleNotMountable
from .file_pattern_matcher import can_prune

if TYPE_CHECKING:
    from pathlib import Path

    from .file_pattern_matcher import Ignore


class LocalFile(NamedTuple):
    """A file here and its place there: an absolute path for a mount, one below the step's folder for a build step."""

    local: Path
    remote: str


class LocalFolder:
    """A folder here and its place there, without what `ignore` says of paths relative to it."""

    __slots__ = ("ignore", "local", "remote")

    def __init__(self, local: Path, remote: str, ignore: Ignore) -> None:
        self.local = local
        self.remote = remote
        self.ignore = ignore

    def __repr__(self) -> str:
        return f"LocalFolder({self.local!r}, {self.remote!r})"


def files(sources: tuple[LocalFile | LocalFolder, ...]) -> list[LocalFile]:
    """The files, in a fixed order; of two at one place the later."""
    found: dict[str, LocalFile] = {}
    for source in sources:
        for file in (source,) if isinstance(source, LocalFile) else _walk(source):
            found[file.remote] = file
    return [found[remote] for remote in sorted(found)]


def _walk(folder: LocalFolder) -> Iterator[LocalFile]:
    from pathlib import Path

    prune = can_prune(folder.ignore)
    prefix = folder.remote and f"{folder.remote.rstrip('/')}/"
    for base, folders, names in os.walk(folder.local):
        relative = Path(base).relative_to(folder.local)
        folders.sort()
        if prune:
            folders[:] = [name for name in folders if not folder.ignore(relative / name)]
        for name in names:
            path = relative / name
            full = Path(base, name)
            if not folder.ignore(path) and full.is_file():
                yield LocalFile(full, f"{prefix}{path.as_posix()}")


def existing_file(argument: str, path: Any) -> Path:
    """The absolute path of a file here. Raises InvalidError where there is none."""
    return _existing(argument, path, "a file")


def existing_folder(argument: str, path: Any) -> Path:
    """The absolute path of a folder here. Raises InvalidError where there is none."""
    return _existing(argument, path, "a folder")


def _existing(argument: str, path: Any, what: str) -> Path:
    from pathlib import Path

    if not isinstance(path, (str, os.PathLike)):
        raise InvalidError(f"{argument}: expected the path of {what} here, got {path!r}")
    full = Path(os.path.abspath(Path(path).expanduser()))  # pyright: ignore[reportUnknownArgumentType]
    if not (full.is_file() if what == "a file" else full.is_dir()):
        raise InvalidError(f"{argument}: expected {what} here, found none at {full}")
    return full


def module_sources(name: Any, ignore: Ignore) -> list[LocalFile | LocalFolder]:
    """Where the source of a module lies here, and where below the folder of modules it goes.

    Raises ModuleNotMountable where there is no such module, or one without source.
    """
    import importlib.util
    from pathlib import Path

    if not isinstance(name, str):
        raise InvalidError(f"add_local_python_source: expected names of modules, got {name!r}")
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        raise ModuleNotMountable(f"the module {name!r} can't be found here: {error}") from None
    if spec is None:
        raise ModuleNotMountable(f"expected a module that can be imported here, found none named {name!r}")
    remote = name.replace(".", "/")
    if spec.submodule_search_locations is not None:
        return [
            LocalFolder(Path(place).absolute(), remote, ignore) for place in spec.submodule_search_locations
        ]
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise ModuleNotMountable(f"the module {name!r} has no Python source here ({spec.origin})")
    return [LocalFile(Path(spec.origin).absolute(), f"{remote}.py")]


def requirement_files(argument: str, path: Any) -> list[LocalFile]:
    """A requirements file and those that it includes by `-r` and `-c`, each at its place relative to the first one.

    Raises InvalidError where one is missing, or lies outside the first one's folder.
    """
    top = existing_file(argument, path)
    found: dict[Path, LocalFile] = {}
    waiting = [top]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        if not file.is_relative_to(top.parent):
            raise InvalidError(
                f"{argument}: {top} includes {file}, which is outside of its folder; move it there"
            )
        found[file] = LocalFile(file, file.relative_to(top.parent).as_posix())
        waiting.extend(existing_file(argument, file.parent / included) for included in _included(file))
    return list(found.values())


def _included(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8-sig").splitlines():
        words = line.split("#")[0].replace("=", " ", 1).split()
        if (
            len(words) >= 2
            and words[0] in {"-r", "--requirement", "-c", "--constraint"}
            and "://" not in words[1]
        ):
            yield words[1]
