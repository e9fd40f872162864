"""Spawned inputs of a function that leaves a line behind for each time that it ran. `python spawning.py INPUTS`

It speaks the protocol: half of the inputs are those of one call, half are calls of their own.
"""

import collections
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import ionian as modal
from ionian import link
from ionian.protocol.batch import Batch
from ionian.protocol.calls import GetOutputs, Spawn
from ionian.protocol.ids import new_id
from ionian.protocol.wire import INPUTS, entries
from ionian.serialization import dumps, loads

app = modal.App("spawning")
volume = modal.Volume.from_name("side-effects", create_if_missing=True)
image = modal.Image.debian_slim(python_version="3.11")
CHUNK = 250


@app.function(image=image, volumes={"/effects": volume}, max_containers=3)
def record(number: int) -> int:
    import os

    with open("/effects/ran", "a") as file:
        os.write(file.fileno(), b"%d\n" % number)
    return number * 2


@app.function(image=image, volumes={"/effects": volume})
def recorded() -> list[int]:
    with open("/effects/ran") as file:
        return [int(line) for line in file]


def spawn(call_id: str, numbers: list[int], start: int, last: bool) -> None:
    values = [dumps(((number,), {})) for number in numbers]
    index = list(range(start, start + len(values)))
    batch = Batch(call_id, index, [len(value) for value in values], b"".join(values))
    link.current().request(Spawn(call_id, record.object_id, last=last), batch.pack(INPUTS))


def results(call_id: str, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        _, payload = link.current().request(GetOutputs(call_id, len(found), 1000, 20.0))
        for _, header, body in entries(payload):
            found += [loads(value) for value in Batch.unpack(header, bytes(body)).payloads()]
    return found


if __name__ == "__main__":
    count = int(sys.argv[1])
    half = count // 2
    with app.run():
        large = new_id("fc")
        singles = [new_id("fc") for _ in range(count - half)]
        with ThreadPoolExecutor(32) as threads:
            for start in range(0, half, CHUNK):
                numbers = list(range(start, min(half, start + CHUNK)))
                threads.submit(spawn, large, numbers, start, start + CHUNK >= half)
            for number, call_id in enumerate(singles, half):
                threads.submit(spawn, call_id, [number], 0, True)
        right = results(large, half) == [2 * number for number in range(half)]
        with ThreadPoolExecutor(32) as threads:
            got = list(threads.map(results, singles, [1] * len(singles)))
        right = right and got == [[2 * number] for number in range(half, count)]
        runs = collections.Counter(recorded.remote())
    print(
        json.dumps(
            {
                "right": right,
                "results": half + len(got),
                "missing": [number for number in range(count) if number not in runs],
                "twice": [number for number, times in runs.items() if times > 1],
            }
        )
    )
