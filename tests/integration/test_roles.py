"""A viewer's token at a real server: it sees, and neither runs nor changes anything, whichever way it tries."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.homes import Home, new_home
from tests.integration.messages import said

from ionian.protocol.batch import OPENING, Batch
from ionian.protocol.calls import FindFunction, OpenCall
from ionian.protocol.ids import new_id
from ionian.protocol.messages import Hello
from ionian.protocol.stream import ConnectionLost, Peer, dial
from ionian.protocol.tokens import DescribeToken
from ionian.protocol.wire import CALL, INPUTS
from ionian.version import VERSION

pytestmark = [pytest.mark.container, pytest.mark.timeout(280)]

PROGRAM = """
import modal

app = modal.App("watched")
image = modal.Image.debian_slim(python_version="3.11")


@app.function(image=image)
def said(what: str) -> str:
    print(f"said {what}", flush=True)
    return what

"""

CALL_IT = """
import sys

import ionian

ionian.Function.from_name("watched", "said").remote(sys.argv[1])
"""


@dataclass
class Watched:
    """A home with a deployed app, and somebody who may look at it."""

    home: Home
    folder: Path
    viewer: dict[str, str]  # the environment of their commands

    def logs(self) -> str:
        """What the app's containers wrote."""
        return self.home.ionian("app", "logs", "watched").stdout

    def refused(self, *command: str) -> None:
        """The viewer's command ends with a sentence that names the role."""
        done = self.home.ionian(*command, cwd=self.folder, environment=self.viewer)
        assert done.returncode != 0, done.stdout
        assert "a viewer's token shows everything" in said(done), done.stdout


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with new_home() as home:
        folder = tmp_path_factory.mktemp("watched")
        (folder / "watched.py").write_text(PROGRAM)
        (folder / "call.py").write_text(CALL_IT)
        done = home.ionian("deploy", "watched.py", cwd=folder, timeout_s=250)
        assert done.returncode == 0, done.stdout
        made = home.ionian("token", "new", "--role", "viewer").stdout
        found = re.search(r"--token-id (\S+) --token-secret (\S+)", made)
        assert found is not None, made
        url = json.loads((home.folder / "run" / "server.json").read_text())["url"]
        yield Watched(home, folder, {"IONIAN_SERVER_URL": url, "IONIAN_TOKEN": ".".join(found.groups())})


def test_a_viewer_sees_apps_and_tokens_own_and_changes_nothing(watched: Watched) -> None:
    listed = watched.home.ionian("app", "list", environment=watched.viewer)
    assert "watched" in listed.stdout
    assert watched.home.ionian("app", "logs", "watched", environment=watched.viewer).returncode == 0
    assert "viewer" in watched.home.ionian("token", "info", environment=watched.viewer).stdout
    watched.refused("app", "stop", "watched", "--yes")
    watched.refused("deploy", "watched.py")
    watched.refused("secret", "create", "a-secret", "A=b")
    watched.refused("dict", "create", "a-dict")
    watched.refused("token", "new")
    assert "deployed" in watched.home.ionian("app", "list").stdout


def test_a_viewer_runs_nothing_by_a_call_nor_by_frames_written_by_hand(watched: Watched) -> None:
    done = watched.home.ionian(
        "python", "call.py", "by a call", cwd=watched.folder, environment=watched.viewer
    )
    assert "a viewer's token shows everything" in said(done)
    asyncio.run(write_by_hand(watched))
    done = watched.home.ionian("python", "call.py", "at last", cwd=watched.folder)
    assert done.returncode == 0, done.stdout
    while "said at last" not in (logs := watched.logs()):
        pass
    assert "by a call" not in logs
    assert "by hand" not in logs


async def write_by_hand(watched: Watched) -> None:
    """Inputs in every form in which a client sends them, of a function whose id somebody has told."""
    admin = await greeted(watched, (watched.home.folder / "run" / "client.token").read_text().strip())
    found, _ = await admin.request(FindFunction("watched", "said"))
    function_id: str = found.function_id
    payload = pickle.dumps((("by hand",), {}))
    opening = OPENING.pack(function_id.encode(), 0)
    for kind, before in ((CALL, opening), (INPUTS, b"")):
        peer = await greeted(watched, watched.viewer["IONIAN_TOKEN"])
        call_id = new_id("fc")
        with contextlib.suppress(ConnectionLost):
            peer.send(OpenCall(call_id, function_id))
            peer.send_entry(Batch(call_id, (0,), (len(payload),), payload).pack(kind, before))
            await peer.request(DescribeToken())
        peer.disconnect()
    admin.disconnect()


async def greeted(watched: Watched, token: str) -> Peer:
    """A stream on which the first message was taken."""
    peer = await dial(watched.viewer["IONIAN_SERVER_URL"], Peer)
    await peer.request(Hello("client", token, VERSION, new_id("cl")))
    return peer


ROLES = """
import sys
import warnings

import modal

main = modal.Environment.from_name("main")
if sys.argv[1:]:
    try:
        main.roles.update(users=dict([sys.argv[1].split("=")]))
    except modal.exception.Error as error:
        print(type(error).__name__, error)
print(sorted(main.roles.list(exclude_default=True)["users"].items()))
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    assert main.members.list() == main.roles.list()
print(*{one.message for one in warned if "members" in str(one.message)})
"""


def test_who_may_do_what_in_an_environment_is_listed_and_changed_by_admins_alone(watched: Watched) -> None:
    home, folder = watched.home, watched.folder
    (folder / "roles.py").write_text(ROLES)
    made = home.ionian("token", "new", "--env", "main", "--role", "viewer", "--name", "ann").stdout
    found = re.search(r"--token-id (\S+) --token-secret (\S+)", made)
    assert found is not None, made
    ann = watched.viewer | {"IONIAN_TOKEN": ".".join(found.groups())}

    def roles(*change: str, environment: dict[str, str] | None = None) -> list[str]:
        done = home.ionian("python", "-q", "roles.py", *change, cwd=folder, environment=environment or {})
        return done.stdout.splitlines()

    refused, *rest = roles("ann=contributor", environment=ann)
    assert refused.startswith("PermissionDeniedError"), refused
    assert rest == [
        "[('ann', 'viewer')]",
        "Environment.members.list is retired; write Environment.roles.list",
    ]
    assert roles("ann=contributor")[0] == "[('ann', 'contributor')]"
    assert roles("ann=contributor", environment=ann)[0].startswith("PermissionDeniedError")
    assert roles("ann=owner")[0].startswith(
        "InvalidError users['ann']: expected contributor, viewer or no-access"
    )
    update = ("environment", "roles", "update", "main", "ann", "--role")
    assert home.ionian(*update, "contributor", environment=ann).returncode != 0
    assert home.ionian(*update, "no-access").returncode == 0
    listed = json.loads(home.ionian("environment", "roles", "list", "main", "--json").stdout)
    assert listed["users"]["ann"] == "no-access"
    assert set(listed["users"].values()) == {"no-access", "viewer", "contributor"}
    done = home.ionian("app", "list", environment=ann)
    assert (done.returncode != 0, "gives no access to environment 'main' now" in said(done)) == (
        True,
        True,
    ), said(done)
    done = home.ionian("environment", "members", "update", "main", "ann", "--role", "viewer")
    assert (done.returncode, "write `ionian environment roles update`" in said(done)) == (0, True), said(done)
    assert home.ionian("app", "list", environment=ann).returncode == 0
