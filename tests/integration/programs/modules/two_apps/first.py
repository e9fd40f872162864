import second

import ionian as modal

app = modal.App("first", image=modal.Image.debian_slim(python_version="3.11"))


class Box:
    def __init__(self, value: int) -> None:
        self.value = value


@app.function(image=app.image.add_local_python_source("second"))
def one(box: Box) -> Box:
    return Box(box.value + 1)


with app.run(), second.app.run():
    box = second.two.remote(one.remote(Box(1)).value)
    assert type(box) is second.Box
    assert box.value == 12
print("all as expected")
