"""Several clients of one server at once, and clients that leave."""

from __future__ import annotations

import secrets
import signal
import subprocess

import pytest
from tests.homes import IONIAN, Home
from tests.integration.seen import PROGRAMS

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


def client(home: Home, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (IONIAN, "run", *arguments),
        cwd=PROGRAMS,
        env={**home.environment, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_an_image_that_two_clients_ask_for_at_once_is_built_once(home: Home):
    home.ionian("server", "start")
    run = secrets.token_hex(8)
    clients = [client(home, "built.py", RUN_OF_TESTS=run) for _ in range(3)]
    outputs = [one.communicate(timeout=200)[0] for one in clients]
    built = {line for output in outputs for line in output.splitlines() if line.startswith("built as ")}
    assert [one.returncode for one in clients] == [0, 0, 0], outputs
    assert len(built) == 1, outputs


def test_a_detached_call_goes_on_without_its_client(home: Home):
    name = secrets.token_hex(8)
    leaving = client(home, "--detach", "detached.py::main", "--name", name)
    assert leaving.stdout is not None
    for line in leaving.stdout:
        if line.endswith("it runs\n"):
            break
    leaving.send_signal(signal.SIGINT)
    rest = leaving.communicate(timeout=30)[0]
    assert "goes on with the calls under way" in rest
    done = home.ionian("run", "-q", "detached.py::seen", "--name", name, cwd=PROGRAMS)
    assert done.stdout == "it ended\n"
