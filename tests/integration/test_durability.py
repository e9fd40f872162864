"""No acknowledgement before its sync: a kill can't show that, the system calls do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WRITER = """
import os, sys
from ionian.protocol.ids import new_id
from ionian.server.blobs import BlobStore
from ionian.machine.state import StateFolder
from ionian.protocol.batch import Batch
from ionian.server.store import Store
from ionian.server.store.calls import NewInputs, NewResults

state = StateFolder(sys.argv[1])
store, blobs = Store.open(state.database_url), BlobStore(state.blobs)
for number in range(5):
    blobs.put(f"content {number}".encode())
    store.apps.create(new_id("ap"), environment="main", name="app", detach=False, client="cl-1")
    os.write(1, f"kept {number}\\n".encode())
    call_id = new_id("fc")
    batch = Batch(call_id, [0], [1], b"x")
    one = NewInputs(call_id, "fu-1", "ap-1", "main", "f", "", float(number), batch, True)
    store.calls.write([one])
    os.write(1, f"kept inputs of {number}\\n".encode())
    store.calls.write([NewResults(batch)])
    os.write(1, f"kept results of {number}\\n".encode())
"""

CALL = re.compile(r"^\d+ +(?P<name>\w+)\((?P<rest>.*)")


@pytest.fixture
def calls(tmp_path: Path) -> list[tuple[str, str]]:
    """The system calls of a writer: name and the rest of the line."""
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode:
        pytest.skip("needs strace, and a machine that lets it trace")
    trace = tmp_path / "trace"
    which = "trace=write,pwrite64,fsync,fdatasync,rename,renameat,renameat2"
    command = [
        strace,
        "-f",
        "-y",
        "-e",
        which,
        "-o",
        str(trace),
        sys.executable,
        "-c",
        WRITER,
        f"{tmp_path}/home",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    found = [CALL.match(line) for line in trace.read_text(errors="replace").splitlines()]
    return [(match["name"], match["rest"]) for match in found if match]


def test_what_is_acknowledged_was_synced_before(calls: list[tuple[str, str]]) -> None:
    unsynced: set[str] = set()
    acknowledged = commits = 0
    for name, rest in calls:
        if name in ("fsync", "fdatasync"):
            unsynced = {what for what in unsynced if f"{what}>" not in rest}
        elif name == "pwrite64" and "state.db-wal>" in rest:
            unsynced.add("state.db-wal")
            commits += 1
        elif name == "write" and "/blobs/tmp/" in rest:
            unsynced.add(_path(rest))
        elif name.startswith("rename") and "/blobs/tmp/" in rest:
            source, destination = re.findall(r'"([^"]*)"', rest)
            assert source not in unsynced, "a blob got its name before its content was synced"
            unsynced.add(str(Path(destination).parent))
        elif name == "write" and '"kept ' in rest:
            acknowledged += 1
            assert unsynced == set(), f"acknowledged before it was synced: {unsynced}"
    assert acknowledged == 15
    assert commits >= 15


def _path(rest: str) -> str:
    match = re.search(r"<([^>]*)>", rest)
    assert match is not None, rest
    return match[1]
