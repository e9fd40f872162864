"""Containers that are forked from a template: what they don't see of each other, and what happens where a fork won't do."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home, new_home
from tests.integration.processes import forks, gone, running, templates
from tests.integration.test_metrics import get

pytestmark = [pytest.mark.container, pytest.mark.timeout(240)]

PROGRAMS = Path(__file__).with_name("programs")

PATIENCE_S = 60.0


@contextmanager
def with_templates(program: str) -> Generator[Home]:
    """A home in which a program of programs/ is deployed, and whose containers are forked from templates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IONIAN_TEMPLATES", "on")
        with new_home() as made:
            done = made.ionian("deploy", program, cwd=PROGRAMS)
            assert done.returncode == 0, done.stdout
            yield made


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """With the functions of programs/forks.py deployed."""
    with with_templates("forks.py") as made:
        yield made


def call(home: Home, name: str, *arguments: object, times: int = 1, app: str = "forks") -> list[Any]:
    """The results of so many calls, one after the other: each starts when the one before has its result."""
    made, _, method = name.partition(".")
    found = (
        f"ionian.Cls.from_name({app!r}, {made!r})().{method}"
        if method
        else f"ionian.Function.from_name({app!r}, {made!r})"
    )
    program = (
        f"import ionian, json\nprint(json.dumps([{found}.remote(*{arguments!r}) for _ in range({times})]))"
    )
    done = home.python("-c", program)
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout.splitlines()[-1])


def template_of(home: Home, tag: str, state: str = "READY", count: int = 1) -> None:
    """Waits until the worker has made (so many times) a template of this function, and says that it is in this state."""
    wanted = re.compile(rf"template function={re.escape(tag)} state={state}\b")
    end = time.monotonic() + PATIENCE_S
    log = home.folder / "logs" / "worker.log"
    while not (log.exists() and len(wanted.findall(log.read_text())) >= count):
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.02)


def starts(home: Home, app: str, tag: str) -> list[str]:
    """The lines on how the containers of a function started."""
    return home.ionian("app", "logs", app, "--source", "start", "--function", tag).stdout.splitlines()


def test_the_first_container_after_a_deploy_is_a_fork(home: Home) -> None:
    template_of(home, "slow")
    assert call(home, "slow", 0) == [True]


def test_a_container_sees_nothing_of_another(home: Home) -> None:
    template_of(home, "look")
    seen = [row for number in range(3) for row in call(home, "look", number)]
    assert [row["forked"] for row in seen] == [True] * 3
    assert len({row["imported"] for row in seen}) == 1
    for row in seen:
        assert (row["files"], row["variables"], row["memory"]) == ([], [], [])
        assert row["processes"] == ["1", "2"]
        assert (row["host"], row["kept"]) == ("look", "1")
    for own in ("random", "uuid", "id"):
        assert len({row[own] for row in seen}) == 3, seen


def test_a_fork_has_the_secrets_of_its_own_function_alone(home: Home) -> None:
    for tag in ("with_secret", "without_secret"):
        template_of(home, tag)
    assert call(home, "with_secret") == [[True, "s3cr3t-of-with", False]]
    assert call(home, "without_secret") == [[True, None, False]]


def test_what_a_snapshot_holds_is_made_once_and_what_comes_after_in_each_container(home: Home) -> None:
    template_of(home, "Restored.*")
    rows = call(home, "Restored.run", times=3)
    assert [row[0] for row in rows] == [True] * 3
    assert len({row[1] for row in rows}) == 1
    assert len({row[2] for row in rows}) == 3
    assert all(line.startswith("restored in ") for line in starts(home, "forks", "Restored.*"))


def test_a_fork_that_dies_is_replaced_and_after_three_there_are_no_more(home: Home) -> None:
    template_of(home, "Dies.*")
    assert call(home, "Dies.run", times=3) == [False] * 3
    template_of(home, "Dies.*", "UNFIT")
    assert call(home, "Dies.run") == [False]
    lines = starts(home, "forks", "Dies.*")
    assert sum("its fork ended with exit code 3 before it was ready" in line for line in lines) >= 3
    assert "3 forks of its template did not start" in lines[-1]
    told = home.ionian("app", "logs", "forks", "--source", "system").stdout
    assert "each container of Dies starts on its own, not from a template: 3 forks" in told


