"""An app whose name many use at once. `named.py NUMBER`"""

import sys

import ionian as modal

app = modal.App("the-same-name", image=modal.Image.debian_slim(python_version="3.11"))


@app.function()
def add(number: int, other: int) -> int:
    return number + other


with app.run():
    mine = int(sys.argv[1])
    assert list(add.map(range(200), kwargs={"other": mine})) == [number + mine for number in range(200)]
print("mine", mine, app.app_id)
