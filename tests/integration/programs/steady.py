"""A map that never ends by itself: it says when its containers run, and is then disturbed."""

import time

import ionian as modal

app = modal.App("steady", image=modal.Image.debian_slim(python_version="3.11"))


@app.function(max_containers=2)
def wait(number: int) -> int:
    if number >= 2:
        time.sleep(3600)
    return number


@app.local_entrypoint()
def main() -> None:
    for result in wait.map(range(100), order_outputs=False):
        print("result", result, flush=True)
