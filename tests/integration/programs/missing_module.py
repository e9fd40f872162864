"""A module that is here and not in the container."""

import local_helper

import ionian as modal

app = modal.App("missing-module", image=modal.Image.debian_slim(python_version="3.11"))


@app.function()
def helped(number: int) -> int:
    return local_helper.help(number)


@app.local_entrypoint()
def missing() -> None:
    helped.remote(1)
