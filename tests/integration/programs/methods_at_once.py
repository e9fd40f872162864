"""A class whose methods run beside each other, sync and async ones. Prints what it saw as one line of JSON."""

import asyncio
import json
import threading
import time

import ionian as modal

app = modal.App("methods-at-once", image=modal.Image.debian_slim(python_version="3.11"))


@app.cls(max_containers=1)
@modal.concurrent(max_inputs=4)
class Both:
    @modal.enter()
    async def enter(self) -> None:
        self.ticks = 0
        self.ticking = asyncio.ensure_future(self.tick())

    async def tick(self) -> None:
        while True:
            self.ticks += 1
            await asyncio.sleep(0.001)

    @modal.method()
    def sync(self) -> bool:
        before = self.ticks
        while self.ticks < before + 3:  # the loop goes on while this runs in a thread
            time.sleep(0.001)
        return threading.current_thread() is not threading.main_thread()

    @modal.method()
    async def on_loop(self) -> bool:
        before = self.ticks
        while self.ticks < before + 3:
            await asyncio.sleep(0.001)
        return threading.current_thread() is threading.main_thread()


@app.cls(max_containers=1)
class Ticking:
    """One input at a time; what @enter left on the loop goes on between inputs."""

    @modal.enter()
    async def enter(self) -> None:
        self.ticks = 0
        self.ticking = asyncio.ensure_future(Both.tick(self))

    @modal.method()
    def seen(self) -> int:
        return self.ticks


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, object] = {}
    both = Both()

    async def mixed() -> list[bool]:
        calls = [both.sync.remote.aio() if n % 2 else both.on_loop.remote.aio() for n in range(12)]
        return list(await asyncio.gather(*calls))

    seen["both"] = asyncio.run(mixed())
    ticking = Ticking()
    first = ticking.seen.remote()
    time.sleep(0.3)
    seen["ticked between inputs"] = ticking.seen.remote() - first > 20
    print("SEEN", json.dumps(seen))
