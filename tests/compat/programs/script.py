"""A script that runs its app itself, with classes of its own on both sides."""

import dataclasses
import enum
import typing

import modal

app = modal.App("script", image=modal.Image.debian_slim(python_version="3.11"))
print("the top of the script runs")


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Doc:
    text: str
    colour: Colour = Colour.RED


class Pair(typing.NamedTuple):
    first: Doc
    second: int


class Refused(Exception):
    pass


class Outer:
    class Inner:
        def __init__(self, value: int) -> None:
            self.value = value


@app.function()
def paint(doc: Doc) -> Pair:
    assert isinstance(doc, Doc)
    assert doc.colour is Colour.RED
    return Pair(dataclasses.replace(doc, colour=Colour.BLUE), len(doc.text))


@app.function()
def refuse(inner: Outer.Inner) -> None:
    assert type(inner) is Outer.Inner
    raise Refused(inner.value)


try:
    with app.run():
        pair = paint.remote(Doc("text"))
        assert type(pair) is Pair
        assert pair == (Doc("text", Colour.BLUE), 4)
        try:
            refuse.remote(Outer.Inner(5))
            raise AssertionError("expected Refused")
        except Refused as error:
            value = error.args
        assert value == (5,)
except BaseException:
    print("it failed")
    raise
finally:
    print("the end")

print("all as expected")
