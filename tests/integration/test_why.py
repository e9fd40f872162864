"""Why a call has no result yet, in real processes: one test for each state, by the program, the command line and the
terminal. Those of cards are in test_cards.py."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home, new_home
from tests.integration.processes import running, server_of, worker_of
from tests.integration.seen import seen_by
from tests.integration.test_command_line import write

pytestmark = pytest.mark.timeout(300)

FC = r"fc-[0-9A-Z]{26}"


@pytest.fixture
def fresh() -> Iterator[Home]:
    """A home whose server and worker a test may kill."""
    with new_home() as home:
        yield home


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Any]]:
    """What the program of `why.py` was told; its whole output is under "said"."""
    with new_home() as home:
        found, said = seen_by(home, "why.py")
        yield found | {"said": said}


def only(seen: dict[str, Any], name: str) -> str:
    (reason,) = seen[name]
    return reason


def matches(text: str, pattern: str) -> None:
    assert re.fullmatch(pattern, text), text


def told(seen: dict[str, Any], name: str) -> dict[str, str]:
    """The row of `ionian call why` that is not of results."""
    (row,) = seen["told"][name]
    return row


def listed(seen: dict[str, Any], function: str) -> list[dict[str, str]]:
    return [row for row in seen["list"] if row["Function"] == function]


def test_an_input_that_runs(seen: dict[str, Any]) -> None:
    matches(only(seen, "running"), r"1 input running: it has been running for \d\.\d s")
    row = told(seen, "running")
    assert (row["State"], row["Inputs"]) == ("running", "1")
    assert row["Container ID"].startswith("ta-")


def test_a_maximum_that_is_reached(seen: dict[str, Any]) -> None:
    (first,), (second,) = seen["capped"]
    busy = "all 1 of its containers are busy (max_containers=1)"
    assert first == f"1 input waiting: {busy}"
    assert second == f"1 input waiting: {busy}; 1 other call of it is served before it"
    assert (told(seen, "capped")["State"], told(seen, "capped")["Place"]) == ("waiting", "2")
    there, wanted = listed(seen, "capped")
    assert (there["State"], wanted["State"], wanted["Reason"]) == ("ready", "wanted", f"2 containers: {busy}")
    assert seen["stats"] == {
        "backlog": 2,
        "num_total_runners": 1,
        "num_running_inputs": 1,
        "input_headroom": 0,
    }


def test_a_container_that_starts(seen: dict[str, Any]) -> None:
    matches(only(seen, "starting"), r"1 input starting: a container for it is starting, since \d\.\d s")
    assert told(seen, "starting")["State"] == "starting"
    assert [row["State"] for row in listed(seen, "Slow")] == ["starting"]


def test_an_input_that_failed_and_is_tried_again(seen: dict[str, Any]) -> None:
    matches(
        only(seen, "retrying"), r"1 input retrying: it failed and is tried again in \d+ s \(retry 1 of 3\)"
    )
    assert told(seen, "retrying")["State"] == "retrying"


def test_too_little_room_and_who_makes_some(seen: dict[str, Any]) -> None:
    cores = f"{os.cpu_count()}"
    where = r"on worker local; it starts when a container of capped or Slow or failing ends"
    reason = only(seen, "room")
    matches(reason, rf"1 input waiting: {cores} cores asked, [\d.]+ free of {cores} {where}")
    (row,) = listed(seen, "wide")
    assert (row["State"], row["Inputs"]) == ("wanted", "1")
    assert f"1 input waiting: {row['Reason']}" == reason
    assert seen["large"] == "it ran", (
        "it starts once those are cancelled, although one had only begun to start"
    )


def test_a_call_that_has_its_results(seen: dict[str, Any]) -> None:
    assert seen["done"] == ["1 input done: they have their result"]


DEPLOYED = """
    import time
    import modal

    image = modal.Image.debian_slim(python_version="3.11").run_commands("sleep 4", force_build=True)
    app = modal.App("waits")

    @app.function()
    def f() -> None:
        time.sleep(3600)

    @app.function(image=image)
    def built() -> int:
        return 7
"""

SPAWN = """
    import sys
    import modal

    print(modal.Function.from_name("waits", sys.argv[1]).spawn().object_id)
"""


def spawned(home: Home, folder: Path, function: str) -> str:
    done = home.ionian("python", "-q", "spawn.py", function, cwd=folder)
    assert done.returncode == 0, done.stdout
    return re.findall(FC, done.stdout)[-1]


def why(home: Home, call_id: str, words: str) -> str:
    """What `ionian call why` says, once these words are in it."""
    while words not in (text := home.ionian("call", "why", call_id).stdout):
        assert "waits" not in text or "Error" not in text, text
    return text


def test_an_image_that_is_built_and_inputs_that_are_held_after_a_restart(fresh: Home, tmp_path: Path) -> None:
    write(tmp_path, "deployed.py", DEPLOYED)
    write(tmp_path, "spawn.py", SPAWN)
    done = fresh.ionian("deploy", "deployed.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout

    databases = [path.read_bytes() for path in fresh.folder.glob("*.db*")]
    images = {name for data in databases for name in re.findall(rb"im-[0-9A-Z]{26}", data)}
    assert images
    for image in images:  # as on a worker that never had them
        (fresh.folder / "images" / "i" / image.decode()).unlink(missing_ok=True)
    assert "its image is being built" in why(fresh, spawned(fresh, tmp_path, "built"), "building")

    call_id = spawned(fresh, tmp_path, "f")
    why(fresh, call_id, "running")
    worker = worker_of(fresh)
    os.kill(worker, signal.SIGSTOP)
    try:
        os.kill(server_of(fresh), signal.SIGKILL)
        text = why(fresh, call_id, "held")
        assert re.search(
            r"the server was restarted and waits until its workers have said what they run already, at most \d",
            text,
        ), text
    finally:
        os.kill(worker, signal.SIGCONT)
    why(fresh, call_id, "it has been running for")


def test_a_terminal_says_what_waits_for_a_retry(fresh: Home, tmp_path: Path) -> None:
    text = """
        import modal

        app = modal.App("patient")

        @app.function(retries=modal.Retries(max_retries=1, initial_delay=60.0))
        def f():
            raise ValueError("not yet")

        @app.local_entrypoint()
        def main():
            f.remote()
    """
    write(tmp_path, "patient.py", text)
    with running(fresh, "run", "patient.py", cwd=tmp_path) as run:
        line = run.until("f waits: ")
        assert re.search(r"f waits: it failed and is tried again in \d\d s \(retry 1 of 1\)", line), line
        run.signal(signal.SIGINT)
        run.end()


def test_the_containers_of_a_function_follow_its_load_and_what_it_is_told(fresh: Home) -> None:
    found, _ = seen_by(fresh, "scaled.py")
    assert found["before"] == dict.fromkeys(found["before"], 0)
    busy = {"backlog": 3, "num_total_runners": 4, "num_running_inputs": 4, "input_headroom": 0}
    assert found["busy"] == busy
    assert (found["lower"]["max_containers"], found["least"]["min_containers"]) == (2, 2)
    assert found["two"] == 2
    assert found["kept"] == {
        "backlog": 0,
        "num_total_runners": 2,
        "num_running_inputs": 0,
        "input_headroom": 2,
    }
    assert found["idle"]["num_total_runners"] == 0
