"""What real containers have that were forked from one template (programs/forked.py)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.homes import new_home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(400)]

Said = list[dict[str, Any]]


@pytest.fixture(scope="module")
def seen() -> dict[str, Said]:
    with new_home() as home:
        found, printed = seen_by(home, "forked.py", environment={"IONIAN_TEMPLATES": "on"})
    for what, said in found.items():
        assert what == "fresh" or all(row["forked"] for row in said), (what, printed)
    return found


def each(said: Said, name: str) -> list[Any]:
    return [row[name] for row in said]


def test_native_pools_compute_in_the_template_and_then_in_its_forks_at_once(seen: dict[str, Said]):
    for row in seen["computed"]:
        assert row["value"] == row["at import"] != []


def test_native_pools_have_the_containers_number_of_threads(seen: dict[str, Said]):
    for row in seen["computed"]:
        assert row["threads"] == [row["cores"]] * 2


@pytest.mark.parametrize(
    ("of", "what"),
    [
        ("own", "random"),
        ("own", "ssl"),
        ("own", "uuid"),
        ("own", "task"),
        ("computed", "numpy"),
        ("computed", "numpy, normal"),
        ("computed", "numpy, held"),
        ("computed", "key"),
    ],
)
def test_each_fork_has_its_own_numbers_though_all_have_one_process_id(
    seen: dict[str, Said], of: str, what: str
):
    assert len(set(each(seen[of], what))) == len(seen[of]) > 1


def test_a_generator_that_user_code_seeded_gives_each_fork_the_same(seen: dict[str, Said]):
    assert set(each(seen["computed"], "numpy, seeded")) == {0.625095466604667}


def test_a_fork_is_process_2_in_a_session_of_its_own(seen: dict[str, Said]):
    assert [(row["pid"], row["session"]) for row in seen["own"]] == [(2, 2)] * len(seen["own"])


def test_a_fork_sees_what_the_import_wrote_and_nothing_of_another(seen: dict[str, Said]):
    assert set(each(seen["own"], "imported")) == {"by the import"}


def test_a_forks_environment_is_that_of_a_container_with_what_the_import_set(seen: dict[str, Said]):
    assert all(row["environment"] == ["yes", "s", None] for row in seen["own"])


def test_a_fork_has_the_descriptors_of_a_container_that_starts_on_its_own_and_no_other(seen: dict[str, Said]):
    (fresh,) = seen["fresh"]
    assert not fresh["forked"]
    assert each(seen["own"], "descriptors") == [fresh["descriptors"]] * len(seen["own"])


def test_hooks_and_parameters_of_a_class_are_each_forks(seen: dict[str, Said]):
    assert [(row["name"], row["entered by"]) for row in seen["held"]] == [("Ada", 2)] * 2


def test_with_a_snapshot_a_class_is_loaded_in_the_template_which_is_no_container(seen: dict[str, Said]):
    assert [(row["loaded by"], row["entered by"]) for row in seen["loaded"]] == [([3, ""], 2)] * 2
