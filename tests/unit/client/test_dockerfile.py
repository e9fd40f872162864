"""Dockerfiles taken apart: instructions, stages, what each COPY takes from here, and what is refused by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ionian.client.dockerfile import read
from ionian.client.dockerfile_steps import Context, Dockerfile
from ionian.exception import InvalidError
from ionian.file_pattern_matcher import matcher
from ionian.image_steps import Step
from ionian.local_files import files


def steps(text: str, folder: Path, ignore: tuple[str, ...] = (), **build_args: str) -> list[Step]:
    return Dockerfile(text, "Dockerfile", Context(folder, matcher(list(ignore))), build_args).image()


def taken(step: Step) -> list[str]:
    return [file.remote for file in files(step.sources)]


def test_lines_are_joined_and_comments_left_out() -> None:
    lines = read("FROM a\n# nothing\nRUN one && \\\n  # inside\n  two\nCMD x\n", "Dockerfile")
    assert [(line.number, line.word) for line in lines] == [(1, "FROM"), (3, "RUN"), (6, "CMD")]
    assert lines[1].value.split() == ["one", "&&", "two"]


def test_a_heredoc_is_a_text_and_no_instructions() -> None:
    text = "FROM a\nRUN <<EOF\napt-get update\nRUN no\nEOF\nCOPY <<-'A' <<B /x/\n\tfirst $V\n\tA\nsecond\nB\nCMD x\n"
    lines = read(text, "Dockerfile")
    assert [line.word for line in lines] == ["FROM", "RUN", "COPY", "CMD"]
    assert lines[1].heredocs[0].text == "apt-get update\nRUN no\n"
    assert [(one.text, one.expand) for one in lines[2].heredocs] == [
        ("first $V\n", False),
        ("second\n", True),
    ]
    assert lines[3].number == 11


def test_another_character_continues_lines_where_a_directive_says_so() -> None:
    lines = read("# escape=`\nFROM a\nRUN one `\n two\nCMD x", "Dockerfile")
    assert [line.number for line in lines] == [2, 3, 5]


def test_stages_that_the_last_one_does_not_need_are_left_out(tmp_path: Path) -> None:
    text = "FROM a AS one\nRUN x\nFROM b AS two\nRUN y\nFROM c AS three\nRUN z\nFROM three\nCOPY --from=one /x /\n"
    made = steps(text, tmp_path)
    assert [step.args for step in made if step.op == "FROM"] == [
        ("registry", "a"),
        ("registry", "c"),
        ("stage", "1"),
    ]
    assert made[-1].docker is not None
    assert made[-1].docker.flags == {"from": "stage 0"}


def test_arguments_of_the_build_choose_the_base_and_reach_the_stage(tmp_path: Path) -> None:
    text = "ARG V=1\nARG NAME=py:$V\nFROM ${NAME}-slim\nARG V\nARG W=2\nARG TARGETARCH\n"
    made = steps(text, tmp_path, V="7", W="it's")
    assert [step.args for step in made] == [
        ("registry", "py:7-slim"),
        ("V", "7"),
        ("W", "'it'\"'\"'s'"),
        ("TARGETARCH",),
    ]


def test_a_copy_takes_what_it_names_and_nothing_that_is_ignored(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.md", "src/one.py", "src/deep/two.py", "src/deep/two.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    text = "FROM a\nCOPY *.txt /\nCOPY src /\nCOPY src/*/two.py /\nCOPY . /\nCOPY $X /\n"
    _, texts, source, deep, everything, unknown = steps(text, tmp_path, ("b.txt", "**/*.pyc"))
    assert taken(texts) == ["a.txt"]
    assert taken(source) == ["src/deep/two.py", "src/one.py"]
    assert taken(deep) == ["src/deep/two.py"]
    assert taken(everything) == taken(unknown) == ["a.txt", "c.md", "src/deep/two.py", "src/one.py"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RUN x", "line 1: RUN: expected FROM first"),
        ("", "expected an instruction FROM, found none"),
        ("FROM a\nONBUILD RUN x", "line 2: ONBUILD: Ionian doesn't know this instruction"),
        ("FROM a\n\nRUN", "line 3: expected an instruction and what it is about, got 'RUN'"),
        ("FROM a b", "line 1: FROM: expected an image, or an image AS a name"),
        (
            "FROM --platform=linux/arm64 a",
            "line 1: FROM: --platform=linux/arm64: images are for the machines",
        ),
        ("FROM a\nCOPY nothing /", "line 2: COPY: there is no 'nothing' in the context"),
        ("FROM a\nCOPY ../up /", "line 2: COPY: '../up' lies outside of the context"),
        ("FROM a\nCOPY --parents x /", "line 2: COPY: the flag --parents is not one that Ionian carries out"),
        ("FROM a\nCOPY x", "line 2: COPY: expected sources and a destination"),
        ("FROM a\nENV A=1 B", "line 2: ENV: expected NAME=value, got 'B'"),
        ("FROM a\nENV A", "line 2: ENV: expected a value for A"),
        ("FROM a\nSHELL /bin/bash", "line 2: SHELL: expected a list such as"),
        ("FROM a\nRUN <<EOF\nx\n", "line 2: RUN: expected a line EOF at the end of its text"),
        ("FROM a\nRUN --mount=type=ssh x", "line 2: RUN: --mount=type=ssh: expected one of bind, cache"),
        ("FROM ${A", "line 1: FROM: expected"),
    ],
)
def test_what_is_not_done_is_refused_by_its_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as error:
        steps(text, tmp_path)
    assert said in str(error.value)
