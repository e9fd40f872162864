"""Images with functions that run while they are built: `python baking.py CASE`."""

import os
import sys
import time
from pathlib import Path

import modal

app = modal.App("baking")
slim = modal.Image.debian_slim(python_version="3.11")
FACTOR = int(os.environ.get("FACTOR", "1"))


def divide(by: int) -> float:
    print("dividing", flush=True)
    return 1 / by


def forever() -> None:
    time.sleep(1000)


def leave() -> None:
    sys.exit(7)


def note(text: str) -> None:
    with Path("/note").open("a") as file:
        file.write(text)


def note_factor(factor: int) -> None:
    note(f" {factor}")


def cards() -> None:
    names = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    Path("/cards").write_text(f"{names} {os.environ.get('CUDA_VISIBLE_DEVICES')}")


IMAGES = {
    "fails": lambda: slim.run_function(divide, args=(0,)),
    "late": lambda: slim.run_function(forever, timeout=1),
    "exits": lambda: slim.run_function(leave),
    "kept": lambda: slim.run_function(note, args=("by",)).run_function(note_factor, args=(FACTOR,)),
    "cards": lambda: slim.run_function(cards, gpu="A100:2").run_commands(
        "ls /dev | grep -c 'nvidia[0-9]' > /shell", gpu="A100:2"
    ),
    "many": lambda: slim.run_function(cards, gpu="A100:5"),
    "unlike": lambda: slim.run_function(cards, gpu="A100").run_commands("true", gpu="H100"),
    "locally": lambda: local_function(),
}


def local_function() -> modal.Image:
    word = "captured"

    def write() -> None:
        Path("/note").write_text(word)

    return slim.run_function(write)


image = IMAGES[sys.argv[1]]() if modal.is_local() else slim


@app.function(image=image)
def read() -> list[str]:
    return [path.read_text() for path in map(Path, ("/note", "/cards", "/shell")) if path.exists()]


if __name__ == "__main__":
    with modal.enable_output(), app.run():
        print("READ", read.remote())
