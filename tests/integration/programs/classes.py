"""Classes in real containers, from `ionian run`: prints what came back as one line of JSON."""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import ionian as modal

app = modal.App("classes")
ends = modal.Volume.from_name("ends", create_if_missing=True)


class Base:
    size: int = modal.parameter(default=1)
    name: str = modal.parameter(default="it")

    @modal.enter()
    def first(self) -> None:
        self.order = ["first"]

    @modal.enter()
    async def second(self) -> None:
        await asyncio.sleep(0)
        self.loop = asyncio.get_running_loop()
        self.order.append("second, async")

    @modal.method()
    def who(self) -> str:
        return f"{type(self).__name__} of Base"


@app.cls(max_containers=1, volumes={"/ends": ends})
class Model(Base):
    """A model."""

    @modal.enter()
    def third(self) -> None:
        self.order.append("third, of the subclass")
        self.calls = 0

    @modal.exit()
    def last(self) -> None:
        with open(f"/ends/{self.name}", "a") as file:
            file.write(f"sync after {self.calls}\n")

    @modal.exit()
    async def last_async(self) -> None:
        await asyncio.sleep(0)
        with open(f"/ends/{self.name}", "a") as file:
            file.write(f"async, the same loop: {asyncio.get_running_loop() is self.loop}\n")

    @modal.method()
    def who(self) -> str:
        return f"{super().who()}, {Base.who(self)}"

    @modal.method()
    def hooks(self) -> list[str]:
        return self.order

    @modal.method()
    def predict(self, n: int, *, plus: int = 0) -> int:
        self.calls += 1
        return n * self.size + plus

    @modal.method()
    async def later(self, n: int) -> list[Any]:
        await asyncio.sleep(0)
        return [asyncio.get_running_loop() is self.loop, self.predict(n)]

    @modal.method()
    def stream(self, n: int) -> Iterator[int]:
        for number in range(n):
            yield number * self.size

    @modal.method()
    async def stream_later(self, n: int) -> AsyncIterator[int]:
        for number in range(n):
            yield number

    @modal.method()
    def where(self) -> str:
        return os.environ["MODAL_TASK_ID"]

    @modal.method()
    def inside(self) -> dict[str, Any]:
        return {
            "plain": self.predict(2),
            "local": self.predict.local(3),
            "other": Other(tag="x").show.remote(),
            "other, local": Other(tag="y").show.local(),
            "undecorated": self.helper(),
        }

    def helper(self) -> str:
        return f"helper of {self.name}"

    @modal.method()
    def fails(self) -> None:
        raise KeyError(self.name)


@app.cls()
class Other:
    tag: str = modal.parameter()

    @modal.method()
    def show(self) -> str:
        return f"other {self.tag}"

    @modal.method()
    def again(self) -> str:
        return "again: " + self.show.remote()


@app.function()
def given(obj: Any, method: Any) -> list[Any]:
    return [obj.predict.remote(5), method.remote(6), list(obj.stream.remote_gen(2))]


@app.cls()
class Broken:
    @modal.enter()
    def load(self) -> None:
        raise RuntimeError("no weights here")

    @modal.method()
    def f(self) -> None: ...


@app.cls()
@modal.concurrent(max_inputs=4)
class Together:
    @modal.enter()
    async def open(self) -> None:
        self.met = asyncio.Event()
        self.inside = 0

    @modal.method()
    async def meet(self) -> bool:
        self.inside += 1
        if self.inside == 3:
            self.met.set()
        await asyncio.wait_for(self.met.wait(), 60)
        return True


@app.cls()
class Batches:
    factor: int = modal.parameter(default=10)

    @modal.batched(max_batch_size=3, wait_ms=2000)
    def times(self, xs: list[int]) -> list[list[int]]:
        return [[x * self.factor, len(xs)] for x in xs]


with warnings.catch_warnings():
    warnings.simplefilter("ignore")

    @app.cls()
    class Old:
        def __init__(self, values: list[int], *, scale: float = 1.0) -> None:
            self.values = values
            self.scale = scale

        def __enter__(self) -> None:
            self.total = sum(self.values)

        def __exit__(self, *error: object) -> None: ...

        @modal.method()
        def scaled(self) -> float:
            return self.total * self.scale


def by_value() -> Any:
    factor = 7

    @app.cls(serialized=True)
    class Inner:
        n: int = modal.parameter(default=1)

        @modal.enter()
        def load(self) -> None:
            self.loaded = factor

        @modal.method()
        def product(self) -> int:
            return self.n * self.loaded * self.one()

        def one(self) -> int:
            return 1

    return Inner


if modal.is_local():
    Inner = by_value()

seven = Model(size=7)  # at the top of a module, for all


def ended_by(call: Callable[[], Any]) -> str:
    try:
        return f"none: {call()!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


async def with_aio() -> list[Any]:
    model = Model()
    return [
        await model.predict.remote.aio(8),
        await model.later.remote.aio(2),
        [item async for item in model.stream.remote_gen.aio(2)],
        [item async for item in model.predict.map.aio([1, 2])],
    ]


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, Any] = {}
    model = Model()
    seen["hooks"] = model.hooks.remote()
    seen["who"] = model.who.remote()
    seen["predict"] = model.predict.remote(4, plus=1)
    seen["parameters"] = [
        Model(size=2).predict.remote(4),
        seven.predict.remote(4),
        Model(size=2).predict.remote(5),
    ]
    seen["later"] = model.later.remote(3)
    seen["map"] = list(Model(size=2).predict.map(range(4), kwargs={"plus": 1}))
    seen["starmap"] = list(model.predict.starmap([(1,), (2,)]))
    seen["stream"] = [list(Model(size=2).stream.remote_gen(3)), list(model.stream_later.remote_gen(2))]
    seen["remote of a generator"] = ended_by(lambda: model.stream.remote(1))
    seen["aio"] = asyncio.run(with_aio())
    seen["pools"] = [
        model.where.remote() == Model(size=1).where.remote(),
        model.where.remote() == Model(size=2).where.remote(),
        Model(size=2, name="it").where.remote() == Model(size=2).where.remote(),
    ]
    seen["inside"] = model.inside.remote()
    seen["again"] = Other(tag="z").again.remote()
    seen["given"] = given.remote(Model(size=3), Model(size=4).predict)
    seen["fails"] = ended_by(lambda: model.fails.remote())
    seen["broken"] = ended_by(lambda: Broken().f.remote())
    seen["together"] = list(Together().meet.map([], [])) or [
        *Together().meet.starmap([(), (), ()]),
    ]
    seen["batches"] = [list(Batches().times.map([1, 2, 3])), Batches(factor=2).times.remote(4)]
    seen["old"] = Old([1, 2, 3], scale=0.5).scaled.remote()
    seen["by value"] = [Inner().product.remote(), Inner(n=2).product.remote()]
    seen["without an object"] = ended_by(lambda: Model.predict.remote(1))
    print("SEEN " + json.dumps(seen), flush=True)
