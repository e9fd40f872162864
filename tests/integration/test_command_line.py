"""The command line with a real server, worker and containers."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from tests.homes import IONIAN, Home

pytestmark = pytest.mark.timeout(300)

TWINS = """
    import dataclasses, enum, typing
    {imports}
    app = modal.App("twins")

    @dataclasses.dataclass
    class Doc:
        text: str

    class Colour(enum.Enum):
        RED = 1

    class Pair(typing.NamedTuple):
        a: int

    class Custom(Exception):
        pass

    class Outer:
        class Inner:
            value = 3

    KINDS = Doc, Colour, Pair, Custom, Outer.Inner

    @app.function()
    def same(value):
        assert isinstance(value, KINDS), type(value)
        return value

    @app.function()
    def fail(error):
        raise error

    def check():
        for value in (Doc("x"), Colour.RED, Pair(1), Custom("no"), Outer.Inner()):
            assert type(same.remote(value)) is type(value), value
        try:
            fail.remote(Custom("no"))
        except Custom as error:
            assert error.args == ("no",)
        print("all the same")
"""
ENTRYPOINT = """
    @app.local_entrypoint()
    def main():
        check()
"""
GUARDED = """
    if __name__ == "__main__":
        with app.run():
            check()
"""
AT_MODULE_LEVEL = """
    with app.run():
        class Late(Doc):
            pass
        check()
        assert type(same.remote(Late("y"))).__name__ == "Late"
