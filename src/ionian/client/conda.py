"""Files that name packages of conda: an environment.yml, or a package a line."""

from __future__ import annotations

import os
from typing import Any, cast

import yaml

from ..exception import InvalidError
from ..local_files import existing_file

Read = tuple[list[str], list[str], list[str]]
"""Packages, channels, and packages of pip."""


def read(spec_file: str | os.PathLike[str]) -> Read:
    """What a file names. Raises InvalidError, NotFoundError."""
    path = existing_file("spec_file", spec_file)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidError(f"spec_file: {path} is no text") from None
    if path.suffix in (".yml", ".yaml"):
        return _of_environment(text, path.name)
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    if "@EXPLICIT" in lines:
        raise InvalidError(
            f"spec_file: {path.name} is a list of files for one kind of machine (@EXPLICIT), which Ionian does not take: name "
            "packages, or give an environment.yml"
        )
    return [line for line in lines if line], [], []


def _of_environment(text: str, name: str) -> Read:
    try:
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidError(f"spec_file: {name} is no YAML: {' '.join(str(error).split())}") from None
    facts = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    dependencies: Any = facts.get("dependencies")
    if not isinstance(dependencies, list):
        raise InvalidError(f"spec_file: expected {name} to have a list `dependencies`")
    names: list[str] = []
    pips: list[str] = []
    for each in cast("list[Any]", dependencies):
        if isinstance(each, dict) and list(cast("dict[Any, Any]", each)) == ["pip"]:
            pips += _strings(cast("dict[str, Any]", each)["pip"], f"{name}: pip")
        else:
            names += _strings([each], f"{name}: dependencies")
    return names, _strings(facts.get("channels") or [], f"{name}: channels"), pips


def _strings(value: Any, what: str) -> list[str]:
    listed = cast("list[Any]", value) if isinstance(value, list) else [value]
    for each in listed:
        if not isinstance(each, str) or not each.strip():
            raise InvalidError(f"spec_file: {what}: expected strings, got {each!r}")
    return [each.strip() for each in listed]
