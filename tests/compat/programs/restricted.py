"""Functions and a class that may use nothing of Modal: inputs and results, their own volumes and secrets, and no more."""

import asyncio
import os

import modal

app = modal.App("compat-restricted")
image = modal.Image.debian_slim(python_version="3.11")
kept = modal.Dict.from_name("compat-restricted", create_if_missing=True)
waiting = modal.Queue.from_name("compat-restricted", create_if_missing=True)
volume = modal.Volume.from_name("compat-restricted", create_if_missing=True)
secret = modal.Secret.from_dict({"WORD": "given"})


@app.function(image=image)
def other(n: int) -> int:
    kept["other ran"] = n
    return n


def refused(work) -> bool:
    try:
        work()
    except modal.exception.Error as error:
        return "restrict_modal_access" in str(error)
    return False


@app.function(
    image=image, restrict_modal_access=True, volumes={"/own": volume}, secrets=[secret], max_containers=1
)
def tries(other_by_id) -> dict:
    with open("/own/mine", "w") as file:
        file.write(os.environ["WORD"])
    uses = {
        "remote": lambda: other.remote(1),
        "map": lambda: list(other.map([1, 2])),
        "for_each": lambda: other.for_each([1]),
        "spawn": lambda: other.spawn(1),
        "spawn_map": lambda: other.spawn_map([1]),
        "itself": lambda: tries.remote(None),
        "what was passed": lambda: other_by_id.remote(1),
        "from_name": lambda: modal.Function.from_name("compat-restricted", "other").remote(1),
        "with_options": lambda: other.with_options(timeout=9).remote(1),
        "autoscaler": lambda: tries.update_autoscaler(max_containers=3),
        "statistics": lambda: other.get_current_stats(),
        "info": lambda: other.info(),
        "call by id": lambda: modal.FunctionCall.from_id("fc-" + "0" * 26).get(timeout=0),
        "dict": lambda: kept.put("a", 1),
        "dict read": lambda: kept.get("other ran"),
        "queue": lambda: waiting.put(1),
        "queue read": lambda: waiting.get(block=False),
        "new dict": lambda: modal.Dict.from_name("made-inside", create_if_missing=True).hydrate(),
        "volume": lambda: volume.listdir("/"),
        "commit": volume.commit,
        "other volume": lambda: modal.Volume.from_name(
            "compat-restricted-2", create_if_missing=True
        ).hydrate(),
        "secret": lambda: modal.Secret.from_name("any").hydrate(),
        "app": lambda: modal.App.lookup("compat-restricted"),
    }
    return {name: refused(work) for name, work in uses.items()}


@app.function(image=image, restrict_modal_access=True)
async def tries_async() -> bool:
    tries = [other.remote.aio(1), kept.get.aio("a"), other.spawn.aio(1)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    return all("restrict_modal_access" in str(result) for result in results)


@app.function(image=image, restrict_modal_access=True)
def doubled(value):
    return value * 2


@app.function(image=image, restrict_modal_access=True)
def counts(n: int):
    for i in range(n):
        yield bytes([i]) * (3 << 20)


@app.cls(image=image, restrict_modal_access=True)
class Guest:
    size: int = modal.parameter(default=2)

    @modal.enter()
    def begin(self):
        self.refused = refused(lambda: kept.get("a"))

    @modal.method()
    def was_refused(self) -> tuple:
        return self.size, self.refused, refused(lambda: other.remote(1)), self.add.local(1)

    @modal.method()
    def add(self, n: int) -> int:
        return self.size + n


@app.local_entrypoint()
def main():
    kept.clear()
    said = tries.remote(other)
    assert all(said.values()), [name for name, was_refused in said.items() if not was_refused]
    assert tries_async.remote()
    assert "other ran" not in kept
    assert waiting.len() == 0
    assert b"".join(volume.read_file("mine")) == b"given"

    assert doubled.remote(21) == 42
    assert list(doubled.map(range(20))) == [2 * n for n in range(20)]
    assert doubled.remote(b"x" * (5 << 20)) == b"x" * (10 << 20)
    assert doubled.spawn("a").get() == "aa"
    assert [len(part) for part in counts.remote_gen(3)] == [3 << 20] * 3
    assert doubled.with_options(timeout=30).remote(1) == 2
    assert Guest(size=5).was_refused.remote() == (5, True, True, 6)

    assert tries.info().restrict_modal_access
    assert not other.info().restrict_modal_access
    assert other.remote(3) == 3
    assert kept["other ran"] == 3
    print("all as expected")
