"""Imports go one way: what a package may import of the others stands in one table."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "ionian"

PUBLIC = "public"
"""The modules directly in src/ionian: the API, and the small ones that it stands on."""

ALLOWED = {
    PUBLIC: {PUBLIC, "protocol", "client"},  # client: only when it is called, as its link and its runs
    "protocol": {"protocol"},
    "machine": set[str](),
    "container": {PUBLIC, "protocol"},
    "client": {PUBLIC, "protocol", "machine"},
    "core": {"protocol"},
    "server": {PUBLIC, "protocol", "core", "machine"},
    "worker": {PUBLIC, "protocol", "machine", "core"},
    "cli": {PUBLIC, "protocol", "machine", "client", "server", "worker"},
}

SMALL = {"version", "faults", "exception", "config", "gpu"}
"""What server and worker may take of the public modules."""


def package_of(parts: tuple[str, ...]) -> str:
    """The package of a module of ours, by the parts of its name below `ionian`."""
    return parts[0] if parts and parts[0] in ALLOWED else PUBLIC


def imported(path: Path) -> list[tuple[int, tuple[str, ...]]]:
    """The modules of ours that a file imports, with the line: `from ..core import x` in server is ("core", "x")."""
    here = path.relative_to(SOURCE).with_suffix("").parts
    found: list[tuple[int, tuple[str, ...]]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = here[: len(here) - node.level]
            elif (node.module or "").partition(".")[0] == "ionian":
                base = ()
            else:
                continue
            module = tuple((node.module or "").split(".")) if node.module else ()
            if not node.level:
                module = module[1:]
            found += [(node.lineno, (*base, *module, alias.name)) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [
                (node.lineno, tuple(alias.name.split(".")[1:]))
                for alias in node.names
                if alias.name.partition(".")[0] == "ionian"
            ]
    return found


def test_imports_go_one_way() -> None:
    wrong: list[str] = []
    for path in sorted(SOURCE.rglob("*.py")):
        inside = path.relative_to(SOURCE)
        package = package_of(inside.parts[:-1])
        for line, parts in imported(path):
            other = package_of(parts)
            fine = other == package or other in ALLOWED[package]
            if fine and other == PUBLIC and package in ("server", "worker"):
                fine = bool(parts) and parts[0] in SMALL
            if not fine:
                wrong.append(
                    f"{inside}:{line} imports {'.'.join(parts)}; {package} may import {ALLOWED[package]}"
                )
    assert not wrong, "\n".join(wrong)
