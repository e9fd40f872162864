"""Functions that name cards in all ways there are, from `ionian run`: prints which card each got."""

from __future__ import annotations

import json
import os
from typing import Any

import modal

app = modal.App("kinds-of-cards")


def mine() -> list[str]:
    return sorted(name for name in os.listdir("/dev") if name.startswith("nvidia") and name != "nvidiactl")


@app.function(gpu="H100!")
def exact() -> list[str]:
    return mine()


@app.function(gpu="A100")
def smaller() -> list[str]:
    return mine()


@app.function(gpu="a100-80gb")
def larger() -> list[str]:
    return mine()


@app.function(gpu=["H100:2", "B200", "H200:1"])
def fallback() -> list[str]:
    return mine()


@app.cls(gpu="any")
class Model:
    @modal.enter()
    def load(self) -> None:
        self.cards = mine()

    @modal.method()
    def see(self) -> list[str]:
        return self.cards


@app.local_entrypoint()
def main() -> None:
    other: Any = Model.with_options(gpu="H200")
    several: Any = Model.with_options(gpu="A100-80GB:2")
    try:
        refused = several().see.remote()
    except modal.exception.Error as error:
        refused = str(error)
    found = {function.tag: function.remote() for function in (exact, smaller, larger, fallback)}
    found |= {"any": Model().see.remote(), "variant": other().see.remote(), "refused": refused}
    print("SEEN " + json.dumps(found))
