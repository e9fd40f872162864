"""Inputs that are cancelled while they run. Prints what it saw as one line of JSON."""

import asyncio
import json
import os
import pathlib
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import ionian as modal

app = modal.App("cancellations", image=modal.Image.debian_slim(python_version="3.11"))
marks = modal.Volume.from_name("cancellations", create_if_missing=True)
one = {"volumes": {"/marks": marks}, "max_containers": 1}


def here() -> str:
    """The container's id. At import it may be another's: that of a template has none."""
    return os.environ["MODAL_TASK_ID"]


def mark(name: str, text: str = "") -> None:
    pathlib.Path("/marks", name + ".new").write_text(text or here())
    pathlib.Path("/marks", name + ".new").rename(f"/marks/{name}")


@contextmanager
def cleaning_up(name: str) -> Iterator[None]:
    mark(f"{name} begun")
    try:
        yield
    except BaseException as error:
        mark(f"{name} caught", type(error).__name__)
        raise
    finally:
        mark(f"{name} cleaned")


@app.function(**one)
@modal.concurrent(max_inputs=20)
def until(name: str) -> str:
    path = pathlib.Path("/marks", name)
    for _ in range(3000):
        if path.exists():
            return path.read_text()
        time.sleep(0.01)
    raise TimeoutError(f"nobody made {name}")


@app.function(**one)
def make(name: str) -> None:
    mark(name)


@app.function(**one)
def sync(number: int) -> str:
    if number:
        with cleaning_up("sync"):
            time.sleep(600)
    return here()


@app.function(**one)
async def coroutine(number: int) -> str:
    if number:
        with cleaning_up("coroutine"):
            await asyncio.sleep(600)
    return here()


@app.function(**one)
def generator(number: int) -> Iterator[str]:
    yield here()
    if number:
        with cleaning_up("generator"):
            time.sleep(600)


@app.function(**one)
async def async_generator(number: int) -> AsyncIterator[str]:
    yield here()
    if number:
        with cleaning_up("async generator"):
            await asyncio.sleep(600)


@app.function(**one)
@modal.concurrent(max_inputs=3)
async def on_loop(number: int) -> str:
    if number == 1:
        with cleaning_up("on loop"):
            await asyncio.sleep(600)
    while number == 2 and not pathlib.Path("/marks/on loop go").exists():
        await asyncio.sleep(0.01)
    return here()


@app.function(**one)
@modal.concurrent(max_inputs=3)
def in_thread(number: int) -> str:
    if number == 1:
        with cleaning_up("in thread"):
            while True:
                time.sleep(0.01)
    while number == 2 and not pathlib.Path("/marks/in thread go").exists():
        time.sleep(0.01)
    return here()


def left(function: object, name: str) -> dict[str, str]:
    """Calls a function so that its second input runs when the caller wants no more."""
    results = function.map([0, 1])
    first = next(results)
    until.remote(f"{name} begun")
    results.close()
    return ended(function, name, first)


def left_generator(function: object, name: str) -> dict[str, str]:
    items = function.remote_gen(1)
    first = next(items)
    until.remote(f"{name} begun")
    items.close()
    seen = {"cleaned in": until.remote(f"{name} cleaned"), "caught": until.remote(f"{name} caught")}
    return {"first": first, **seen, "after": next(iter(function.remote_gen(0)))}


def ended(function: object, name: str, first: str) -> dict[str, str]:
    seen = {"cleaned in": until.remote(f"{name} cleaned"), "caught": until.remote(f"{name} caught")}
    return {"first": first, **seen, "after": function.remote(0)}


def beside_others(function: object, name: str) -> dict[str, str]:
    with ThreadPoolExecutor(1) as pool:
        neighbour = pool.submit(function.remote, 2)
        seen = left(function, name)
        make.remote(f"{name} go")
        return {**seen, "neighbour": neighbour.result()}


@app.local_entrypoint()
def main() -> None:
    seen = {
        "sync": left(sync, "sync"),
        "coroutine": left(coroutine, "coroutine"),
        "generator": left_generator(generator, "generator"),
        "async generator": left_generator(async_generator, "async generator"),
        "on loop": beside_others(on_loop, "on loop"),
        "in thread": beside_others(in_thread, "in thread"),
    }
    print("SEEN", json.dumps(seen))
