"""Every argument of `@app.function` is checked where it is written."""

from __future__ import annotations

from typing import Any

import pytest

import ionian
from ionian.exception import DeprecationError, InvalidError
from ionian.function import Function

VOLUME = ionian.Volume.from_name("v")

WRONG: list[tuple[str, Any]] = [
    ("image", "debian"),
    ("env", {"A": 1}),
    ("env", ["A=1"]),
    ("env", {"A=B": "1"}),
    ("secrets", "TOKEN"),
    ("secrets", [{"TOKEN": "x"}]),
    ("gpu", "A1000"),
    ("gpu", "A100:0"),
    ("gpu", "A100:two"),
    ("gpu", 1),
    ("gpu", []),
    ("serialized", 1),
    ("volumes", [VOLUME]),
    ("volumes", {"/cache": "v"}),
    ("volumes", {"cache": VOLUME}),
    ("volumes", {"/": VOLUME}),
    ("volumes", {"/root": VOLUME}),
    ("volumes", {"/tmp/": VOLUME}),
    ("volumes", {"/a/../b": VOLUME}),
    ("volumes", {"/a": VOLUME, "/b": VOLUME}),
    ("cpu", 0),
    ("cpu", -1.0),
    ("cpu", "2"),
    ("cpu", True),
    ("cpu", (2, 1)),
    ("cpu", (1, 2, 3)),
    ("cpu", float("nan")),
    ("memory", 0),
    ("memory", 1.5),
    ("memory", "1G"),
    ("memory", (1024, 512)),
    ("ephemeral_disk", -1),
    ("min_containers", -1),
    ("max_containers", 0),
    ("max_containers", 1.5),
    ("buffer_containers", "1"),
    ("scaledown_window", 0),
    ("retries", "3"),
    ("timeout", None),
    ("timeout", 0),
    ("timeout", 10**9),
    ("startup_timeout", -5),
    ("name", "a name"),
    ("name", ""),
    ("name", 5),
    ("is_generator", "yes"),
    ("nonpreemptible", 1),
    ("single_use_containers", 1),
    ("include_source", "yes"),
    ("max_inputs", 2),
]


@pytest.mark.filterwarnings("ignore::ionian.exception.DeprecationError")
@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{name}={value!r}" for name, value in WRONG])
def test_a_wrong_argument_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidError, match=name):
        ionian.App().function(**{name: value})


def defined(**arguments: Any) -> Function[..., Any, Any]:
    def function() -> None: ...

    return ionian.App().function(serialized=True, **arguments)(function)


def test_units_become_those_of_the_protocol() -> None:
    options = defined(
        cpu=(0.5, 2), memory=(256, 1024), ephemeral_disk=2048, gpu=["H100!", "a100-80gb:2"]
    ).options
    resources = options.resources()
    assert (resources.cpu_milli, resources.cpu_limit_milli) == (500, 2000)
    assert (resources.memory_mib, resources.memory_limit_mib) == (256, 1024)
    assert resources.ephemeral_disk_mib == 2048
    assert [(gpu.model, gpu.count, gpu.exact) for gpu in resources.gpus] == [
        ("H100", 1, True),
        ("A100-80GB", 2, False),
    ]


def test_defaults_are_those_of_modal() -> None:
    options = defined().options
    assert (options.cpu_milli, options.memory_mib, options.timeout_s, options.startup_timeout_s) == (
        125,
        128,
        300,
        300,
    )
    assert options.scaling().scaledown_window_s == 60


def test_the_start_may_take_as_long_as_an_input_unless_it_is_said() -> None:
    assert defined(timeout=20).options.startup_timeout_s == 20
    assert defined(timeout=20, startup_timeout=90).options.startup_timeout_s == 90


def test_fewer_containers_at_most_than_at_least_are_refused() -> None:
    with pytest.raises(InvalidError, match="min_containers"):
        defined(min_containers=3, max_containers=2)


def test_variables_that_are_none_are_left_out() -> None:
    assert defined(env={"A": "1", "B": None}).options.env == {"A": "1"}


def test_secrets_of_the_app_come_first_and_volumes_are_joined() -> None:
    first, second = ionian.Secret.from_dict({"A": "1"}), ionian.Secret.from_dict({"A": "2"})
    app = ionian.App(secrets=[first], volumes={"/a": VOLUME})

    @app.function(secrets=[second], volumes={"/b": ionian.Volume.from_name("w")}, serialized=True)
    def function() -> None: ...

    assert function.options.secrets == (first, second)
    assert sorted(function.options.volumes) == ["/a", "/b"]


def test_a_volume_of_the_app_at_another_path_is_refused() -> None:
    with pytest.raises(InvalidError, match="mount it once"):
        ionian.App(volumes={"/a": VOLUME}).function(volumes={"/b": ionian.Volume.from_name("v")})


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("concurrency_limit", "max_containers", 20),
        ("keep_warm", "min_containers", 1),
        ("container_idle_timeout", "scaledown_window", 30),
    ],
)
def test_a_retired_name_works_with_one_warning_that_names_the_new_one(old: str, new: str, value: int) -> None:
    with pytest.warns(DeprecationError, match=f"{new}={value}") as warnings:
        function = defined(**{old: value})
    assert len(warnings) == 1
    assert warnings[0].filename == __file__
    assert vars(function.options)[f"{new}_s" if new == "scaledown_window" else new] == value


def test_a_retired_name_beside_the_new_one_is_refused() -> None:
    with pytest.raises(InvalidError, match="max_containers alone"):
        defined(concurrency_limit=1, max_containers=1)


def test_one_input_for_each_container_can_be_said_the_retired_way() -> None:
    with pytest.warns(DeprecationError, match="single_use_containers"):
        assert defined(max_inputs=1).options.single_use


def test_one_concurrent_input_is_what_there_is_anyway() -> None:
    with pytest.warns(DeprecationError, match="modal.concurrent"):
        defined(allow_concurrent_inputs=1)


def test_no_retries_are_what_there_is_anyway() -> None:
    assert defined(retries=0).tag == defined().tag


def test_an_unknown_gpu_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(InvalidError, match="did you mean 'A100-80GB'"):
        defined(gpu="A100-80")


def test_a_retired_gpu_object_is_a_string_with_a_warning() -> None:
    with pytest.warns(DeprecationError, match="A100-80GB:2"):
        gpu = ionian.gpu.A100(count=2, size="80GB")
    assert [(g.model, g.count) for g in defined(gpu=gpu).options.gpus] == [("A100-80GB", 2)]
