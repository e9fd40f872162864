"""A map whose function leaves a line behind for each time that it ran. `python counting.py INPUTS [SLEEP_MS]`"""

import collections
import json
import sys

import ionian as modal

app = modal.App("counting")
volume = modal.Volume.from_name("side-effects", create_if_missing=True)
image = modal.Image.debian_slim(python_version="3.11")


@app.function(image=image, volumes={"/effects": volume}, max_containers=3)
def record(number: int, sleep_s: float) -> int:
    import os
    import time

    with open("/effects/ran", "a") as file:
        os.write(file.fileno(), b"%d\n" % number)
    if sleep_s:
        time.sleep(sleep_s)
    return number * 2


@app.function(image=image, volumes={"/effects": volume})
def recorded() -> list[int]:
    with open("/effects/ran") as file:
        return [int(line) for line in file]


if __name__ == "__main__":
    count, sleep_s = int(sys.argv[1]), float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.0
    with app.run():
        results = list(record.map(range(count), kwargs={"sleep_s": sleep_s}))
        runs = collections.Counter(recorded.remote())
    print(
        json.dumps(
            {
                "right": results == [2 * number for number in range(count)],
                "results": len(results),
                "missing": [number for number in range(count) if number not in runs],
                "twice": [number for number, times in runs.items() if times > 1],
            }
        )
    )
