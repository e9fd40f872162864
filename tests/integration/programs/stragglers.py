"""A first input that takes long, and many quick ones behind it."""

import pathlib
import sys
import time

import ionian as modal

app = modal.App("stragglers", image=modal.Image.debian_slim(python_version="3.11"))
marks = modal.Volume.from_name("stragglers", create_if_missing=True)
PATIENCE_S = 60


@app.function(volumes={"/marks": marks}, max_containers=4)
def work(number: int, mark: str, last: int) -> int:
    done = pathlib.Path("/marks", mark)
    if number:
        with done.open("ab") as file:
            file.write(b"x")
        return number
    end = time.monotonic() + PATIENCE_S
    while not done.exists() or done.stat().st_size < last:
        if time.monotonic() > end:
            raise TimeoutError(f"{done.stat().st_size} of {last} were done beside the first")
        time.sleep(0.01)
    return 0


@app.function(max_containers=4)
def hour_of_four(number: int) -> int:
    if number == 0:
        time.sleep(3600)
    return number


@app.function(volumes={"/marks": marks}, max_containers=3)
def meets(number: int, mark: str, numbers: list[int]) -> bool:
    pathlib.Path("/marks", f"{mark}-{number}").touch()
    end = time.monotonic() + PATIENCE_S
    while lacking := [n for n in numbers if not pathlib.Path("/marks", f"{mark}-{n}").exists()]:
        if time.monotonic() > end:
            raise TimeoutError(f"{number} has waited for {lacking}")
        time.sleep(0.01)
    return True


@app.local_entrypoint()
def waits_for_all_others(inputs: int, mark: str) -> None:
    """The first input ends when all others have: in order, it must stop none of them."""
    results = list(work.map(range(inputs), kwargs={"mark": mark, "last": inputs - 1}))
    print("in order", results == list(range(inputs)))


@app.local_entrypoint()
def three_meet(mark: str) -> None:
    """Quick ones first, so that the others are given together to the one container that there is."""
    for number in range(20):
        meets.remote(number, mark, [])
    three = [1000, 1001, 1002]
    print("met", list(meets.map(three, kwargs={"mark": mark, "numbers": three})))


@app.local_entrypoint()
def an_hour() -> None:
    others = set()
    for number in hour_of_four.map(range(64), order_outputs=False):
        others.add(number)
        if len(others) == 63:
            break
    print("others", others == set(range(1, 64)))
    sys.stdout.flush()
