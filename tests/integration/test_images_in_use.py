"""Images in use: what lies where in a container, under two Pythons (programs/places.py)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    return seen_by(home, "places.py")[0]


def test_copied_files_are_there_for_later_steps_and_mounted_ones_at_run_time(seen: dict[str, Any]):
    assert seen["look"]["copied"] == seen["look"]["mounted"] == "one\n"
    assert seen["look"]["loud"] == "ONE\n"


def test_a_folder_comes_without_what_its_patterns_ignore_and_with_its_modes(seen: dict[str, Any]):
    assert seen["look"]["folder"] == ["deep/kept.log", "deep/run.sh", "one.txt"]
    assert seen["look"]["mode"] == "0o755"


def test_a_local_module_can_be_imported(seen: dict[str, Any]):
    assert seen["look"]["helper"] == "the helper"


def test_the_program_itself_comes_along_unless_it_is_told_not_to(seen: dict[str, Any]):
    assert "places.py" in seen["look"]["source"]
    assert "places.py" not in seen["alone"]


def test_a_python_without_any_package_runs_functions_and_calls_others(seen: dict[str, Any]):
    assert seen["bare"] == [[], 12]


def test_values_pass_to_an_image_of_another_python(seen: dict[str, Any]):
    assert seen["3.13"] == [[3, 13], "yes", "{'a': (1, 2.5, b'x')}"]
