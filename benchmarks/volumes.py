"""Files of a volume in a container and from a client, beside the bare tools on the same disk, in turns in one run.

python -m benchmarks.volumes [--mib 1000] [--files 10000] [--rounds 3]      prints a table
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import ionian

app = ionian.App("benchmark-volumes")
image = ionian.Image.debian_slim(python_version="3.11")
volume = ionian.Volume.from_name("benchmark-volumes", create_if_missing=True)
CHUNK = 1 << 20
SMALL = 1000
"""Bytes of a small file."""


def sequential(folder: str, mib: int) -> tuple[float, float]:
    """MiB a second written, synced at the end, and read again after the page cache has let go of it."""
    path = os.path.join(folder, "sequential")
    content = os.urandom(CHUNK)
    begun = time.perf_counter()
    with open(path, "wb", buffering=0) as file:
        for _ in range(mib):
            file.write(content)
        os.fsync(file.fileno())
    written = mib / (time.perf_counter() - begun)
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        begun = time.perf_counter()
        while file.read(CHUNK):
            pass
    read = mib / (time.perf_counter() - begun)
    os.remove(path)
    return written, read


@app.function(image=image, volumes={"/volume": volume}, timeout=600)
def in_container(mib: int) -> tuple[float, float]:
    return sequential("/volume", mib)


def seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def send(local: Path, remote: str) -> None:
    with volume.batch_upload() as batch:
        if local.is_dir():
            batch.put_directory(local, remote)
        else:
            batch.put_file(local, remote)


def copied_and_hashed(local: Path, target: Path) -> None:
    """`cp`, a hash of it, and the sync without which it is not kept."""
    subprocess.run(["cp", "-r", local, target], check=True)
    if local.is_file():
        with local.open("rb") as file:
            hashlib.file_digest(file, "sha256")
    subprocess.run(["sync", "-f", target], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1000)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    from ionian.machine.state import StateFolder

    folder = Path(tempfile.mkdtemp(prefix="benchmark-", dir=StateFolder.default().blobs.parent))
    ours: dict[str, list[float]] = {}
    bare: dict[str, list[float]] = {}

    def note(into: dict[str, list[float]], name: str, value: float) -> None:
        into.setdefault(name, []).append(value)

    try:
        small = folder / "small"
        small.mkdir()
        for number in range(options.files):
            (small / f"{number}").write_bytes(os.urandom(SMALL))
        with app.run():
            in_container.remote(1)
            for turn in range(options.rounds):
                large = folder / "large"
                with large.open("wb") as file:
                    for _ in range(options.mib):  # content that the server has not yet
                        file.write(os.urandom(CHUNK))
                    file.flush()
                    os.fsync(file.fileno())  # else who writes next to this disk waits for it
                one_after_the_other = [
                    (bare, lambda: sequential(str(folder), options.mib)),
                    (ours, lambda: in_container.remote(options.mib)),
                ]
                for into, measure in one_after_the_other[
                    :: 1 if turn % 2 else -1
                ]:  # who is first finds another disk
                    written, read = measure()
                    note(into, "write", written)
                    note(into, "read", read)
                for name, local, amount in (("small", small, options.files), ("large", large, options.mib)):
                    target = folder / f"copy-{turn}"
                    note(bare, name, amount / seconds(lambda of=local, to=target: copied_and_hashed(of, to)))
                    note(ours, name, amount / seconds(lambda of=local, to=f"{name}-{turn}": send(of, to)))
                    subprocess.run(["rm", "-rf", target], check=True)
                    volume.remove_file(f"{name}-{turn}", recursive=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table(ours, bare))
    print(f"medians of {options.rounds} rounds")


ROWS = {
    "write": ("sequential write in a container, synced", "MiB/s", "the disk below"),
    "read": ("sequential read in a container", "MiB/s", "the disk below"),
    "small": (f"upload of files of {SMALL:,} bytes", "files/s", "cp -r, one sync"),
    "large": ("upload of a large file", "MiB/s", "cp, sha256, sync"),
}


def table(ours: dict[str, list[float]], bare: dict[str, list[float]]) -> str:
    """Medians of the rounds, side by side."""
    lines = ["| | Ionian | bare | beside | ratio |", "|---|---|---|---|---|"]
    for key, (title, unit, beside) in ROWS.items():
        mine, its = median(ours[key]), median(bare[key])
        lines.append(f"| {title} | {mine:,.0f} {unit} | {its:,.0f} {unit} | {beside} | {mine / its:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
