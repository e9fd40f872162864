"""Classes: what `@app.cls()` makes of one, its objects, and what is refused where it is written."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ionian
from ionian import Cls
from ionian.cls import class_handle, service_of
from ionian.exception import DeprecationError, ExecutionError, InvalidError, NotFoundError
from ionian.obj import object_handle
from ionian.parameters import decoded
from ionian.protocol.calls import BindFunction, FindFunction, FoundFunction
from ionian.protocol.ids import new_id
from ionian.protocol.spec import MethodSpec, ParameterSpec

app = ionian.App("test")


@app.cls(cpu=2)
class Counter:
    """Counts."""

    step: int = ionian.parameter(default=1)
    name: str = ionian.parameter()
    LIMIT = 10

    @ionian.enter()
    def start(self) -> None:
        self.n = 0
        self.entered = getattr(self, "entered", 0) + 1

    @ionian.method()
    def count(self, times: int = 1) -> int:
        """Counts on."""
        self.n += times * self.step
        return self.n

    @ionian.method()
    async def later(self) -> int:
        return self.count()

    @ionian.method()
    def each(self, n: int) -> Iterator[int]:
        yield from range(n)

    def plain(self) -> str:
        return f"{self.name} by {self.step}"


class Server:
    """Answers requests for functions, as a server does."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.found = FoundFunction(
            "fu-1",
            "ap-1",
            is_class=True,
            methods=[MethodSpec("predict"), MethodSpec("stream", True)],
            parameters=[ParameterSpec("size", "int", True)],
        )

    def request(self, message: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        self.asked.append(message)
        if isinstance(message, FindFunction):
            return self.found, b""
        assert isinstance(message, BindFunction)
        return FoundFunction(f"fu-{len(self.asked)}", "ap-1", is_class=True), b""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr("ionian.link.current", lambda: made)
    return made


@pytest.fixture
def running() -> Iterator[None]:
    """The app's functions have ids, as in `with app.run()`."""
    service = service_of(Counter)  # type: ignore[arg-type]
    service.function_id = new_id("fu")
    yield
    service.function_id = ""


def refused(define: Callable[[ionian.App], Any], **options: Any) -> str:
    with pytest.raises(InvalidError) as caught:
        define(ionian.App())
    return str(caught.value)


def take(user_cls: type, **options: Any) -> Any:
    return ionian.App().cls(serialized=True, **options)(user_cls)


# --- the class


def test_a_class_is_one_function_of_its_app_and_one_of_its_classes():
    assert list(app.registered_classes) == ["Counter"]
    assert isinstance(app.registered_classes["Counter"], Cls)
    assert app.registered_functions["Counter.*"].options.cpu_milli == 2000
    assert app.registered_functions["Counter.*"].qualname == "Counter"


def test_its_specification_names_methods_and_parameters():
    service = app.registered_functions["Counter.*"]
    assert service.class_spec is not None
    spec = service.class_spec()
    assert [(m.name, m.is_generator) for m in spec.methods] == [
        ("count", False),
        ("later", False),
        ("each", True),
    ]
    assert [(p.name, p.type, p.has_default) for p in spec.parameters] == [
        ("step", "int", True),
        ("name", "str", False),
    ]


def test_its_attributes_can_be_read():
    assert Counter.LIMIT == 10
    assert Counter.__doc__ == "Counts."
    assert Counter.__name__ == "Counter"


def test_a_method_without_an_object_says_what_was_forgotten():
    with pytest.raises(
        AttributeError, match=r"Did you forget to instantiate the class\? Write Counter\(\)\.count\.remote"
    ):
        Counter.count.remote(1)  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="Did you forget"):
        Counter.count()  # type: ignore[call-arg]


def test_a_class_can_be_a_base():
    class Faster(Counter):
        @ionian.method()
        def count(self, times: int = 1) -> int:
            return 100 * super().count(times)

    taken = take(Faster)
    assert taken(name="fast").count.local(2) == 200


# --- objects


def test_an_object_shows_its_parameters():
    assert repr(Counter(name="a")) == "<Counter(name='a')>"


def test_local_runs_here_on_one_object_that_was_entered_once():
    counter = Counter(name="a", step=5)
    assert counter.count.local() == 5
    assert counter.count.local(times=2) == 15
    assert asyncio.run(counter.later.local()) == 20
    assert list(counter.each.local(3)) == [0, 1, 2]
    assert counter.entered == 1


