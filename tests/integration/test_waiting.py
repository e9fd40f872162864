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
