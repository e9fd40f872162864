from .inner.application import app
from .inner.work import check
from .parts import Part


@app.function()
def triple(part: Part) -> Part:
    return Part(3 * part.number)


if __name__ == "__main__":
    with app.run():
        check()
        assert triple.remote(Part(2)) == Part(6)
        print("main as expected")
