"""How a container started stands in its log and in the list of containers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.homes import Home

pytestmark = pytest.mark.container

PROGRAM = """
import modal

app = modal.App("starts")
image = modal.Image.debian_slim(python_version="3.11")


@app.function(image=image, scaledown_window=60)
def answer():
    print("hello")
    return 42
"""

CALL = """
import ionian

print(ionian.Function.from_name("starts", "answer").remote())
"""


def test_the_log_and_the_list_say_how_a_container_started(home: Home, tmp_path: Path) -> None:
    (tmp_path / "starts.py").write_text(PROGRAM)
    (tmp_path / "call.py").write_text(CALL)
    deployed = home.ionian("deploy", "starts.py", cwd=tmp_path)
    assert deployed.returncode == 0, deployed.stdout
    try:
        assert home.python("call.py", cwd=tmp_path).stdout.strip() == "42"
        (row,) = json.loads(home.ionian("container", "list", "--app", "starts", "--json").stdout)
        assert re.fullmatch(r"(fresh|template) \d+ ms", row["Start"]), row
        assert "sandbox" in row["Start Parts"]
        said = home.ionian("app", "logs", "starts", "--source", "start").stdout
        assert re.search(r"^started (afresh|from a template) in .* ms.*: scheduled .*first input", said), said
        assert home.ionian("app", "logs", "starts").stdout == "hello\n"
    finally:
        home.ionian("app", "stop", "starts", "--yes")
