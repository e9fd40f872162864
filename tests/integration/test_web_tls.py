"""Web endpoints by TLS: by a certificate of the server's own, and behind a real Caddy."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.certificates import write
from tests.homes import IONIAN, Home, new_home
from tests.integration.test_command_line import write as write_program
from websockets.sync.client import connect

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

CADDY = os.environ.get("IONIAN_TEST_CADDY") or shutil.which("caddy")

APP = """
    import json
    import modal

    app = modal.App("echo")

    async def echo(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": (await receive())["text"].upper()})
            return
        size, more = 0, True
        while more:
            event = await receive()
            size, more = size + len(event["body"]), event["more_body"]
        seen = {"scheme": scope["scheme"], "client": scope["client"][0], "path": scope["path"], "size": size}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(seen).encode()})

    @app.function(serialized=True)
    @modal.concurrent(max_inputs=10)
    @modal.asgi_app()
    def page():
        return echo
"""


@contextmanager
def server(*options: str | Path) -> Generator[Home]:
    """A server in the foreground."""
    with (
        new_home() as home,
        subprocess.Popen(
            [IONIAN, "server", *options], env=home.environment, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stdout is not None
        assert "Ionian server at" in process.stdout.readline()
        try:
            yield home
        finally:
            process.terminate()


def deploy(home: Home, folder: Path) -> str:
    """Deploys the app; returns the line with its addresses."""
    write_program(folder, "echo.py", APP)
    done = home.ionian("deploy", "echo.py", cwd=folder)
    assert done.returncode == 0, done.stdout
    return next(line for line in done.stdout.splitlines() if "Created web function" in line)


def trusting(chain: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(chain))


def test_endpoints_are_reached_by_tls_with_the_servers_own_certificate(tmp_path: Path) -> None:
    chain, key = write(tmp_path)
    with server("--web-cert", chain, "--web-key", key) as home:
        said = deploy(home, tmp_path)
        url = said.split(" => ")[1].split(" ")[0]
        parts = urlsplit(url)
        assert parts.scheme == "https"
        assert f"https://local--echo-page.localhost:{parts.port}" in said
        connection = http.client.HTTPSConnection("127.0.0.1", parts.port, context=trusting(chain), timeout=60)
        with closing(connection):
            connection.request("POST", parts.path, b"x" * 3_000_000)
            seen = json.loads(connection.getresponse().read())
        assert seen == {"scheme": "https", "client": "127.0.0.1", "path": parts.path, "size": 3_000_000}
        with connect(url.replace("https", "wss"), ssl=trusting(chain)) as socket_:
            socket_.send("over tls")
            assert socket_.recv() == "OVER TLS"


CADDYFILE = """
{
    admin off
    auto_https off
}

*.example.com:TLS {
    tls CHAIN KEY
    reverse_proxy 127.0.0.1:WEB
}
"""


@pytest.mark.skipif(CADDY is None, reason="needs caddy on the PATH (apt install caddy), or IONIAN_TEST_CADDY")
def test_endpoints_are_reached_through_caddy_as_the_docs_say(tmp_path: Path) -> None:
    assert CADDY is not None
    chain, key = write(tmp_path, "local--echo-page.example.com")
    web, tls = free_port(), free_port()
    (tmp_path / "Caddyfile").write_text(
        CADDYFILE.replace("TLS", str(tls))
        .replace("CHAIN", str(chain))
        .replace("KEY", str(key))
        .replace("WEB", str(web))
    )
    with server("--web-port", str(web), "--domain", "example.com") as home:
        said = deploy(home, tmp_path)
        assert "=> https://local--echo-page.example.com · " in said
        with subprocess.Popen(
            [CADDY, "run", "--config", tmp_path / "Caddyfile"],
            env={**os.environ, "HOME": str(tmp_path)},
            stderr=(tmp_path / "caddy.log").open("w"),
        ) as caddy:
            try:
                connection = secure(tls, "local--echo-page.example.com", trusting(chain))
                ours = http.client.HTTPConnection("local--echo-page.example.com", tls, timeout=60)
                ours.sock = connection
                ours.request("POST", "/deep/path", b"y" * 3_000_000)
                seen = json.loads(ours.getresponse().read())
                assert seen == {
                    "scheme": "https",
                    "client": "127.0.0.1",
                    "path": "/deep/path",
                    "size": 3_000_000,
                }
                ours.close()
                tunnel = secure(tls, "local--echo-page.example.com", trusting(chain))
                with connect("ws://local--echo-page.example.com/", sock=tunnel) as socket_:
                    socket_.send("through caddy")
                    assert socket_.recv() == "THROUGH CADDY"
            finally:
                caddy.terminate()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def secure(port: int, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection by TLS to a host whose name no name server knows; waits until the port is listened on."""
    end = time.monotonic() + 60
    while True:
        try:
            plain = socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)
            continue
        return context.wrap_socket(plain, server_hostname=host)
