"""A function that goes by value to an image of another Python."""

import sys

import ionian as modal

OTHER = "3.13" if sys.version_info[:2] == (3, 11) else "3.11"

app = modal.App("other-python-serialized")


@app.function(serialized=True, image=modal.Image.debian_slim(python_version=OTHER))
def twice(number: int) -> int:
    return 2 * number


@app.local_entrypoint()
def main() -> None:
    print(twice.remote(1))
