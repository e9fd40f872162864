"""A deployed function that runs by itself each second, and leaves a line with its call's id behind. `python ticking.py RUNS`

It ends when the function has run so often. Its requests meanwhile are what starts a killed server again.
"""

import json
import os
import sys
import time
from pathlib import Path

import ionian as modal
from ionian import link
from ionian.protocol.apps import ListApps

app = modal.App("ticking")
volume = modal.Volume.from_name("side-effects", create_if_missing=True)


@app.function(volumes={"/effects": volume}, schedule=modal.Period(seconds=1), serialized=True)
def tick() -> None:
    with open("/effects/ran", "a") as file:
        os.write(file.fileno(), f"{modal.current_function_call_id()}\n".encode())


def ran() -> list[str]:
    files = list(Path(os.environ["IONIAN_HOME"]).glob("volumes/*/ran"))
    return files[0].read_text().split() if files else []


if __name__ == "__main__":
    runs = int(sys.argv[1])
    app.deploy()
    while len(set(ran())) < runs:
        link.current().request(ListApps(""))
        time.sleep(0.1)
    app.stop()
    print(json.dumps(ran()))
