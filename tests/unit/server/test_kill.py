"""A process that writes to store and blobs and is killed, again and again, leaves both whole."""

from __future__ import annotations

import random
import signal
import subprocess
import sys

import pytest

from ionian.machine.state import StateFolder
from ionian.protocol.spec import FunctionSpec
from ionian.server.blobs import BlobStore
from ionian.server.store import Store

WRITER = """
import hashlib, sys
from ionian.protocol.ids import new_id
from ionian.protocol.spec import FunctionSpec
from ionian.server.blobs import BlobStore
from ionian.machine.state import StateFolder
from ionian.server.store import Store

state = StateFolder(sys.argv[1])
store, blobs = Store.open(state.database_url), BlobStore(state.blobs)
print("epoch", store.next_epoch(), flush=True)
number = 0
while True:
    number += 1
    digest = blobs.put(f"{new_id('x')} ".encode() * 20_000)
    app_id = new_id("ap")
    store.apps.create(app_id, environment="main", name="app", detach=False, client="cl-1")
    specs = [FunctionSpec(new_id("fu"), tag, "m", tag, serialized=digest) for tag in "abc"]
    store.functions.publish(app_id, specs)
    print("published", app_id, digest, flush=True)
"""


def write_until_killed(state: StateFolder, lines: int, chance: random.Random) -> list[list[str]]:
    """What the writer said that it had kept, until it was killed at some moment after so many lines."""
    command = [sys.executable, "-c", WRITER, str(state.root)]
    said: list[list[str]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line.split())
            if len(said) == lines:
                # The time to the kill is not waited for but worked off: so it falls anywhere in the next write.
                for _ in range(chance.randrange(200_000)):
                    pass
                process.send_signal(signal.SIGKILL)
                said += [rest.split() for rest in process.stdout]
                break
    assert process.returncode == -signal.SIGKILL
    return said


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_writer_leaves_all_that_it_acknowledged_and_nothing_by_halves(
    state: StateFolder, seed: int
) -> None:
    chance = random.Random(seed)
    kept: dict[str, str] = {}
    epochs: list[int] = []
    for _ in range(3):
        for what, *rest in write_until_killed(state, chance.randrange(2, 12), chance):
            if what == "epoch":
                epochs.append(int(rest[0]))
            else:
                kept[rest[0]] = rest[1]
    store, blobs = Store.open(state.database_url), BlobStore(state.blobs)
    assert epochs == [1, 2, 3]
    for app_id, digest in kept.items():
        assert [spec.tag for spec in store.functions.of(app_id)] == ["a", "b", "c"]
        assert blobs.has(digest)
    for app in store.apps.live():
        specs: list[FunctionSpec] = store.functions.of(app.app_id)
        assert len(specs) == (0 if app.state == "initializing" else 3)
        assert not blobs.missing(spec.serialized for spec in specs)
    for entry in blobs.entries():
        assert blobs.put(blobs.read(entry.digest)) == entry.digest
    store.close()
