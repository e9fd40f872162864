import ionian as modal

app = modal.App("second", image=modal.Image.debian_slim(python_version="3.11"))


class Box:
    def __init__(self, value: int) -> None:
        self.value = value


@app.function()
def two(value: int) -> Box:
    return Box(value + 10)


if __name__ == "__main__":
    with app.run():
        assert two.remote(1).value == 11
    print("second as expected")
