import beside

import ionian as modal

app = modal.App("folder-main", image=modal.Image.debian_slim(python_version="3.11"))


class Box:
    def __init__(self, value: int) -> None:
        self.value = value


@app.function(image=app.image.add_local_python_source("beside"))
def fill(box: Box) -> Box:
    assert type(box) is Box
    return Box(beside.more(box.value))


with app.run():
    box = fill.remote(Box(1))
    assert type(box) is Box
    assert box.value == 2
print("all as expected")
