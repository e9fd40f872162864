"""Patterns have the syntax and meaning of `.dockerignore`."""

from __future__ import annotations

from pathlib import Path

import pytest

from ionian import FilePatternMatcher
from ionian.exception import InvalidError
from ionian.file_pattern_matcher import NON_PYTHON_FILES

CASES: list[tuple[tuple[str, ...], list[str], list[str]]] = [
    (("*.pyc",), ["a.pyc"], ["sub/a.pyc", "a.py"]),
    (("**/*.pyc",), ["a.pyc", "sub/a.pyc", "a/b/c.pyc"], ["a.py"]),
    (("data",), ["data", "data/a", "data/b/c"], ["database", "sub/data"]),
    (("/data/",), ["data/a"], ["sub/data/a"]),
    (("a/**",), ["a/b", "a/b/c"], ["a", "b/a"]),
    (("a/**/z",), ["a/z", "a/b/z", "a/b/c/z"], ["a/zz", "z"]),
    (("?.txt",), ["a.txt"], ["ab.txt", ".txt"]),
    (("[ab].txt", "[!x].csv"), ["a.txt", "b.txt", "y.csv"], ["c.txt", "x.csv"]),
    (("*", "!keep.txt"), ["a", "b/c"], ["keep.txt"]),
    (("data", "!data/keep", "data/keep/not"), ["data/a", "data/keep/not"], ["data/keep", "data/keep/x"]),
    (("./a//b",), ["a/b"], ["b"]),
    ((r"\*.txt",), ["*.txt"], ["a.txt"]),
    (("",), [], ["a"]),
    ((), [], ["a"]),
    (("a.b",), ["a.b"], ["acb"]),
]


@pytest.mark.parametrize(("patterns", "matching", "others"), CASES, ids=[" ".join(case[0]) for case in CASES])
def test_patterns_match_as_in_dockerignore(
    patterns: tuple[str, ...], matching: list[str], others: list[str]
) -> None:
    matcher = FilePatternMatcher(*patterns)
    assert [path for path in matching if not matcher(Path(path))] == []
    assert [path for path in others if matcher(Path(path))] == []
    inverted = ~matcher
    assert all(inverted(Path(path)) for path in others)
    assert (~inverted) is matcher


def test_patterns_come_from_a_file_without_comments_and_empty_lines(tmp_path: Path) -> None:
    file = tmp_path / ".dockerignore"
    file.write_text("# all bytecode\n\n**/*.pyc\n!keep.pyc\n")
    assert FilePatternMatcher.from_file(file).patterns == ["**/*.pyc", "!keep.pyc"]
    with pytest.raises(InvalidError, match="file_path"):
        FilePatternMatcher.from_file(tmp_path / "none")


def test_folders_are_searched_where_a_pattern_may_take_files_out_again() -> None:
    assert FilePatternMatcher("data").can_prune_directories()
    assert not FilePatternMatcher("data", "!data/keep").can_prune_directories()
    assert not (~FilePatternMatcher("data")).can_prune_directories()


def test_python_source_is_what_ends_in_py() -> None:
    assert not NON_PYTHON_FILES(Path("a/b.py"))
    assert NON_PYTHON_FILES(Path("a/b.txt"))


def test_a_pattern_that_is_no_string_is_refused() -> None:
    with pytest.raises(InvalidError, match="strings"):
        FilePatternMatcher(5)  # pyright: ignore
