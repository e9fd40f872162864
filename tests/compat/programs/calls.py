"""Every way to call a function, from here and from inside a container."""

import asyncio
import os

import modal

app = modal.App("calls", secrets=[modal.Secret.from_dict({"GREETING": "hello", "WHO": "nobody"})])
image = modal.Image.debian_slim(python_version="3.11").env({"PLACE": "image"})

with image.imports():
    import only_in_the_container  # type: ignore  # noqa: F401


@app.function()
def whoami() -> tuple:
    return modal.is_local(), modal.current_input_id(), modal.current_function_call_id()


@app.function(concurrency_limit=2)
def add(a: int, b: int = 0, *, c: int = 0) -> int:
    return a + b + c


@app.function()
async def later(n: int) -> int:
    await asyncio.sleep(0)
    return n + 1


@app.function()
def count(n: int):
    yield from range(n)


@app.function()
async def count_later(n: int):
    for item in range(n):
        await asyncio.sleep(0)
        yield item


@app.function()
def fail(n: int) -> int:
    if n == 2:
        raise ValueError("two")
    return n


@app.function()
def nested(n: int) -> list:
    return [later.remote(n), list(add.map(range(n), kwargs={"c": 10})), list(count.remote_gen(2))]


@app.function(env={"WHO": "you"}, secrets=[modal.Secret.from_dict({"MORE": "1"})])
def variables() -> dict:
    return {name: os.environ.get(name) for name in ("GREETING", "WHO", "MORE", "MODAL_IS_REMOTE")}


@app.function(image=image)
def broken_import() -> None: ...


@app.function(serialized=True, name="by_value")
def by_value(n: int) -> int:
    return n * 100


async def check_async() -> None:
    assert await add.remote.aio(1, b=2) == 3
    assert await later.remote.aio(1) == 2

    async def numbers():
        for n in range(3):
            yield n

    assert [result async for result in add.map.aio(numbers())] == [0, 1, 2]
    assert [item async for item in count_later.remote_gen.aio(2)] == [0, 1]
    await add.for_each.aio([1, 2])


@app.local_entrypoint()
def main(times: int, loud: bool = False) -> None:
    local, input_id, call_id = whoami.remote()
    assert not local
    assert input_id.startswith("in-")
    assert call_id.startswith("fc-")
    assert modal.is_local()
    assert add.remote(1, b=2, c=3) == 6
    assert add.local(1) == 1
    assert list(add.map(range(times), order_outputs=True)) == list(range(times))
    assert sorted(add.map(range(5), range(5), order_outputs=False)) == [0, 2, 4, 6, 8]
    assert list(add.starmap([(1, 2), (3, 4)], kwargs={"c": 1})) == [4, 8]
    assert add.for_each([1, 2]) is None
    assert later.remote(1) == 2
    assert list(count.remote_gen(3)) == list(count_later.remote_gen(3)) == [0, 1, 2]
    results = list(fail.map([1, 2, 3], return_exceptions=True))
    assert [type(result) for result in results] == [int, ValueError, int]
    fail.for_each([1, 2, 3], ignore_exceptions=True)
    try:
        list(fail.map([1, 2, 3]))
        raise AssertionError("expected a ValueError")
    except ValueError as error:
        caught = str(error)
    assert caught == "two"
    assert nested.remote(2) == [3, [10, 11], [0, 1]]
    assert variables.remote() == {"GREETING": "hello", "WHO": "you", "MORE": "1", "MODAL_IS_REMOTE": "1"}
    try:
        broken_import.remote()
        raise AssertionError("expected a ModuleNotFoundError")
    except ModuleNotFoundError as error:
        missing = error.name
    assert missing == "only_in_the_container"
    assert by_value.remote(2) == 200
    asyncio.run(check_async())
    assert loud
    print("all as expected")
