"""Inputs that fail, run too long or are cancelled, and what becomes of the others."""

import asyncio
import itertools
import os
import pathlib
import time

import modal

app = modal.App("compat-failures", image=modal.Image.debian_slim(python_version="3.11"))
notes = modal.Volume.from_name("compat-failures-notes", create_if_missing=True)
PLACE = pathlib.Path("/notes")
noted = {"volumes": {"/notes": notes}}


def note(name: str) -> int:
    """Writes a line with the time and the container; returns how many there are."""
    with open(PLACE / name, "a") as file:
        file.write(f"{time.time()} {os.environ['MODAL_TASK_ID']}\n")
    return len((PLACE / name).read_text().splitlines())


@app.function(**noted)
@modal.concurrent(max_inputs=50)
async def read(name: str, least: int = 0) -> list:
    """The lines under a name, once there are so many."""
    while True:
        lines = (PLACE / name).read_text().splitlines() if (PLACE / name).exists() else []
        if len(lines) >= least:
            return [(float(at), container) for at, container in map(str.split, lines)]
        await asyncio.sleep(0.02)


class Unlucky(Exception):
    pass


# --- retries


@app.function(
    retries=modal.Retries(max_retries=3, backoff_coefficient=2.0, initial_delay=1.0, max_delay=1.5), **noted
)
def backs_off(name: str) -> int:
    tries = note(name)
    if tries < 4:
        raise Unlucky(tries)
    return tries


@app.function(retries=1, **noted)
def exhausted(name: str) -> None:
    raise Unlucky(note(name))


@app.function(retries=modal.Retries(max_retries=1, initial_delay=0.0), timeout=3, **noted)
def too_slow(name: str) -> int:
    tries = note(name)
    if tries == 1:
        time.sleep(60)
    return tries


@app.function(retries=2, **noted)
def ended_itself(name: str) -> int:
    tries = note(name)
    if tries < 2:
        os._exit(7)
    return tries


# --- timeouts


@app.function(timeout=3, max_containers=2, **noted)
def sleeps(n: int) -> tuple:
    if n == 0:
        time.sleep(600)
    return n, os.environ["MODAL_TASK_ID"]


@app.function(timeout=2, max_containers=1)
def ignores_everything(n: int) -> tuple:
    end = time.time() + 3600
    while n == 0 and time.time() < end:
        try:
            time.sleep(60)
        except BaseException:
            continue
    return n, os.environ["MODAL_TASK_ID"]


# --- cancellation


@app.function(max_containers=1, **noted)
def sync(n: int) -> str:
    if n:
        note("sync begun")
        try:
            time.sleep(600)
        except modal.exception.InputCancellation:
            note("sync cancelled")
            raise
        finally:
            note("sync cleaned")
    return os.environ["MODAL_TASK_ID"]


@app.function(max_containers=1, **noted)
@modal.concurrent(max_inputs=3)
async def on_the_loop(n: int) -> str:
    if n == 1:
        note("loop begun")
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            note("loop cancelled")
            raise
        finally:
            await asyncio.sleep(0.05)  # there is time to clean up
            note("loop cleaned")
    while n == 2 and not (PLACE / "loop cleaned").exists():
        await asyncio.sleep(0.02)
    return os.environ["MODAL_TASK_ID"]


@app.function(max_containers=1, **noted)
@modal.concurrent(max_inputs=2)
async def beside(n: int) -> tuple:
    runs = note(f"beside {n}")
    if n == 1 or runs == 1:
        await asyncio.sleep(600)
    return n, runs


def check_retries() -> None:
    assert backs_off.remote("backs off") == 4
    at = [line[0] for line in read.remote("backs off")]
    pauses = [second - first for first, second in itertools.pairwise(at)]
    assert pauses[0] >= 1.0, pauses
    assert pauses[1] >= 1.5, pauses
    assert pauses[2] >= 1.5, pauses
    try:
        exhausted.remote("exhausted")
        raise AssertionError("expected Unlucky")
    except Unlucky as error:
        last = error.args
    assert last == (2,)
    assert too_slow.remote("too slow") == 2
    assert ended_itself.remote("ended itself") == 2


def check_timeouts() -> None:
    results = list(sleeps.map(range(6), return_exceptions=True))
    assert isinstance(results[0], modal.exception.FunctionTimeoutError), results[0]
    assert isinstance(results[0], TimeoutError)
    assert [row[0] for row in results[1:]] == [1, 2, 3, 4, 5]
    first = ignores_everything.remote(1)[1]
    try:
        ignores_everything.remote(0)
        raise AssertionError("expected a FunctionTimeoutError")
    except modal.exception.FunctionTimeoutError as error:
        said = str(error)
    assert "timeout of 2 s" in said
    assert ignores_everything.remote(2)[1] != first  # its container was replaced


def cancelled(call: modal.FunctionCall) -> bool:
    try:
        call.get(timeout=60)
    except modal.exception.RemoteError as error:
        return "cancelled" in str(error)
    return False


def check_cancellation() -> None:
    container = sync.remote(0)
    call = sync.spawn(1)
    read.remote("sync begun", 1)
    waits = sync.spawn(1)  # there is one container: it has not begun
    waits.cancel()
    call.cancel()
    assert cancelled(call)
    assert cancelled(waits)
    read.remote("sync cancelled", 1)
    assert [line[1] for line in read.remote("sync cleaned", 1)] == [container]
    assert sync.remote(0) == container  # it goes on with other inputs
    assert len(read.remote("sync begun")) == 1

    neighbour, call = on_the_loop.spawn(2), on_the_loop.spawn(1)
    read.remote("loop begun", 1)
    call.cancel()
    assert cancelled(call)
    lines = read.remote("loop cleaned", 1)
    assert neighbour.get(timeout=60) == lines[0][1]
    assert len(read.remote("loop cancelled")) == 1

    call, other = beside.spawn(1), beside.spawn(2)
    first, second = read.remote("beside 1", 1), read.remote("beside 2", 1)
    assert first[0][1] == second[0][1]
    call.cancel(terminate_containers=True)
    assert cancelled(call)
    assert other.get(timeout=60) == (2, 2)  # run again, elsewhere
    again = read.remote("beside 2", 2)
    assert again[0][1] != again[1][1]

    done = sync.spawn(0)
    assert done.get(timeout=60)
    done.cancel()  # too late: it has its result
    assert done.get(timeout=0)


# --- preemption


@app.function(timeout=3600, **noted)
def preempted() -> list[str]:
    if note("preempted begun") == 1:
        modal.exception.simulate_preemption(1)
        try:
            time.sleep(3000)
        except KeyboardInterrupt:
            note("preempted cleaned")
            raise
    return [line.split()[1] for line in (PLACE / "preempted begun").read_text().splitlines()]


def check_preemption() -> None:
    first, second = preempted.remote()  # without a retry
    assert first != second
    assert [line[1] for line in read.remote("preempted cleaned")] == [first]


@app.local_entrypoint()
def main() -> None:
    check_retries()
    check_timeouts()
    check_cancellation()
    check_preemption()
    print("all as expected")
