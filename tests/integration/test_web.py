"""Web endpoints of every kind in real containers, over real HTTP (programs/web.py)."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.homes import Home, new_home
from tests.integration.messages import fails_with
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

PROGRAM = Path(__file__).with_name("programs") / "web.py"
CREATED = re.compile(r"✓ Created web function (\S+) => (\S+) · (\S+)")

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@dataclass
class Answer:
    """What came back."""

    status: int
    text: str
    headers: dict[str, str]


@dataclass
class Site:
    """The endpoints of the program: their addresses as its deploy printed them."""

    home: Home
    by_path: dict[str, str]
    by_host: dict[str, str]

    def connection(self, tag: str) -> tuple[http.client.HTTPConnection, str]:
        """A connection to an endpoint, and the path at which it is."""
        parts = urlsplit(self.by_path[tag])
        assert parts.hostname
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=60), parts.path

    def ask(
        self,
        tag: str,
        path: str = "",
        method: str = "GET",
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request, and its answer."""
        connection, root = self.connection(tag)
        with closing(connection):
            connection.request(method, root + path, body, headers or {})
            response = connection.getresponse()
            return Answer(
                response.status, response.read().decode(), {k.lower(): v for k, v in response.getheaders()}
            )

    def logs(self) -> str:
        """What the app's containers wrote."""
        return self.home.ionian("app", "logs", "pages").stdout

    def wait_for_log(self, line: str) -> None:
        """Waits until a container has written a line."""
        for text in iter(self.logs, None):
            if line in text.splitlines():
                return


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with new_home() as home:
        done = home.ionian("deploy", PROGRAM, timeout_s=250)
        assert done.returncode == 0, done.stdout
        found = CREATED.findall(done.stdout)
        yield Site(home, {tag: path for tag, path, _ in found}, {tag: host for tag, _, host in found})


def test_a_deploy_prints_the_addresses_by_path_and_by_host(site: Site) -> None:
    assert set(site.by_path) == {
        "double",
        "guarded",
        "alone",
        "Counter.up",
        "pages",
        "flask",
        "files",
        "echoes",
    }
    assert urlsplit(site.by_path["Counter.up"]).path == "/pages-counter-up/"
    assert urlsplit(site.by_path["double"]).path == "/doubled/"
    assert urlsplit(site.by_host["double"]).hostname == "local--doubled.localhost"


def test_a_function_answers_at_its_path_and_at_its_host(site: Site) -> None:
    assert json.loads(site.ask("double", "?x=4", "POST").text) == {"doubled": 8}
    connection, _ = site.connection("double")
    with closing(connection):
        for host in (urlsplit(site.by_host["double"]).netloc, "double.example.com"):
            connection.request("POST", "/?x=5", headers={"Host": host})
            assert json.loads(connection.getresponse().read()) == {"doubled": 10}


def test_fastapi_checks_arguments_and_methods_and_has_docs_where_they_are_wanted(site: Site) -> None:
    assert site.ask("double", "?x=four", "POST").status == 422
    assert site.ask("double", "?x=4", "GET").status == 405
    assert "swagger" in site.ask("double", "docs").text
    preflight = site.ask(
        "double", "", "OPTIONS", headers={"Origin": "http://a", "Access-Control-Request-Method": "POST"}
    )
    assert preflight.headers["access-control-allow-origin"] == "http://a"


def test_a_method_of_a_class_answers_with_its_object(site: Site) -> None:
    first = int(site.ask("Counter.up", "?by=3").text)
    assert int(site.ask("Counter.up", "?by=4").text) == first + 4


