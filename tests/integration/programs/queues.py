"""Queues in containers. Prints what came back as one line of JSON."""

import asyncio
import json
import os
import queue
import threading
import time
from typing import Any

import modal

app = modal.App("queues")
LIMIT = 100_000


@app.function()
def take_and_die(jobs: modal.Queue, began: modal.Queue, unconfirmed: bool) -> None:
    """Waits for an item and dies; or gets one, and dies before it has said that it has it."""
    if unconfirmed:
        from ionian import link
        from ionian.protocol.items import TAKE, ItemOps, Op, pack_ops, unpack_done

        objects: list[str] = []
        payload = pack_ops([Op(TAKE, jobs.hydrate().object_id, b"", (), 1)], objects)
        _, answer = link.current().request(ItemOps("io-unconfirmed", objects, 1), payload)
        assert unpack_done(answer, 1)[0].values
    else:
        threading.Thread(target=jobs.get, daemon=True).start()
        while jobs.len(partition="none"):
            pass
    began.put(os.environ["MODAL_TASK_ID"])
    time.sleep(3600)


@app.function()
def wait_forever(jobs: modal.Queue, began: modal.Queue) -> Any:
    began.put("began")
    return jobs.get()


@app.function()
async def give_up(jobs: modal.Queue) -> list[Any]:
    """Waits with patience that ends, and then looks whether what came is still there."""
    try:
        await asyncio.wait_for(jobs.get.aio(), 0.3)
    except asyncio.TimeoutError:
        pass
    await jobs.put.aio("kept")
    return [await jobs.get.aio(timeout=30), await jobs.get.aio(block=False)]


@app.function()
def size_of(jobs: modal.Queue) -> int:
    return len(jobs.get())


seen: dict[str, Any] = {}


def end_container(container_id: str) -> None:
    from ionian import link
    from ionian.protocol.apps import EndContainer

    link.current().request(EndContainer(container_id))


def the_dead() -> None:
    """Containers that are ended while they wait for an item, or before they have it."""
    with modal.Queue.ephemeral() as jobs, modal.Queue.ephemeral() as began:
        call = take_and_die.spawn(jobs, began, False)
        container_id = began.get(timeout=60)
        call.cancel()  # first: else the input runs again elsewhere, and takes the item itself
        end_container(container_id)
        jobs.put("first")
        seen["waited"] = jobs.get(timeout=50)
        jobs.put_many(["second", "third"])
        call = take_and_die.spawn(jobs, began, True)
        container_id = began.get(timeout=60)
        seen["taken"] = jobs.len()
        call.cancel()
        end_container(container_id)
        deadline = time.monotonic() + 50
        while jobs.len() < 2 and time.monotonic() < deadline:
            pass
        seen["went back"] = jobs.get_many(2)
        call = wait_forever.spawn(jobs, began)
        began.get(timeout=60)
        call.cancel()
        try:
            call.get(timeout=60)
        except modal.exception.RemoteError as error:
            seen["cancelled"] = str(error)
        jobs.put("after the cancelled")
        seen["after the cancelled"] = jobs.get(timeout=50)
    with modal.Queue.ephemeral() as jobs:
        seen["gave up"] = give_up.remote(jobs)


def full() -> None:
    with modal.Queue.ephemeral() as jobs:
        jobs.put_many(list(range(LIMIT)))
        for use in (lambda: jobs.put(1, block=False), lambda: jobs.put(1, timeout=0.2)):
            try:
                use()
            except queue.Full as error:
                seen["full"] = str(error)
        jobs.put("elsewhere", partition="other")
        putter = threading.Thread(target=jobs.put, args=("last",))
        putter.start()
        seen["all of it"] = jobs.get_many(LIMIT)[:3]
        putter.join()
        seen["then"] = jobs.get_many(LIMIT)
        seen["sizes"] = []
        for size in (1, (2 << 20) + 1, 12 << 20):
            jobs.put(b"x" * size)
            seen["sizes"].append(size_of.remote(jobs))


def in_order() -> None:
    with modal.Queue.ephemeral() as jobs:
        got: list[tuple[int, Any]] = []

        def get(place: int) -> None:
            got.append((place, jobs.get()))

        getters = [threading.Thread(target=get, args=(place,)) for place in range(8)]
        for getter in getters:
            getter.start()
        for number in range(8):
            jobs.put(number)
        for getter in getters:
            getter.join()
        seen["got"] = sorted(item for _, item in got)
        jobs.put_many(["a", "b"])
        follow = jobs.iterate(item_poll_timeout=20)
        seen["looked"] = [next(follow), next(follow)]
        threading.Timer(0.2, jobs.put, ("c",)).start()
        seen["followed"] = next(follow)
        seen["left"] = jobs.len()


@app.local_entrypoint()
def main() -> None:
    in_order()
    the_dead()
    full()
    print("SEEN", json.dumps(seen))
