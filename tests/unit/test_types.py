"""A type checker follows a function's parameters and results through every way to call it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import ionian as modal
from collections.abc import AsyncIterator, Iterator
from typing_extensions import assert_type

app = modal.App()

@app.function(cpu=2)
def plain(n: int, name: str = "") -> list[str]: ...

@app.function()
async def later(n: int) -> bytes: ...

@app.function()
def items(n: int) -> Iterator[float]:
    yield 1.0

@app.function()
async def items_later(n: int) -> AsyncIterator[str]:
    yield ""

@app.local_entrypoint()
def main(steps: int = 5) -> int: ...

assert_type(plain.remote(1, name="x"), list[str])
assert_type(plain.local(1), list[str])
assert_type(later.remote(1), bytes)
assert_type(main(steps=3), int)
for result in plain.map([1]):
    assert_type(result, list[str])
for result in later.starmap([(1,)], order_outputs=False):
    assert_type(result, bytes)
for item in items.remote_gen(3):
    assert_type(item, float)
for word in items_later.remote_gen(3):
    assert_type(word, str)

async def run() -> None:
    assert_type(await plain.remote.aio(1), list[str])
    assert_type(await later.remote.aio(1), bytes)
    assert_type(await later.local(1), bytes)
    async for result in plain.map.aio([1]):
        assert_type(result, list[str])
    async for item in items.remote_gen.aio(3):
        assert_type(item, float)
    async with app.run() as running:
        assert_type(running, modal.App)

with app.run() as running:
    assert_type(running, modal.App)

handle: modal.Function[[int], bytes] = later
image = modal.Image.debian_slim().pip_install("numpy").pipe(lambda image: image.env({"A": "1"}))
assert_type(image, modal.Image)
"""

WRONG = """
import ionian as modal

app = modal.App()

@app.function()
def plain(n: int) -> str: ...

plain.remote("x")
plain.remote(1, 2)
plain.remote.aio()
plain.map([1], order=True)
app.function(cpus=2)
"""


def errors(program: str, folder: Path) -> list[tuple[int, str]]:
    """What pyright finds: line and message."""
    file = folder / "program.py"
    file.write_text(program)
    command = (sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(file))
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return [
        (each["range"]["start"]["line"] + 1, each["message"]) for each in found if each["severity"] == "error"
    ]


def test_types_go_through_every_way_to_call(tmp_path: Path) -> None:
    assert errors(PROGRAM, tmp_path) == []


def test_wrong_arguments_are_found(tmp_path: Path) -> None:
    assert {line for line, _ in errors(WRONG, tmp_path)} == {9, 10, 11, 12, 13}
