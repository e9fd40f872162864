"""`ionian run` says why nothing runs, when that has lasted."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.homes import Home
from tests.integration.processes import running
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.container, pytest.mark.timeout(120)]


def test_a_run_says_why_nothing_runs_and_then_goes_on(home: Home, tmp_path: Path) -> None:
    text = """
        import time
        import modal

        if not modal.is_local():
            time.sleep(6)  # a large model, say

        app = modal.App("patient")

        @app.function()
        def f():
            print("it runs")
            return 7

        @app.local_entrypoint()
        def main():
            print("result", f.remote())
    """
    write(tmp_path, "patient.py", text)
    with running(home, "run", "patient.py", cwd=tmp_path) as run:
        run.until("f waits: a container for it is starting")
        run.until("it runs")
        assert run.end() == 0, run.text
    assert run.text.count("f waits:") == 1, run.text
    assert "result 7" in run.text


def test_a_run_says_why_another_apps_function_does_not_run(home: Home, tmp_path: Path) -> None:
    slow = """
        import time
        import modal

        if not modal.is_local():
            time.sleep(6)

        app = modal.App("slow-start")

        @app.function()
        def theirs():
            return 7
    """
    calls = """
        import modal

        app = modal.App("calls-it")

        @app.local_entrypoint()
        def main():
            print("result", modal.Function.from_name("slow-start", "theirs").remote())
    """
    write(tmp_path, "slow.py", slow)
    write(tmp_path, "calls.py", calls)
    done = home.ionian("deploy", "slow.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    with running(home, "run", "calls.py", cwd=tmp_path) as run:
        run.until("theirs waits: a container for it is starting")
        run.until("result 7")
        assert run.end() == 0, run.text
    assert home.ionian("app", "stop", "slow-start", "-y").returncode == 0
