"""Every wrong argument of the decorators and methods of apps, functions, calls and classes is refused where it is written.

One row for each: what is written, and how the message begins or what it holds: the name of the argument, and what is right.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ionian as modal
from ionian.exception import Error

TOO_LARGE = 2**80
volume = modal.Volume.from_name("v")
app: Any = modal.App("refusals")


@app.function(serialized=True)
def plain(x: int) -> int:
    return x


@app.function(serialized=True)
def generates(x: int) -> Iterator[int]:
    yield x


@app.cls(serialized=True)
class Model:
    size: int = modal.parameter(default=1)
    name: str = modal.parameter()

    @modal.method()
    def run(self, x: int) -> int:
        return x

    @modal.method()
    def stream(self, x: int) -> Iterator[int]:
        yield x


@app.cls(serialized=True)
class Single:
    @modal.method()
    def run(self, x: int) -> int:
        return x


OneMethod: Any = Single
f: Any = plain
g: Any = generates
M: Any = Model
m: Any = modal
call: Any = modal.FunctionCall.from_id("fc-01JDZX0000000000000000000A")


def with_default(x: int = 1) -> list[int]:
    return [x]


def of_self(self: Any) -> None: ...


def of_two(self: Any, x: int) -> None: ...


def class_with(types: dict[str, Any] | None = None, **members: Any) -> Any:
    """What `@app.cls()` says of a class with these members."""
    return m.App().cls(serialized=True)(type("K", (), {"__annotations__": types or {}, **members}))


OF_CONTAINERS: list[tuple[str, Any, str]] = [
    ("image", "debian_slim", "image: expected a modal.Image, got 'debian_slim'"),
    ("env", "A=1", "env: expected a dictionary of strings"),
    ("env", {"A": 1}, "env: expected a string for 'A', got int"),
    ("secrets", "TOKEN", "secrets: expected a list of modal.Secret"),
    ("secrets", {"A": "b"}, "secrets: "),
    ("gpu", "A1000", "gpu: 'A1000' is no GPU that Ionian knows"),
    ("gpu", "T4:0", "gpu: expected a whole number of GPUs, 1 to 64"),
    ("gpu", "T4:99", "gpu: expected a whole number of GPUs, 1 to 64"),
    ("gpu", "", "gpu: expected a string such as"),
    ("gpu", ["T4", 5], "gpu: expected a string such as"),
    ("serialized", 1, "serialized: expected True or False"),
    ("volumes", [volume], "volumes: expected a dictionary from paths"),
    ("volumes", {"data": volume}, "volumes: expected an absolute path"),
    ("volumes", {"/tmp": volume}, "volumes: expected a path other than"),
    ("volumes", {"/a": volume, "/b": volume}, "volumes: the volume 'v' is at /a and at /b; mount it once"),
    ("cpu", -1, "cpu: expected a number of cores from 0.001 to 4096"),
    ("cpu", (2, 1), "cpu: expected a limit that is at least the request"),
    ("cpu", (None, 2), "cpu: expected one number, or a tuple (request, limit)"),
    ("cpu", TOO_LARGE, "cpu: expected a number of cores"),
    ("memory", -5, "memory: expected a whole number of MiB, 1 or more"),
    ("memory", 1.5, "memory: expected a whole number of MiB"),
    ("memory", (1024, 512), "memory: expected a limit"),
    ("memory", TOO_LARGE, "memory: expected at most 2147483647 MiB"),
    ("ephemeral_disk", 0, "ephemeral_disk: expected a whole number of MiB, 1 or more"),
    ("ephemeral_disk", TOO_LARGE, "ephemeral_disk: expected at most"),
    ("min_containers", -1, "min_containers: expected a whole number, 0 or more"),
    ("min_containers", 100_001, "min_containers: expected at most 100000"),
    ("max_containers", 0, "max_containers: expected a whole number, 1 or more"),
    ("max_containers", "3", "max_containers: "),
    ("buffer_containers", -1, "buffer_containers: expected a whole number, 0 or more"),
    ("scaledown_window", 0, "scaledown_window: expected a number of seconds from 1 to 86400"),
    ("retries", -1, "retries: expected a whole number, 0 or more"),
    ("retries", True, "retries: expected a whole number, or a modal.Retries"),
    ("retries", 10_001, "retries: expected at most 10000"),
    ("timeout", None, "timeout: expected a number of seconds from 1 to 86400"),
    ("timeout", 86_401, "timeout: expected a number of seconds from 1 to 86400"),
    ("startup_timeout", 0, "startup_timeout: expected a number of seconds"),
    ("enable_memory_snapshot", "yes", "enable_memory_snapshot: expected True or False"),
    ("single_use_containers", 1, "single_use_containers: expected True or False"),
    ("nonpreemptible", 1, "nonpreemptible: expected True or False"),
    ("include_source", "no", "include_source: expected True or False"),
    ("block_network", "yes", "block_network: expected True or False"),
    ("restrict_modal_access", "yes", "restrict_modal_access: expected True or False"),
    ("proxy", "p", "(proxy=…) is not in"),
    ("cloud", "aws", "(cloud=…) is not in"),
    ("region", "eu", "(region=…) is not in"),
    ("routing_region", "eu", "(routing_region=…) is not in"),
    ("i6pn", True, "(i6pn=…) is not in"),
    ("network_file_systems", {"/a": 1}, "(network_file_systems=…) is not in"),
    ("experimental_options", {"a": 1}, "(experimental_options=…) is not in"),
    ("experimental_options", "a", "experimental_options: expected a dictionary of names and values, got 'a'"),
    ("max_inputs", 2, "max_inputs: expected 1, the retired way to say single_use_containers=True"),
    ("keep_warm", -1, "keep_warm: expected a whole number, 0 or more"),
    ("concurrency_limit", 0, "concurrency_limit: expected a whole number, 1 or more"),
    ("container_idle_timeout", 0, "container_idle_timeout: expected a number of seconds"),
    ("allow_concurrent_inputs", 0, "allow_concurrent_inputs: expected a whole number, 1 or more"),
]
"""Arguments of `@app.function` and `@app.cls` alike."""


@pytest.mark.filterwarnings("ignore::ionian.exception.DeprecationError")
@pytest.mark.parametrize("decorator", ["function", "cls"])
@pytest.mark.parametrize(("name", "value", "said"), OF_CONTAINERS, ids=str)
def test_a_wrong_argument_of_function_and_cls_is_refused(
    decorator: str, name: str, value: Any, said: str
) -> None:
    with pytest.raises(Error) as error:
        getattr(m.App(), decorator)(**{name: value})
    assert said in str(error.value)
    assert str(error.value).startswith(said.partition("(")[0])


REFUSED: dict[str, list[tuple[Callable[[], Any], str]]] = {
    "App": [
        (lambda: m.App(5), "name: expected a string"),
        (lambda: m.App(""), "name: expected a string"),
        (lambda: m.App(tags=["a"]), "tags: expected a dictionary of strings"),
        (lambda: m.App(tags={"a b": "c"}), "tags: expected keys and values of 1 to 63 characters"),
        (lambda: m.App(tags={"a": "c" * 64}), "tags: expected keys and values of 1 to 63 characters"),
        (lambda: m.App(image="x"), "image: "),
        (lambda: m.App(secrets="x"), "secrets: "),
        (lambda: m.App(volumes=[volume]), "volumes: "),
        (lambda: m.App(include_source=1), "include_source: "),
    ],
    "app.function": [
        (lambda: m.App().function(name="a b"), "name: expected a name of 1 to 64 characters"),
        (lambda: m.App().function(is_generator=1), "is_generator: expected True or False"),
        (lambda: m.App().function(schedule="0 0 * * *"), "schedule: expected a modal.Cron or a modal.Period"),
        (lambda: m.App().function(min_containers=3, max_containers=2), "min_containers: expected at most"),
        (lambda: m.App().function(with_default), "@app.function needs parentheses"),
        (lambda: m.App().function()(type("K", (), {})), "K is a class, which @app.cls() is for"),
        (lambda: m.App().function()(5), "written with def, got 5"),
        (lambda: m.App().function()(lambda: 1), "move it to the top of the module"),
        (lambda: m.App().function()(f), "plain has two @app.function() decorators"),
        (lambda: m.App().function()(m.method()(of_self)), "write @app.cls() over the class"),
        (lambda: m.App().function(serialized=True, retries=1)(g.raw), "retries: generates is a generator"),
        (
            lambda: m.App().function(serialized=True, schedule=m.Period(days=1))(f.raw),
            "schedule: plain runs without arguments then; give x a default",
        ),
    ],
    "app.local_entrypoint": [
        (lambda: m.App().local_entrypoint(of_self), "@app.local_entrypoint needs parentheses"),
        (lambda: m.App().local_entrypoint(name=5), "name: expected a string"),
        (lambda: m.App().local_entrypoint()(5), "takes a function written with def, got 5"),
        (lambda: m.App().local_entrypoint()(M), "takes a function written with def, got <Cls Model>"),
        (lambda: m.App().local_entrypoint()(f), "plain has @app.local_entrypoint() over @app.function()"),
    ],
    "app.run": [
        (lambda: app.run(name=5), "name: "),
        (lambda: app.run(detach="yes"), "detach: expected True or False"),
        (lambda: app.run(environment_name="a b"), "environment_name: expected a name"),
        (lambda: app.run(interactive=True), "Interactive mode requires output to be enabled"),
        (lambda: app.run(interactive="yes"), "interactive: expected True or False"),
        (lambda: app.run(client=1), "App.run(client=…) is not in"),
    ],
    "app.deploy": [
        (lambda: app.deploy(name="a b"), "name: expected a name of 1 to 64 characters"),
        (lambda: app.deploy(name="a" * 65), "name: expected a name of 1 to 64 characters"),
        (lambda: m.App().deploy(), "name: a deployed app needs one"),
        (lambda: app.deploy(tag="a b"), "tag: expected up to 50 characters"),
        (lambda: app.deploy(tag="a" * 51), "tag: expected up to 50 characters"),
        (lambda: app.deploy(strategy="fast"), 'strategy: expected "rolling" or "recreate"'),
        (lambda: app.deploy(environment_name=5), "environment_name: "),
        (lambda: app.deploy(client=1), "App.deploy(client=…) is not in"),
    ],
    "App, others": [
        (lambda: m.App.lookup("a b"), "name: expected a name"),
        (lambda: m.App.lookup("a", create_if_missing="yes"), "create_if_missing: expected True or False"),
        (lambda: m.App.lookup("a", environment_name=""), "environment_name: "),
        (lambda: app.include("other"), "other_app: expected a modal.App"),
        (lambda: app.include(app), "other_app: expected another app"),
        (lambda: app.include(m.App(), inherit_tags="no"), "inherit_tags: expected True or False"),
        (lambda: app.set_tags({"a": 1}), "tags: expected a string for 'a'"),
    ],
    "a function's calls": [
        (lambda: f(1), "plain can't be called by itself: write plain.remote(…)"),
        (lambda: g.remote(1), "generates is a generator, which generates.remote can't run"),
        (lambda: asyncio.run(g.remote.aio(1)), "call generates.remote_gen(…)"),
        (lambda: f.remote_gen(1), "plain is no generator; call plain.remote(…)"),
        (lambda: g.spawn(1), "which generates.spawn can't run"),
        (lambda: f.map(), "map: expected at least one iterable"),
        (lambda: f.map(5), "map: expected iterables, one for each argument, got 5"),
        (lambda: g.map([1]), "which generates.map can't run"),
        (lambda: f.map([1], kwargs=[1]), "kwargs: expected a dictionary of arguments by their names"),
        (lambda: f.map([1], kwargs={1: 2}), "kwargs: expected a dictionary of arguments by their names"),
        (lambda: f.map([1], order_outputs=1), "order_outputs: expected True or False"),
        (lambda: f.map([1], return_exceptions="no"), "return_exceptions: expected True or False"),
        (lambda: f.starmap(5), "starmap: expected iterables"),
        (lambda: f.for_each(5), "for_each: expected iterables"),
        (lambda: f.for_each([1], ignore_exceptions=1), "ignore_exceptions: expected True or False"),
        (lambda: f.spawn_map(), "spawn_map: expected at least one iterable"),
        (lambda: f.spawn_map(5), "spawn_map: expected iterables"),
        (lambda: g.spawn_map([1]), "which generates.spawn_map can't run"),
    ],
    "Function.from_name": [
        (lambda: m.Function.from_name("a b", "f"), "app_name: expected a name"),
        (lambda: m.Function.from_name("a", ""), "name: "),
        (lambda: m.Function.from_name("a", "M.run"), "name: 'M.run' is a method; write modal.Cls.from_name"),
        (lambda: m.Function.from_name("a", "f", environment_name=5), "environment_name: "),
        (lambda: m.Function.from_name("a", "f", version="1"), "version: expected"),
        (lambda: m.Function.from_id("fc-1"), "function_id: expected the id of a function"),
    ],
    "f.with_options": [
        (lambda: f.with_options(), "with_options: expected at least one option"),
        (lambda: f.with_options(cpu=0), "cpu: "),
        (lambda: f.with_options(memory="1 GiB"), "memory: "),
        (lambda: f.with_options(gpu="A1000"), "gpu: "),
        (lambda: f.with_options(env=5), "env: "),
        (lambda: f.with_options(secrets=["x"]), "secrets: "),
        (lambda: f.with_options(volumes={"/a": "v"}), "volumes: "),
        (lambda: f.with_options(retries="3"), "retries: "),
        (lambda: g.with_options(retries=3), "retries: generates is a generator"),
        (lambda: f.with_options(max_containers=0), "max_containers: "),
        (lambda: f.with_options(buffer_containers=-1), "buffer_containers: "),
        (lambda: f.with_options(scaledown_window=0), "scaledown_window: "),
        (lambda: f.with_options(timeout=10**6), "timeout: "),
        (lambda: f.with_options(cloud="aws"), "(cloud=…) is not in"),
        (lambda: f.with_concurrency(max_inputs=0), "max_inputs: "),
        (
            lambda: f.with_concurrency(max_inputs=2, target_inputs=3),
            "target_inputs: expected at most max_inputs",
        ),
        (lambda: f.with_batching(max_batch_size=0, wait_ms=1), "max_batch_size: "),
        (lambda: f.with_batching(max_batch_size=1, wait_ms=-1), "wait_ms: "),
        (
            lambda: g.with_batching(max_batch_size=2, wait_ms=1),
            "generates is a generator, and what is batched",
        ),
    ],
    "FunctionCall": [
        (lambda: m.FunctionCall(), "a FunctionCall is what .spawn(…) returns"),
        (lambda: m.FunctionCall.from_id("fu-1"), "function_call_id: expected the id of a call"),
        (lambda: m.FunctionCall.from_id(5), "function_call_id: expected the id of a call"),
        (lambda: call.get(timeout=-1), "timeout: expected a number of seconds from 0 to 31536000"),
        (lambda: call.get(timeout="1"), "timeout: "),
        (lambda: call.get(index=-1), "index: expected a whole number"),
        (lambda: call.iter(start=-1), "start: expected a whole number of 0 or more"),
        (lambda: call.iter(start=3, end=1), "end: expected a number that is not below start (3), got 1"),
        (lambda: call.cancel("yes"), "terminate_containers: expected True or False"),
        (lambda: m.FunctionCall.gather([call]), "function_calls: expected calls"),
        (lambda: m.FunctionCall.gather(5), "function_calls: expected calls"),
    ],
    "app.cls": [
        (lambda: m.App().cls(type("K", (), {})), "@app.cls needs parentheses"),
        (lambda: m.App().cls()(f), "plain is none; @app.function() is for functions"),
        (lambda: m.App().cls()(M), "Model has two @app.cls() decorators"),
        (lambda: class_with(m=m.concurrent(max_inputs=2)(m.method()(of_self))), "write it over the class"),
        (lambda: class_with(m=staticmethod(m.method()(of_self))), "leave @staticmethod out"),
        (
            lambda: class_with(e=m.enter(snap=True)(of_self)),
            "which needs @app.cls(enable_memory_snapshot=True)",
        ),
        (
            lambda: class_with(e=m.enter()(of_two)),
            "K.e: @modal.enter takes a method with self alone",
        ),
        (lambda: class_with(e=m.exit()(g.raw)), "K.e: @modal.exit takes a function that ends"),
    ],
    "modal.parameter": [
        (lambda: m.parameter(init=1), "init: expected True or False"),
        (lambda: class_with(x=m.parameter()), "K.x: a parameter needs a type"),
        (lambda: class_with({"x": float}, x=m.parameter()), "K.x: expected one of the types str, int, bool"),
        (
            lambda: class_with({"x": int}, x=m.parameter(default="a")),
            "K.x: expected its default to be an int",
        ),
        (lambda: M(5), "Model takes its parameters by name"),
        (lambda: M(), "Model: expected the parameter name"),
        (lambda: M(name="a", wide=1), "Model: no parameter 'wide'; there are size, name"),
        (lambda: M(name=5), "Model(name): expected a str, got 5"),
    ],
    "method, enter, exit": [
        (lambda: m.method(of_self), "@modal.method needs parentheses"),
        (lambda: m.enter(of_self), "@modal.enter needs parentheses"),
        (lambda: m.exit(of_self), "@modal.exit needs parentheses"),
        (lambda: m.method(is_generator=1), "is_generator: expected True or False"),
        (lambda: m.enter(snap="yes"), "snap: expected True or False"),
        (lambda: m.method()(5), "@modal.method takes a function written with def, got 5"),
        (lambda: m.method()(f), "swap the two, @app.function() on top"),
        (lambda: m.enter()(staticmethod(of_self)), "leave @staticmethod out"),
        (lambda: m.enter()(m.method()(of_self)), "write two methods"),
    ],
    "concurrent, batched": [
        (lambda: m.concurrent(of_self), "@modal.concurrent needs parentheses"),
        (lambda: m.concurrent(), "needs max_inputs"),
        (lambda: m.concurrent(max_inputs=0), "max_inputs: expected a whole number, 1 or more"),
        (lambda: m.concurrent(max_inputs=10_001), "max_inputs: expected at most 10000"),
        (
            lambda: m.concurrent(max_inputs=2, target_inputs=3),
            "target_inputs: expected at most max_inputs (2)",
        ),
        (lambda: m.concurrent(max_inputs=2, target_inputs=0), "target_inputs: "),
        (lambda: m.concurrent(max_inputs=2)(f), "swap the two"),
        (
            lambda: m.batched(max_batch_size=0, wait_ms=1),
            "max_batch_size: expected a whole number, 1 or more",
        ),
        (lambda: m.batched(max_batch_size=1001, wait_ms=1), "max_batch_size: expected at most 1000"),
        (
            lambda: m.batched(max_batch_size=2, wait_ms=0.5),
            "wait_ms: expected a whole number of milliseconds",
        ),
        (
            lambda: m.batched(max_batch_size=2, wait_ms=600_001),
            "wait_ms: expected at most 600000 milliseconds",
        ),
        (lambda: m.batched(max_batch_size=2), "missing 1 required keyword-only argument: 'wait_ms'"),
        (
            lambda: m.batched(max_batch_size=2, wait_ms=1)(g.raw),
            "a function that returns a list, not a generator",
        ),
        (lambda: m.batched(max_batch_size=2, wait_ms=1)(with_default), "can't have default arguments"),
        (
            lambda: m.batched(max_batch_size=2, wait_ms=1)(m.method()(of_self)),
            "takes the place of @modal.method",
        ),
    ],
    "an object's methods": [
        (lambda: M.run.remote(1), "Did you forget to instantiate the class?"),
        (lambda: M(name="a").walk.remote(1), "its methods for callers: run, stream"),
        (lambda: setattr(M(name="a"), "size", 2), "Model.size can't be set from outside"),
        (lambda: M(name="a").run(1), "write Model(…).run.remote(…) for a container"),
        (lambda: M(name="a").stream.remote(1), "call Model(…).stream.remote_gen(…)"),
        (lambda: M(name="a").run.with_options(cpu=1), "write Model.with_options(…)"),
        (lambda: M(name="a").run.update_autoscaler(max_containers=1), "write Model(…).update_autoscaler(…)"),
        (lambda: M(name="a").run.autoscaler, "write Model(…).update_autoscaler(…)"),
    ],
    "Cls": [
        (lambda: m.Cls.from_name("a b", "M"), "app_name: expected a name"),
        (lambda: m.Cls.from_name("a", "M.run"), "name: expected the name of a class, without a dot"),
        (lambda: m.Cls.from_name("a", "M", environment_name=5), "environment_name: "),
        (lambda: m.Cls.from_name("a", "M", version=0), "version: expected"),
        (lambda: M.with_options(), "with_options: expected at least one option"),
        (lambda: M.with_options(cpu=-1), "cpu: "),
        (lambda: M.with_concurrency(max_inputs=0), "max_inputs: "),
        (lambda: OneMethod.with_batching(max_batch_size=0, wait_ms=0), "max_batch_size: "),
        (lambda: M.with_batching(max_batch_size=2, wait_ms=0), "with_batching: Model.stream is a generator"),
    ],
    "Retries": [
        (lambda: m.Retries(max_retries=-1), "max_retries: "),
        (lambda: m.Retries(max_retries=10_001), "max_retries: expected at most 10000"),
        (
            lambda: m.Retries(max_retries=1, backoff_coefficient=0),
            "backoff_coefficient: expected a number from 1 to 10",
        ),
        (
            lambda: m.Retries(max_retries=1, initial_delay=-1),
            "initial_delay: expected a number of seconds from 0 to 60",
        ),
        (
            lambda: m.Retries(max_retries=1, max_delay=0),
            "max_delay: expected a number of seconds from 1 to 60",
        ),
        (lambda: m.Retries(), "max_retries"),
    ],
    "Cron, Period": [
        (lambda: m.Cron("nope"), "cron_string: expected five fields"),
        (lambda: m.Cron("0 25 * * *"), "cron_string: expected 0 to 23"),
        (
            lambda: m.Cron("0 0 * * *", timezone="Mars/Base"),
            "timezone: expected a name of the time zone database",
        ),
        (lambda: m.Period(), "Period: expected a length above zero"),
        (lambda: m.Period(hours="4"), "hours: expected a whole number"),
        (lambda: m.Period(seconds=0.5), "seconds: expected a period of at least 1 second"),
        (lambda: m.Period(years=TOO_LARGE), "years: expected at most"),
        (lambda: m.Period(seconds=float("nan")), "seconds: expected a number"),
    ],
}


@pytest.mark.filterwarnings("ignore::ionian.exception.DeprecationError")
@pytest.mark.parametrize(
    ("write", "said"),
    [
        pytest.param(write, said, id=f"{what}, {number}: {said}")
        for what, rows in REFUSED.items()
        for number, (write, said) in enumerate(rows)
    ],
)
def test_what_is_wrong_is_refused_where_it_is_written(write: Callable[[], Any], said: str) -> None:
    with pytest.raises((Error, TypeError, ValueError, AttributeError)) as error:
        write()
    assert said in str(error.value)


def test_what_single_use_containers_make_useless_is_said() -> None:
    for mark in (m.concurrent(max_inputs=2), m.batched(max_batch_size=2, wait_ms=1)):
        with pytest.warns(
            UserWarning, match="single_use_containers=True gives each input a container of its own"
        ):
            m.App().function(serialized=True, single_use_containers=True)(mark(of_self))


def test_of_a_snapshot_of_gpu_memory_is_said_that_there_is_none_and_the_function_is_made() -> None:
    app = modal.App("a")
    with pytest.warns(UserWarning, match="enable_gpu_snapshot is not in this version") as said:

        @app.function(gpu="A100", serialized=True, experimental_options={"enable_gpu_snapshot": True})
        def f() -> None: ...

    assert said[0].filename == __file__
    assert len(app.registered_functions) == 1


def test_of_a_network_between_machines_is_said_that_it_has_no_effect() -> None:
    app = modal.App("a")
    with pytest.warns(UserWarning, match="efa_enabled has no effect") as said:

        @app.function(serialized=True, experimental_options={"efa_enabled": True})
        @modal.clustered(size=2)
        def f() -> None: ...

    assert said[0].filename == __file__


def test_what_is_right_at_the_edge_is_taken() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m.App("a", tags={"team": "a-b_c.9", "x" * 63: "y" * 63})
        m.App().function(
            timeout=86_400, retries=10_000, min_containers=100_000, max_containers=100_000, gpu="T4:64"
        )
        m.concurrent(max_inputs=10_000, target_inputs=10_000)
        m.batched(max_batch_size=1000, wait_ms=600_000)
