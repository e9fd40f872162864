"""Dicts and queues, by a client and by functions. Plain Modal code."""

import asyncio
import queue
import time

import modal

app = modal.App("shared")
image = modal.Image.debian_slim(python_version="3.11")
seen = modal.Dict.from_name("shared-seen", create_if_missing=True)
jobs = modal.Queue.from_name("shared-jobs", create_if_missing=True)
NOTHING = object()


@app.function(image=image)
def visit(name: str) -> bool:
    return seen.put(name, {"at": time.time()}, skip_if_exists=True)


@app.function(image=image)
async def visit_async(name: str) -> bool:
    new = await seen.put.aio(name, None, skip_if_exists=True)
    assert await seen.contains.aio(name)
    return new


@app.function(image=image)
def work(results: modal.Queue) -> int:
    done = 0
    while True:
        try:
            job = jobs.get(timeout=60)
        except queue.Empty:
            return done
        if job is None:
            return done
        results.put(job * job, partition="odd" if job % 2 else "even")
        done += 1


@app.function(image=image)
async def hand_on(source: modal.Queue, target: modal.Queue) -> None:
    while (item := await source.get.aio(block=False)) is not None:
        await target.put.aio(item)


def missing(use) -> bool:
    try:
        use()
    except KeyError:
        return True
    return False


def dicts() -> None:
    seen.clear()
    assert seen.len() == 0
    assert visit.remote("a")
    assert not visit.remote("a")
    assert visit_async.remote("b")
    assert sorted(seen.keys()) == ["a", "b"]
    assert "a" in seen
    assert "c" not in seen
    assert seen["b"] is None
    assert seen.get("c") is None
    assert seen.get("c", NOTHING) is NOTHING
    assert missing(lambda: seen["c"])
    assert missing(lambda: seen.pop("c"))
    assert seen.pop("c", 3) == 3
    seen["c"] = [1, 2]
    seen.update({("d", 1): 4, 5: 6}, e=7)
    assert seen.pop("c") == [1, 2]
    del seen["a"], seen["b"]
    assert dict(seen.items()) == {("d", 1): 4, 5: 6, "e": 7}
    assert sorted(seen.values()) == [4, 6, 7]
    assert seen.len() == 3
    large = bytes(range(256)) * 20_000
    seen["large"] = large
    assert seen["large"] == large
    with modal.Dict.ephemeral() as scratch:
        scratch["x"] = 1
        assert modal.Dict.from_id(scratch.object_id)["x"] == 1


def queues() -> None:
    jobs.clear(all=True)
    assert jobs.get(block=False) is None
    assert jobs.get_many(3, block=False) == []
    try:
        jobs.get(timeout=0.1)
        raise AssertionError("expected queue.Empty")
    except queue.Empty:
        pass
    with modal.Queue.ephemeral() as results:
        jobs.put_many(list(range(10)))
        assert jobs.len() == 10
        jobs.put_many([None, None])
        assert sum(work.map([results, results])) == 10
        assert results.len(partition="even") == 5
        assert results.len(total=True) == 10
        assert sorted(results.get_many(10, partition="even")) == [0, 4, 16, 36, 64]
        odd = sorted(results.iterate(partition="odd"))
        assert odd == [1, 9, 25, 49, 81]
        assert results.len(partition="odd") == 5
        results.clear(partition="odd")
        assert results.len(total=True) == 0
        results.put("late", partition="ttl", partition_ttl=3600)
        results.put_many(["a", "b"])
        hand_on.remote(results, jobs)
    assert jobs.get_many(5) == ["a", "b"]


async def from_coroutines() -> None:
    await seen.clear.aio()
    await asyncio.gather(*(seen.put.aio(n, n * n) for n in range(50)))
    assert await asyncio.gather(*(seen.get.aio(n) for n in range(50))) == [n * n for n in range(50)]
    assert sorted([key async for key in seen.keys.aio()]) == list(range(50))
    assert await seen.len.aio() == 50
    assert await seen.pop.aio(7) == 49
    getters = [asyncio.create_task(jobs.get.aio()) for _ in range(5)]
    await jobs.put_many.aio(list(range(5)))
    assert sorted(await asyncio.gather(*getters)) == list(range(5))
    async with modal.Queue.ephemeral() as mine:
        await mine.put.aio(1)
        assert [item async for item in mine.iterate.aio()] == [1]


def named() -> None:
    modal.Dict.objects.create("shared-made", allow_existing=True)
    assert "shared-made" in [each.name for each in modal.Dict.objects.list()]
    made = modal.Dict.from_name("shared-made").hydrate()
    assert made.object_id.startswith("di-")
    assert made.info().name == made.name == "shared-made"
    modal.Dict.objects.delete("shared-made")
    try:
        modal.Dict.from_name("shared-made").hydrate()
        raise AssertionError("expected a NotFoundError")
    except modal.exception.NotFoundError:
        pass
    modal.Queue.objects.create("shared-made", allow_existing=True)
    found = modal.Queue.from_name("shared-made").hydrate()
    assert modal.Queue.from_id(found.object_id).info().name == "shared-made"
    assert modal.Queue.objects.list(max_objects=1)
    modal.Queue.objects.delete("shared-made")
    modal.Queue.objects.delete("shared-made", allow_missing=True)


@app.local_entrypoint()
def main() -> None:
    dicts()
    queues()
    asyncio.run(from_coroutines())
    named()
    print("all as expected")
