"""Every row of classes in plain Modal code: parameters, hooks, ways to call, handles passed on, containers that die."""

import asyncio
import os
import signal
import sys
import uuid
import warnings

import modal

app = modal.App("compat-class-rows")


def here() -> str:
    return os.environ.get("MODAL_TASK_ID", "this process")


class Base:
    label: str = modal.parameter(default="base")

    @modal.enter()
    def first(self):
        self.order = ["first of Base"]

    @modal.method()
    def inherited(self) -> str:
        return f"{type(self).__name__} {self.label}"

    @modal.exit()
    def last(self):
        print("exit of Base", flush=True)


@app.cls(enable_memory_snapshot=True, max_containers=1)
class Types(Base):
    text: str = modal.parameter()
    number: int = modal.parameter(default=3)
    yes: bool = modal.parameter(default=False)
    raw: bytes = modal.parameter(default=b"\x00\xff")
    plain: list = modal.parameter(init=False)

    @modal.enter()
    async def third(self):
        await asyncio.sleep(0)
        self.plain = []
        self.order.append("third, async")

    @modal.enter(snap=True)
    def before_all(self):
        self.snapped = here()

    @modal.exit()
    async def ends(self):
        await asyncio.sleep(0)
        print(f"async exit of Types {self.text}", flush=True)

    @modal.method()
    def values(self) -> tuple:
        assert self.snapped == here()
        return self.text, self.number, self.yes, self.raw, self.label, self.order, self.plain

    @modal.method()
    def where(self) -> str:
        return here()

    @modal.method()
    def add(self, x: int, y: int = 1, *, z: int = 0) -> int:
        return self.number + x + y + z

    @modal.method()
    async def add_async(self, x: int) -> int:
        return self.number + x

    @modal.method()
    def stream(self, n: int):
        for i in range(n):
            yield i * self.number

    @modal.method()
    async def stream_async(self, n: int):
        for i in range(n):
            await asyncio.sleep(0)
            yield f"{self.text}{i}"

    @modal.method(is_generator=True)
    def pairs(self, n: int):
        return ((i, i) for i in range(n))

    @modal.method()
    async def calls_others(self) -> list:
        inside = [item async for item in Other(n=2).count.remote_gen.aio(3)]
        return [self.add(1), self.add.local(2), await Other(n=5).twice.remote.aio(4), inside, self.helper()]

    def helper(self) -> str:
        return f"helper {self.number}"


@app.cls()
class Other:
    n: int = modal.parameter(default=1)

    @modal.method()
    def twice(self, x: int) -> int:
        return 2 * x * self.n

    @modal.method()
    def count(self, to: int):
        yield from range(0, to * self.n, self.n)

    @modal.method()
    def self_by_remote(self, x: int) -> int:
        return 1 + self.twice.remote(x)


@app.function()
def use(obj, method, cls) -> list:
    return [obj.add.remote(1), method.remote(2), cls(n=3).twice.remote(1), list(obj.stream.remote_gen(2))]


@app.cls(single_use_containers=True, max_containers=2)
class Once:
    @modal.enter()
    def start(self):
        self.calls = 0

    @modal.method()
    def call(self) -> tuple:
        self.calls += 1
        return here(), self.calls


@app.cls()
class Dies:
    @modal.method()
    def by(self, how: str, place: str) -> str:
        marks = modal_marks(place)
        if marks == 1:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "_exit":
                os._exit(3)
        if how == "exit":
            sys.exit(4)
        return f"{how} after {marks - 1}"


volume = modal.Volume.from_name("compat-class-rows", create_if_missing=True)


@app.cls(volumes={"/marks": volume}, max_containers=1)
class Marked(Dies):
    @modal.method()
    def fine(self) -> str:
        return "fine"


def modal_marks(place: str) -> int:
    with open(f"/marks/{place}", "a+") as file:
        file.write("x")
        file.flush()
        file.seek(0)
        return len(file.read())


@app.cls()
@modal.concurrent(max_inputs=3)
class Loop:
    @modal.enter()
    async def open(self):
        self.all_here, self.here = asyncio.Event(), 0

    @modal.method()
    async def meet(self, of: int) -> tuple:
        self.here += 1
        if self.here == of:
            self.all_here.set()
        await asyncio.wait_for(self.all_here.wait(), 60)
        return modal.current_input_id(), here()


@app.cls(max_containers=1)
class Lists:
    scale: int = modal.parameter(default=10)

    @modal.batched(max_batch_size=2, wait_ms=20_000)
    async def times(self, xs: list[int], by: list[int]) -> list[tuple]:
        await asyncio.sleep(0)
        return [(x * y * self.scale, len(xs)) for x, y in zip(xs, by, strict=True)]


class Mixin:
    @modal.method()
    def name(self) -> str:
        return self.kind()


@app.cls()
class Parent(Mixin):
    def __init__(self):
        self.made = 1

    @staticmethod
    def more(x: int) -> int:
        return x + 1

    @classmethod
    def kind(cls) -> str:
        return cls.__name__

    @property
    def now(self) -> int:
        return self.made

    @modal.method()
    def get(self) -> int:
        return self.more(self.now)


@app.cls()
class Child(Parent):
    @modal.enter()
    def change(self):
        self.made = 9

    @modal.method()
    def get(self) -> int:
        return 100 + Parent.get(self)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")

    @app.cls()
    class Retired:
        def __init__(self, values, scale=1.0):
            self.values, self.scale = values, scale

        def __enter__(self):
            self.total = sum(self.values)

        def __exit__(self, *error):
            print("the old exit", flush=True)

        @modal.method()
        def scaled(self):
            return self.total * self.scale


