"""`modal.forward`: ports of real containers, reached from outside."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from urllib.request import urlopen

import pytest
from tests.homes import IONIAN, Home
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.timeout(300), pytest.mark.container]

APP = """
    import http.server
    import socket
    import threading
    import modal

    app = modal.App("forwarding")
    ended = threading.Event()

    def echo(listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection):
        with connection:
            while data := connection.recv(65536):
                if data == b"end":
                    ended.set()
                connection.sendall(data)
            connection.sendall(b"<end>")

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"asked for {self.path}".encode())

        def log_message(self, *words):
            pass

    @app.function()
    def forwarding():
        listener = socket.create_server(("127.0.0.1", 7001))
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        page = http.server.ThreadingHTTPServer(("0.0.0.0", 7002), Page)
        threading.Thread(target=page.serve_forever, daemon=True).start()
        with modal.forward(7001, unencrypted=True) as tunnel, modal.forward(7002) as pages, modal.forward(7003) as nothing:
            try:
                modal.forward(7001).__enter__()
            except modal.exception.InvalidError as error:
                print(error)
            try:
                print(pages.tls_socket)
            except modal.exception.InvalidError as error:
                print(error)
            print("ready", *tunnel.tcp_socket, pages.url, nothing.port, flush=True)
            ended.wait()
        print("closed", flush=True)

    @app.local_entrypoint()
    def main():
        forwarding.remote()
"""


class Forwarding:
    """The run of the program, and where its ports are."""

    def __init__(self, run: subprocess.Popen[str]) -> None:
        assert run.stdout is not None
        self.run = run
        self.said: list[str] = []
        for line in run.stdout:
            self.said.append(line)
            if line.startswith("ready "):
                _, host, port, self.page, nothing = line.split()
                self.echo, self.nothing = (host, int(port)), (host, int(nothing))
                return
        raise AssertionError("".join(self.said))


@pytest.fixture(scope="module")
def forwarding(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Generator[Forwarding]:
    folder = tmp_path_factory.mktemp("forwarding")
    write(folder, "forwarding.py", APP)
    with subprocess.Popen(
        [IONIAN, "run", "-q", "forwarding.py"],
        cwd=folder,
        env=home.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    ) as run:
        try:
            yield Forwarding(run)
        finally:
            run.terminate()


def echoed(address: tuple[str, int], data: bytes) -> bytes:
    """What comes back of it, until the other side has said that it is all."""
    with (
        closing(socket.create_connection(address, timeout=60)) as connection,
        ThreadPoolExecutor(1) as beside,
    ):
        sending = beside.submit(lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR)))
        back = b"".join(iter(partial(connection.recv, 65536), b""))
        sending.result()
    return back


def test_bytes_go_both_ways_and_each_side_says_its_end(forwarding: Forwarding) -> None:
    data = bytes(range(256)) * 8192
    assert echoed(forwarding.echo, data) == data + b"<end>"


def test_many_connections_at_once_have_their_own_bytes(forwarding: Forwarding) -> None:
    words = [f"connection {number}".encode() for number in range(30)]
    with ThreadPoolExecutor(len(words)) as clients:
        assert list(clients.map(partial(echoed, forwarding.echo), words)) == [w + b"<end>" for w in words]


def test_a_page_is_at_the_url(forwarding: Forwarding) -> None:
    with urlopen(f"{forwarding.page}/deep?x=1", timeout=60) as answer:
        assert answer.read() == b"asked for /deep?x=1"


def test_where_nothing_listens_a_connection_ends(forwarding: Forwarding) -> None:
    assert echoed(forwarding.nothing, b"") == b""


def test_a_port_is_forwarded_once_and_tls_needs_a_certificate(forwarding: Forwarding) -> None:
    said = "".join(forwarding.said)
    assert "port 7001 is forwarded already" in said
    assert "this server has no certificate for TLS" in said


def test_behind_the_block_nothing_is_reached_any_more(forwarding: Forwarding) -> None:
    assert forwarding.run.stdout is not None
    with closing(socket.create_connection(forwarding.echo, timeout=60)) as connection:
        connection.sendall(b"end")
        assert forwarding.run.stdout.readline() == "closed\n"
        assert forwarding.run.wait(60) == 0
        while connection.recv(100):
            pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(forwarding.echo)
