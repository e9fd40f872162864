"""Inputs beside each other in one container: one that fails, runs too long, is cancelled or leaves ends alone."""

import asyncio
import os
import sys
import threading
import time

import modal

app = modal.App("compat-neighbours")
volume = modal.Volume.from_name("compat-neighbours", create_if_missing=True)


class Stays(Exception):
    pass


def container() -> str:
    return os.environ["MODAL_TASK_ID"]


@app.cls(max_containers=1, timeout=60, volumes={"/marks": volume})
@modal.concurrent(max_inputs=8, target_inputs=6)
class Threads:
    @modal.enter()
    def open(self):
        self.running: set[str] = set()
        self.gone: list[str] = []
        self.go = threading.Event()

    @modal.method()
    def wait(self, n: int) -> tuple:
        """Until it is told to go on; knows its own input all the time."""
        mine = modal.current_input_id()
        self.running.add(mine)
        while not self.go.wait(0.01):
            assert modal.current_input_id() == mine
        return n, mine, container()

    @modal.method()
    def wait_for(self, n: int, place: str) -> int:
        while not os.path.exists(f"/marks/{place}"):
            time.sleep(0.01)
        return n

    @modal.method()
    def count(self) -> int:
        return len(self.running)

    @modal.method()
    def release(self):
        self.go.set()

    @modal.method()
    def fails(self, how: str, place: str = "") -> str:
        if how == "raise":
            raise Stays("one alone")
        if how == "exit":
            sys.exit(7)
        if how == "sleep":
            try:
                for _ in range(6000):
                    time.sleep(0.01)
            finally:
                self.gone.append(how)
        if how == "_exit" and not os.path.exists(f"/marks/{place}"):
            with open(f"/marks/{place}", "w"):
                pass
            os._exit(9)
        return f"{how} at last"

    @modal.method()
    def left(self) -> list[str]:
        return self.gone


@app.cls(max_containers=1, timeout=60, volumes={"/marks": volume})
@modal.concurrent(max_inputs=8)
class Loop:
    @modal.enter()
    async def open(self):
        self.running: set[str] = set()
        self.gone: list[str] = []
        self.go = asyncio.Event()

    @modal.method()
    async def wait(self, n: int) -> tuple:
        mine = modal.current_input_id()
        self.running.add(mine)
        while not self.go.is_set():
            await asyncio.sleep(0.01)
            assert modal.current_input_id() == mine
        return n, mine, container()

    @modal.method()
    async def wait_for(self, n: int, place: str) -> int:
        while not os.path.exists(f"/marks/{place}"):
            await asyncio.sleep(0.01)
        return n

    @modal.method()
    async def count(self) -> int:
        return len(self.running)

    @modal.method()
    async def release(self):
        self.go.set()

    @modal.method()
    async def fails(self, how: str, place: str = "") -> str:
        if how == "raise":
            raise Stays("one alone")
        if how == "exit":
            sys.exit(7)
        if how == "sleep":
            try:
                await asyncio.sleep(60)
            finally:
                self.gone.append(how)
        if how == "_exit" and not os.path.exists(f"/marks/{place}"):
            with open(f"/marks/{place}", "w"):
                pass
            os._exit(9)
        return f"{how} at last"

    @modal.method()
    async def left(self) -> list[str]:
        return self.gone


def outcome(call) -> str:
    try:
        return str(call())
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


def beside_each_other(kind) -> None:
    one = kind()
    waiting = [one.wait.spawn(n) for n in range(3)]
    while one.count.remote() < 3:
        pass
    assert "Stays: one alone" in outcome(lambda: one.fails.remote("raise"))
    left = outcome(lambda: one.fails.remote("exit"))
    assert "7" in left, left
    cancelled = one.fails.spawn("sleep")
    cancelled.cancel()
    said = outcome(lambda: cancelled.get(timeout=30))
    assert "cancel" in said.lower(), said
    assert one.count.remote() == 3
    one.release.remote()
    rows = modal.FunctionCall.gather(*waiting)
    assert [row[0] for row in rows] == [0, 1, 2]
    assert len({row[1] for row in rows}) == 3
    assert len({row[2] for row in rows}) == 1, "none ran again"


def dies_and_others_run_again(kind, place: str) -> None:
    """Those that were there when it died run alone then, so they must not need another of their container."""
    one = kind()
    others = [one.wait_for.spawn(n, place) for n in range(2)]
    first = outcome(lambda: one.fails.remote("_exit", place))
    assert first == "_exit at last", first
    assert [call.get(timeout=60) for call in others] == [0, 1]


def runs_too_long(kind) -> None:
    one = kind.with_options(timeout=4)()
    said = outcome(lambda: one.fails.remote("sleep"))
    assert said.startswith("FunctionTimeoutError"), said
    one.release.remote()
    assert one.wait.remote(5)[0] == 5


@app.local_entrypoint()
def main():
    for kind in (Threads, Loop):
        beside_each_other(kind)
        print(kind.__name__, "beside each other")
        runs_too_long(kind)
        print(kind.__name__, "too long")
        dies_and_others_run_again(kind, f"{kind.__name__} {time.time_ns()}")
        print(kind.__name__, "dies")
    print("all as expected")
