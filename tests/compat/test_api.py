"""Ionian's API has Modal's names, parameters, kinds and defaults, or the docs say why not."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

import ionian
from ionian import later
from ionian.exception import UnimplementedError

from .reference import ANY, API, RETIRED, expected, is_later, parameters, public_names, rows, samples

CLASSES = list(samples())
HERE = [name for name in API if name not in later.NAMES and not str(API[name]["kind"]).startswith("missing")]
SUBMODULES = [name for name in API if API[name]["kind"] == "module" and name not in later.NAMES]


def find(name: str) -> Any:
    """The object of a public name."""
    top, _, member = name.partition(".")
    owner = getattr(ionian, top)
    return getattr(owner, member) if member else owner


@pytest.mark.parametrize("name", HERE)
def test_every_name_of_modal_is_here_or_comes_later(name: str) -> None:
    assert not isinstance(getattr(ionian, name), later.Later)


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_modals_members_with_modals_parameters(name: str) -> None:
    sample, wrong = samples()[name], list[str]()
    members: dict[str, Any] = API[name]["members"]
    for member, facts in members.items():
        full = f"{name}.{member}"
        if is_later(full):
            continue
        if member == "__init__":
            ours, theirs = parameters(getattr(ionian, name)), facts
            if theirs == ANY:
                continue
        elif isinstance(facts, str) or facts is None:  # a property
            if member not in dir(sample):
                wrong.append(f"{full} is missing")
            continue
        else:
            ours, theirs = parameters(getattr(sample, member)), facts
        if ours != expected(theirs):
            wrong.append(f"{full}: expected {expected(theirs)}, got {ours}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "name", [name for name in HERE if API[name]["kind"] == "function" and name != "__version__"]
)
def test_a_function_has_modals_parameters(name: str) -> None:
    assert parameters(getattr(ionian, name)) == expected(API[name]["signature"])


@pytest.mark.parametrize("name", API["exception"]["members"])
def test_every_exception_of_modal_is_here(name: str) -> None:
    if not is_later(f"exception.{name}"):
        assert inspect.isclass(getattr(ionian.exception, name)) or name == "simulate_preemption"


def test_what_comes_later_is_a_name_of_modal() -> None:
    assert set(later.NAMES) <= public_names()


def test_a_parameter_that_comes_later_is_a_parameter_of_modal() -> None:
    for name in later.PARAMETERS:
        callable_, _, parameter = name.rstrip(")").partition("(")
        owner, _, member = callable_.partition(".")
        names = {entry[1] for entry in API[owner]["members"][member]}
        assert parameter in names | RETIRED, name


def test_the_docs_list_what_comes_later_with_its_reason() -> None:
    documented = {row.name: row.reason for row in rows() if not row.name.startswith("ionian ")}
    assert documented == {**later.NAMES, **{n.replace(")", "=)"): r for n, r in later.PARAMETERS.items()}}


@pytest.mark.parametrize("name", sorted(later.NAMES))
def test_what_comes_later_is_refused_by_name_when_it_is_used(name: str) -> None:
    top, _, member = name.partition(".")
    owner = samples().get(top, getattr(ionian, top))
    stand_in = getattr(owner, member) if member else owner
    for use in (lambda: stand_in(), lambda: stand_in.something):
        with pytest.raises(UnimplementedError, match=name.replace(".", r"\.")):
            use()


REFUSED: dict[str, tuple[Any, ...]] = {
    "App.lookup": ("sample",),
    "CloudBucketMount.__init__": ("sample",),
    "App.set_tags": ({},),
    "Cluster.from_id": ("cu-01JDZX00000000000000000000",),
    "Cls.from_name": ("app", "Model"),
    "Environment.from_name": ("dev",),
    "Function.from_name": ("app", "Model"),
    "Function.from_id": ("fu-01JDZX0000000000000000000",),
    "FunctionCall.from_id": ("fc-01JDZX0000000000000000000",),
    "Dict.from_name": ("cache",),
    "Dict.from_id": ("di-1",),
    "Image.run_function": (print,),
    "Queue.from_name": ("cache",),
    "Queue.from_id": ("qu-1",),
    "Secret.from_name": ("sample",),
    "Secret.from_dotenv": (".",),
    "Volume.from_name": ("cache",),
    "Volume.from_id": ("vo-1",),
    "Image.from_id": ("im-01JDZX00000000000000000000",),
    "Image.from_name": ("tools",),
    "Image.publish": ("tools",),
    "Image.from_registry": ("python:3.11",),
    "Image.from_aws_ecr": ("1.dkr.ecr.us-east-1.amazonaws.com/i",),
    "Image.from_gcp_artifact_registry": ("europe-docker.pkg.dev/p/r/i",),
    "Image.from_dockerfile": ("Dockerfile",),
    "Image.pip_install_from_requirements": ("requirements.txt",),
}
"""Positional arguments that these need."""


@pytest.mark.filterwarnings("ignore::ionian.exception.DeprecationError")
@pytest.mark.parametrize("name", sorted(later.PARAMETERS))
def test_a_parameter_that_comes_later_is_refused_by_name_when_it_is_set(name: str) -> None:
    callable_, _, parameter = name.rstrip(")").partition("(")
    owner, _, member = callable_.partition(".")
    numbers, tables = {"retries", "allow_concurrent_inputs"}, {"experimental_options"}
    value: Any = 2 if parameter in numbers else {"name": True} if parameter in tables else "something"
    with pytest.raises(UnimplementedError, match=f"{member}.{parameter}=…"):
        getattr(samples()[owner], member)(*REFUSED.get(callable_, ()), **{parameter: value})


@pytest.mark.parametrize("name", SUBMODULES)
def test_a_submodule_is_one_module_under_both_names(name: str) -> None:
    ionian.install_alias()
    assert importlib.import_module(f"modal.{name}") is importlib.import_module(f"ionian.{name}")


def test_the_public_api_is_one_list() -> None:
    assert sorted(ionian.__all__) == sorted({*(n for n in HERE), "install_alias"})
