"""A hostile function: what it tries to have (programs/attempts.py) it has not; the worker and its neighbours go on.

It tries at import, in a template, in a fork of that, where a fork imports more, and in a container that started on its own.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import secrets
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home, new_home
from tests.integration.processes import worker_of
from tests.integration.test_templates import template_of

from ionian.server.auth import ALLOWED, RESTRICTED
from ionian.worker.network.network import why_not
from ionian.worker.recipe import PIDS
from ionian.worker.sandbox.sandbox import COUNTED_APART

pytestmark = [pytest.mark.container, pytest.mark.timeout(240)]

PROGRAMS = Path(__file__).with_name("programs")
PATIENCE_S = 60.0

BEATING = """
import time, ionian
beat = ionian.Function.from_name("neighbour", "beat")
while True:
    print(beat.remote(), flush=True)
    time.sleep(0.02)
"""
CALLING = """
import json, sys, ionian
name, arguments = sys.argv[1], json.loads(sys.argv[2])
try:
    said = {"result": ionian.Function.from_name("hostile", name).remote(*arguments)}
except Exception as error:
    said = {"error": f"{type(error).__name__}: {error}"}
print(json.dumps(said))
"""
SETTINGS = [
    *(
        "kernel/core_pattern",
        "kernel/hostname",
        "kernel/domainname",
        "kernel/modprobe",
        "kernel/panic",
        "kernel/sysrq",
    ),
    *("vm/overcommit_memory", "vm/swappiness", "vm/drop_caches", "fs/suid_dumpable", "fs/protected_symlinks"),
    *("user/max_user_namespaces", "net/ipv4/ip_forward", "kernel/pid_max", "kernel/threads-max"),
]
TAMPERED = (
    "fork fails",
    "descriptor closed",
    "answers rubbish",
    "keeps rights",
    "no place",
    "more threads",
    "forks itself",
)


UNANSWERED = {"OpenCall", "CloseCalls", "Confirm", "StopWaiting"}
"""Messages that containers send without waiting for anything, where they may."""


class Street:
    """A hostile app and its neighbour, on one worker."""

    def __init__(self, home: Home, beats: Path) -> None:
        self.home = home
        self.worker = worker_of(home)
        self._beats = beats

    def call(self, name: str, *arguments: object) -> dict[str, Any]:
        """What came of one call of a hostile function."""
        done = self.home.python("-c", CALLING, name, json.dumps(arguments), timeout_s=120)
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout.splitlines()[-1])

    def id_of(self, name: str) -> str:
        """The id of a hostile function."""
        find = f"import ionian; print(ionian.Function.from_name('hostile', {name!r}).hydrate().object_id)"
        return self.home.python("-c", find, timeout_s=60).stdout.strip()

    def beats(self) -> list[str]:
        """What the neighbour has answered until now."""
        return self._beats.read_text().splitlines()

    def goes_on(self) -> None:
        """Waits for answers of the neighbour that are of now, by the container that always gave them."""
        seen, end = len(self.beats()), time.monotonic() + PATIENCE_S
        while len(self.beats()) < seen + 2:
            assert time.monotonic() < end, self.beats()[-3:]
            time.sleep(0.02)
        assert len(set(self.beats())) == 1, set(self.beats())
        assert worker_of(self.home) == self.worker
        os.kill(self.worker, 0)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    beats = tmp_path_factory.mktemp("street") / "beats"
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("IONIAN_TEMPLATES", "on")
        patch.setenv("CANARY", f"canary-{secrets.token_hex(8)}")
        home = stack.enter_context(new_home())
        deploy(home, "neighbour.py")
        file = stack.enter_context(beats.open("w"))
        beating = subprocess.Popen(
            (sys.executable, "-c", BEATING), env=home.environment, stdout=file, stderr=subprocess.STDOUT
        )
        stack.callback(beating.wait)
        stack.callback(beating.kill)
        patch.setenv("OUTSIDE", json.dumps(stack.enter_context(outside(home))))
        deploy(home, "hostile.py")
        made = Street(home, beats)
        made.goes_on()
        yield made


@pytest.fixture(autouse=True)
def unharmed(street: Street) -> Iterator[None]:
    """After each test the worker is the same, and the neighbour answers out of the same container."""
    yield
    street.goes_on()


def deploy(home: Home, program: str) -> None:
    done = home.ionian("deploy", program, cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout


@contextmanager
def outside(home: Home) -> Generator[dict[str, Any]]:
    """Things of this machine that a container is to have nothing of, and where they are."""
    libc = ctypes.CDLL(None, use_errno=True)
    shared = libc.shmget(0, 4096, 0o1666)  # IPC_CREAT, and open to anybody
    name = f"@ionian-hostile-{secrets.token_hex(4)}"
    with (
        socket.create_server(("0.0.0.0", 0)) as everywhere,
        socket.create_server(("127.0.0.1", 0)) as here,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        abstract.bind(name.replace("@", "\0", 1))
        abstract.listen()
        own = why_not() == ""
        ports = [everywhere.getsockname()[1], here.getsockname()[1], *ports_of(home)]
        sockets = [str(path) for path in (home.folder / "run").resolve().rglob("*") if path.is_socket()]
        try:
            yield {
                "worker": worker_of(home),
                "ports": ports if own else [],
                "addresses": addresses(),
                "sockets": [*sockets, *([name] if own else [])],
                "paths": [str(home.folder), str((home.folder / "images").resolve()), str(PROGRAMS)],
            }
        finally:
            libc.shmctl(shared, 0, None)


def ports_of(home: Home) -> list[int]:
    """On which its server listens."""
    said = json.loads((home.folder / "run" / "server.json").read_text())
    return [value for name, value in said.items() if "port" in name and isinstance(value, int)]


def addresses() -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))
        except OSError:
            return []
        return [probe.getsockname()[0]]


def settings() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in SETTINGS:
        try:
            found[name] = Path("/proc/sys", name).read_text()
        except OSError:
            pass
    return found


def digest(layer: Path) -> str:
    """Of all that is in it."""
    summed = hashlib.sha256()
    for path in sorted(layer.rglob("*")):
        status = path.lstat()
        summed.update(
            f"{path} {status.st_mode} {status.st_uid} {status.st_size} {status.st_mtime_ns}".encode()
        )
        if stat.S_ISREG(status.st_mode):
            try:
                summed.update(path.read_bytes())
            except OSError:
                pass  # its owner is a user of the image's
    return summed.hexdigest()


def base_layers(home: Home) -> list[Path]:
    """The layers with the interpreter of the functions, and what the containers have of ours."""
    layers = (home.folder / "images").resolve()
    return [
        *(path for path in (layers / "l").iterdir() if any(path.glob("**/bin/python3.11"))),
        *(path for path in (layers / "ring").iterdir() if path.is_dir()),
    ]


def test_nothing_is_had_in_any_place(street: Street) -> None:
    before = settings(), {layer: digest(layer) for layer in base_layers(street.home)}
    assert before[1]
    template_of(street.home, "forked")
    had = {name: street.call(name) for name in ("forked", "plain")}
    for name, said in had.items():
        assert "result" in said, said
        assert said["result"].pop("forked") == (name == "forked")
        assert said["result"] == {"import": {}, "input": {}, "later": {}}
    assert settings() == before[0]
    assert {layer: digest(layer) for layer in before[1] if layer.exists()} == before[1]
    traps(street.home)


def traps(home: Home) -> None:
    """What it leaves in its volume is nothing of root's, and nobody else comes there."""
    (left,) = [path for path in (home.folder / "volumes").iterdir() if (path / "setuid").exists()]
    assert left.stat().st_mode & 0o077 == 0 or home.folder.stat().st_mode & 0o077 == 0
    for path in left.iterdir():
        assert os.geteuid() != 0 or path.lstat().st_uid != 0
        assert stat.S_IFMT(path.lstat().st_mode) in (stat.S_IFREG, stat.S_IFLNK)


