"""The reader of the docs itself: a page that it misreads would be a page that nobody runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.pages import matches, read


def page(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text)
    return path


def test_programs_commands_and_output_are_told_apart(tmp_path: Path) -> None:
    text = "# T\n```python\n# a.py\nprint(1)\n```\n```sh\nionian run a.py\n```\n```text\n1\n```\n"
    found = read(page(tmp_path, text))
    assert list(found.programs) == ["a.py"]
    assert [(c.line, c.output) for c in found.commands] == [("ionian run a.py", ["1"])]


def test_a_block_with_a_reason_is_left_out(tmp_path: Path) -> None:
    text = "<!-- not run: it needs root -->\n```sh\nrm -rf /\n```\n"
    assert read(page(tmp_path, text)).commands == []


def test_a_program_without_a_file_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="first line"):
        read(page(tmp_path, "```python\nprint(1)\n```\n"))


def test_an_ellipsis_stands_for_what_differs() -> None:
    assert matches(["a", "…", "done in … s"], "a\nb\nc\ndone in 3.1 s\n")
    assert matches([], "anything")
    assert not matches(["a", "d"], "a\nb\nd\n")
