"""Functions with other options than their decorators gave them, and how many containers they have."""

import asyncio
import os
import time

import modal

app = modal.App("varied", image=modal.Image.debian_slim(python_version="3.11"))
shared = modal.Volume.from_name("varied-shared", create_if_missing=True)


@app.function(env={"WHO": "nobody", "PLACE": "here"}, volumes={"/shared": shared})
def describe(n: int = 0) -> tuple:
    return os.environ["WHO"], os.environ["PLACE"], os.environ.get("TOKEN"), os.environ["MODAL_TASK_ID"]


@app.function(volumes={"/shared": shared})
def fails_once(name: str) -> int:
    path = f"/shared/{name}"
    with open(path, "a") as file:
        file.write("x")
    tries = os.path.getsize(path)
    if tries < 2:
        raise ValueError(tries)
    return tries


@app.function()
async def together(n: int) -> str:
    await asyncio.sleep(0.2)
    return os.environ["MODAL_TASK_ID"]


@app.function()
@modal.batched(max_batch_size=2, wait_ms=10_000)
def sizes(items: list) -> list:
    return [len(items)] * len(items)


@app.function()
def generate(n: int):
    yield from range(n)


@app.function(max_containers=3)
def slowly(n: int) -> int:
    time.sleep(0.1)
    return n


@app.local_entrypoint()
def main() -> None:
    plain = describe.remote()
    assert plain[:3] == ("nobody", "here", None)
    other = describe.with_options(
        env={"WHO": "you"}, secrets=[modal.Secret.from_dict({"TOKEN": "t"})], cpu=0.5
    )
    assert other.remote()[:3] == ("you", "here", "t")
    assert other.remote()[3] != plain[3]
    assert [row[0] for row in other.map(range(3))] == ["you"] * 3
    assert other.spawn().get(timeout=60)[0] == "you"
    assert other.with_options(env={"PLACE": "there"}).remote()[:3] == ("you", "there", "t")
    assert fails_once.with_options(retries=1, timeout=60).remote("tries") == 2
    assert list(generate.with_options(memory=256).remote_gen(3)) == [0, 1, 2]

    one = together.with_concurrency(max_inputs=4).with_options(max_containers=1)
    assert len(set(one.map(range(4)))) == 1
    assert list(sizes.with_batching(max_batch_size=4, wait_ms=10_000).map(range(4))) == [4] * 4

    call = slowly.spawn_map(range(30))
    assert list(call.iter()) == list(range(30))
    stats = slowly.get_current_stats()
    assert 1 <= stats.num_total_runners <= 3, stats
    assert (stats.backlog, stats.num_running_inputs) == (0, 0), stats
    settings = slowly.update_autoscaler(
        min_containers=1, max_containers=1, buffer_containers=0, scaledown_window=2
    )
    assert settings == (1, 1, 0, 2)
    assert list(slowly.map(range(5))) == list(range(5))
    settings = slowly.autoscaler.update(max_containers=None, scaledown_window=3)
    assert settings == slowly.autoscaler.settings() == (1, None, 0, 3)
    assert slowly.autoscaler.update(min_containers=None, max_containers=2) == (0, 2, 0, 3)
    assert slowly.autoscaler.settings().buffer_containers == 0
    for wrong in ({"max_containers": 0}, {"min_containers": -2}, {"scaledown_window": 4000}):
        try:
            slowly.autoscaler.update(**wrong)
            raise AssertionError("expected an InvalidError")
        except modal.exception.InvalidError:
            pass
    print("all as expected")
