"""A line of a log carries the call and the input that wrote it, where the container can know; logs by call."""

from __future__ import annotations

import json
import re

import pytest
from tests.homes import Home
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

WRITERS = '''
    import asyncio, subprocess, sys, threading, time
    import modal

    app = modal.App("writers")

    @app.function(max_containers=1)
    def alone(n):
        print("alone", n)
        print("complaint", n, file=sys.stderr)
        subprocess.run(["echo", f"program {n}"], check=True)
        thread = threading.Thread(target=print, args=(f"thread {n}",))
        thread.start()
        thread.join()
        print(f"rest {n}", end="")

    @app.function(max_containers=1)
    @modal.concurrent(max_inputs=20)
    async def tasks(n):
        for part in range(5):
            print(f"task {n}", end=" ")
            await asyncio.sleep(0.001)
            print(f"part {part}")

    @app.function(max_containers=1)
    @modal.concurrent(max_inputs=8)
    def threads(n):
        for part in range(200):
            print(f"thread {n}", end=" ", flush=part % 3 == 0)
            print(f"part {part}")
        print("long", n, "x" * 20_000)

    @app.function(max_containers=1)
    @modal.batched(max_batch_size=4, wait_ms=500)
    def batch(n):
        print("batch", len(n))
        return n

    @app.function()
    def fails():
        print("before it fails")
        raise ValueError("no luck")

    @app.function()
    def looks():
        """A container has its own app's logs."""
        print("seen from within", flush=True)
        call = modal.FunctionCall.from_id(modal.current_function_call_id())
        return next(iter(call.logs.stream(timeout=60))).message

    @app.local_entrypoint()
    def main():
        ids = {}
        for name, function in app.registered_functions.items():
            if name in ("alone", "tasks", "threads", "batch"):
                call = function.spawn_map(range(6))
                list(call.iter())
                ids[name] = call.object_id
        list(alone.map(range(6, 8)))
        try:
            failed = fails.spawn()
            failed.get()
        except ValueError:
            ids["fails"] = failed.object_id
        print("IDS", *(f"{name}={id}" for name, id in ids.items()))
        stream = alone.spawn(9)
        print("STREAM", [entry.message for entry in stream.logs.stream(timeout=30) if entry.source == "stdout"])
        print("WITHIN", looks.spawn().get())
        entry, = alone.logs.tail(1, source="stderr")
        print("ENTRY", entry.source, entry.object_id == alone.object_id, len(entry.context_ids), entry.timestamp.tzinfo)
        print("APP", len(list(app.logs.tail(7))), len(list(app.logs.fetch(since=entry.timestamp, search_text="complaint 9"))))
'''


