"""Which containers may be forks of one template."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ionian.protocol.spec import ClassSpec, FileRef, FunctionSpec, Resources, Scaling, VolumeMount
from ionian.protocol.workers import StartContainer
from ionian.worker.templates.key import key_of

SPEC = FunctionSpec("fu-1", "f", "main", "f", image_id="im-1")
ASK = StartContainer(1, "ta-1", "ap-1", "main", SPEC, {"TOKEN": "a"}, functions={"f": "fu-1"})


def of(**changes: Any) -> str:
    return key_of(replace(ASK, function=replace(SPEC, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"function_id": "fu-2"},
        {"image_id": "im-2"},
        {"mounts": [FileRef("/root/main.py", "d", 1)]},
        {"env": {"A": "1"}},
        {"volumes": [VolumeMount("/data", "vo-1")]},
        {"volumes": [VolumeMount("/data", "vo-1", sub_path="a")]},
        {"serialized": "d"},
        {"snapshot": True},
        {"block_network": True},
        {"restricted": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_an_import_sees_makes_another_template(changes: dict[str, Any]) -> None:
    assert of(**changes) != key_of(ASK)


@pytest.mark.parametrize(
    "changes",
    [
        {"timeout_s": 1.0},
        {"scaling": Scaling(min_containers=3)},
        {"resources": Resources(cpu_milli=2000)},
        {"version": 7},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_a_container_has_of_its_own_does_not(changes: dict[str, Any]) -> None:
    assert of(**changes) == key_of(ASK)


def test_another_container_of_the_function_has_the_same() -> None:
    assert key_of(replace(ASK, number=2, container_id="ta-2")) == key_of(ASK)


def test_a_changed_secret_makes_another() -> None:
    assert key_of(replace(ASK, secrets={"TOKEN": "b"})) != key_of(ASK)


def test_containers_with_cards_and_without_have_not_the_same() -> None:
    assert key_of(replace(ASK, devices=["nvidia.com/gpu=0"])) != key_of(ASK)
    assert key_of(replace(ASK, devices=["nvidia.com/gpu=0"])) == key_of(
        replace(ASK, devices=["nvidia.com/gpu=1"])
    )


def test_objects_of_a_class_share_a_template_until_a_snapshot_holds_one() -> None:
    def variant(arguments: str, snapshot: bool) -> str:
        kind = ClassSpec(arguments=arguments)
        return of(function_id=f"fu-{arguments}", base_id="fu-1", class_spec=kind, snapshot=snapshot)

    assert variant("one", False) == variant("other", False)
    assert variant("one", True) != variant("other", True)
