from ..parts import Part
from . import twice
from .application import app


class Lost(Exception):
    pass


@app.function()
def double(part: Part) -> Part:
    assert type(part) is Part
    return Part(twice(part.number))


@app.function()
def lose(number: int) -> None:
    raise Lost(number)


def check() -> None:
    assert double.remote(Part(2)) == Part(4)
    try:
        lose.remote(3)
    except Lost as error:
        print("all as expected, lost", error.args[0])


@app.local_entrypoint()
def main() -> None:
    check()


if __name__ == "__main__":
    with app.run():
        check()
