"""Kept logs: whole lines of each container, by the command line, as they come and after the end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.homes import Home
from tests.integration.processes import running
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

TALKER = """
    import os, sys, time
    import modal

    app = modal.App("talker")

    @app.function(max_containers=2)
    def talk(n):
        for part in range(50):
            print(f"line {n}", end=" ", flush=part % 7 == 0)
            print(f"part {part}")
        print(f"complaint {n}", file=sys.stderr)

    @app.function()
    def last():
        print("a last word", end="")

    @app.function()
    def dies():
        print("before the end", flush=True)
        os._exit(3)

    @app.local_entrypoint()
    def main(deaths: bool = False):
        list(talk.map(range(4)))
        last.remote()
        if deaths:
            dies.remote()
"""


@pytest.fixture(scope="module")
def talked(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home where the app has run and ended."""
    folder = tmp_path_factory.mktemp("talker")
    write(folder, "talker.py", TALKER)
    done = home.ionian("run", "-q", "talker.py", "--deaths", cwd=folder)
    assert "exit" in done.stdout
    assert done.returncode == 1, done.stdout
    return home


def lines(home: Home, *options: str) -> list[str]:
    """What `ionian app logs` prints."""
    done = home.ionian("app", "logs", "talker", *options)
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def test_each_line_is_whole_and_there_once_after_the_app_has_ended(talked: Home) -> None:
    found = lines(talked, "--since", "1h", "--search", "part")
    assert sorted(found) == sorted(f"line {n} part {part}" for n in range(4) for part in range(50))
    for n in range(4):  # in their order
        parts = [line for line in found if line.startswith(f"line {n} ")]
        assert parts == [f"line {n} part {part}" for part in range(50)]


def test_the_options_choose_lines(talked: Home) -> None:
    assert sorted(lines(talked, "-s", "stderr", "--function", "talk")) == [f"complaint {n}" for n in range(4)]
    assert lines(talked, "--function", "last") == ["a last word"]
    assert len(lines(talked, "--tail", "7")) == 7
    assert lines(talked, "--until", "1h") == []
    (line,) = lines(talked, "--function", "last", "--timestamps", "--show-function-id", "--show-container-id")
    assert re.fullmatch(
        r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d last ta-\w{26} a last word", line
    )


def test_why_a_container_died_stands_behind_what_it_printed(talked: Home) -> None:
    found = lines(talked, "--function", "dies", "--tail", "2")
    assert found[0] == "before the end"
    assert "3" in found[1]
    assert set(lines(talked, "--function", "dies", "-s", "system")) == {found[1]}


def test_a_container_that_has_ended_shows_what_it_printed(talked: Home) -> None:
    (line,) = lines(talked, "--function", "last", "--show-container-id")
    container = line.split()[0]
    done = talked.ionian("container", "logs", container, "--all")
    assert done.stdout == "a last word\n"


def test_who_follows_sees_lines_as_they_come_and_the_end(home: Home, tmp_path: Path) -> None:
    text = """
        import modal
        app = modal.App("followed")

        @app.function()
        def f(word):
            print(word)

        @app.local_entrypoint()
        def main():
            f.remote("one")
            print("called", flush=True)
            f.remote("two")
            import time
            time.sleep(600)
    """
    write(tmp_path, "followed.py", text)
    with running(home, "run", "-d", "-q", "followed.py", cwd=tmp_path) as run:
        run.until("called")
        with running(home, "app", "logs", "followed", "-f", cwd=tmp_path) as followed:
            followed.until("one")
            assert home.ionian("app", "stop", "followed", "--yes").returncode == 0
            assert followed.end() == 0, followed.text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("app", "logs", "nobody"), 1, "there is no app 'nobody' in environment 'main'; there "),
        (("app", "logs", "ap-01JD0000000000000000000000"), 1, "there is no app 'ap-01JD"),
        (
            ("app", "logs", "talker", "--function", "tal"),
            1,
            "no function or class 'tal'; there are: dies, last",
        ),
        (("app", "logs", "talker", "--since", "soon"), 2, "expected a time such as 30m, 2h, 1d"),
        (("app", "logs", "talker", "-f", "--until", "1h"), 2, "--until and --follow: expected one of them"),
        (("container", "logs", "ta-nothing"), 1, "there is no container 'ta-nothing' now"),
    ],
)
def test_what_is_not_there_is_said(talked: Home, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = talked.ionian(*arguments)
    assert done.returncode == code
    assert words in done.stdout
