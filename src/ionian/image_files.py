"""The methods of an image that bring files from here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .arguments import absolute_path
from .exception import DeprecationError
from .file_pattern_matcher import NON_PYTHON_FILES, matcher
from .image_chain import Chain, add
from .local_files import LocalFile, LocalFolder, existing_file, existing_folder, module_sources

if TYPE_CHECKING:
    from pathlib import Path

    from .image import Image

    Ignored = Sequence[str] | Callable[[Path], bool]

SOURCE_ROOT = "/root"
"""Where the user's modules lie in a container."""


class FileSteps(Chain):
    """What brings files from here."""

    def add_local_file(
        self, local_path: str | os.PathLike[str], remote_path: str, *, copy: bool = False
    ) -> Image:
        """A file from here: there when a container starts, or with `copy` a step of the image, on which others stand.

        `remote_path` is absolute; one that ends in "/" is the folder.
        """

        def source() -> tuple[str, list[LocalFile | LocalFolder]]:
            local = existing_file("local_path", local_path)
            folder, name = os.path.split(absolute_path("remote_path", remote_path))
            return folder, [LocalFile(local, name or local.name)]

        return add(self, "add_local_file", copy, source)

    def add_local_dir(
        self,
        local_path: str | os.PathLike[str],
        remote_path: str,
        *,
        copy: bool = False,
        ignore: Ignored = [],  # noqa: B006  (Modal's default, never changed)
    ) -> Image:
        """A folder from here, without what `ignore` matches: patterns as in `.dockerignore`, or a function of a path
        relative to the folder. `copy` as in `add_local_file`.
        """

        def source() -> tuple[str, list[LocalFile | LocalFolder]]:
            local = existing_folder("local_path", local_path)
            return absolute_path("remote_path", remote_path), [LocalFolder(local, "", matcher(ignore))]

        return add(self, "add_local_dir", copy, source)

    def add_local_python_source(
        self, *modules: str, copy: bool = False, ignore: Ignored = NON_PYTHON_FILES
    ) -> Image:
        """Modules and packages from here, so that functions can import them. `copy` as in `add_local_file`."""

        def source() -> tuple[str, list[LocalFile | LocalFolder]]:
            ignored = matcher(ignore)
            return SOURCE_ROOT, [part for name in modules for part in module_sources(name, ignored)]

        return add(self, "add_local_python_source", copy, source)

    # --- retired

    def copy_local_file(self, local_path: str | os.PathLike[str], remote_path: str = "./") -> Image:
        """Retired: write `add_local_file(…, copy=True)`."""
        _warn_retired("copy_local_file", "add_local_file(…, copy=True)")
        return self.add_local_file(local_path, _below_root(remote_path), copy=True)

    def copy_local_dir(self, local_path: str | os.PathLike[str], remote_path: str = ".") -> Image:
        """Retired: write `add_local_dir(…, copy=True)`."""
        _warn_retired("copy_local_dir", "add_local_dir(…, copy=True)")
        return self.add_local_dir(local_path, _below_root(remote_path), copy=True)


def _below_root(path: str) -> str:
    return os.path.normpath(os.path.join("/root", path)) + ("/" if path.endswith("/") else "")


def _warn_retired(old: str, new: str) -> None:
    import warnings

    warnings.warn(f"Image.{old} is retired; write {new}", DeprecationError, stacklevel=3)