def test_plain_methods_and_attributes_are_those_of_the_local_object():
    assert Counter(name="a").plain() == "a by 1"
    assert Counter(name="a").step == 1
    with pytest.raises(
        AttributeError, match="has no attribute 'missing' here; its methods for callers: count, later, each"
    ):
        _ = Counter(name="a").missing  # type: ignore[attr-defined]


def test_attributes_can_not_be_set_from_outside():
    with pytest.raises(AttributeError, match=r"make it a modal.parameter\(\)"):
        Counter(name="a").n = 3


def test_a_plain_call_of_a_method_says_to_choose():
    with pytest.raises(InvalidError, match=r"write Counter\(…\)\.count\.remote\(…\) for a container"):
        Counter(name="a").count(1)


def test_a_method_knows_whether_it_is_a_generator():
    assert Counter(name="a").each.is_generator
    assert not Counter(name="a").count.is_generator


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((3,), {}, r"takes its parameters by name, as Counter\(step=…, name=…\), got a value without one"),
        ((), {"name": "a", "size": 1}, r"no parameter 'size'; there are step, name"),
        ((), {"step": 1}, r"expected the parameter name, as Counter\(step=…, name=…\)"),
        ((), {"name": 1}, r"Counter\(name\): expected a str, got 1"),
        ((), {"name": "a", "step": "1"}, r"Counter\(step\): expected an int, got '1'"),
    ],
)
def test_wrong_parameters_are_refused_at_once(args: Any, kwargs: Any, message: str):
    with pytest.raises(InvalidError, match=message):
        Counter(*args, **kwargs)


def test_the_app_must_run():
    with pytest.raises(ExecutionError, match="is not running"):
        Counter(name="a").count.hydrate()


# --- pools


@pytest.mark.usefixtures("running")
def test_each_set_of_parameters_is_bound_once(server: Server):
    ids = [Counter(name=name).count.hydrate().function_id for name in ("a", "b", "a")]
    assert ids == ["fu-1", "fu-2", "fu-1"]
    assert [decoded(message.overrides.arguments) for message in server.asked] == [
        ((), {"name": "a"}),
        ((), {"name": "b"}),
    ]


@pytest.mark.usefixtures("running")
def test_parameters_that_equal_their_defaults_name_the_same_pool(server: Server):
    assert (
        Counter(name="a").count.hydrate().function_id == Counter(step=1, name="a").each.hydrate().function_id
    )
    assert len(server.asked) == 1


def test_without_parameters_nothing_is_bound(server: Server):
    class Plain:
        size: int = ionian.parameter(default=1)

        @ionian.method()
        def f(self) -> None: ...

    plain = take(Plain)
    service_of(plain).function_id = "fu-9"
    assert plain().f.hydrate().function_id == plain(size=1).f.hydrate().function_id == "fu-9"
    assert server.asked == []


@pytest.mark.usefixtures("running")
def test_all_methods_of_an_object_have_its_containers(server: Server):
    counter = Counter(name="a")
    assert counter.count.hydrate().function_id == counter.each.hydrate().function_id


def test_options_are_those_of_the_class_or_object_and_not_of_a_method():
    count: Any = Counter(name="a").count
    with pytest.raises(InvalidError, match=r"write Counter\(…\)\.update_autoscaler\(…\)"):
        count.update_autoscaler(min_containers=1)
    for change in (count.with_options, count.with_concurrency, count.with_batching):
        with pytest.raises(InvalidError, match=r"share its containers; write Counter\.with_"):
            change()


# --- pickled


@pytest.mark.usefixtures("running")
def test_an_object_is_pickled_by_the_id_of_its_containers(server: Server):
    again = pickle.loads(pickle.dumps(Counter(name="a")))
    assert again.count.hydrate().function_id == "fu-1"
    assert again.each.is_generator
    with pytest.raises(ExecutionError, match="was defined elsewhere"):
        again.count.local()


@pytest.mark.usefixtures("running")
def test_a_method_is_pickled_with_its_object(server: Server):
    again = pickle.loads(pickle.dumps(Counter(name="a").each))
    assert (again.function_id or again.hydrate().function_id, again.method) == ("fu-1", "each")


@pytest.mark.usefixtures("running")
def test_a_class_is_pickled_by_its_id(server: Server):
    again = pickle.loads(pickle.dumps(Counter))
    assert again(name="a").count.hydrate().function_id == "fu-1"
    with pytest.raises(InvalidError, match="expected the parameter name"):
        again(step=1).count.hydrate()


