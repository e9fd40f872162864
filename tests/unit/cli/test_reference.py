from types import ModuleType

import click
import pytest

from ionian.cli.reference import Reference, Runnable, parse, resolve

FUNCTION = """
@app.function()
def {name}(): ...
"""
ENTRYPOINT = """
@app.local_entrypoint()
def {name}(): ...
"""
APP = "import ionian\napp = ionian.App('a')\n"


def module(*parts: str) -> ModuleType:
    made = ModuleType("app")
    exec(compile(APP + "".join(parts), "app.py", "exec"), vars(made))
    return made


def chosen(made: ModuleType, name: str = "") -> Runnable:
    return resolve(made, Reference("app.py", name, False))


def function(name: str) -> str:
    return FUNCTION.format(name=name)


def entrypoint(name: str) -> str:
    return ENTRYPOINT.format(name=name)


@pytest.mark.parametrize(
    ("text", "is_module", "expected"),
    [
        ("app.py", False, ("app.py", "", False)),
        ("dir/app.py::f", False, ("dir/app.py", "f", False)),
        ("app.py::app.f", False, ("app.py", "app.f", False)),
        ("pkg.mod::f", True, ("pkg.mod", "f", True)),
    ],
)
def test_a_reference_is_a_place_and_a_name(text: str, is_module: bool, expected: tuple[str, str, bool]):
    assert parse(text, is_module=is_module) == expected


@pytest.mark.parametrize(
    ("text", "is_module", "hint"),
    [
        ("pkg.mod", False, "ionian run -m pkg.mod"),
        ("app.py", True, "leave -m away"),
        ("app.py::", False, "expected file.py"),
        ("::f", False, "expected file.py"),
    ],
)
def test_what_is_no_reference_is_refused_with_what_to_write(text: str, is_module: bool, hint: str):
    with pytest.raises(click.UsageError, match=hint):
        parse(text, is_module=is_module)


def test_a_single_function_needs_no_name():
    assert chosen(module(function("f"))).name == "f"


def test_a_local_entrypoint_comes_before_functions():
    assert chosen(module(function("f"), function("g"), entrypoint("main"))).entrypoint


def test_several_functions_must_be_told_apart_and_the_lines_to_type_are_shown():
    with pytest.raises(click.UsageError) as caught:
        chosen(module(function("f"), function("g")))
    assert "  ionian run app.py::f\n  ionian run app.py::g" in caught.value.message


def test_a_name_chooses():
    made = module(function("f"), function("g"), entrypoint("main"))
    assert chosen(made, "g").target.tag == "g"
    assert chosen(made, "app.g").target.tag == "g"
    assert chosen(made, "main").entrypoint


def test_a_name_may_be_that_of_the_app_and_not_of_a_variable():
    made = module("@app.function(name='other')\ndef f(): ...\n")
    assert chosen(made, "other").target.tag == "other"


def test_a_name_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(click.UsageError, match=r"nothing named 'h' to run; it has f, g"):
        chosen(module(function("f"), function("g")), "h")


def test_a_module_with_nothing_to_run_says_so():
    with pytest.raises(click.UsageError, match="defines nothing to run"):
        chosen(module())


def test_the_same_function_under_two_names_is_one():
    assert chosen(module(function("f"), "g = f\n")).target.tag == "f"


def test_functions_that_are_no_variables_of_the_module_are_found_in_its_app():
    made = module(function("f"), "del f\n")
    assert chosen(made).target.tag == "f"
