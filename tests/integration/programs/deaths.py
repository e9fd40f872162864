"""Containers that die of what they run, and inputs that take too long."""

import ctypes
import os
import pathlib
import time

import ionian as modal

app = modal.App("deaths", image=modal.Image.debian_slim(python_version="3.11"))
marks = modal.Volume.from_name("deaths", create_if_missing=True)


def die(how: str) -> None:
    if how == "exit":
        os._exit(5)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "kill":
        os.kill(os.getpid(), 9)
    raise AssertionError(how)


@app.function(max_containers=2)
def deadly(number: int, how: str) -> int:
    if number == 7:
        die(how)
    return number


@app.function(volumes={"/marks": marks}, max_containers=2)
def deadly_once(number: int, how: str) -> int:
    mark = pathlib.Path("/marks", how)
    if number == 7 and not mark.exists():
        mark.touch()
        die(how)
    return number


@app.function(memory=(128, 160))
def eat() -> int:
    return len(b"x" * (600 << 20))


@app.function(timeout=3, max_containers=2)
def slow(number: int) -> int:
    if number == 3:
        time.sleep(3600)
    return number


def told(results: list) -> None:
    print("done", sum(isinstance(result, int) for result in results), "of", len(results))
    for result in results:
        if not isinstance(result, int):
            print(type(result).__name__, result)


@app.local_entrypoint()
def every_time(how: str) -> None:
    told(list(deadly.map(range(20), kwargs={"how": how}, return_exceptions=True)))
    deadly.remote(7, how)


@app.local_entrypoint()
def once(how: str) -> None:
    told(list(deadly_once.map(range(20), kwargs={"how": how})))


@app.local_entrypoint()
def memory() -> None:
    eat.remote()


@app.local_entrypoint()
def timeout() -> None:
    told(list(slow.map(range(20), return_exceptions=True)))
    slow.remote(3)
