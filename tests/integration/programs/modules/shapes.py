"""A script that runs its own app, with classes of its own as arguments, results and exceptions."""

from __future__ import annotations

import dataclasses
import enum
import sys
import typing

import ionian as modal

app = modal.App("shapes", image=modal.Image.debian_slim(python_version="3.11"))
print("top of", __name__)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Document:
    text: str
    colour: Colour = Colour.RED


class Pair(typing.NamedTuple):
    document: Document
    number: int


class Refused(Exception):
    pass


class Outer:
    class Inner:
        def __init__(self, value: int) -> None:
            self.value = value


@app.function()
def paint(document: Document) -> Pair:
    assert type(document) is Document
    assert document.colour is Colour.RED
    return Pair(dataclasses.replace(document, colour=Colour.BLUE), len(document.text))


@app.function()
def nest(inner: Outer.Inner) -> Outer.Inner:
    assert type(inner) is Outer.Inner
    return Outer.Inner(inner.value + 1)


@app.function()
def refuse(colour: Colour) -> None:
    raise Refused(colour)


def check() -> None:
    pair = paint.remote(Document("text"))
    assert type(pair) is Pair
    assert pair == (Document("text", Colour.BLUE), 4)
    assert [type(result) for result in paint.map([Document("a"), Document("b")])] == [Pair, Pair]
    inner = nest.remote(Outer.Inner(1))
    assert type(inner) is Outer.Inner
    assert inner.value == 2
    refused = None
    try:
        refuse.remote(Colour.BLUE)
    except Refused as error:
        refused = error.args
    assert refused is not None
    assert refused[0] is Colour.BLUE
    print("all as expected, arguments", sys.argv[1:])


@app.local_entrypoint()
def main() -> None:
    check()


if __name__ == "__main__":
    with app.run():
        check()
