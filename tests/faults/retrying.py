"""Spawned inputs that fail each time, of a function that leaves a line behind for each time that it ran.

python retrying.py INPUTS     prints how often each of them ran
"""

import collections
import json
import sys

import ionian as modal

app = modal.App("retrying")
volume = modal.Volume.from_name("side-effects", create_if_missing=True)
image = modal.Image.debian_slim(python_version="3.11")
POLICY = modal.Retries(max_retries=3, initial_delay=0.3, backoff_coefficient=1.0)


@app.function(image=image, volumes={"/effects": volume}, retries=POLICY, max_containers=2)
def fails(number: int) -> None:
    import os

    with open("/effects/ran", "a") as file:
        os.write(file.fileno(), b"%d\n" % number)
    raise ValueError(number)


@app.function(image=image, volumes={"/effects": volume})
def recorded() -> list[int]:
    with open("/effects/ran") as file:
        return [int(line) for line in file]


if __name__ == "__main__":
    with app.run():
        calls = [fails.spawn(number) for number in range(int(sys.argv[1]))]
        wrong: list[int] = []
        for number, call in enumerate(calls):
            try:
                call.get()
            except ValueError as error:
                wrong += [number] if error.args != (number,) else []
        runs = collections.Counter(recorded.remote())
    print(json.dumps({"wrong": wrong, "times": sorted(collections.Counter(runs.values()).items())}))
