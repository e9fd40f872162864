"""The functions that are measured. This module runs in the containers too, so it needs the image's Python alone."""

from __future__ import annotations

import ionian

app = ionian.App("benchmark")
image = ionian.Image.debian_slim(python_version="3.11")


@app.function(image=image, max_containers=2)
def nothing(x: int) -> int:
    return x


@app.function(image=image, max_containers=1)
def alone(x: int) -> int:
    return x


def numpy_version() -> str:
    """A function for an app of its own, on an image that is made for it."""
    import importlib.metadata

    return importlib.metadata.version("numpy")


@app.local_entrypoint()
def main() -> None:
    print("result", alone.remote(7), flush=True)
