"""How long each part of a container's start took."""

from __future__ import annotations

from typing import Any

import pytest

from ionian.worker.origin import Origin


def test_each_part_is_what_passed_since_the_part_before_it() -> None:
    now = iter([1.0, 1.5, 3.5, 4.0])
    origin = Origin(clock=lambda: next(now))
    origin.part("image")
    origin.part("sandbox")
    origin.inside({"seconds": {"imports": 0.25, "enter": 0.125}})
    assert origin.told().parts == {
        "image": 0.5,
        "sandbox": 2.0,
        "imports": 0.25,
        "enter": 0.125,
        "agent": 0.125,
    }


@pytest.mark.parametrize(
    "said",
    [None, [], {"seconds": 3}, {"seconds": {"imports": "x"}}, {"seconds": {"imports": -1, "enter": 1e9}}],
)
def test_what_user_code_says_instead_is_no_time(said: Any) -> None:
    origin = Origin()
    origin.inside(said)
    assert set(origin.told().parts) == {"agent"}
