"""Its app runs while it is imported, and it catches everything. Functions below that line exist here only."""

import atexit

import ionian as modal

app = modal.App("at-import", image=modal.Image.debian_slim(python_version="3.11"))
atexit.register(print, "at exit")


@app.function()
def above(number: int) -> int:
    return number + 1


class Above:
    pass


try:
    with app.run():
        assert above.remote(1) == 2
        print("above as expected")
except BaseException as error:
    print("caught", type(error).__name__)
    raise
finally:
    print("finally")


@app.function()
def below(number: int) -> int:
    return number + 2


with app.run():
    print("a second time", above.remote(2))
    try:
        below.remote(1)
    except AttributeError as error:
        print("refused:", error)
