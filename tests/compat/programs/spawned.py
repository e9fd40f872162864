"""Calls that outlive their caller: spawned, asked for by id, gathered, cancelled, tried again."""

import modal

app = modal.App("spawned")


@app.function(retries=modal.Retries(max_retries=2, initial_delay=0.0))
def square(n: int) -> int:
    return n * n


@app.function()
async def outer(n: int) -> int:
    calls = [await square.spawn.aio(number) for number in range(n)]
    return sum(await modal.FunctionCall.gather.aio(*calls))


@app.function()
def sleeps() -> None:
    import time

    time.sleep(3600)


@app.local_entrypoint()
def main(times: int = 50):
    call = square.spawn(7)
    assert modal.FunctionCall.from_id(call.object_id).get(timeout=60) == 49
    assert modal.FunctionCall.gather(*[square.spawn(n) for n in range(3)]) == [0, 1, 4]
    assert outer.remote(5) == 30

    mapped = square.experimental_spawn_map(range(times))
    assert list(mapped.iter()) == [n * n for n in range(times)]
    assert (mapped.get(index=3), mapped.num_inputs()) == (9, times)

    slow = sleeps.spawn()
    try:
        slow.get(timeout=0)
    except TimeoutError:
        slow.cancel()
    try:
        slow.get(timeout=60)
    except modal.exception.RemoteError:
        print("all as expected")
