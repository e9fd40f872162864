"""A class below the line where the app runs goes by value."""

import ionian as modal

app = modal.App("classes-below", image=modal.Image.debian_slim(python_version="3.11"))


@app.function()
def same(value: object) -> object:
    return value


with app.run():

    class Below:
        def __init__(self, number: int) -> None:
            self.number = number

        def doubled(self) -> int:
            return 2 * self.number

    got = same.remote(Below(2))
    print("below", type(got) is Below, got.doubled())
