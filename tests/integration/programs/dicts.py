"""Dicts in containers. Prints what came back as one line of JSON."""

import asyncio
import json
import threading
from dataclasses import dataclass
from typing import Any

import modal

app = modal.App("dicts")
shared = modal.Dict.from_name("dicts-shared", create_if_missing=True)


@dataclass(frozen=True)
class Place:
    row: int
    column: str


@app.function(max_containers=3)
def claim(name: str) -> bool:
    return shared.put(name, "mine", skip_if_exists=True)


@app.function()
def size_of(key: Any) -> int:
    return len(shared[key])


@app.function()
def write(scratch: modal.Dict, size: int) -> None:
    scratch[Place(1, "a")] = b"x" * size
    assert Place(1, "a") in scratch
    scratch["handle"] = scratch


@app.function()
async def count_up(times: int) -> int:
    await asyncio.gather(*(shared.put.aio(("n", number), number) for number in range(times)))
    return sum(await asyncio.gather(*(shared.get.aio(("n", number)) for number in range(times))))


@app.function()
def elsewhere(theirs: str) -> list[str]:
    said: list[str] = []
    for use in (
        lambda: modal.Dict.from_name("dicts-shared", environment_name="dev")["x"],
        lambda: modal.Dict.from_name("dicts-nowhere")["x"],
        lambda: modal.Dict.from_id("di-01JDZX0000000000000000000A")["x"],
        lambda: modal.Dict.from_id(theirs)["x"],
        lambda: list(modal.Dict.from_id(theirs).keys()),
    ):
        try:
            use()
        except modal.exception.Error as error:
            said.append(f"{type(error).__name__}: {error}")
    return said


seen: dict[str, Any] = {}


def values() -> None:
    for size in (1, 1 << 20, (2 << 20) + 1, 12 << 20):
        shared["sized"] = b"x" * size
        assert size_of.remote("sized") == size
    seen["sizes"] = True
    with modal.Dict.ephemeral() as scratch:
        write.remote(scratch, 3 << 20)
        seen["by a container"] = len(scratch[Place(1, "a")])
        seen["keys"] = sorted(map(str, scratch.keys()))
        seen["a handle as a value"] = scratch["handle"]["handle"].object_id == scratch.object_id
        gone = scratch
    try:
        gone["x"]
    except modal.exception.NotFoundError as error:
        seen["after its block"] = str(error)


def changes() -> None:
    entries = {number: number for number in range(3000)}
    with modal.Dict.ephemeral() as many:
        many.update(entries)
        seen["of many"] = many.len()
        stop = threading.Event()

        def change() -> None:
            number = 0
            while not stop.is_set():
                many[("new", number)] = number
                number += 1

        changer = threading.Thread(target=change)
        changer.start()
        found = list(filter(lambda key: isinstance(key, int), many.keys()))
        stop.set()
        changer.join()
        seen["while others write"] = sorted(found) == list(entries)
        many.clear()
        seen["cleared"] = [many.len(), list(many.items())]


@app.local_entrypoint()
def main() -> None:
    seen["claims"] = sum(claim.map(["it"] * 40))
    seen["from coroutines"] = count_up.remote(200)
    other = modal.Dict.from_name("dicts-other", environment_name="other", create_if_missing=True)
    seen["elsewhere"] = elsewhere.remote(other.hydrate().object_id)
    values()
    changes()
    print("SEEN", json.dumps(seen))
