"""Batched functions. Prints what it saw as one line of JSON."""

import asyncio
import json
import threading

import ionian as modal

app = modal.App("batches", image=modal.Image.debian_slim(python_version="3.11"))
LONG = 60_000


@app.function(max_containers=1)
@modal.batched(max_batch_size=4, wait_ms=LONG)
def multiplied(numbers: list[int], by: list[int]) -> list[list[object]]:
    here = threading.current_thread() is threading.main_thread()
    return [[n * factor, len(numbers), here] for n, factor in zip(numbers, by, strict=True)]


@app.function(max_containers=1)
@modal.batched(max_batch_size=4, wait_ms=LONG)
async def multiplied_async(numbers: list[int], by: list[int]) -> list[list[object]]:
    await asyncio.sleep(0)
    return [[n * factor, len(numbers), True] for n, factor in zip(numbers, by, strict=True)]


together = threading.Barrier(3)


@app.function(max_containers=1)
@modal.concurrent(max_inputs=3)
@modal.batched(max_batch_size=2, wait_ms=LONG)
def three_at_once(numbers: list[int]) -> list[int]:
    together.wait(30)  # passes only where three batches run at once
    return [10 * n for n in numbers]


meeting = modal.Queue.from_name("batches-meet", create_if_missing=True)


@app.function(max_containers=2)
@modal.batched(max_batch_size=2, wait_ms=LONG)
def apart(numbers: list[int]) -> list[int]:
    meeting.put(1, partition=str(2 - numbers[0]))
    meeting.get(partition=str(numbers[0]), timeout=60)  # passes only where both batches run at once
    return numbers


@app.function(max_containers=1)
@modal.batched(max_batch_size=100, wait_ms=0)
def alone(numbers: list[int]) -> list[int]:
    return [len(numbers)] * len(numbers)


@app.function(max_containers=1)
@modal.batched(max_batch_size=2, wait_ms=LONG)
def wrong(numbers: list[int]) -> object:
    if 0 in numbers:
        return numbers[:-1]
    if 2 in numbers:
        return "ab"
    raise ValueError(f"no {numbers}")


def outcome(value: object) -> str:
    return f"{type(value).__name__}: {value}" if isinstance(value, Exception) else str(value)


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, object] = {
        "sync": list(multiplied.map(range(8), kwargs={"by": 3})),
        "async": list(multiplied_async.map(range(8), [3] * 8)),
        "at once": list(three_at_once.map(range(6))),
        "apart": list(apart.map(range(4))),
        "alone": [alone.remote(1), alone.remote(2)],
        "wrong": [outcome(value) for value in wrong.map(range(6), return_exceptions=True)],
    }
    print("SEEN", json.dumps(seen))
