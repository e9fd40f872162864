"""Inputs that fail and are tried again. Prints what came back as one line of JSON."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

import modal

app = modal.App("retries")
volume = modal.Volume.from_name("retries-tries", create_if_missing=True)
SOON = modal.Retries(max_retries=2, backoff_coefficient=1.0, initial_delay=0.0)


class Unlucky(Exception):
    """What a function here raises."""


def tried(name: str) -> int:
    """Writes down that an input is tried; how often it was by now."""
    with open(f"/tries/{name}", "a") as file:
        file.write(f"{time.time()}\n")
    return len(times(name))


def times(name: str) -> list[float]:
    """When an input was tried."""
    with open(f"/tries/{name}") as file:
        return [float(line) for line in file]


@app.function(retries=SOON, volumes={"/tries": volume})
def third_time(name: str) -> int:
    count = tried(name)
    if count < 3:
        raise Unlucky(f"try {count}")
    return count


@app.function(retries=SOON, volumes={"/tries": volume})
def never(name: str) -> int:
    raise Unlucky(f"try {tried(name)}")


@app.function(retries=1, timeout=1, volumes={"/tries": volume})
async def in_time_at_last(name: str) -> int:
    count = tried(name)
    if count == 1:
        await asyncio.sleep(60)
    return count


@app.function(
    retries=modal.Retries(max_retries=2, backoff_coefficient=2.0, initial_delay=0.5),
    volumes={"/tries": volume},
)
def patient(name: str) -> int:
    count = tried(name)
    if count < 3:
        raise Unlucky("not yet")
    return count


@app.function(retries=SOON, volumes={"/tries": volume})
def dies_once(name: str) -> int:
    count = tried(name)
    if count == 1:
        os._exit(3)
    return count


@app.function(volumes={"/tries": volume})
def plain(name: str) -> int:
    count = tried(name)
    if count < 2:
        raise Unlucky("no")
    return count


@app.function(volumes={"/tries": volume})
def how_often(name: str) -> list[float]:
    return times(name)


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, Any] = {"third time": third_time.remote("third")}
    seen["spawned"] = third_time.spawn("spawned").get(timeout=60)
    seen["mapped"] = list(third_time.map([f"map-{n}" for n in range(5)]))
    try:
        never.remote("never")
    except Unlucky as error:
        seen["exhausted"] = [str(error), len(how_often.remote("never"))]
    seen["timeout"] = in_time_at_last.remote("timeout")
    seen["delayed"] = patient.remote("patient")
    first, second, third = how_often.remote("patient")
    seen["delays"] = [second - first, third - second]
    seen["died"] = dies_once.remote("dies")
    seen["variant"] = plain.with_options(retries=SOON).remote("variant")
    try:
        plain.remote("plain")
    except Unlucky:
        seen["without"] = len(how_often.remote("plain"))
    print("SEEN", json.dumps(seen))