class Wrote:
    """A home where the app has run, its output, and the ids of its calls."""

    def __init__(self, home: Home, output: str) -> None:
        self.home = home
        self.output = output
        (ids,) = re.findall(r"^IDS (.+)$", output, re.MULTILINE)
        self.ids: dict[str, str] = dict(pair.split("=") for pair in ids.split())

    def lines(self, *arguments: str) -> list[str]:
        """What a command prints."""
        done = self.home.ionian(*arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout.splitlines()

    def inputs(self, name: str, *options: str) -> list[tuple[int, str]]:
        """The number of the input, and the text, of each line of a call."""
        found: list[tuple[int, str]] = []
        for line in self.lines("call", "logs", self.ids[name], "--all", "--show-function-call-id", *options):
            about, _, text = line.partition(" ")
            assert about.split(":")[0][3:] == self.ids[name][3:], line
            found.append((int(about.partition(":")[2] or -1), text))
        return found


@pytest.fixture(scope="module")
def wrote(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Wrote:
    """The program has run."""
    folder = tmp_path_factory.mktemp("writers")
    write(folder, "writers.py", WRITERS)
    done = home.ionian("run", "-q", "writers.py", cwd=folder)
    assert done.returncode == 0, done.stdout
    return Wrote(home, done.stdout)


def test_where_one_input_runs_at_a_time_all_that_is_written_is_its_own(wrote: Wrote) -> None:
    found = wrote.inputs("alone")
    kinds = ("alone", "complaint", "program", "thread", "rest")
    assert sorted(found) == sorted((n, f"{kind} {n}") for n in range(6) for kind in kinds)


@pytest.mark.parametrize(("name", "word", "parts"), [("tasks", "task", 5), ("threads", "thread", 200)])
def test_lines_of_inputs_that_run_beside_each_other_are_not_crossed(
    wrote: Wrote, name: str, word: str, parts: int
) -> None:
    found = wrote.inputs(name, "--search", f"{word} ")
    for n in range(6):  # in their order
        assert [text for number, text in found if number == n] == [
            f"{word} {n} part {part}" for part in range(parts)
        ]


def test_a_line_that_is_longer_than_a_pipe_takes_at_once_is_whole(wrote: Wrote) -> None:
    found = wrote.inputs("threads", "--search", "long")
    assert sorted(found) == [(n, f"long {n} " + "x" * 20_000) for n in range(6)]


def test_what_a_batch_writes_is_of_its_call_and_of_no_input(wrote: Wrote) -> None:
    found = wrote.inputs("batch")
    assert sum(int(text.split()[1]) for _, text in found) == 6
    assert all((number == -1) == (text != "batch 1") for number, text in found)


def test_a_traceback_is_of_the_input_that_failed(wrote: Wrote) -> None:
    found = wrote.inputs("fails")
    assert found[0] == (0, "before it fails")
    assert found[-1] == (0, "ValueError: no luck")


def test_one_input_of_a_call_is_chosen_by_its_id(wrote: Wrote) -> None:
    chosen = wrote.ids["alone"].replace("fc-", "in-") + ":3"
    assert sorted(wrote.lines("app", "logs", "writers", "--call", chosen, "-s", "stdout")) == [
        *("alone 3", "program 3", "rest 3", "thread 3")
    ]
    assert wrote.lines("call", "logs", chosen, "-s", "stderr") == ["complaint 3"]


def test_a_function_has_a_log_and_lines_are_exported_as_json(wrote: Wrote) -> None:
    found = wrote.lines("function", "logs", "writers/fails", "--json", "-s", "stdout")
    (entry,) = [json.loads(line) for line in found]
    assert entry.pop("time").endswith("+00:00")
    assert entry.pop("container_id").startswith("ta-")
    call = wrote.ids["fails"]
    assert entry == {
        "source": "stdout",
        "function": "fails",
        "message": "before it fails",
        "function_call_id": call,
        "input_id": f"in-{call[3:]}:0",
    }


def test_calls_that_were_not_spawned_are_told_apart_too(wrote: Wrote) -> None:
    (line,) = wrote.lines("app", "logs", "writers", "--search", "alone 7", "--show-function-call-id")
    call, index = re.fullmatch(r"in-(\w{26}):([01]) alone 7", line).groups()  # type: ignore[union-attr]
    found = wrote.lines("app", "logs", "writers", "--function-call", f"fc-{call}", "--search", "alone")
    assert found == ["alone 6", "alone 7"]
    assert index == "1"


def test_who_watches_a_run_sees_no_marks(wrote: Wrote) -> None:
    assert "\x1b_" not in wrote.output
    assert "alone | rest 3" in wrote.output.splitlines()


def test_the_methods_of_apps_functions_and_calls_give_entries(wrote: Wrote) -> None:
    said = dict(re.findall(r"^(STREAM|WITHIN|ENTRY|APP) (.+)$", wrote.output, re.MULTILINE))
    assert sorted(eval(said["STREAM"])) == ["alone 9\n", "program 9\n", "rest 9\n", "thread 9\n"]
    assert said["WITHIN"] == "seen from within"
    assert said["ENTRY"] == "stderr True 3 UTC"
    assert said["APP"] == "7 1"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("function", "logs", "writers"), 2, "FUNCTION: expected APP/NAME or the id of a function, fu-…"),
        (
            ("call", "logs", "fc-1"),
            2,
            "--call: expected the id of a call, fc-…, or of an input, in-…:0, got 'fc-1'",
        ),
        (
            ("call", "logs", "fc-01JD0000000000000000000000"),
            1,
            "there is no call 'fc-01JD0000000000000000000000'",
        ),
    ],
)
def test_what_is_no_call_is_said(wrote: Wrote, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = wrote.home.ionian(*arguments)
    assert done.returncode == code
    assert words in done.stdout
