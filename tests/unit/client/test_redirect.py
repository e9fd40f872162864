import io
import sys

import pytest

from ionian.client.output.redirect import Redirect


def file_as_stdout(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Called by the test itself: pytest captures anew after its fixtures."""
    file = io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    return file


def test_printed_lines_are_passed_on_whole():
    lines: list[str] = []
    redirect = Redirect("stdout", lines.append)
    try:
        print("a", "b")
        print("c", end="")
        print("d")
    finally:
        redirect.end()
    assert lines == ["a b", "cd"]


def test_what_has_no_newline_yet_is_written_at_the_end(monkeypatch: pytest.MonkeyPatch):
    file = file_as_stdout(monkeypatch)
    redirect = Redirect("stdout", lambda line: None)
    sys.stdout.write("prompt> ")
    redirect.end()
    redirect.end()
    assert sys.stdout is file
    assert file.getvalue() == "prompt> "


def test_who_keeps_it_afterwards_has_the_file(monkeypatch: pytest.MonkeyPatch):
    file = file_as_stdout(monkeypatch)
    redirect = Redirect("stdout", lambda line: None)
    kept = sys.stdout
    redirect.end()
    print("later", file=kept)
    assert file.getvalue() == "later\n"


def test_a_program_that_set_its_own_stdout_meanwhile_keeps_it(monkeypatch: pytest.MonkeyPatch):
    file_as_stdout(monkeypatch)
    redirect = Redirect("stdout", lambda line: None)
    own = io.StringIO()
    sys.stdout = own
    redirect.end()
    assert sys.stdout is own