def fallbacks(home: Home) -> float:
    """What /metrics counts: forks that did not start, and that a plain start replaced."""
    token = (home.folder / "run" / "client.token").read_text().strip()
    status, text = get(home, "/metrics", token)
    assert status == 200
    (line,) = re.findall(r"^ionian_fork_fallbacks_total (\S+)", text, re.MULTILINE)
    return float(line)


def test_forks_that_hang_are_replaced_and_counted_and_then_there_are_no_more(home: Home) -> None:
    template_of(home, "hangs")
    before = fallbacks(home)
    program = "import ionian; print(list(ionian.Function.from_name('forks', 'hangs').map(range(3), order_outputs=False)))"
    done = home.python("-c", program)
    assert done.stdout.splitlines()[-1] == "[False, False, False]", done.stdout
    template_of(home, "hangs", "UNFIT")
    assert fallbacks(home) == before + 3
    assert call(home, "hangs", 0) == [False]
    lines = starts(home, "forks", "hangs")
    assert sum("its fork hung" in line for line in lines) == 4  # the last by the reason of those before
    assert "3 forks of its template did not start" in lines[-1]
    told = home.ionian("app", "logs", "forks", "--source", "system").stdout
    assert "each container of hangs starts on its own, not from a template: 3 forks" in told


def test_an_import_that_can_not_be_forked_says_why_once_and_its_containers_start_on_their_own(
    home: Home,
) -> None:
    deployed = home.ionian("deploy", "threaded.py", cwd=PROGRAMS)
    assert deployed.returncode == 0, deployed.stdout
    template_of(home, "f", "UNFIT")
    assert call(home, "f", 5, times=2, app="threaded") == [7, 7]
    told = home.ionian("app", "logs", "threaded", "--source", "system").stdout
    assert (
        told.count("each container of f starts on its own, not from a template: its import starts a thread")
        == 1
    )
    assert all("started afresh in" in line and "thread" in line for line in starts(home, "threaded", "f"))


def test_killing_a_template_loses_nothing(home: Home, tmp_path: Path) -> None:
    template_of(home, "slow")
    program = (
        "import ionian; f = ionian.Function.from_name('forks', 'slow'); print(list(f.map([0, 2, 2, 0])))"
    )
    (tmp_path / "caller.py").write_text(program)
    with running(home, "python", "-q", "caller.py", cwd=tmp_path) as caller:
        while not (there := forks(home)):
            time.sleep(0.01)
        for fd in templates(home, without_inits=True).values():
            with suppress(
                ProcessLookupError
            ):  # a fork that was begun ahead has become a container, and ended
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            os.close(fd)
        assert caller.end() == 0, caller.text
        assert "True" in caller.text
        assert caller.text.count("True") + caller.text.count("False") == 4
    for fd in there.values():
        os.close(fd)
    assert call(home, "slow", 0) in ([True], [False])


def test_a_changed_deploy_makes_another_template(home: Home, tmp_path: Path) -> None:
    source = """
import modal, os
app = modal.App("changed")
SPACE = os.readlink("/proc/self/ns/pid")
@app.function(image=modal.Image.debian_slim(python_version="3.11"), env={"WHICH": "VALUE"}, single_use_containers=True)
def f():
    return [os.readlink("/proc/self/ns/pid") != SPACE, os.environ["WHICH"]]
"""
    for count, value in enumerate(("one", "two"), start=1):
        (tmp_path / "changed.py").write_text(source.replace("VALUE", value))
        assert home.ionian("deploy", "changed.py", cwd=tmp_path).returncode == 0
        template_of(home, "f", count=count)
        assert call(home, "f", app="changed") == [[True, value]]


@pytest.mark.usefixtures("home")  # its IONIAN_TEMPLATES
def test_the_processes_of_a_stopped_app_are_all_gone(tmp_path: Path) -> None:
    (tmp_path / "over.py").write_text(
        "import modal\napp = modal.App('over')\n"
        "@app.function(image=modal.Image.debian_slim(python_version='3.11'))\ndef only():\n    return 1\n"
    )
    with new_home() as home:  # of its own: all templates in it are of this app
        assert home.ionian("deploy", "over.py", cwd=tmp_path).returncode == 0
        template_of(home, "only")
        processes = templates(home)
        assert processes
        assert home.ionian("app", "stop", "over", "--yes").returncode == 0
        assert gone(processes, 20) == set()
