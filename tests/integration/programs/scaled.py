"""How many containers a function has, while it works and while nobody calls it, from `ionian run`: what `update_autoscaler`
and `get_current_stats` do, as one line of JSON."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import modal

app = modal.App("scaled")


@app.function(max_containers=4, scaledown_window=2, cpu=0.1)
def work(seconds: float) -> str:
    time.sleep(seconds)
    return os.environ["IONIAN_TASK_ID"]


def stats(**wanted: int) -> dict[str, int]:
    """What is said of the function, once these are so."""
    while True:
        found: dict[str, int] = work.get_current_stats()._asdict()
        if all(found[name] == value for name, value in wanted.items()):
            return found
        time.sleep(0.02)


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, Any] = {"before": stats()}
    call = work.spawn_map([3600.0] * 7)
    seen["busy"] = stats(num_running_inputs=4)
    seen["lower"] = work.update_autoscaler(max_containers=2)._asdict()
    call.cancel(terminate_containers=True)
    seen["cancelled"] = stats(num_running_inputs=0, backlog=0)
    seen["two"] = len(set(work.map([0.2] * 8)))
    seen["least"] = work.update_autoscaler(min_containers=2, max_containers=3)._asdict()
    seen["kept"] = stats(num_total_runners=2, input_headroom=2)
    work.update_autoscaler(min_containers=0, scaledown_window=1)
    seen["idle"] = stats(num_total_runners=0)
    print("SEEN " + json.dumps(seen))
