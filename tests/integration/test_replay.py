"""`ionian replay`: a failed input again, at a person's terminal, with real containers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.homes import Home
from tests.integration.test_command_line import write
from tests.integration.test_exec import terminal

pytestmark = [pytest.mark.timeout(300), pytest.mark.container]

FAILING = """
    import os
    import modal

    app = modal.App("failing")
    volume = modal.Volume.from_name("facts", create_if_missing=True)
    words = modal.Secret.from_dict({"WORD": "xyzzy"})

    @app.function(volumes={"/facts": volume}, secrets=[words])
    def measure(word, times=1):
        text = word * times
        print("measuring", text)
        return within(text)

    def within(text):
        limit = 3
        if len(text) > limit and not os.path.exists("/facts/relaxed"):
            raise ValueError(f"{text!r} is too long")
        return {"length": len(text), "word": os.environ.get("WORD", "not set")}

    @app.cls()
    class Counter:
        start: int = modal.parameter(default=1)

        @modal.enter()
        def load(self):
            self.numbers = [self.start, self.start + 1]

        @modal.method()
        def count(self):
            for number in self.numbers:
                yield number
            raise KeyError("no more")

    @app.function()
    async def later():
        import asyncio

        await asyncio.sleep(0)
        fact = "async"
        raise RuntimeError(fact)

    @app.function()
    def relax():
        return 1

    @app.local_entrypoint()
    def main(what: str):
        if what == "counter":
            print(list(Counter(start=5).count.remote_gen()))
        elif what == "later":
            later.remote()
        else:
            measure.remote("ab", times=3)
"""


def failed(home: Home, folder: Path, what: str) -> str:
    """Runs the app; returns the id of the input that failed, from the line below the failure."""
    write(folder, "failing.py", FAILING)
    done = home.ionian("run", "-q", "failing.py", "--what", what, cwd=folder)
    assert done.returncode == 1, done.stdout
    last = done.stdout.rstrip().splitlines()[-1]
    found = re.fullmatch(r"ionian replay (in-\w+:\d+)", last)
    assert found, done.stdout
    return found[1]


def test_the_debugger_stands_at_the_users_line(home: Home, tmp_path: Path):
    input_id = failed(home, tmp_path, "measure")
    with terminal(home, "replay", input_id) as person:
        said = person.wait_for("measuring ababab")
        assert "measure of failing failed: ValueError: 'ababab' is too long" in said
        assert "volume at /facts: it is as it is now" in said
        assert "its variables are not set" in said  # the app has ended, and its secret with it
        assert "ValueError: 'ababab' is too long" in person.wait_for("(Pdb) ")
        person.type("p limit, text\r")
        person.wait_for("(3, 'ababab')")
        person.type("u\r")
        person.wait_for("(Pdb) ")
        person.type("p word, times\r")
        person.wait_for("('ab', 3)")
        person.type("q\r")
        assert person.process.wait(30) == 1
        assert not person.is_raw()


def test_a_method_of_a_class_runs_on_its_entered_object(home: Home, tmp_path: Path):
    input_id = failed(home, tmp_path, "counter")
    done = home.ionian("replay", "--no-debug", input_id)
    assert done.returncode == 1
    assert "yielded: 5" in done.stdout
    assert "yielded: 6" in done.stdout
    assert "KeyError: 'no more'" in done.stdout
    assert "(Pdb)" not in done.stdout


def test_an_async_function_stops_in_its_own_frame(home: Home, tmp_path: Path):
    input_id = failed(home, tmp_path, "later")
    with terminal(home, "replay", input_id) as person:
        person.wait_for("(Pdb) ")
        person.type("p fact\r")
        person.wait_for("'async'")
        person.type("q\r")
        assert person.process.wait(30) == 1


def test_a_shell_runs_it_as_often_as_one_likes_until_it_succeeds(home: Home, tmp_path: Path):
    input_id = failed(home, tmp_path, "measure")
    with terminal(home, "replay", "--shell", input_id) as person:
        person.wait_for("# ")
        person.type("replay --now </dev/null; echo code=$?\r")
        person.wait_for("ValueError")
        person.wait_for("code=1")
        person.type("touch /facts/relaxed; replay; echo code=$?\r")
        person.wait_for("returned: {'length': 6, 'word': 'not set'}")
        person.wait_for("code=0")
        person.type("rm /facts/relaxed; exit 4\r")
        assert person.process.wait(30) == 4
    assert "No container is there" in home.ionian("container", "list").stdout


def test_an_input_that_is_not_kept_is_said(home: Home):
    done = home.ionian("replay", "in-01AAAAAAAAAAAAAAAAAAAAAAAA:0")
    assert done.returncode == 1
    assert "no failed input 'in-01AAAAAAAAAAAAAAAAAAAAAAAA:0' is kept" in done.stdout


LARGE = """
    import modal

    app = modal.App("large")

    @app.function(serialized=True)
    def size(text, *, batch=None):
        raise ValueError(f"{len(text):,} characters")

    @app.function()
    @modal.batched(max_batch_size=4, wait_ms=10)
    def doubled(numbers):
        if numbers == [3]:
            raise ValueError("three")
        return [2 * number for number in numbers]

    @app.local_entrypoint()
    def main(what: str):
        if what == "size":
            size.remote("x" * 3_000_000)
        elif what == "spawned":
            size.spawn("y" * 7).get()
        else:
            doubled.remote(3)