"""


def write(folder: Path, name: str, text: str, imports: str = "import modal") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text).replace("{imports}", imports))
    return path


@pytest.mark.parametrize("how", ["run", "python", "plain python", "run -m", "python -m", "plain python -m"])
def test_classes_of_the_entry_module_are_the_same_on_both_sides(how: str, home: Home, tmp_path: Path):
    plain = "import ionian as modal"
    write(tmp_path, "script.py", TWINS + AT_MODULE_LEVEL, plain)
    write(tmp_path, "main.py", TWINS + ENTRYPOINT)
    write(tmp_path, "pack/__init__.py", "")
    write(tmp_path, "pack/names.py", "import ionian as modal")
    write(tmp_path, "pack/mod.py", TWINS + ENTRYPOINT + GUARDED, "from .names import modal")
    if how.startswith("plain"):
        done = home.python(*(["-m", "pack.mod"] if how.endswith("-m") else ["script.py"]), cwd=tmp_path)
    else:
        ends = {"run": "main.py", "python": "script.py", "run -m": "pack.mod", "python -m": "pack.mod"}
        done = home.ionian(*how.split(), ends[how], cwd=tmp_path, timeout_s=280)
    assert done.returncode == 0, done.stdout
    assert "all the same" in done.stdout.splitlines(), done.stdout


def test_what_a_program_prints_is_alone_on_stdout(home: Home, tmp_path: Path):
    write(
        tmp_path,
        "app.py",
        """
        import modal, sys
        app = modal.App("prints")

        @app.function()
        def f():
            print("from there")
            print("trouble", file=sys.stderr)

        @app.local_entrypoint()
        def main():
            print("from here")
            f.remote()
        """,
    )
    done = subprocess.run(
        [IONIAN, "run", "app.py"],
        cwd=tmp_path,
        env=home.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert sorted(done.stdout.splitlines()) == ["from here", "from there"]
    assert "trouble" in done.stderr.splitlines()
    assert "✓ App finished in" in done.stderr
    assert "1 container, " in done.stderr


def test_a_failure_shows_the_users_lines_of_both_sides_and_ends_with_1(home: Home, tmp_path: Path):
    write(
        tmp_path,
        "app.py",
        """
        import modal
        app = modal.App("fails")

        @app.function()
        def f(n: int):
            return [1, 2][n]

        @app.local_entrypoint()
        def main(n: int = 5):
            f.remote(n)
        """,
    )
    done = home.ionian("run", "-q", "app.py", cwd=tmp_path)
    assert done.returncode == 1
    shown = done.stdout.splitlines()
    assert shown[-2] == "IndexError: list index out of range"
    assert shown[-1].startswith("ionian replay in-")
    assert "    f.remote(n)" in shown
    assert "    return [1, 2][n]" in shown
    assert "/ionian/" not in done.stdout


def test_a_module_that_stays_here_is_named_with_the_line_that_brings_it(home: Home, tmp_path: Path):
    write(tmp_path, "beside.py", "value = 3")
    text = """
        import modal, beside
        app = modal.App("misses")

        @app.function({image})
        def f() -> str:
            return str(beside.value)
    """
    write(tmp_path, "app.py", text.replace("{image}", ""))
    done = home.ionian("run", "app.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "add .add_local_python_source('beside')" in done.stdout
    image = "image=modal.Image.debian_slim().add_local_python_source('beside')"
    write(tmp_path, "app.py", text.replace("{image}", image))
    done = home.ionian("run", "-w", "result", "app.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "result").read_text() == "3"


def test_only_what_changed_is_sent_again(home: Home, tmp_path: Path):
    write(tmp_path, "pack/__init__.py", "")
    write(tmp_path, "pack/data.txt", f"of {tmp_path}")
    body = """
        import modal
        from pathlib import Path
        app = modal.App("changes")

        @app.function()
        def f():
            print("version", 1, Path(__file__).with_name("data.txt").exists())
    """
    write(tmp_path, "pack/mod.py", body)
    assert "version 1 True" in home.ionian("run", "-m", "pack.mod", cwd=tmp_path).stdout
    write(tmp_path, "pack/mod.py", body.replace("1", f"2, {str(tmp_path)!r}"))
    done = home.ionian("run", "-m", "pack.mod", cwd=tmp_path)
    assert "version 2" in done.stdout
    assert "· 1 file sent" in done.stdout


def test_a_function_by_value_brings_what_it_uses_of_its_module(home: Home, tmp_path: Path):
    write(
        tmp_path,
        "app.py",
        """
        import modal
        app = modal.App("by-value")
        FACTOR = 10

        def scaled(n):
            return n * FACTOR

        def make():
            @app.function(serialized=True)
            def inner(n: int) -> str:
                return str(scaled(n))

        make()
        """,
    )
    done = home.ionian("run", "-w", "result", "app.py", "--n", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "result").read_text() == "40"


def test_an_app_runs_again_and_not_inside_of_itself(home: Home, tmp_path: Path):
    write(
        tmp_path,
        "script.py",
        """
        import asyncio
        import ionian

        app = ionian.App("again")

        @app.function()
        def f(n):
            return n + 1

        async def main():
            async with app.run():
                return await f.remote.aio(2)

        if __name__ == "__main__":
            with app.run() as running:
                assert running is app
                first = app.app_id
                try:
                    with app.run():
                        raise AssertionError
                except ionian.exception.InvalidError as error:
                    assert "runs already" in str(error)
                assert f.remote(1) == 2
            assert app.app_id == first
            try:
                f.remote(1)
                raise AssertionError
            except ionian.exception.ExecutionError as error:
                assert "not running" in str(error)
            assert asyncio.run(main()) == 3
            assert app.app_id != first
            print("good")
        """,
    )
    assert home.python("script.py", cwd=tmp_path).stdout == "good\n"


ENDLESS = """
    import time
    import modal
    app = modal.App("endless")

    @app.function(max_containers=2)
    def f(n):
        print("begun", flush=True)
        time.sleep(1000)

    @app.local_entrypoint()
    def main():
        list(f.map(range(100)))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_interrupted_stops_its_app(
    number: signal.Signals, code: int, home: Home, tmp_path: Path
):
    write(tmp_path, "app.py", ENDLESS)
    process = subprocess.Popen(
        [IONIAN, "run", "app.py"],
        cwd=tmp_path,
        env=home.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while "begun" not in process.stdout.readline():
        assert process.poll() is None, process.communicate()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert ("Stopping the app …" in errors) == (number is signal.SIGINT)
    assert "Traceback" not in errors
    assert "could not be stopped" not in errors


def test_a_reader_that_goes_away_ends_the_run_quietly(home: Home, tmp_path: Path):
    text = """
        import modal
        app = modal.App("read-by-head")

        @app.local_entrypoint()
        def main():
            for number in range(100_000):
                print("line", number)
    """
    write(tmp_path, "app.py", text)
    process = subprocess.Popen(
        [IONIAN, "run", "-q", "app.py"],
        cwd=tmp_path,
        env=home.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "line 0\n"
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(60) == 1
    process.stderr.close()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("run", "nowhere.py"), 1, "nowhere.py"),
        (("run", "app.py::nothing"), 2, "nothing named 'nothing'"),
        (("run", "app.py"), 2, "ionian run app.py::g"),
        (("run", "app.py::f", "--n", "x"), 2, "'x' is not a valid integer"),
        (("run", "app.py::f", "--help"), 0, "--n"),
        (("run", "broken.py"), 1, "SyntaxError"),
        (("run", "wrong.py"), 1, "wrong.py:3: @app.function(timeout='soon')"),
        (("python", "leaves.py"), 3, ""),
        (("--version",), 0, "ionian"),
    ],
)
def test_a_command_line_is_answered_before_anything_runs(
    arguments: tuple[str, ...], code: int, text: str, home: Home, tmp_path: Path
):
    head = "import modal\napp = modal.App('a')\n"
    write(tmp_path, "app.py", head + "@app.function()\ndef f(n: int): ...\n@app.function()\ndef g(): ...\n")
    write(tmp_path, "broken.py", "def f(:\n")
    write(tmp_path, "wrong.py", head + "@app.function(timeout='soon')\ndef f(): ...\n")
    write(tmp_path, "leaves.py", "import sys\nsys.exit(3)\n")
    done = home.ionian(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stdout
    assert text in done.stdout


def test_on_a_terminal_rows_come_and_go_and_lines_keep_their_order(home: Home, tmp_path: Path):
    text = """
        import time
        import modal
        app = modal.App("on-a-terminal")

        @app.function(max_containers=2)
        def f(n):
            time.sleep(0.1)
            return n

        @app.local_entrypoint()
        def main():
            print("before")
            for n in f.map(range(20)):
                if n in (5, 15):
                    print("in the map", n)
            print("after")
    """
    write(tmp_path, "app.py", text)
    ours, theirs = pty.openpty()
    environment = {**home.environment, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [IONIAN, "run", "app.py"], cwd=tmp_path, env=environment, stdout=theirs, stderr=theirs, stdin=theirs
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the last process that held the terminal has ended
            break
    os.close(ours)
    assert process.wait(60) == 0
    screen = shown.decode()
    assert " of 20 · 2 containers · " in screen
    assert "━" in screen
    places = [
        screen.index(text) for text in ("✓ Created f", "before", "in the map 5", "in the map 15", "after\r")
    ]
    assert places == sorted(places)
    assert screen.rstrip().endswith("CPU-seconds")


def test_doctor_finds_that_containers_run_here(home: Home):
    done = home.ionian("doctor")
    assert done.returncode == 0, done.stdout
    assert "✓ overlay" in done.stdout


def test_another_python_in_the_image_is_said_before_the_first_call(home: Home, tmp_path: Path):
    text = """
        import sys
        import modal
        app = modal.App("other-python")
        other = "3.13" if sys.version_info[:2] == (3, 11) else "3.11"
        image = modal.Image.debian_slim(python_version=other)

        @app.function(image=image{serialized})
        def f(values: str = "a") -> str:
            import sys
            return values + " %d.%d" % sys.version_info[:2]
    """
    write(tmp_path, "app.py", text.replace("{serialized}", ""))
    done = home.ionian("run", "-w", "result", "app.py", cwd=tmp_path, timeout_s=280)
    assert done.returncode == 0, done.stdout
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    there = (tmp_path / "result").read_text().split()[1]
    assert f"f: Python {there} in the image, {here} here." in done.stdout
    write(tmp_path, "app.py", text.replace("{serialized}", ", serialized=True"))
    done = home.ionian("run", "app.py", cwd=tmp_path, timeout_s=280)
    assert done.returncode == 1
    assert "Error: f goes by value, and such functions need the same Python on both sides" in done.stdout
