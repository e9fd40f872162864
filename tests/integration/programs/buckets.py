"""What containers do with buckets of an S3 server (BUCKET_URL), as one line of JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import modal

URL = os.environ.get("BUCKET_URL", "http://127.0.0.1:1")
app = modal.App("buckets")
image = modal.Image.debian_slim(python_version="3.11")
KEY = "a-key-of-a-bucket-that-no-container-sees"
secret = modal.Secret.from_dict({"AWS_ACCESS_KEY_ID": "id-of-the-bucket", "AWS_SECRET_ACCESS_KEY": KEY})


def bucket(**options: Any) -> modal.CloudBucketMount:
    return modal.CloudBucketMount(
        "measurements", bucket_endpoint_url=URL, secret=secret, force_path_style=True, **options
    )


def error_of(act: Any) -> str:
    try:
        act()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def keys_seen() -> list[str]:
    """Where a process of the container finds the key."""
    found = [name for name, value in os.environ.items() if KEY in value]
    for process in Path("/proc").iterdir():
        for part in ("environ", "cmdline") if process.name.isdigit() else ():
            try:
                if KEY.encode() in (process / part).read_bytes():
                    found.append(f"{process}/{part}")
            except OSError:
                continue
    return found + [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if KEY in line]


def append() -> None:
    with open("/data/kept.txt", "a") as file:
        file.write("x")


@app.function(image=image, volumes={"/data": bucket(key_prefix="2026/")})
def writing(large: int) -> dict[str, Any]:
    there = sorted(os.listdir("/data"))
    Path("/data/made").mkdir()
    Path("/data/made/new.txt").write_text("made in a container")
    with open("/data/large", "wb") as file:
        for _ in range(large >> 20):
            file.write(os.urandom(1 << 20))
    os.remove("/data/old.txt")
    return {
        "there": there,
        "read": Path("/data/kept.txt").read_text(),
        "large": os.path.getsize("/data/large"),
        "owner": os.stat("/data/kept.txt").st_uid,
        "append": error_of(append),
        "keys": keys_seen(),
    }


@app.function(image=image, volumes={"/all": bucket(read_only=True)})
def reading() -> dict[str, Any]:
    return {
        "names": sorted(str(path) for path in Path("/all").rglob("*")),
        "write": error_of(lambda: Path("/all/x").write_text("x")),
    }


@app.function(
    image=image,
    volumes={
        "/data": modal.CloudBucketMount("measurements", secret=modal.Secret.from_dict({"AWS_REGION": "x"}))
    },
)
def without_keys() -> None:
    pass


@app.local_entrypoint()
def main() -> None:
    said = {
        "wrote": writing.remote(20 << 20),
        "read": reading.remote(),
        "lacking": error_of(without_keys.remote),
    }
    print("SEEN", json.dumps(said))
