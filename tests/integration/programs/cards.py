"""Many functions want the cards of one machine, from `ionian run`. Each container holds a lock for each of its cards for
as long as it lives; what it sees is printed as one line of JSON."""

from __future__ import annotations

import fcntl
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import modal

app = modal.App("cards")
marks = modal.Volume.from_name("cards-marks", create_if_missing=True)
options: Any = {"volumes": {"/marks": marks}, "cpu": 0.1}
_held: list[Any] = []


def mine() -> list[str]:
    """The device numbers of the cards that this container can open."""
    found: list[str] = []
    for name in sorted(os.listdir("/dev")):
        if name.startswith("nvidia") and name != "nvidiactl":
            os.close(os.open(f"/dev/{name}", os.O_RDWR))
            number = os.stat(f"/dev/{name}").st_rdev
            found.append(f"{os.major(number)}:{os.minor(number)}")
    return found


if not modal.is_local():
    for number in mine():
        file = open(f"/marks/{number}", "w")  # noqa: SIM115 (as long as the container lives)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            open(f"/marks/shared-{number}", "w").close()
        _held.append(file)


def seen(seconds: float) -> dict[str, Any]:
    time.sleep(seconds)
    return {"cards": mine(), "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}


@app.function(gpu="A100", **options)
def one(seconds: float) -> dict[str, Any]:
    return seen(seconds)


@app.function(gpu="A100", retries=2, **options)
def another(seconds: float) -> dict[str, Any]:
    return seen(seconds)


@app.function(gpu="any:2", **options)
def two(seconds: float) -> dict[str, Any]:
    return seen(seconds)


@app.function(gpu=["H100:4", "A100-80GB:3"], **options)
def three(seconds: float) -> dict[str, Any]:
    return seen(seconds)


@app.cls(gpu="A100-80GB:4", **options)
class Four:
    @modal.method()
    def see(self, seconds: float) -> dict[str, Any]:
        return seen(seconds)


@app.function(**options)
def shared() -> list[str]:
    """The cards that two containers had at once."""
    return [name for name in os.listdir("/marks") if name.startswith("shared")]


@app.local_entrypoint()
def main(rounds: int = 12) -> None:
    fewer: Any = Four.with_options(gpu="A100:2")
    kinds: dict[str, Any] = {
        "one": one,
        "another": another,
        "two": two,
        "three": three,
        "four": Four().see,
        "fewer": fewer().see,
    }
    found: dict[str, set[tuple[int, str]]] = {name: set() for name in kinds}
    numbers: set[str] = set()

    def ask(name: str) -> None:
        for result in kinds[name].map([0.1] * rounds):
            found[name].add((len(result["cards"]), result["visible"]))
            numbers.update(result["cards"])
        print("done", name, flush=True)

    print("begun", flush=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(ask, kinds))
    said = {name: sorted(pairs) for name, pairs in found.items()}
    print("SEEN " + json.dumps({"found": said, "numbers": sorted(numbers), "shared": shared.remote()}))
