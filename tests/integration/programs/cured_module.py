"""A module that is brought along, and a function that is not."""

import local_helper

import ionian as modal

slim = modal.Image.debian_slim(python_version="3.11")
app = modal.App("cured-module", image=slim.add_local_python_source("local_helper"))


@app.function()
def cured(number: int) -> int:
    return local_helper.help(number)


@app.function(include_source=False)
def alone(number: int) -> int:
    return number


@app.local_entrypoint()
def main() -> None:
    print("helped", cured.remote(1))


@app.local_entrypoint()
def without_source() -> None:
    alone.remote(1)
