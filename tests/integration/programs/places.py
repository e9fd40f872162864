"""Images in use: files and sources of every kind, two Pythons, from `ionian run`. Prints what it saw."""

from __future__ import annotations

import json
import os
import pathlib
import sys

import ionian as modal

HERE = pathlib.Path(__file__).parent
app = modal.App("places")

files = (
    modal.Image.debian_slim("3.11")
    .add_local_file(HERE / "places" / "one.txt", "/srv/copied.txt", copy=True)
    .run_commands("tr a-z A-Z < /srv/copied.txt > /srv/loud.txt")
    .add_local_file(HERE / "places" / "one.txt", "/srv/mounted.txt")
    .add_local_dir(HERE / "places", "/srv/folder", ignore=["**/*.log", "deep/skipped", "!deep/kept.log"])
    .add_local_python_source("places_helper")
)
newer = modal.Image.debian_slim("3.13").env({"NEWER": "yes"})
bare = modal.Image.debian_slim("3.11").run_commands(
    "rm -rf /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/dist-packages/* /usr/lib/python3/dist-packages/*"
)

with files.imports():
    import places_helper  # type: ignore[import-not-found]


@app.function(image=files)
def look() -> dict[str, object]:
    folder = pathlib.Path("/srv/folder")
    return {
        "copied": pathlib.Path("/srv/copied.txt").read_text(),
        "loud": pathlib.Path("/srv/loud.txt").read_text(),
        "mounted": pathlib.Path("/srv/mounted.txt").read_text(),
        "folder": sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()),
        "helper": places_helper.NAME,
        "mode": oct(os.stat("/srv/folder/deep/run.sh").st_mode & 0o777),
        "source": sorted(os.listdir("/root")),
    }


@app.function(image=newer)
def new(value: object) -> list[object]:
    return [list(sys.version_info[:2]), os.environ["NEWER"], repr(value)]


@app.function(image=bare)
def poor(values: list[int]) -> list[object]:
    from importlib.metadata import distributions

    return [sorted(d.name for d in distributions()), sum(doubled.map(values))]


@app.function(image=bare)
def doubled(value: int) -> int:
    return value * 2


@app.function(include_source=False, serialized=True)
def alone() -> list[str]:
    return sorted(os.listdir("/root"))


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, object] = {"look": look.remote()}
    seen["3.13"] = new.remote({"a": (1, 2.5, b"x")})
    seen["bare"] = poor.remote([1, 2, 3])
    seen["alone"] = alone.remote()
    print("SEEN " + json.dumps(seen), flush=True)