def test_an_endpoint_with_proxy_auth_is_for_who_has_a_token(site: Site) -> None:
    made = site.home.ionian("token", "new", "--name", "visitor").stdout
    found = re.search(r"--token-id (\S+) --token-secret (\S+)", made)
    assert found is not None, made
    key, secret = found.groups()
    assert site.ask("guarded").status == 401
    assert site.ask("guarded", headers={"Modal-Key": key, "Modal-Secret": "another"}).status == 401
    assert site.ask("guarded", headers={"Modal-Key": key, "Modal-Secret": secret}).text == '"you may"'
    late = site.ask("guarded", "?seconds=60", headers={"Modal-Key": key, "Modal-Secret": secret})
    assert (late.status, "longer than its timeout of 2 s" in late.text) == (504, True)


def test_curl_asks_a_guarded_endpoint_with_the_machines_token_and_nobody_else(site: Site) -> None:
    guarded, other = site.by_path["guarded"], "http://127.0.0.1:9/elsewhere"
    assert site.home.ionian("curl", "-sS", guarded).stdout == '"you may"'
    assert (
        site.home.ionian("curl", "-sS", site.by_host["guarded"], "--resolve", _local(site)).stdout
        == '"you may"'
    )
    done = site.home.ionian("curl", "-sS", guarded, f"--url={other}")
    fails_with(done, f"Error: {other} is no web endpoint of this server")
    stranger = guarded.replace("://", "://somebody@")
    fails_with(site.home.ionian("curl", stranger), f"Error: {stranger} is no web endpoint of this server")
    assert "expected the URL of a web endpoint" in site.home.ionian("curl", "--help-me").stdout


def _local(site: Site) -> str:
    host, _, port = urlsplit(site.by_host["guarded"]).netloc.partition(":")
    return f"{host}:{port}:127.0.0.1"


def test_an_asgi_app_has_its_lifespan_its_root_and_its_client(site: Site) -> None:
    seen = json.loads(site.ask("pages", headers={"X-Seen": "yes"}).text)
    assert seen == {"state": "loaded", "url": site.by_path["pages"], "client": "127.0.0.1", "seen": "yes"}
    assert site.ask("pages", "nowhere").status == 404
    head = site.ask("pages", "", "HEAD")
    assert (head.status, head.text) == (405, "")


def test_a_response_arrives_part_by_part_while_it_is_made(site: Site) -> None:
    connection, root = site.connection("pages")
    with closing(connection):
        connection.request("GET", f"{root}stream/one")
        response = connection.getresponse()
        assert response.read1() == b"data: first\n\n"  # the second is not made before the gate is opened
        assert site.ask("pages", "gate/one", "POST").status == 200
        assert response.read() == b"data: second\n\n"


def test_bodies_larger_than_a_message_go_both_ways(site: Site) -> None:
    parts = (b"x" * 100_000 for _ in range(50))
    assert site.ask("pages", "size", "POST", parts).text == "5000000"
    assert len(site.ask("pages", "bytes/30").text) == 30_000_000


def test_an_exception_is_a_500_and_its_traceback_is_in_the_logs(site: Site) -> None:
    answer = site.ask("pages", "fails")
    assert (answer.status, answer.text) == (500, "Internal Server Error")
    site.wait_for_log("ValueError: as it was asked to")
    assert "ionian/container" not in site.logs()


def test_a_response_that_fails_amid_is_cut_and_not_ended(site: Site) -> None:
    with pytest.raises(http.client.IncompleteRead):
        site.ask("pages", "fails/amid")


def test_a_container_that_dies_amid_a_request_is_a_502_and_the_request_is_not_run_again(site: Site) -> None:
    before = site.logs().splitlines().count("dying")
    answer = site.ask("pages", "dies")
    assert answer.status == 502
    site.wait_for_log("dying")
    assert site.logs().splitlines().count("dying") == before + 1
    assert site.ask("pages").status == 200


def test_a_request_of_which_its_container_dies_at_once_is_not_run_again(site: Site) -> None:
    answer = site.ask("pages", "dies/at/once")
    assert answer.status == 502
    assert "exit code 3" in answer.text
    site.wait_for_log("dying at once")
    assert site.ask("pages").status == 200
    assert site.logs().splitlines().count("dying at once") == 1