def test_a_handle_by_id_has_the_methods_it_was_given(server: Server):
    obj = object_handle("Model", "fu-5", {"predict": False})
    assert obj.predict.hydrate().function_id == "fu-5"
    with pytest.raises(NotFoundError, match="Model has no method 'run'; it has predict"):
        obj.run.hydrate()
    with pytest.raises(TypeError, match="can't be a base class"):
        class_handle("Model", "fu-5", {}, []).__mro_entries__(())


# --- found by name


def test_from_name_asks_when_a_method_is_used(server: Server):
    model = Cls.from_name("my-app", "Model", environment_name="dev")
    predict = model(size=3).predict
    assert server.asked == []
    assert predict.hydrate().function_id == "fu-2"
    assert server.asked[0] == FindFunction("my-app", "Model", "dev")
    assert decoded(server.asked[1].overrides.arguments) == ((), {"size": 3})


def test_a_class_found_by_name_knows_its_methods_and_parameters_then(server: Server):
    model = Cls.from_name("my-app", "Model")
    assert model().stream.is_generator
    with pytest.raises(NotFoundError, match="Model has no method 'missing'; it has predict, stream"):
        model().missing.remote()
    with pytest.raises(InvalidError, match="no parameter 'depth'; there are size"):
        model(depth=3).predict.hydrate()
    assert len(server.asked) == 1


def test_a_function_found_in_place_of_a_class_is_refused(server: Server):
    server.found.is_class = False
    with pytest.raises(
        InvalidError, match=r"is a function; write modal.Function.from_name\('my-app', 'Model'\)"
    ):
        Cls.from_name("my-app", "Model").hydrate()


@pytest.mark.parametrize(
    ("app_name", "name", "what"), [("", "Model", "app_name"), ("a", "Model.f", "name"), ("a", 3, "name")]
)
def test_wrong_names_are_refused(app_name: Any, name: Any, what: str):
    with pytest.raises(InvalidError, match=f"^{what}: "):
        Cls.from_name(app_name, name)


def test_lookup_is_retired(server: Server):
    with pytest.warns(DeprecationError, match=r"Cls.from_name"):
        assert isinstance(Cls.lookup("my-app", "Model"), Cls)


# --- a constructor of the user's own


def test_an_init_with_arguments_works_with_a_warning(server: Server):
    class Old:
        def __init__(self, path: str, depth: int = 3) -> None:
            self.path = path
            self.depth = depth

        @ionian.method()
        def show(self) -> str:
            return f"{self.path} {self.depth}"

    with pytest.warns(
        DeprecationError, match=r"Old: an __init__ with arguments is retired; write `name: type = modal.param"
    ):
        old = take(Old)
    assert old("a", depth=1).show.local() == "a 1"
    with pytest.raises(TypeError, match="missing a required argument: 'path'"):
        old()
    service_of(old).function_id = "fu-7"
    old({"any": "value"}).show.hydrate()
    assert decoded(server.asked[0].overrides.arguments) == (({"any": "value"},), {})


def test_an_init_without_arguments_is_fine(recwarn: pytest.WarningsRecorder):
    class Plain:
        def __init__(self) -> None:
            self.n = 1

        @ionian.method()
        def f(self) -> int:
            return self.n

    assert take(Plain)().f.local() == 1
    assert not recwarn.list


def test_old_hooks_work_with_a_warning():
    class Old:
        def __enter__(self) -> None:
            self.opened = True

        def __exit__(self, *error: object) -> None: ...

        @ionian.method()
        def f(self) -> bool:
            return self.opened

    with pytest.warns(DeprecationError, match="__enter__, __exit__ for the life of a container is retired"):
        old = take(Old)
    assert old().f.local() is True


# --- hooks here


def test_an_async_enter_is_waited_for():
    class Model:
        @ionian.enter()
        async def load(self) -> None:
            await asyncio.sleep(0)
            self.loaded = True

        @ionian.method()
        def f(self) -> bool:
            return self.loaded

        @ionian.method()
        async def g(self) -> bool:
            return self.loaded

    model = take(Model)
    assert model().f.local() is True
    assert asyncio.run(model().g.local()) is True

    async def inside() -> None:
        model().f.local()

    with pytest.raises(
        InvalidError, match=r"an async @modal.enter, which .local\(…\) of a sync method can't wait for"
    ):
        asyncio.run(inside())


def test_an_enter_that_fails_is_tried_again():
    class Model:
        tries = 0

        @ionian.enter()
        def load(self) -> None:
            self.tries += 1
            if self.tries < 2:
                raise ValueError("not yet")

        @ionian.method()
        def f(self) -> int:
            return self.tries

    model = take(Model)()
    with pytest.raises(ValueError, match="not yet"):
        model.f.local()
    assert model.f.local() == 2


