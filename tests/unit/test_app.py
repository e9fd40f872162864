"""Apps: decorators, entrypoints, and what a container does with them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import ionian
from ionian import execution
from ionian.exception import InvalidError

app = ionian.App("test")


@pytest.fixture
def in_container() -> Iterator[None]:
    execution.enter_container()
    yield
    execution.leave_container()


@app.function()
def double(n: int) -> int:
    """Twice as much."""
    return 2 * n


@app.local_entrypoint()
def main(steps: int = 5) -> int:
    return steps


def test_functions_and_entrypoints_are_registered_by_name() -> None:
    assert app.registered_functions == {"double": double}
    assert list(app.registered_entrypoints) == ["main"]


def test_an_entrypoint_is_called_like_the_function_it_is() -> None:
    assert main() == 5
    assert main(steps=7) == 7


def test_two_entrypoints_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidError, match="two local entrypoints named 'main'"):
        app.local_entrypoint(name="main")(lambda: None)


def test_decorators_want_parentheses() -> None:
    with pytest.raises(InvalidError, match=r"@app.function\(\)"):
        app.function(double.raw)  # pyright: ignore
    with pytest.raises(InvalidError, match=r"@app.local_entrypoint\(\)"):
        app.local_entrypoint(double.raw)  # pyright: ignore


def test_two_functions_of_one_name_warn_and_the_later_one_counts() -> None:
    other = ionian.App()

    @other.function(name="f", serialized=True)
    def first() -> None: ...

    with pytest.warns(UserWarning, match="two functions named 'f'"):

        @other.function(name="f", serialized=True)
        def second() -> None: ...

    assert other.registered_functions["f"] is second
    assert first is not second


def test_an_image_set_later_is_that_of_functions_that_name_none() -> None:
    other = ionian.App()
    made = other.function(serialized=True)(lambda: None)
    assert made.image is made.image
    other.image = image = ionian.Image.debian_slim("3.13")
    assert made.image is image


def test_wrong_arguments_of_an_app_are_refused_by_name() -> None:
    for name, value in {
        "name": 5,
        "image": "x",
        "secrets": [1],
        "volumes": {"x": 1},
        "include_source": 1,
    }.items():
        with pytest.raises(InvalidError, match=name):
            ionian.App(**{name: value})  # pyright: ignore


def test_the_import_of_a_module_that_runs_its_app_ends_there_in_a_container(in_container: None) -> None:
    execution.set_importing(True)
    with pytest.raises(execution.StopImport) as stopped, app.run():
        pytest.fail("the block must not be entered")
    assert stopped.value.app is app
    assert execution.app_run_line() > 0


def test_the_import_ends_at_an_asynchronous_run_too(in_container: None) -> None:
    async def enter() -> None:
        async with app.run():
            pytest.fail("the block must not be entered")

    execution.set_importing(True)
    with pytest.raises(execution.StopImport):
        asyncio.run(enter())


def test_a_running_function_can_run_no_app(in_container: None) -> None:
    with pytest.raises(InvalidError, match="inside a container"), app.run():
        pass


def test_in_a_container_everything_can_be_constructed_without_looking_at_anything(in_container: None) -> None:
    image = (
        ionian.Image.debian_slim("9.9")
        .pip_install_from_requirements("/nowhere/requirements.txt")
        .add_local_dir("/nowhere", "data")
        .add_local_python_source("no_such_module")
        .run_commands("x")
        .env({})
    )
    secret = ionian.Secret.from_dotenv("/nowhere")
    other = ionian.App(5, secrets=[ionian.Secret.from_local_environ(["NOT_SET"]), secret])  # pyright: ignore
    ionian.Volume.from_name("a name that is none")
    ionian.FilePatternMatcher.from_file("/nowhere/.dockerignore")
    ionian.Cron("never")
    ionian.Retries(max_retries=-1)

    def outer() -> ionian.Function[..., int, int]:
        @other.function(image=image, cpu=-1, schedule=ionian.Period(), retries=5, gpu="none")
        def inner() -> int:
            return 3

        return inner  # pyright: ignore

    assert outer().local() == 3
