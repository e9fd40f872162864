"""Values and exceptions that don't travel."""

import pathlib
import threading

import ionian as modal

app = modal.App("bad-values", image=modal.Image.debian_slim(python_version="3.11"))


@app.function()
def double(number: int) -> int:
    return 2 * number


@app.function()
def lock() -> object:
    return threading.Lock()


@app.function()
def locks():
    yield 1
    yield threading.Lock()


@app.function()
def own_exception() -> None:
    pathlib.Path("/root/made_here.py").write_text("class OnlyHere(Exception):\n    pass\n")
    import made_here  # type: ignore

    try:
        raise KeyError("the reason")
    except KeyError as error:
        raise made_here.OnlyHere("made in the container") from error


@app.function()
def holding_exception() -> None:
    raise ValueError("it holds a lock", threading.Lock())


@app.local_entrypoint()
def argument() -> None:
    double.remote(threading.Lock())


@app.local_entrypoint()
def argument_of_map() -> None:
    for result in double.map([1, 2, threading.Lock(), 4]):
        print("result", result)


@app.local_entrypoint()
def result() -> None:
    lock.remote()


@app.local_entrypoint()
def item() -> None:
    for item in locks.remote_gen():
        print("item", item)


@app.local_entrypoint()
def exception() -> None:
    own_exception.remote()


@app.local_entrypoint()
def exception_with_a_lock() -> None:
    holding_exception.remote()


@app.local_entrypoint()
def all_go_on() -> None:
    """A failure of one is no failure of the others, and the containers live on."""
    for function in (lock, own_exception, holding_exception):
        try:
            function.remote()
        except modal.exception.Error as error:
            print("caught", type(error).__name__)
    print("doubled", list(double.map(range(3))))
