"""The inner ring imports the standard library alone, under every Python of this machine, and little of it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ionian

PACKAGE = Path(ionian.__file__).parent
OUTER = {"client", "cli", "server", "worker", "core", "cluster", "machine"}
OUTER_FILES = {"codec.py", "stream.py"}
"""Modules of protocol/ that belong to the outer ring."""

INNER = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] not in OUTER and path.name not in OUTER_FILES
)

HEAVY = {
    "asyncio",
    "dataclasses",
    "datetime",
    "inspect",
    "logging",
    "pathlib",
    "socket",
    "ssl",
    "subprocess",
    "pickle",
}
"""Standard modules that take long to import, and are not needed before they are used."""

LIST_MODULES = """
import json, sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import ionian
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def pythons() -> list[str]:
    """Every Python from 3.10 on that is on this machine: one a version."""
    import glob
    import shutil

    found: dict[str, str] = {}
    named = [shutil.which(f"python3.{minor}") for minor in range(10, 15)]
    for candidate in (
        sys.executable,
        *named,
        *glob.glob(str(Path.home() / ".pyenv/versions/3.1[0-4]*/bin/python")),
    ):
        if candidate is None:
            continue
        program = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run(
            (candidate, "-I", "-S", "-c", program), capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            found.setdefault(done.stdout.strip(), candidate)
    return [found[version] for version in sorted(found)]


@pytest.mark.parametrize("python", pythons())
def test_importing_ionian_takes_the_standard_library_and_little_of_it(python: str) -> None:
    command = (python, "-I", "-S", "-c", LIST_MODULES, str(PACKAGE.parent))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded: set[str] = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert loaded - sys.stdlib_module_names - {"ionian"} == set()
    assert loaded & HEAVY == set()
    assert not {f"ionian.{part}" for part in OUTER} & set(json.loads(done.stdout))


@pytest.mark.parametrize("path", INNER, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_of_the_inner_ring_names_the_standard_library_alone(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 10))
    allowed = sys.stdlib_module_names | {"ionian", "cloudpickle", "typing_extensions", "dotenv"}
    allowed |= {"h11", "wsproto"}  # lie beside the ring, for @modal.web_server
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        else:
            continue
        assert {name.partition(".")[0] for name in names} <= allowed