# --- refused


def test_cls_needs_parentheses():
    with pytest.raises(InvalidError, match=r"@app.cls needs parentheses: @app.cls\(\)"):
        ionian.App().cls(Counter)  # type: ignore[arg-type]


def test_cls_takes_a_class():
    with pytest.raises(
        TypeError, match=r"@app.cls\(\) takes a class, and f is none; @app.function\(\) is for functions"
    ):

        @ionian.App().cls()  # type: ignore[arg-type]
        def f() -> None: ...


def test_a_class_has_one_decorator():
    with pytest.raises(InvalidError, match=r"Counter has two @app.cls\(\) decorators"):
        ionian.App().cls()(Counter)


def test_a_class_inside_a_function_goes_by_value_alone():
    with pytest.raises(InvalidError, match=r"write @app.cls\(serialized=True\)"):

        @ionian.App().cls()
        class Inner: ...


def test_two_classes_of_one_name_are_told():
    mine = ionian.App()

    def define() -> Any:
        class Same: ...

        return Same

    mine.cls(serialized=True)(define())
    mine.cls(serialized=True)(define())  # defined again, as in a notebook


def test_parameters_and_an_init_exclude_each_other():
    class Both:
        size: int = ionian.parameter()

        def __init__(self) -> None: ...

    with pytest.raises(InvalidError, match=r"Both has an __init__ and modal.parameter\(\)s \(size\)"):
        take(Both)


def test_snap_needs_a_memory_snapshot():
    class Model:
        @ionian.enter(snap=True)
        def load(self) -> None: ...

    with pytest.raises(InvalidError, match=r"needs @app.cls\(enable_memory_snapshot=True\)"):
        take(Model)
    assert service_of(take(Model, enable_memory_snapshot=True)).options.snapshot


def test_an_override_needs_the_decorator():
    class Base:
        @ionian.method()
        def f(self) -> None: ...

    class Sub(Base):
        def f(self) -> None: ...  # type: ignore[override]

    with pytest.raises(
        InvalidError, match=r"Sub.f overrides one of Base that has @modal.method\(\), and needs the decorator"
    ):
        take(Sub)


def test_a_static_method_is_refused():
    with pytest.raises(InvalidError, match="takes a method with self; leave @staticmethod out"):
        ionian.method()(staticmethod(lambda: None))  # type: ignore[arg-type]

    class Model:
        f = staticmethod(ionian.method()(lambda self: None))  # type: ignore[arg-type]

    with pytest.raises(InvalidError, match=r"Model.f: .* leave @staticmethod out"):
        take(Model)


@pytest.mark.parametrize("decorator", [ionian.enter, ionian.exit])
def test_a_hook_takes_self_alone_and_ends(decorator: Any):
    class Asks:
        @decorator()
        def hook(self, value: int) -> None: ...

    class Yields:
        @decorator()
        def hook(self) -> Iterator[int]:
            yield 1

    with pytest.raises(InvalidError, match=r"Asks.hook: @modal.\w+ takes a method with self alone"):
        take(Asks)
    with pytest.raises(
        InvalidError, match=r"Yields.hook: @modal.\w+ takes a function that ends, not a generator"
    ):
        take(Yields)


def test_concurrent_is_for_the_class():
    class Method:
        pass

    def f(self: Any) -> None: ...

    concurrent = ionian.concurrent(max_inputs=2)
    with pytest.raises(
        InvalidError, match=r"f: @modal.concurrent is for functions and classes, not for a method"
    ):
        concurrent(ionian.method()(f))
    Method.f = concurrent(f)  # type: ignore[attr-defined]
    with pytest.raises(InvalidError, match=r"Method.f: @modal.concurrent is for functions and classes"):
        take(Method)


def test_concurrency_and_batching_are_options_of_the_class():
    @ionian.concurrent(max_inputs=10, target_inputs=5)
    class Model:
        @ionian.batched(max_batch_size=4, wait_ms=50)
        def f(self, xs: list[int]) -> list[int]:
            return xs

    options = service_of(take(Model)).options
    assert (options.max_inputs, options.target_inputs) == (10, 5)
    assert (options.batch_size, options.batch_wait_ms) == (4, 50)


def test_a_class_with_a_batched_method_has_no_other():
    class Model:
        @ionian.batched(max_batch_size=4, wait_ms=50)
        def f(self, xs: list[int]) -> list[int]:
            return xs

        @ionian.method()
        def g(self) -> None: ...

    with pytest.raises(InvalidError, match=r"a method with @modal.batched and others \(f, g\)"):
        take(Model)
