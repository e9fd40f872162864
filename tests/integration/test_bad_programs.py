"""Mistakes in the program itself: each is one sentence at the user's own line, with the exit code of a failure."""

from __future__ import annotations

from pathlib import Path

from tests.homes import Home
from tests.integration.messages import fails_with, said

PROGRAMS = Path(__file__).with_name("programs")


def program(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "mistaken.py"
    path.write_text(text)
    return path


def test_a_wrong_argument_of_a_function_is_named_at_its_line(home: Home, tmp_path: Path) -> None:
    path = program(
        tmp_path, "import ionian as modal\napp = modal.App()\n@app.function(timeout='soon')\ndef f(): ...\n"
    )
    done = home.ionian("run", path)
    fails_with(
        done,
        "Error: timeout: expected",
        "got 'soon'",
        f"at {path}:3: @app.function(timeout='soon')",
    )


def test_a_syntax_error_is_shown_as_python_shows_it(home: Home, tmp_path: Path) -> None:
    done = home.ionian("run", program(tmp_path, "def f(:\n"))
    fails_with(done, "def f(: ^ SyntaxError: invalid syntax")
    assert "Traceback" not in done.stdout


def test_a_file_that_is_not_there_is_named(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "nowhere.py"
    fails_with(
        home.ionian("run", path), f"Error: no file {path}; expected a Python file, or -m and a module's name"
    )


def test_an_error_of_the_program_itself_shows_its_own_lines_alone(home: Home) -> None:
    done = home.ionian("run", "-q", "endings.py::own_error", cwd=PROGRAMS)
    fails_with(done, 'raise LookupError("nothing found") LookupError: nothing found')


def test_what_would_end_a_program_ends_its_input_alone_in_a_container(home: Home) -> None:
    done = home.ionian("run", "-q", "endings.py::there", cwd=PROGRAMS)
    fails_with(done, "RemoteError: SystemExit: 3", "leave.remote(1)")
    got = [line for line in done.stdout.splitlines() if line.startswith("got ")]
    assert got == [
        "got int 0",
        "got RemoteError SystemExit: 3",
        "got RemoteError KeyboardInterrupt: ",
        "got RemoteError asyncio.exceptions.CancelledError: cancelled",
        "got int 4",
    ]


def test_sys_exit_ends_the_program_here_with_its_code(home: Home) -> None:
    done = home.ionian("run", "-q", "endings.py::here", cwd=PROGRAMS)
    assert (done.returncode, done.stdout) == (3, "")
    done = home.ionian("run", "-q", "endings.py::here_with_words", cwd=PROGRAMS)
    assert (done.returncode, said(done)) == (1, "the reason")


def test_more_disk_than_the_worker_has_is_said(home: Home, tmp_path: Path) -> None:
    (tmp_path / "disk.py").write_text(
        "import ionian as modal\n"
        "app = modal.App('disk')\n"
        "@app.function(ephemeral_disk=10**9)\n"
        "def big(): return 1\n"
    )
    done = home.ionian("run", "-q", "disk.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "big asks for ephemeral_disk=1,000,000,000 MiB, and the worker's disk has" in done.stdout