"""


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        ("size", "ValueError: 3,000,000 characters"),
        ("spawned", "ValueError: 7 characters"),
        ("doubled", "ValueError: three"),
    ],
)
def test_large_spawned_and_batched_inputs_run_again_too(home: Home, tmp_path: Path, what: str, wanted: str):
    write(tmp_path, "large.py", LARGE)
    done = home.ionian("run", "-q", "large.py", "--what", what, cwd=tmp_path)
    found = re.search(r"ionian replay (in-\S+)", done.stdout)
    assert found, done.stdout
    again = home.ionian("replay", "--no-debug", found[1])
    assert again.returncode == 1
    assert again.stdout.rstrip().endswith(wanted)


ENDED = """
    import modal

    app = modal.App("ended")

    @app.function(timeout=1)
    def long():
        import time

        print("version {version}", flush=True)
        if "{version}" == "1":
            time.sleep(600)

    @app.function()
    def dying():
        import os

        os.kill(os.getpid(), 9)
"""


def deploy(home: Home, folder: Path, name: str, text: str) -> None:
    """Deploys a program."""
    write(folder, name, text)
    done = home.ionian("deploy", name, cwd=folder)
    assert done.returncode == 0, done.stdout


def failed_call(home: Home, folder: Path, tag: str) -> str:
    """Calls a deployed function; returns the id of the input that failed, from the line below the failure."""
    write(
        folder,
        "caller.py",
        f"""
        import modal
        modal.Function.from_name("ended", "{tag}").remote()
    """,
    )
    done = home.ionian("python", "caller.py", cwd=folder)
    found = re.search(r"^ionian replay (in-\S+)$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return found[1]


def test_what_ran_too_long_or_died_runs_again_in_the_version_that_failed(home: Home, tmp_path: Path):
    deploy(home, tmp_path, "ended.py", ENDED.replace("{version}", "1"))
    long, dying = failed_call(home, tmp_path, "long"), failed_call(home, tmp_path, "dying")
    deploy(home, tmp_path, "ended.py", ENDED.replace("{version}", "2"))
    done = home.ionian("replay", dying)
    assert done.returncode == 137, done.stdout
    assert "dying of ended v1 failed: RemoteError: dying: its process was ended by signal 9" in done.stdout
    with terminal(home, "replay", long) as person:
        said = person.wait_for("\nversion 1")
        assert "long of ended v1 failed: FunctionTimeoutError" in said
        assert "version: this is version 1 of the app; version 2 is deployed" in said
        person.type("\x03")
        assert person.process.wait(30) == 130
    assert home.ionian("app", "stop", "ended", "-y").returncode == 0
