"""What a container has and how programs live in it, from `ionian run`: prints what it saw as one line of JSON."""

from __future__ import annotations

import json
import os
import pathlib
import resource
import subprocess
import sys
import time

import ionian as modal

app = modal.App("resources", secrets=[modal.Secret.from_dict({"FROM_APP": "app", "BOTH": "app"})])
shared = modal.Volume.from_name("resources-shared", create_if_missing=True)
first = modal.Secret.from_dict({"TOKEN": "hush-first", "FIRST": "1"})
second = modal.Secret.from_dict({"TOKEN": os.environ.get("HUSH", ""), "BOTH": "function"})
image = modal.Image.debian_slim("3.11").env({"OF_IMAGE": "image", "BOTH": "image"}).workdir("/srv/work")


@app.function(
    image=image, secrets=[first, second], env={"OF_FUNCTION": "yes"}, cpu=(0.5, 1.0), memory=(128, 512)
)
def inside() -> dict[str, object]:
    everything = pathlib.Path("/proc").glob("[0-9]*/cmdline")
    lines = [path.read_bytes().replace(b"\0", b" ").decode() for path in everything]
    return {
        "env": {
            name: os.environ.get(name)
            for name in (
                "TOKEN",
                "FIRST",
                "BOTH",
                "FROM_APP",
                "OF_IMAGE",
                "OF_FUNCTION",
                "HOME",
                "IONIAN_IS_REMOTE",
            )
        },
        "token in argv": [line for line in lines if os.environ["TOKEN"] in line],
        "workdir": os.getcwd(),
        "python": sys.version_info[:2],
        "stdin": sys.stdin.read(),
        "pid": os.getpid(),
        "shared memory": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize >> 20,
        "cores": cores(),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 1024,
        "user": [os.getuid(), os.access("/root", os.W_OK), os.access("/tmp", os.W_OK)],
        "subprocess": subprocess.run(["sh", "-c", "echo $TOKEN; pwd"], capture_output=True, text=True).stdout,
    }


def cores() -> float:
    """How many cores two busy processes get."""
    code = "import time\nend = time.monotonic() + 0.6\nwhile time.monotonic() < end: pass"
    before, start = os.times(), time.monotonic()
    busy = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    for one in busy:
        one.wait()
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used / (time.monotonic() - start)


@app.function(volumes={"/shared": shared})
def write(text: str) -> None:
    pathlib.Path("/shared/note").write_text(text)
    while pathlib.Path("/shared/answer").read_text() != f"{text}, indeed":
        time.sleep(0.01)


@app.function(volumes={"/shared": shared})
def answer(text: str) -> None:
    note = pathlib.Path("/shared/note")
    while not note.exists() or note.read_text() != text:
        time.sleep(0.01)
    pathlib.Path("/shared/answer").write_text(f"{text}, indeed")


@app.function(volumes={"/shared": shared})
def meet(role: str, text: str) -> str:
    pathlib.Path("/shared/answer").touch()
    (write if role == "write" else answer).local(text)
    return role


@app.function(ephemeral_disk=1024, timeout=30, env={"PYTHONPATH": "/srv/more"})
def scratch() -> list[object]:
    path = pathlib.Path("/tmp/large")
    path.write_bytes(bytes(64 << 20))
    pathlib.Path("/root/large").write_bytes(bytes(1 << 20))
    return [path.stat().st_size >> 20, sys.path.index("/srv/more") > sys.path.index("/root")]


@app.function(max_containers=1)
def leftovers() -> list[str]:
    return sorted(os.listdir("/tmp"))


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, object] = {"inside": inside.remote()}
    text = str(time.time_ns())
    seen["volume"] = sorted(meet.starmap([("write", text), ("answer", text)]))
    seen["scratch"] = scratch.remote()
    seen["leftovers"] = leftovers.remote()
    print("SEEN " + json.dumps(seen), flush=True)