def by_value():
    secret = 6

    @app.cls(serialized=True)
    class Inner:
        n: int = modal.parameter(default=1)

        @modal.enter()
        def load(self):
            self.loaded = secret

        @modal.method()
        def product(self) -> int:
            return self.n * self.loaded

    return Inner


if modal.is_local():
    Inner = by_value()


def refused(call, kind, *words: str) -> None:
    said = ""
    try:
        call()
    except kind as error:
        said = str(error)
    assert said, f"not refused: {words}"
    assert all(word in said for word in words), said


async def asynchronously(types) -> list:
    return [
        await types.add.remote.aio(1),
        [item async for item in types.stream_async.remote_gen.aio(2)],
        [item async for item in types.add.map.aio([1, 2])],
        await (await types.add.spawn.aio(5)).get.aio(),
        await types.add_async.local(7),
    ]


@app.local_entrypoint()
def main():
    types = Types(text="a", number=10)
    # parameters and hooks
    order = ["first of Base", "third, async"]
    assert types.values.remote() == ("a", 10, False, b"\x00\xff", "base", order, [])
    full = Types(text="ü", number=-1, yes=True, raw=b"", label="other")
    assert full.values.remote() == ("ü", -1, True, b"", "other", order, [])
    assert types.inherited.remote() == "Types base"
    refused(lambda: Types(), modal.exception.InvalidError, "text")
    refused(lambda: Types("a"), modal.exception.InvalidError, "by name")
    refused(lambda: Types(text=1), modal.exception.InvalidError, "text")
    refused(lambda: Types(text="a", plain=[1]), modal.exception.InvalidError, "plain")
    refused(lambda: types.nothing.remote(), AttributeError, "nothing", "add")
    refused(lambda: Types.add.remote(1), AttributeError, "instantiate")
    # one pool for each set of parameters
    a = types.where.remote()
    assert (
        a == Types(number=10, text="a").where.remote() == Types(text="a", number=10, yes=False).where.remote()
    )
    assert a != Types(text="b").where.remote()
    # ways to call
    assert types.add.remote(1, 2, z=3) == 16
    assert types.add.local(1) == 12
    assert list(types.stream.remote_gen(3)) == [0, 10, 20]
    assert list(types.stream_async.remote_gen(2)) == ["a0", "a1"]
    assert list(types.pairs.remote_gen(2)) == [(0, 0), (1, 1)]
    assert list(types.add.map([1, 2], [3, 4], kwargs={"z": 5})) == [19, 21]
    assert list(types.add.starmap([(1, 2), (3, 4)])) == [13, 17]
    types.add.for_each([1, 2])
    calls = [types.add.spawn(n) for n in range(3)]
    assert modal.FunctionCall.gather(*calls) == [11, 12, 13]
    assert modal.FunctionCall.from_id(calls[0].object_id).get(timeout=60) == 11
    types.add.spawn_map([1, 2])
    assert asyncio.run(asynchronously(types)) == [12, ["a0", "a1"], [12, 13], 16, 17]
    # a class is a class, and its base may be one of the app
    assert (Parent().name.remote(), Parent().get.remote()) == ("Parent", 2)
    assert (Child().name.remote(), Child().get.remote()) == ("Child", 110)
    assert (Parent().made, Parent.more(1), Parent.kind(), Parent().now) == (1, 2, "Parent", 1)
    # others from inside, and handles as arguments
    assert types.calls_others.remote() == [12, 13, 40, [0, 2, 4], "helper 10"]
    assert Other(n=2).self_by_remote.remote(3) == 13
    assert use.remote(types, types.add, Other) == [12, 13, 6, [0, 10]]
    # containers for one input, and those that die
    first, second = Once().call.remote(), Once().call.remote()
    assert first[0] != second[0]
    assert first[1] == second[1] == 1
    mark = uuid.uuid4().hex
    assert Marked().by.remote("kill", "k" + mark) == "kill after 1"
    assert Marked().by.remote("_exit", "e" + mark) == "_exit after 1"
    refused(lambda: Marked().by.remote("exit", "s" + mark), BaseException, "4")
    assert Marked().fine.remote() == "fine"
    # several inputs at once, and lists
    met = list(Loop().meet.map([3, 3, 3]))
    assert len({one[0] for one in met}) == 3
    assert len({one[1] for one in met}) == 1
    met = list(Loop.with_concurrency(max_inputs=5, target_inputs=4)().meet.map([5] * 5))
    assert len({one[1] for one in met}) == 1
    assert list(Lists().times.map([1, 2], [3, 4])) == [(30, 2), (80, 2)]
    wider = Lists.with_batching(max_batch_size=3, wait_ms=20_000)(scale=1)
    assert list(wider.times.map([1, 2, 3], [1, 1, 1])) == [(1, 3), (2, 3), (3, 3)]
    # other options
    sized = Types.with_options(env={"SIZE": "9"}, timeout=60, max_containers=2)(text="a", number=10)
    assert sized.add.remote(1) == 12
    assert sized.where.remote() != a
    # of Modal's past, and by value
    assert Retired([1, 2], scale=2.0).scaled.remote() == 6.0
    assert Retired([3]).scaled.remote() == 3.0
    assert Inner(n=7).product.remote() == 42
    print("all as expected")
