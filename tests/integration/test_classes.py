"""Classes in real containers (programs/classes.py)."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home, new_home
from tests.integration.processes import running
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
    assert "call Model().stream.remote_gen(…)" in seen["remote of a generator"]


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
    lines = sorted(files["it"])  # of each of its containers, in any order
    half = len(lines) // 2
    assert lines[:half] == ["async, the same loop: True"] * half
    assert half
    assert all(line.startswith("sync after ") for line in lines[half:])


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


# --- a deployed class, from another program

DEPLOYED = """
    import os
    import modal

    app = modal.App("shop")

    @app.cls()
    class Model:
        size: int = modal.parameter(default=1)
        name: str = modal.parameter()

        @modal.enter()
        def load(self):
            self.loaded = self.size * 10

        @modal.method()
        def predict(self, n: int):
            return [n * self.loaded, self.name, os.environ.get("TINT", "")]

        @modal.method()
        def stream(self, n: int):
            yield from range(n)

    @app.function()
    def plain():
        return 1
"""

CALLER = """
    import asyncio, json, modal

    Model = modal.Cls.from_name("shop", "Model")

    def ended_by(call):
        try:
            return f"none: {call()!r}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    red = Model.with_options(env={"TINT": "red"}, max_containers=1)
    settings = Model(name="a").update_autoscaler(max_containers=4)
    print("SEEN " + json.dumps({
        "parameters": [Model(name="a").predict.remote(1), Model(name="b", size=3).predict.remote(1)],
        "stream": list(Model(name="a").stream.remote_gen(3)),
        "spawned": Model(name="a").predict.spawn(4).get(),
        "aio": asyncio.run(Model(name="a").predict.remote.aio(2)),
        "options": [red(name="a").predict.remote(1), red.with_concurrency(max_inputs=3)(name="a").predict.remote(1)],
        "settings": [settings.max_containers, settings.min_containers],
        "no method": ended_by(lambda: Model(name="a").missing.remote()),
        "no parameter": ended_by(lambda: Model(size=1).predict.remote(1)),
        "no class": ended_by(lambda: modal.Cls.from_name("shop", "Modle")().predict.remote(1)),
        "no app": ended_by(lambda: modal.Cls.from_name("shp", "Model")().predict.remote(1)),
        "a function": ended_by(lambda: modal.Cls.from_name("shop", "plain")().predict.remote(1)),
        "here": ended_by(lambda: Model(name="a").predict.local(1)),
    }))
"""


@pytest.fixture(scope="module")
def by_name(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("by-name")
    write(folder, "shop.py", DEPLOYED)
    write(folder, "caller.py", CALLER)
    with new_home() as home:  # one of its own: a deployed app stays
        deployed = home.ionian("deploy", "shop.py", cwd=folder)
        assert deployed.returncode == 0, deployed.stdout
        done = home.ionian("python", "caller.py", cwd=folder)
    found = [line for line in done.stdout.splitlines() if line.startswith("SEEN ")]
    assert len(found) == 1, done.stdout
    return json.loads(found[0][5:])


def test_a_class_found_by_name_is_called_as_one_that_is_defined(by_name: dict[str, Any]):
    assert by_name["parameters"] == [[10, "a", ""], [30, "b", ""]]
    assert by_name["stream"] == [0, 1, 2]
    assert by_name["spawned"] == [40, "a", ""]
    assert by_name["aio"] == [20, "a", ""]


def test_a_class_found_by_name_takes_other_options(by_name: dict[str, Any]):
    assert by_name["options"] == [[10, "a", "red"], [10, "a", "red"]]
    assert by_name["settings"] == [4, 0]


def test_what_a_class_found_by_name_lacks_is_said_with_what_it_has(by_name: dict[str, Any]):
    assert by_name["no method"] == "NotFoundError: Model has no method 'missing'; it has predict, stream"
    assert "expected the parameter name" in by_name["no parameter"]
    assert (
        by_name["no class"]
        == "NotFoundError: app 'shop' has no function or class 'Modle'; there are: Model, plain"
    )
    assert by_name["no app"].startswith("NotFoundError: app 'shp' is neither deployed nor running")
    assert "write modal.Function.from_name('shop', 'plain')" in by_name["a function"]
    assert "was defined elsewhere and can't be called here" in by_name["here"]


# --- the life of a container


def test_exit_hooks_run_where_a_container_is_stopped_while_it_is_busy(home: Home, tmp_path: Path):
    text = """
        import time
        import modal
        app = modal.App("busy")

        @app.cls(max_containers=1)
        @modal.concurrent(max_inputs=2)
        class Model:
            @modal.enter()
            def open(self):
                self.waits = False

            @modal.exit()
            def close(self):
                print("closed", flush=True)

            @modal.method()
            def wait(self):
                self.waits = True
                time.sleep(600)

            @modal.method()
            def until_it_waits(self):
                while not self.waits:
                    time.sleep(0.01)

        @app.local_entrypoint()
        def main():
            model = Model()
            model.wait.spawn()
            model.until_it_waits.remote()
    """
    write(tmp_path, "app.py", text)
    done = home.ionian("run", "app.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "closed" in [line.rpartition("| ")[2] for line in done.stdout.splitlines()], done.stdout


def test_the_cleanup_of_what_was_interrupted_is_not_interrupted_when_its_app_ends(home: Home, tmp_path: Path):
    text = """
        import os, time
        import modal
        app = modal.App("cleanup")

        @app.cls(max_containers=1)
        class Model:
            @modal.exit()
            def close(self):
                print("closed", flush=True)

            @modal.method()
            def wait(self):
                print("began in", os.environ["MODAL_TASK_ID"], flush=True)
                try:
                    time.sleep(600)
                finally:
                    print("cleans up", flush=True)
                    time.sleep(3)
                    print("has cleaned up", flush=True)

        @app.local_entrypoint()
        def main():
            Model().wait.remote()
    """
    write(tmp_path, "app.py", text)
    with running(home, "run", "app.py", cwd=tmp_path) as run:
        container_id = run.until("began in").split()[-1]
        assert home.ionian("container", "stop", container_id, "--yes").returncode == 0
        run.until("cleans up")
        run.signal(signal.SIGINT)
        run.until("has cleaned up")
        run.until("closed")
        run.end()


def test_an_enter_that_takes_too_long_is_a_failed_start(home: Home, tmp_path: Path):
    text = """
        import time
        import modal
        app = modal.App("slow")

        @app.cls(startup_timeout=1)
        class Model:
            @modal.enter()
            def load(self):
                time.sleep(600)

            @modal.method()
            def f(self): ...

        @app.local_entrypoint()
        def main():
            Model().f.remote()
    """
    write(tmp_path, "app.py", text)
    done = home.ionian("run", "app.py", cwd=tmp_path)
    assert done.returncode != 0
    assert "or its @enter to run; raise startup_timeout" in done.stdout, done.stdout
