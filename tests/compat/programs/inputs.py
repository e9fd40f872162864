"""Several inputs in one container: concurrent ones, batched ones, and containers for one input."""

import asyncio
import os
import threading
import time

import modal

app = modal.App("inputs", image=modal.Image.debian_slim(python_version="3.11"))


@app.function(max_containers=1)
@modal.concurrent(max_inputs=10, target_inputs=5)
async def on_the_loop(n: int) -> tuple:
    await asyncio.sleep(0.05)
    return n, modal.current_input_id(), os.environ["MODAL_TASK_ID"]


@app.function(max_containers=1)
@modal.concurrent(max_inputs=4)
def in_threads(n: int) -> tuple:
    time.sleep(0.05)
    return n, modal.current_input_id(), os.environ["MODAL_TASK_ID"]


@app.function(max_containers=1)
@modal.batched(max_batch_size=5, wait_ms=10_000)
async def squares(numbers: list[int]) -> list[int]:
    assert len(numbers) == 5
    return [n * n for n in numbers]


@app.cls(max_containers=1)
class Embedder:
    @modal.enter()
    def load(self) -> None:
        self.table = dict(enumerate("abcdefgh"))

    @modal.batched(max_batch_size=4, wait_ms=10_000)
    def embed(self, keys: list[int], upper: list[bool]) -> list[str]:
        assert len(keys) == 4
        return [self.table[k].upper() if u else self.table[k] for k, u in zip(keys, upper, strict=True)]


@app.cls(max_containers=1)
@modal.concurrent(max_inputs=8)
class Counter:
    @modal.enter()
    def start(self) -> None:
        self.lock, self.most, self.now = threading.Lock(), 0, 0
        self.all_here = threading.Barrier(4)

    @modal.method()
    def work(self) -> int:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.all_here.wait(30)
        with self.lock:
            self.now -= 1
        return self.most


@app.function(single_use_containers=True, max_containers=2)
def once() -> str:
    return os.environ["MODAL_TASK_ID"]


@app.function(max_containers=1, timeout=60)
@modal.concurrent(max_inputs=4)
async def fails(n: int) -> int:
    if n == 2:
        raise KeyError(n)
    return n


@app.local_entrypoint()
def main() -> None:
    for function in (on_the_loop, in_threads):
        rows = list(function.map(range(20)))
        assert [row[0] for row in rows] == list(range(20))
        assert len({row[1] for row in rows}) == 20
        assert len({row[2] for row in rows}) == 1
    assert list(squares.map(range(10))) == [n * n for n in range(10)]
    embed = Embedder().embed
    assert list(embed.map(range(8), [False, True] * 4)) == list("aBcDeFgH")

    async def together() -> list[int]:
        work = Counter().work
        return await asyncio.gather(*(work.remote.aio() for _ in range(4)))

    assert asyncio.run(together()) == [4] * 4
    assert len({once.remote() for _ in range(3)}) == 3
    results = list(fails.map(range(4), return_exceptions=True))
    assert [type(result) for result in results] == [int, int, KeyError, int]
    print("all as expected")
