"""Where the server is: the one that is configured, else one on this machine, started when there is none."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from .. import config, exception
from ..machine.state import STARTING, StateFolder
from ..version import VERSION

START_S = 90.0
"""For so long a server that lives may start: it takes a second of processor time, and on a busy machine it may hardly get that."""


def find_server() -> tuple[str, str]:
    """URL and token of the server to use; starts one on this machine where none is configured."""
    url = config.get("server_url")
    if url:
        token = config.token()
        if not token:
            raise exception.AuthError(f"a token is needed for {url}: `ionian token set`, or set IONIAN_TOKEN")
        return url, token
    return local_server(StateFolder.default())


def local_server(state: StateFolder, options: tuple[str, ...] = ()) -> tuple[str, str]:
    """The background server of this user, started if need be. Raises ConnectionError with the end of its log, or where it
    takes too long; it then goes on, and the next one who asks finds it."""
    runtime = state.runtime
    url = running(runtime)
    if url is None:
        with open(runtime / "start.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several clients one starts it
            url = running(runtime) or _start(state, options)
    return url, (runtime / "client.token").read_text().strip()


def running(runtime: Path) -> str | None:
    """The local URL of the server that runs on this folder, or None."""
    try:
        facts = json.loads((runtime / "server.json").read_text())
        os.kill(facts["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None
    if not held(runtime / "server.lock"):
        return None
    if facts["version"] != VERSION:
        raise exception.VersionError(
            f"the server in the background is Ionian {facts['version']}, this is {VERSION}; run `ionian server stop`, then "
            "try again"
        )
    return facts["local"]


def held(lock: Path) -> bool:
    """Whether a living process holds a lock file."""
    try:
        with open(lock, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def _wait_for_end(runtime: Path) -> str | None:
    """Waits for a server that is ending; the URL of one that is starting instead."""
    end = time.monotonic() + START_S
    while held(runtime / "server.lock"):
        url = running(runtime)
        if url is not None:
            return url
        if time.monotonic() > end:
            raise exception.ConnectionError(
                f"a server holds {runtime / 'server.lock'} but neither says where it is nor ends; end its process, then try "
                "again"
            )
        time.sleep(0.02)
    return None


def _start(state: StateFolder, options: tuple[str, ...]) -> str:
    url = _wait_for_end(state.runtime)
    if url is not None:
        return url
    (state.runtime / "server.json").unlink(missing_ok=True)
    log = state.logs / "server.log"
    with open(log, "ab") as file, open(state.runtime / STARTING, "w") as starting:
        fcntl.flock(
            starting, fcntl.LOCK_SH
        )  # the server's as well, whose descriptor it gets: until it says where it is
        start = file.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "ionian.server.main", "--starting", str(starting.fileno()), *options],
            pass_fds=[starting.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "IONIAN_HOME": str(state.root)},
        )
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        url = running(state.runtime)
        if url is not None:
            return url
        if process.poll() is not None:
            url = _wait_for_end(state.runtime)  # one that was started before may have been slower only
            if url is not None:
                return url
            raise exception.ConnectionError(
                "the server on this machine did not start; its last words:\n" + _last_words(log, start)
            )
        time.sleep(0.01)
    raise exception.ConnectionError(
        f"the server on this machine is not ready after {START_S:g} s; try again, for it goes on starting (process "
        f"{process.pid}, log {log})"
    )


def _last_words(log: Path, start: int) -> str:
    with open(log, "rb") as file:
        file.seek(start)
        return "\n".join(file.read().decode(errors="replace").strip().splitlines()[-10:])
