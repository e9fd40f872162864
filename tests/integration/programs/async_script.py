"""A script that is asynchronous all through, at module level too."""

import asyncio

import ionian as modal

app = modal.App("async-script")


@app.function(max_containers=1)
async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def main() -> None:
    async with app.run():
        print(await double.remote.aio(4))
        print([value async for value in double.map.aio(range(5), order_outputs=True)])
        print(await asyncio.gather(*(double.remote.aio(number) for number in range(5))))
        print(double.remote(5))
    async with app.run():
        print("again", await double.remote.aio(1))


if modal.is_local():
    asyncio.run(main())