def test_an_answer_does_not_wait_for_what_is_done_behind_it_nor_ends_it(site: Site) -> None:
    assert json.loads(site.ask("pages", "behind/it").text) == "an answer"
    assert site.ask("pages", "gate/it", "POST").status == 200
    site.wait_for_log("behind it")
    assert site.ask("alone").text == "an answer"
    put = "import ionian; ionian.Queue.from_name('behind', create_if_missing=True).put(1)"
    assert site.home.python("-c", put).returncode == 0
    site.wait_for_log("behind alone")


def test_a_container_that_dies_cuts_the_answers_and_sockets_that_are_under_way(site: Site) -> None:
    connection, root = site.connection("pages")
    address = site.by_path["pages"].replace("http:", "ws:")
    with closing(connection), connect(f"{address}echo") as socket:
        socket.send("there")
        assert socket.recv(30) == "THERE"
        connection.request("GET", f"{root}dies/amid/this")
        response = connection.getresponse()
        assert response.read1() == b"the first half"
        assert site.ask("pages", "gate/this", "POST").status in (
            200,
            502,
        )  # it may die before it has answered
        with pytest.raises(http.client.IncompleteRead):
            response.read()
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(60)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011


def test_a_client_that_goes_ends_what_runs_for_it(site: Site) -> None:
    connection, root = site.connection("pages")
    with closing(connection):
        connection.request("GET", f"{root}waits")
        site.wait_for_log("waiting")
    site.wait_for_log("no longer waiting")


def test_a_websocket_goes_both_ways_and_its_end_is_seen(site: Site) -> None:
    address = site.by_path["pages"].replace("http:", "ws:")
    with connect(f"{address}echo") as socket:
        for word in ("one", "two"):
            socket.send(word)
            assert socket.recv(30) == word.upper()
    site.wait_for_log("the socket is closed")
    with pytest.raises(InvalidStatus, match="403"), connect(f"{address}nothing"):
        pass


def test_with_restricted_access_a_body_larger_than_a_message_comes_all_the_same(site: Site) -> None:
    assert site.ask("flask", "size", "POST", (b"x" * 100_000 for _ in range(10))).text == "1000000"


def test_a_wsgi_app_answers(site: Site) -> None:
    assert site.ask("flask", "?q=a%20b").text == f"GET {site.by_path['flask']}?q=a%20b a b"
    assert site.ask("flask", "size", "POST", b"x" * 1_000_000).text == "1000000"


def test_what_a_wsgi_app_says_behind_its_clients_end_goes_to_no_other_request(site: Site) -> None:
    """A client goes as soon as it has all that Content-Length says, and the app's thread says a little more."""
    for _ in range(60):
        assert site.ask("flask").status == 200
        assert site.ask("flask", "size", "POST", b"x" * 300_000).text == "300000"


def test_a_server_of_the_users_is_reached(site: Site) -> None:
    assert "web.py" in site.ask("files").text
    assert site.ask("files", "web.py").text == PROGRAM.read_text()
    assert site.ask("files", "nothing").status == 404


LARGEST = 16 << 20


def test_a_message_of_a_websocket_may_have_16_mib_both_ways(site: Site) -> None:
    address = site.by_path["pages"].replace("http:", "ws:")
    with connect(f"{address}echo", max_size=None, compression=None, ping_interval=None) as socket:
        socket.send("x" * LARGEST)
        assert socket.recv(60) == "X" * LARGEST
        socket.send("x" * (LARGEST + 1))
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(60)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    with connect(f"{address}sized", max_size=None, compression=None, ping_interval=None) as socket:
        for size in (0, 1, LARGEST):
            socket.send(str(size))
            assert socket.recv(60) == bytes(size)
        socket.send(str(LARGEST + 1))
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(60)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
        1009,
        "a message of a WebSocket may have 16 MiB, got 16,777,217 bytes",
    )


