"""Runs of apps beside each other and ones that are left running."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.homes import Home
from tests.integration.test_command_line import write

pytestmark = pytest.mark.timeout(300)


def test_lines_of_two_apps_in_one_process_are_shown_once_each(home: Home, tmp_path: Path):
    text = """
        import modal
        one, two = modal.App("one"), modal.App("two")

        @one.function()
        def f():
            print("of one")

        @two.function()
        def g():
            print("of two")

        with one.run(), two.run():
            f.remote()
            g.remote()
    """
    write(tmp_path, "script.py", text)
    done = home.ionian("python", "-q", "script.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert sorted(line.rpartition("| ")[2] for line in done.stdout.splitlines()) == ["of one", "of two"]


def test_a_detached_run_says_what_it_leaves(home: Home, tmp_path: Path):
    text = """
        import modal
        app = modal.App("left")

        @app.function()
        def f(): ...
    """
    write(tmp_path, "app.py", text)
    done = home.ionian("run", "--detach", "app.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "goes on with the calls under way" in done.stdout


def test_nothing_is_shown_by_a_script_that_does_not_ask_for_it(home: Home, tmp_path: Path):
    text = """
        import ionian

        app = ionian.App("silent")

        @app.function()
        def f():
            print("hidden")
            return 3

        with app.run():
            assert f.remote() == 3
        with ionian.enable_output():
            with ionian.enable_output(), app.run():
                f.remote()
    """
    write(tmp_path, "script.py", text)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=home.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "hidden\n"
    assert done.stderr.count("✓ Initialized") == 1
