"""Functions whose templates hold 100 MB, and one that takes what it is told: see test_templates_memory.py."""

import os
import time

import modal

app = modal.App("ballast")
image = modal.Image.debian_slim(python_version="3.11")

if os.environ.get("BALLAST"):
    held = bytearray(100 << 20)
    for at in range(0, len(held), 4096):
        held[at] = 1


@app.function(image=image, single_use_containers=True, memory=16, env={"BALLAST": "1"})
def first():
    return len(held)


@app.function(image=image, single_use_containers=True, memory=16, env={"BALLAST": "1"})
def second():
    return len(held)


@app.function(image=image, single_use_containers=True, memory=16)
def hungry(mib, seconds):
    taken = bytearray(mib << 20)
    for at in range(0, len(taken), 4096):
        taken[at] = 1
    time.sleep(seconds)
    return mib