def test_no_message_is_lost_where_who_waits_for_one_gives_up_and_asks_again(site: Site) -> None:
    with connect(f"{site.by_path['pages'].replace('http:', 'ws:')}patient") as socket:
        for word in ["one", "two", "three"]:
            assert socket.recv(60) == "still waiting"
            socket.send(word)
            while (said := socket.recv(60)) == "still waiting":
                pass
            assert said == word


def test_a_websocket_reaches_a_server_of_the_users(site: Site) -> None:
    with connect(site.by_path["echoes"].replace("http:", "ws:")) as socket:
        socket.send("a text")
        assert socket.recv(30) == "a text"
        socket.send(b"x" * 300_000)
        assert socket.recv(30) == b"x" * 300_000


def test_an_address_of_nothing_is_a_404_that_says_so(site: Site) -> None:
    connection, _ = site.connection("pages")
    with closing(connection):
        connection.request("GET", "/no-such-label/")
        response = connection.getresponse()
        assert (response.status, response.read()) == (404, b"there is no web endpoint at this address\n")


def test_a_request_of_two_hosts_or_of_too_large_a_body_reaches_no_app(site: Site) -> None:
    label = urlsplit(site.by_path["pages"]).path
    asked = f"POST {label} HTTP/1.1\r\nHost: a\r\n"
    assert raw(site, f"{asked}Connection: close\r\nHost: local--doubled.localhost\r\n\r\n").startswith(
        "HTTP/1.1 400 "
    )
    large = raw(site, f"{asked}Content-Length: {5 << 30}\r\n\r\n")
    assert large.startswith("HTTP/1.1 413 ")
    assert "connection: close" in large


def test_no_path_leads_out_of_its_app(site: Site) -> None:
    """The first part of a path says whose it is, before anything of it is decoded twice or resolved."""
    label = urlsplit(site.by_path["pages"]).path
    for path in (f"{label}../doubled/?x=4", f"{label}%2e%2e/doubled/?x=4", f"{label}..%2fdoubled/?x=4"):
        said = raw(site, f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert said.startswith(("HTTP/1.1 404 ", "HTTP/1.1 405 ")), said
        assert "doubled" not in said
    for path in (f"/{label}", "/%2fdoubled/?x=4", "/./doubled/?x=4", "//", "/%00"):
        said = raw(site, f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert "there is no web endpoint at this address" in said, said


def raw(site: Site, request: str) -> str:
    """What a server says to these very bytes, until it ends the connection."""
    connection, _ = site.connection("pages")
    with closing(connection):
        connection.connect()
        connection.sock.sendall(request.encode())
        return b"".join(iter(partial(connection.sock.recv, 65536), b"")).decode()


def test_many_requests_at_once_are_all_answered(site: Site) -> None:
    with ThreadPoolExecutor(50) as threads:
        queries = [f"?x={n}" for n in range(300)]
        answers = list(threads.map(partial(site.ask, "double", method="POST"), queries))
    assert [json.loads(answer.text)["doubled"] for answer in answers] == [2 * n for n in range(300)]


def test_addresses_stay_when_the_server_is_started_anew(site: Site) -> None:
    site.home.ionian("server", "stop")
    assert site.home.ionian("app", "list").returncode == 0  # starts it
    assert json.loads(site.ask("double", "?x=4", "POST").text) == {"doubled": 8}


def test_a_function_says_where_it_is_and_is_not_called(site: Site, tmp_path: Path) -> None:
    program = tmp_path / "where.py"
    program.write_text(
        "import ionian as modal\n"
        "double = modal.Function.from_name('pages', 'double')\n"
        "print(double.get_web_url())\n"
        "print(modal.Cls.from_name('pages', 'Counter')().up.get_web_url())\n"
        "try:\n"
        "    double.remote(4)\n"
        "except modal.exception.InvalidError as error:\n"
        "    print(error)\n"
    )
    first, second, refusal = site.home.python(program).stdout.splitlines()
    assert (first, second) == (site.by_path["double"], site.by_path["Counter.up"])
    assert "double" in refusal