def test_a_fork_bomb_ends_at_the_limit(street: Street) -> None:
    if os.geteuid() != 0 and not COUNTED_APART:
        pytest.skip(
            "this kernel counts the processes of a user all together, so a plain user's have no limit"
        )
    made, why = street.call("bomb", PIDS + 500)["result"]
    assert (made <= PIDS, why) == (True, errno.EAGAIN)
    assert made > PIDS // 2  # what ended it was the limit of the container, and no other


def test_filling_the_memory_ends_nobody_else(street: Street) -> None:
    assert "its container reached its limit of 256 MiB" in street.call("fill_memory")["error"]
    said = street.call("fill_shared_memory")
    if "error" in said:  # its own memory came to the limit before the file system was full
        assert "its container reached its limit of 256 MiB" in said["error"]
    else:
        written, why = said["result"]
        assert (written <= 256, why) == (True, errno.ENOSPC)


@pytest.mark.parametrize("where", ["tmp", "var/tmp", "root"])
def test_filling_the_disk_ends_it_past_what_it_asked_for(street: Street, where: str) -> None:
    assert "it used more than its ephemeral_disk of 64 MiB" in street.call("fill_disk", where)["error"]


@pytest.mark.parametrize("what", ["messages", "long", "packets", "descriptors", "cell", "closed"])
def test_rubbish_that_a_container_tells_its_worker_harms_nobody_else(street: Street, what: str) -> None:
    said = street.call("rubbish", what)
    if what in ("long", "closed"):  # with these nobody can talk any more
        assert "while it ran this input" in said["error"]
    elif what != "cell" or "result" in said:  # there it may have said of itself that it runs too long
        assert said == {"result": what}


def test_with_restricted_access_nothing_is_had_of_the_server_by_messages_written_by_hand(
    street: Street,
) -> None:
    names, other = sorted(ALLOWED["container"] - {"INPUTS"}), street.id_of("other")
    said = street.call("asks", names, other)["result"]
    for name in sorted(RESTRICTED):  # of web requests that it has not
        assert said.pop(name).startswith("Failure"), name
    assert said.keys() == {"an input", "OpenCall by hand", *names} - RESTRICTED
    assert [name for name, answer in said.items() if "restrict_modal_access=True" not in answer] == []
    assert "other was called" not in street.home.ionian("app", "logs", "hostile").stdout
    answered = [name for name in names if name not in UNANSWERED]
    free = street.call("asks_and_may", answered, other)["result"]  # the same, where it may
    assert [name for name, answer in free.items() if "restrict_modal_access" in answer] == []
    assert "other was called" in street.home.ionian("app", "logs", "hostile").stdout


@pytest.mark.parametrize("what", TAMPERED)
def test_a_template_that_was_tampered_with_gives_no_rights(street: Street, what: str) -> None:
    name = what.replace(" ", "_")
    template_of(street.home, name, "(READY|UNFIT)")
    for _ in range(2):
        assert street.call(name) == {"result": [0, 0, "1", "2"]}
