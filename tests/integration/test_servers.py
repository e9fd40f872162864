"""Servers that can't start, are not there, or are of another version; several clients of one name."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.homes import Home, new_home
from tests.integration.messages import fails_with
from tests.integration.processes import running

from ionian.client import local
from ionian.exception import ConnectionError
from ionian.machine.state import StateFolder
from ionian.protocol.ids import new_id
from ionian.protocol.messages import PROTOCOL, Hello
from ionian.protocol.stream import Peer, Refused, dial
from ionian.server.attempts import MOST
from ionian.version import VERSION

PROGRAMS = Path(__file__).with_name("programs")


@pytest.fixture
def empty() -> Iterator[Home]:
    """A home without a server or images, with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="ionian-", dir="/tmp") as folder:
        yield Home(Path(folder))


def test_a_port_in_use_is_said_with_what_to_do(empty: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = empty.ionian("server", "--no-worker", "--port", str(port))
    fails_with(
        done,
        f"Error: can't listen on 127.0.0.1:{port}: Address already in use; choose another --port, or end what uses it",
    )


def test_a_second_server_on_one_folder_is_refused(home: Home) -> None:
    assert home.ionian("server", "start").returncode == 0
    done = home.ionian("server", "--no-worker")
    fails_with(done, f"Error: a server already runs on {home.folder}; see `ionian server status`")


def test_a_background_server_of_another_version_is_named_with_the_cure(empty: Home) -> None:
    run = empty.folder / "run"
    run.mkdir(mode=0o700)
    facts = {"url": "ws://127.0.0.1:1", "pid": os.getpid(), "version": "0.0.1", "host": "here"}
    (run / "server.json").write_text(json.dumps(facts))
    with open(run / "server.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = empty.ionian("run", "steady.py", cwd=PROGRAMS)
    fails_with(
        done,
        f"Error: the server in the background is Ionian 0.0.1, this is {VERSION}; run `ionian server stop`, then try "
        "again",
    )


def test_a_peer_of_another_protocol_hears_both_versions(home: Home) -> None:
    home.ionian("server", "start")
    facts = json.loads((home.folder / "run" / "server.json").read_text())
    token = (home.folder / "run" / "client.token").read_text().strip()

    async def hello() -> None:
        peer = await dial(facts["url"], Peer)
        await peer.request(Hello("client", token, "9.9.9", new_id("cl"), PROTOCOL + 1))

    with pytest.raises(Refused) as refused:
        asyncio.run(hello())
    assert refused.value.type == "VersionError"
    assert refused.value.message == (
        f"the server is Ionian {VERSION} (protocol {PROTOCOL}), this is Ionian 9.9.9 (protocol {PROTOCOL + 1}); install "
        "the same version on both sides"
    )


def test_a_server_that_takes_long_to_start_goes_on_and_is_there_for_who_asks_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with new_home() as home:
        monkeypatch.setattr(local, "START_S", 0.0)
        with pytest.raises(
            ConnectionError, match="is not ready after 0 s; try again, for it goes on starting"
        ):
            local.local_server(StateFolder(home.folder))
        monkeypatch.undo()
        url, _ = local.local_server(StateFolder(home.folder))
        assert url == local.running(home.folder / "run")
        assert home.ionian("server", "status").returncode == 0


def test_a_server_that_does_not_answer_is_named(empty: Home) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets this port meanwhile
        url = f"ws://127.0.0.1:{nobody.getsockname()[1]}"
        there = {"IONIAN_SERVER_URL": url, "IONIAN_TOKEN": "none"}
        done = empty.ionian("run", "steady.py", cwd=PROGRAMS, environment=there)
    fails_with(done, f"no server answers at {url}")


def test_a_token_that_the_server_does_not_know_is_refused(home: Home) -> None:
    home.ionian("server", "start")
    url = json.loads((home.folder / "run" / "server.json").read_text())["url"]
    there = {"IONIAN_SERVER_URL": url, "IONIAN_TOKEN": "wrong"}
    done = home.ionian("run", "steady.py", cwd=PROGRAMS, environment=there)
    fails_with(done, "token")


def test_after_many_wrong_tokens_an_address_is_refused_unseen_but_for_tokens_that_were_right() -> None:
    with new_home() as home:
        home.ionian("server", "start")
        url = json.loads((home.folder / "run" / "server.json").read_text())["url"]
        good = (home.folder / "run" / "client.token").read_text().strip()
        made = home.ionian("token", "new", "--name", "unused").stdout
        found = re.search(r"--token-id (\S+) --token-secret (\S+)", made)
        assert found is not None, made
        unused = ".".join(found.groups())

        async def refusals() -> list[str]:
            said: list[str] = []
            for token in [good, *["ti-x.y"] * MOST, unused, good]:
                peer = await dial(url, Peer)
                try:
                    await peer.request(Hello("client", token, VERSION, new_id("cl")))
                    said.append("")
                except Refused as refused:
                    said.append(refused.type)
                peer.disconnect()
            return said

        assert asyncio.run(refusals()) == ["", *["AuthError"] * MOST, "ResourceExhaustedError", ""]
        assert home.ionian("app", "list").returncode == 0  # by the socket of this user's own programs


def test_two_apps_of_one_name_run_at_once_and_apart(home: Home) -> None:
    with (
        running(home, "python", "-q", "named.py", "1000", cwd=PROGRAMS) as one,
        running(home, "python", "-q", "named.py", "2000", cwd=PROGRAMS) as other,
    ):
        assert one.end() == 0, one.text
        assert other.end() == 0, other.text
    ids = {line.split()[2] for line in (one.said[-1], other.said[-1])}
    assert [one.said[-1].split()[:2], other.said[-1].split()[:2]] == [["mine", "1000"], ["mine", "2000"]]
    assert len(ids) == 2, "each run is an app of its own"
