"""Classes in real containers (programs/classes.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def ran(home: Home) -> tuple[dict[str, Any], str]:
    return seen_by(home, "classes.py")


@pytest.fixture(scope="module")
def seen(ran: tuple[dict[str, Any], str]) -> dict[str, Any]:
    return ran[0]


def test_enter_hooks_run_once_in_their_order_bases_first(seen: dict[str, Any]):
    assert seen["hooks"] == ["first", "second, async", "third, of the subclass"]


def test_an_override_can_call_what_it_overrides(seen: dict[str, Any]):
    assert seen["who"] == "Model of Base, Model of Base"


def test_a_method_is_called_in_every_way_that_a_function_is(seen: dict[str, Any]):
    assert seen["predict"] == 5
    assert seen["map"] == [1, 3, 5, 7]
    assert seen["starmap"] == [1, 2]
    assert seen["stream"] == [[0, 2, 4], [0, 1]]
    assert seen["aio"] == [8, [True, 2], [0, 1], [1, 2]]


def test_a_generator_method_says_to_call_remote_gen(seen: dict[str, Any]):
    assert "call Model.stream.remote_gen(…)" in seen["remote of a generator"]


def test_an_object_has_its_parameters(seen: dict[str, Any]):
    assert seen["parameters"] == [8, 28, 10]


def test_async_hooks_and_methods_share_one_loop(seen: dict[str, Any]):
    assert seen["later"] == [True, 3]


def test_each_set_of_parameters_has_its_own_containers(seen: dict[str, Any]):
    assert seen["pools"] == [True, False, True]


def test_inside_a_method_others_are_called_plainly_here_or_in_containers(seen: dict[str, Any]):
    assert seen["inside"] == {
        "plain": 2,
        "local": 3,
        "other": "other x",
        "other, local": "other y",
        "undecorated": "helper of it",
    }
    assert seen["again"] == "again: other z"


def test_an_object_and_a_method_can_be_given_to_a_function(seen: dict[str, Any]):
    assert seen["given"] == [15, 24, [0, 3]]


def test_an_exception_of_a_method_arrives_as_itself(seen: dict[str, Any]):
    assert seen["fails"] == "KeyError: 'it'"


def test_an_enter_that_fails_is_a_failed_start(seen: dict[str, Any]):
    assert seen["broken"] == "RuntimeError: no weights here"


def test_inputs_of_a_concurrent_class_run_together(seen: dict[str, Any]):
    assert seen["together"] == [True, True, True]


def test_a_batched_method_gets_lists_and_its_callers_single_values(seen: dict[str, Any]):
    assert [value for value, _ in seen["batches"][0]] == [10, 20, 30]
    assert max(size for _, size in seen["batches"][0]) > 1
    assert seen["batches"][1] == [8, 1]


def test_an_init_and_hooks_of_modals_past_work(seen: dict[str, Any]):
    assert seen["old"] == 3.0


def test_a_class_can_go_by_value(seen: dict[str, Any]):
    assert seen["by value"] == [7, 14]


def test_a_method_without_an_object_says_what_was_forgotten(seen: dict[str, Any]):
    assert "Did you forget to instantiate the class?" in seen["without an object"]


def test_exit_hooks_run_when_the_containers_end(ran: tuple[dict[str, Any], str], home: Home):
    files = {path.name: path.read_text().splitlines() for path in home.folder.glob("volumes/*/it")}
    assert files["it"][0].startswith("sync after ")
    assert files["it"][1] == "async, the same loop: True"


def test_an_exit_that_fails_does_not_keep_the_others_from_running(home: Home, tmp_path: Path):
    text = """
        import modal
        app = modal.App("ends")

        @app.cls()
        class Model:
            @modal.exit()
            def first(self):
                raise ValueError("it will not close")

            @modal.exit()
            async def second(self):
                print("closed", flush=True)

            @modal.method()
            def f(self):
                return 1

        @app.local_entrypoint()
        def main():
            Model().f.remote()
    """
    write(tmp_path, "app.py", text)
    done = home.ionian("run", "app.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    lines = [line.rpartition("| ")[2] for line in done.stdout.splitlines()]
    assert "an @exit of Model failed:" in lines
    assert "ValueError: it will not close" in lines
    assert lines.index("ValueError: it will not close") < lines.index("closed")


def test_a_method_is_run_by_its_name_with_the_parameters_of_its_class(home: Home, tmp_path: Path):
    text = """
        import modal
        app = modal.App("named")

        @app.cls()
        class Model:
            size: int = modal.parameter(default=1)

            @modal.method()
            def predict(self, text: str, times: int = 2):
                print(text * times, self.size, flush=True)
    """
    write(tmp_path, "app.py", text)
    done = home.ionian("run", "app.py::Model.predict", "--text", "ab", "--size", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "abab 3" in done.stdout
    done = home.ionian("run", "app.py", "--text", "x", cwd=tmp_path)
    assert "xx 1" in done.stdout, done.stdout
    done = home.ionian("run", "app.py::Model.predict", "--help", cwd=tmp_path)
    assert "--size" in done.stdout
    assert "--times" in done.stdout
    done = home.ionian("run", "app.py::Model.missing", cwd=tmp_path)
    assert "has nothing named 'Model.missing' to run; it has Model.predict" in done.stdout, done.stdout
