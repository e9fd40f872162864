"""Ways to end that concern one input, or the program here."""

import asyncio
import sys

import ionian as modal

app = modal.App("endings", image=modal.Image.debian_slim(python_version="3.11"))


@app.function()
def leave(number: int) -> int:
    if number == 1:
        sys.exit(3)
    if number == 2:
        raise KeyboardInterrupt
    if number == 3:
        raise asyncio.CancelledError("cancelled")
    return number


@app.local_entrypoint()
def there() -> None:
    for result in leave.map(range(5), return_exceptions=True):
        print("got", type(result).__name__, result)
    leave.remote(1)


@app.local_entrypoint()
def here() -> None:
    sys.exit(3)


@app.local_entrypoint()
def here_with_words() -> None:
    sys.exit("the reason")


@app.local_entrypoint()
def own_error() -> None:
    raise LookupError("nothing found")
