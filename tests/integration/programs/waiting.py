"""A script that waits for a call that takes an hour. `waiting.py [async] [build]`"""

import asyncio
import sys
import time

import ionian as modal

app = modal.App("waiting")
slim = modal.Image.debian_slim(python_version="3.11")


@app.function(image=slim)
def hour() -> None:
    print("the hour begins", flush=True)
    time.sleep(3600)


@app.function(image=slim.run_commands("echo the step begins; sleep 3600") if "build" in sys.argv else slim)
def built() -> None: ...


async def wait() -> None:
    async with app.run():
        await hour.remote.aio()


if __name__ == "__main__":
    if "async" in sys.argv:
        asyncio.run(wait())
    else:
        with app.run():
            hour.remote()
