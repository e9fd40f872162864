"""The user's own module: one module under both of its names, here and in the container, however it is run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.homes import Home
from tests.integration.messages import said

MODULES = Path(__file__).with_name("programs") / "modules"


def expected(done: subprocess.CompletedProcess[str], *lines: str) -> None:
    """The program went well and printed these lines."""
    assert done.returncode == 0, done.stdout
    for line in lines:
        assert line in done.stdout.splitlines(), done.stdout


CLASSES = "all as expected, arguments "


@pytest.mark.parametrize(
    "command", [("run", "-q", "shapes.py"), ("run", "-q", "-m", "shapes")], ids=["file", "module"]
)
def test_classes_of_a_module_travel_both_ways_under_ionian_run(home: Home, command: tuple[str, ...]) -> None:
    done = home.ionian(*command, cwd=MODULES)
    assert done.returncode == 0, done.stdout
    assert CLASSES in done.stdout


@pytest.mark.parametrize("script", [("shapes.py",), ("-m", "shapes")], ids=["file", "module"])
def test_classes_of_a_script_travel_both_ways_under_ionian_python(
    home: Home, script: tuple[str, ...]
) -> None:
    done = home.ionian("python", "-q", *script, "--flag", "1", cwd=MODULES)
    expected(done, f"{CLASSES}['--flag', '1']", "top of __main__")
    tops = [
        line for line in done.stdout.splitlines() if line.startswith("top of")
    ]  # those of containers: "paint | top …"
    assert tops == ["top of __main__"], "the script was run again to find its classes"


@pytest.mark.parametrize("script", [("shapes.py",), ("-m", "shapes")], ids=["file", "module"])
def test_classes_of_a_script_travel_both_ways_under_plain_python(home: Home, script: tuple[str, ...]) -> None:
    expected(home.python(*script, "a", cwd=MODULES), f"{CLASSES}['a']")


@pytest.mark.parametrize("way", ["run", "python", "plain"])
def test_a_module_of_a_package_with_relative_imports_runs(home: Home, way: str) -> None:
    if way == "plain":
        done = home.python("-m", "package.inner.work", cwd=MODULES)
    else:
        done = home.ionian(way, "-q", "-m", "package.inner.work", cwd=MODULES)
    expected(done, "all as expected, lost 3")


def test_a_package_is_run_by_its_main_module(home: Home) -> None:
    lines = ("all as expected, lost 3", "main as expected")
    expected(home.ionian("python", "-q", "-m", "package", cwd=MODULES), *lines)
    expected(home.python("-m", "package", cwd=MODULES), *lines)


def test_a_folder_is_run_by_its_main_file(home: Home) -> None:
    expected(home.ionian("python", "-q", "folder_main", cwd=MODULES), "all as expected")
    expected(home.ionian("python", "-q", "__main__.py", cwd=MODULES / "folder_main"), "all as expected")
    expected(home.python("folder_main", cwd=MODULES), "all as expected")


def test_two_apps_of_one_folder_run_together_and_alone(home: Home) -> None:
    expected(home.ionian("python", "-q", "two_apps/first.py", cwd=MODULES), "all as expected")
    expected(home.ionian("python", "-q", "two_apps/second.py", cwd=MODULES), "second as expected")


@pytest.mark.parametrize("way", ["ionian", "plain"])
def test_a_script_that_catches_everything_round_app_run_does_not_see_the_import_end(
    home: Home, way: str
) -> None:
    done = (
        home.ionian("python", "-q", "at_import.py", cwd=MODULES)
        if way == "ionian"
        else home.python("at_import.py", cwd=MODULES)
    )
    expected(done, "above as expected", "a second time 3", "at exit")
    assert "caught" not in done.stdout, "the end of the import in the container is no exception"
    assert done.stdout.count("finally") == 1
    assert (
        "refused: 'below' is not defined in at_import.py above line 21, where the module enters app.run(): in a container "
        "the module is read only up to there; move the function above that line"
    ) in said(done)


def test_a_class_below_the_line_where_the_app_runs_goes_by_value(home: Home) -> None:
    expected(home.ionian("python", "-q", "classes_below.py", cwd=MODULES), "below True 4")
    expected(home.python("classes_below.py", cwd=MODULES), "below True 4")


def test_a_module_of_a_package_run_as_a_file_is_told_how_to_run_it(home: Home) -> None:
    done = home.ionian("run", "-q", "package/inner/work.py", cwd=MODULES)
    assert done.returncode == 1
    assert "A module of a package is run by its dotted name: ionian run -m package.module" in said(done)
    assert os.fspath(MODULES) in done.stdout
