"""How the demo finds real text."""

from __future__ import annotations

import gzip
from pathlib import Path

import passages

SENTENCE = "This is a sentence of plain prose that says something about one thing and then it ends. "


def test_passages_are_neither_too_short_nor_too_long(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("\n\n".join(SENTENCE * n + f"Number {n}." for n in range(1, 40)))
    found = passages.collect(tmp_path, 1000)
    assert found
    assert all(passages.SHORTEST <= len(passage) <= passages.LONGEST for passage in found)


def test_the_same_passage_in_two_files_counts_once(tmp_path: Path) -> None:
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text(SENTENCE * 4)
    assert len(passages.collect(tmp_path, 1000)) == 1


def test_docstrings_and_comments_are_taken_and_code_is_not(tmp_path: Path) -> None:
    comment = "\n".join("# " + SENTENCE for _ in range(4))
    (tmp_path / "module.py").write_text(f'"""{"Docstring: " + SENTENCE * 3}"""\nx = [1, 2, 3]\n{comment}\n')
    found = " ".join(passages.collect(tmp_path, 1000))
    assert "Docstring:" in found
    assert "x = [1" not in found
    assert "#" not in found


def test_a_manual_page_loses_its_markup() -> None:
    text = passages.plain_troff(
        ".TH TAIL 1\n.SH NAME\n\\fBtail\\fP \\- output the last part\n.B bold words\nof files\n"
    )
    assert text.split() == ["tail", "-", "output", "the", "last", "part", "bold", "words", "of", "files"]


def test_files_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "noise.txt").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(SENTENCE.encode() * 9)[:40])
    assert passages.collect(tmp_path, 1000) == []


def test_no_more_passages_than_asked_for_are_taken(tmp_path: Path) -> None:
    text = "\n\n".join(f"Number {n} of many. " + SENTENCE * 3 for n in range(50))
    (tmp_path / "many.txt").write_text(text)
    assert len(passages.collect(tmp_path, 10)) == 10
