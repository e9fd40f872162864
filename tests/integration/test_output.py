"""What containers print, as the terminal shows it (programs/printing.py)."""

from __future__ import annotations

import re

import pytest
from tests.homes import Home
from tests.integration.seen import PROGRAMS

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

LINES = 50_000


@pytest.fixture(scope="module")
def lines(home: Home) -> list[str]:
    done = home.ionian("run", PROGRAMS / "printing.py", "--lines", str(LINES), cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout.splitlines()


def test_lines_are_put_together_by_stream(lines: list[str]):
    assert "partial | first half, second half" in lines
    assert "partial | a line of the other stream" in lines


def test_a_line_that_never_ended_is_shown_at_the_end(lines: list[str]):
    assert "unfinished | a line without an end" in lines


def test_what_child_processes_write_is_shown(lines: list[str]):
    assert "raw | from a child" in lines
    assert "raw | and its errors" in lines
    assert "raw | written raw" in lines


def test_characters_cut_in_two_are_whole_again_and_bytes_that_are_none_are_marked(lines: list[str]):
    assert "raw | cut in the middle of \N{SNOWMAN}" in lines
    assert "raw | no text: \ufffd" in lines


def test_a_flood_arrives_whole_and_in_order(lines: list[str]):
    flood = [line for line in lines if line.startswith("flood | line ")]
    assert flood == [f"flood | line {number:06d}" for number in range(LINES)]


def test_a_very_long_line_arrives_whole(lines: list[str]):
    assert (
        sum(line.removeprefix("raw | ").count("x") for line in lines if re.fullmatch(r"raw \| x+", line))
        == 200_000
    )


def test_lines_of_several_containers_say_which(lines: list[str]):
    found = [re.fullmatch(r"several (\w{4}) \| I am (one|two)", line) for line in lines]
    assert len({match[1] for match in found if match}) == 2


def test_a_result_never_overtakes_what_its_function_printed(home: Home):
    done = home.ionian("run", PROGRAMS / "late_screen.py", cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout[-3000:]
    said = [line for line in done.stdout.splitlines() if line.startswith(("printed", "had"))]
    assert said == [f"{word} {call}" for call in ("call", "map", "spawn") for word in ("printed", "had")]
