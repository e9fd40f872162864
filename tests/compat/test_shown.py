"""The page on compatibility names what shows each row, and that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from ionian import later

from .reference import API, PAGE, is_later

TESTS = Path(__file__).parents[1]
PROGRAMS = Path(__file__).with_name("programs")

SHOWN = ["App", "Function", "FunctionCall", "Cls", "Retries", "Cron", "Period", "Dict", "Queue", "Volume"]
"""Classes of which each public member that is here has a row."""


def rows() -> dict[str, list[str]]:
    """What is shown → what shows it."""
    text = PAGE.read_text().partition("<!-- shown: begin -->")[2].partition("<!-- shown: end -->")[0]
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        cells = [re.findall(r"`(.+?)`", cell) for cell in line.strip("|").split("|")]
        if len(cells) == 2 and cells[0]:
            for name in cells[0]:
                assert name not in found, f"{name} has two rows"
                found[name] = cells[1]
    return found


def all_tests() -> set[str]:
    """The names of all tests."""
    return {
        node.name
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_what_shows_a_row_is_there() -> None:
    known = all_tests()
    runners = "".join(path.read_text() for path in PROGRAMS.parent.glob("test_*.py"))
    for name, shown_by in rows().items():
        assert shown_by, f"{name}: expected what shows it, got nothing"
        for one in shown_by:
            if one.endswith(".py"):
                assert (PROGRAMS / one).exists(), f"{name}: there is no program {one}"
                assert one in runners, f"{name}: no test runs the program {one}"
            else:
                assert one in known, f"{name}: there is no test {one}"


def test_each_name_of_functions_and_calls_has_a_row() -> None:
    expected = {name for name, facts in API.items() if facts["kind"] == "function" and name != "__version__"}
    for name in SHOWN:
        expected |= {name, *(f"{name}.{member}" for member in API[name]["members"] if member != "__init__")}
    facts = API["App"]["members"]["function"]
    expected |= {f"App.function({entry[1]}=)" for entry in facts if entry[1] != "_raw"}
    late = {name.replace(")", "=)") for name in later.PARAMETERS}
    expected = {name for name in expected if not is_later(name) and name not in late}
    assert expected - rows().keys() == set()
