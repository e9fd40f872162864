"""A WebSocket while the stream of its container's worker is cut and comes back."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.homes import IONIAN, Home, cache_folder
from tests.integration.machines import WAIT_S, machines
from tests.integration.relay import relay
from tests.integration.test_command_line import write
from websockets.sync.client import connect

pytestmark = [pytest.mark.container, pytest.mark.timeout(400)]

APP = """
    import modal

    app = modal.App("echoes")

    @app.function(max_containers=1)
    @modal.asgi_app()
    def page():
        async def echo(scope, receive, send):
            await receive()
            await send({"type": "websocket.accept"})
            while (event := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": event["text"]})
        return echo
"""


@contextmanager
def worker(home: Home, folder: Path, port: int) -> Generator[None]:
    """A worker that has its server at this port."""
    folder.mkdir()
    (folder / "images").symlink_to(cache_folder() / "images")
    token = (home.folder / "run" / "worker.token").read_text().strip()
    process = subprocess.Popen(
        (IONIAN, "worker", "--server", f"ws://127.0.0.1:{port}", "--name", "far", "--no-gpu"),
        env={**home.environment, "IONIAN_HOME": str(folder), "IONIAN_TOKEN": token},
        stdin=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(WAIT_S)


def test_no_message_is_lost_and_none_comes_twice(tmp_path: Path) -> None:
    with (
        machines(tmp_path, ()) as made,
        relay(made.port) as between,
        worker(made.home, tmp_path / "far", between.port),
    ):
        program = write(tmp_path, "echoes.py", APP)
        done = made.home.ionian("deploy", program, environment=made.client, timeout_s=200)
        assert done.returncode == 0, done.stdout
        address = re.search(r"=> http(\S+)", done.stdout)
        assert address, done.stdout
        with connect(f"ws{address[1]}") as socket:
            for words in (("one", "two", "three"), ("four", "five", "six")):
                for word in words:
                    socket.send(word)
                    assert socket.recv(60) == word
                with between.out():
                    pass
            socket.send("last")
            assert socket.recv(60) == "last"
