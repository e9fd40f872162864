"""Functions whose containers say of themselves what one container must not see of another: see test_templates.py."""

import os
import random
import socket
import time
import uuid

import modal

app = modal.App("forks")
image = modal.Image.debian_slim(python_version="3.11")

IMPORTED = os.urandom(8).hex()
"""Equal in two containers if both are forks of one template, for each import draws anew."""

SPACE = os.readlink("/proc/self/ns/pid")
"""Of the process that imported."""

left = []


def is_fork():
    return os.readlink("/proc/self/ns/pid") != SPACE


FOLDERS = ("/tmp", "/root", "/dev/shm", "/var/tmp")


@app.function(image=image, single_use_containers=True, env={"OF_THE_FUNCTION": "1"})
def look(number):
    """Says what is here, and leaves something everywhere."""
    seen = {
        "imported": IMPORTED,
        "forked": is_fork(),
        "files": [name for folder in FOLDERS for name in os.listdir(folder) if name.startswith("left")],
        "processes": [name for name in os.listdir("/proc") if name.isdigit()],
        "variables": [name for name in os.environ if name.startswith("LEFT")],
        "memory": list(left),
        "random": random.random(),
        "uuid": str(uuid.uuid4()),
        "id": os.environ["MODAL_TASK_ID"],
        "host": socket.gethostname(),
        "kept": os.environ["OF_THE_FUNCTION"],
    }
    for folder in FOLDERS:
        with open(f"{folder}/left-{number}", "w") as file:
            file.write("x")
    os.environ[f"LEFT_{number}"] = "x"
    left.append(number)
    return seen


@app.function(image=image, secrets=[modal.Secret.from_dict({"OURS": "s3cr3t-of-with"})])
def with_secret():
    return [is_fork(), os.environ.get("OURS"), _found(b"s3cr3t-of-" + b"with")]


@app.function(image=image)
def without_secret():
    return [is_fork(), os.environ.get("OURS"), _found(b"s3cr3t-of-" + b"with")]


def _found(needle):
    """Whether this process has it anywhere in its first environment."""
    with open("/proc/self/environ", "rb") as file:
        return needle in file.read()


if os.environ.get("HANGS"):  # what each fork calls: all hang but the trial, which would tell
    setsid = os.setsid
    os.setsid = lambda: setsid() if socket.gethostname() == "proof" else time.sleep(1000)


@app.function(image=image, single_use_containers=True, env={"HANGS": "1"})
def hangs(_):
    return is_fork()


@app.cls(image=image, single_use_containers=True)
class Dies:
    """Works where it is no fork."""

    @modal.enter()
    def enter(self):
        if is_fork():
            os._exit(3)

    @modal.method()
    def run(self):
        return is_fork()


@app.cls(image=image, single_use_containers=True, enable_memory_snapshot=True)
class Restored:
    @modal.enter(snap=True)
    def load(self):
        self.loaded = os.urandom(8).hex()

    @modal.enter(snap=False)
    def begin(self):
        self.begun = os.urandom(8).hex()

    @modal.method()
    def run(self):
        return [is_fork(), self.loaded, self.begun]


@app.function(image=image, scaledown_window=60)
def slow(seconds):
    time.sleep(seconds)
    return is_fork()
