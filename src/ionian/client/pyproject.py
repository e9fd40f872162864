"""The pyproject.toml of a project here: what it depends on, and what an image can't carry out of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import tomllib

from ..exception import InvalidError

Table = dict[str, Any]

LOCAL = ("directory", "editable", "path", "virtual")
"""How a lock says that a package lies in a folder here."""


def read(path: Path) -> Table:
    """A file of TOML. Raises InvalidError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise InvalidError(f"{path} can't be read as TOML: {error}") from None


def table(content: Table, *names: str) -> Table:
    """A table of tables; empty where there is none."""
    for name in names:
        content = content.get(name, {})
        if not isinstance(content, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
            return {}
    return content


def dependencies(path: Path, optional: Sequence[str]) -> list[str]:
    """The project's dependencies, and those of its extras that are named. Raises InvalidError."""
    content = read(path)
    project = table(content, "project")
    if "dependencies" not in project:
        hint = (
            "; its dependencies are Poetry's, so use Image.poetry_install_from_file"
            if table(content, "tool", "poetry", "dependencies")
            else ""
        )
        raise InvalidError(
            f"pyproject_toml: expected [project] with dependencies in {path}, found none{hint}"
        )
    extras = table(project, "optional-dependencies")
    unknown = [name for name in optional if name not in extras]
    if unknown:
        there = ", ".join(sorted(extras)) or "none"
        raise InvalidError(f"optional_dependencies: {path} has no {unknown[0]!r}; it has {there}")
    names = [
        *_strings(path, project["dependencies"]),
        *(word for name in optional for word in _strings(path, extras[name])),
    ]
    return sorted(set(names))


def _strings(path: Path, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in cast("list[Any]", value)):
        raise InvalidError(f"{path}: expected dependencies to be a list of strings, got {value!r}")
    return cast("list[str]", value)


def check_sync(folder: Path, args: Sequence[str]) -> None:
    """Raises InvalidError for a project that has parts which are not in its pyproject.toml and uv.lock."""
    content = read(folder / "pyproject.toml")
    if "workspace" in table(content, "tool", "uv"):
        raise InvalidError(f"uv_sync: {folder} is a workspace of uv, and these are not supported")
    if "--no-install-local" in args:
        return
    left_out = {args[at + 1] for at, word in enumerate(args[:-1]) if word == "--no-install-package"}
    left_out |= {word.partition("=")[2] for word in args if word.startswith("--no-install-package=")}
    for name in sorted(_local(folder, content) - left_out):
        raise InvalidError(
            f"uv_sync: the project depends on {name!r}, which is a folder or file here, and only pyproject.toml and uv.lock "
            f'are sent. Write extra_options="--no-install-package {name}" and bring it by add_local_python_source, or by '
            "add_local_dir(…, copy=True) and run_commands"
        )


def _local(folder: Path, content: Table) -> set[str]:
    """The packages that lie in folders here, but for the project itself."""
    lock = folder / "uv.lock"
    if lock.is_file():
        packages: list[Table] = read(lock).get("package", [])
        return {
            str(package.get("name"))
            for package in packages
            if any(package.get("source", {}).get(kind, ".") != "." for kind in LOCAL)
        }
    sources = table(content, "tool", "uv", "sources")
    return {name for name, source in sources.items() if isinstance(source, dict) and "path" in source}
