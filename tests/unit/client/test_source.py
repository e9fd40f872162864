import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ionian.client.source import source_files
from ionian.exception import InvalidError
from ionian.local_files import LocalFile

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a file of a project that is on the path; forgets its modules afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, content: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_script_is_one_file_and_what_lies_beside_it_stays_here(write: Write):
    script = write("script_a.py", "")
    write("beside_a.py", "")
    importlib.import_module("script_a")
    assert source_files("script_a") == [LocalFile(script, "/root/script_a.py")]


def test_a_module_of_a_package_brings_all_of_it(write: Write):
    write("pack_a/__init__.py", "")
    write("pack_a/deep/mod.py", "")
    write("pack_a/deep/words.txt", "")
    importlib.import_module("pack_a.deep.mod")
    remotes = [file.remote for file in source_files("pack_a.deep.mod")]
    assert remotes == ["/root/pack_a/__init__.py", "/root/pack_a/deep/mod.py", "/root/pack_a/deep/words.txt"]


def test_bytecode_and_hidden_names_stay_here(write: Write):
    for name in (
        "__init__.py",
        "a.pyc",
        "__pycache__/a.txt",
        ".env",
        ".git/config",
        "sub/.hidden/x.py",
        "sub/x.py",
    ):
        write(f"pack_b/{name}", "")
    importlib.import_module("pack_b")
    assert [file.remote for file in source_files("pack_b")] == [
        "/root/pack_b/__init__.py",
        "/root/pack_b/sub/x.py",
    ]


def test_a_package_without_an_init_file_is_one_too(write: Write):
    write("space_a/one/mod.py", "")
    importlib.import_module("space_a.one.mod")
    assert [file.remote for file in source_files("space_a.one.mod")] == ["/root/space_a/one/mod.py"]


def test_a_module_without_a_file_is_refused_with_what_to_write():
    with pytest.raises(InvalidError, match="serialized=True"):
        source_files("sys")


def test_links_in_a_circle_end(write: Write):
    inside = write("circle_a/__init__.py", "").parent
    (inside / "again").symlink_to(inside)
    importlib.import_module("circle_a")
    assert [file.remote for file in source_files("circle_a")] == ["/root/circle_a/__init__.py"]
