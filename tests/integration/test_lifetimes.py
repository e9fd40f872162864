"""Processes that end while others need them: servers, workers, containers and clients, each at a bad moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.homes import Home, new_home
from tests.integration.test_command_line import write

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def fresh() -> Iterator[Home]:
    """A home whose server a test may kill."""
    with new_home() as home:
        yield home


@contextmanager
def program(home: Home, script: Path) -> Generator[subprocess.Popen[str]]:
    """A program under way; its output is read line by line."""
    process = subprocess.Popen(
        [sys.executable, script],
        env=home.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """What a program prints up to the line with a word."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if word in line:
            return said
    raise AssertionError(f"expected {word!r}, got:\n{said}")


def kill_server(home: Home) -> None:
    """kill -9."""
    os.kill(json.loads((home.folder / "run" / "server.json").read_text())["pid"], signal.SIGKILL)


def test_a_container_that_can_not_be_made_is_an_error_and_no_wait(home: Home, tmp_path: Path):
    text = """
        import ionian as modal
        app = modal.App("unmakable")
        volume = modal.Volume.from_name("unmakable", create_if_missing=True)

        @app.function(volumes={"/etc/passwd/below": volume})
        def f(): ...

        with app.run():
            try:
                f.remote()
            except modal.exception.RemoteError as error:
                print(error)
    """
    write(tmp_path, "script.py", text)
    done = home.ionian("python", "-q", "script.py", cwd=tmp_path)
    assert "A container of f did not start" in done.stdout
    assert "/etc/passwd" in done.stdout


def test_a_stopped_server_ends_its_containers_and_hears_their_last_words(fresh: Home, tmp_path: Path):
    text = """
        import ionian as modal
        app = modal.App("stopped")

        @app.function()
        def f():
            import time
            print("begun", flush=True)
            time.sleep(600)

        with modal.enable_output(), app.run():
            f.remote()
    """
    with program(fresh, write(tmp_path, "script.py", text)) as running:
        read_until(running, "begun")
        running.kill()
        assert "The server has stopped" in fresh.ionian("server", "stop").stdout
    log = (fresh.folder / "logs" / "worker.log").read_text()
    assert "why=stopped detail=its worker ends" in log


def test_a_call_made_in_a_container_outlives_the_server(fresh: Home, tmp_path: Path):
    text = """
        import ionian as modal
        app = modal.App("nested")

        @app.function()
        def inner(number):
            import time
            print("inner begun", flush=True)
            time.sleep(2)
            return number + 1

        @app.function()
        def outer(number):
            import threading
            import time
            found = []
            thread = threading.Thread(target=lambda: found.append(inner.remote(number)))
            thread.start()
            while thread.is_alive():  # asks while the server is away, too
                try:
                    modal.Function.from_name("nested", "inner").hydrate()
                except modal.exception.Error:
                    pass
                time.sleep(0.05)
            return found[0]

        with modal.enable_output(), app.run():
            print("result", outer.remote(41))
    """
    with program(fresh, write(tmp_path, "script.py", text)) as running:
        read_until(running, "inner begun")
        kill_server(fresh)
        said = read_until(running, "result")
    assert "result 42" in said
    assert "inner begun" not in said, "it ran twice"


def test_a_result_too_large_for_a_message_outlives_the_server(fresh: Home, tmp_path: Path):
    text = """
        import ionian as modal
        app = modal.App("large")

        @app.function()
        def f(data):
            import time
            print("begun", flush=True)
            time.sleep(0.3)
            return data

        with modal.enable_output(), app.run():
            print("result", len(f.remote(bytes(200 << 20))))
    """
    with program(fresh, write(tmp_path, "script.py", text)) as running:
        read_until(running, "begun")
        kill_server(fresh)
        said = read_until(running, "result")
    assert f"result {200 << 20}" in said
    assert "begun" not in said, "it ran twice"


def test_large_items_of_a_generator_all_come_before_its_end(home: Home, tmp_path: Path):
    text = """
        import ionian as modal
        app = modal.App("items")

        @app.function()
        def f(count):
            for number in range(count):
                yield bytes(3 << 20)

        with app.run():
            print(len(list(f.remote_gen(5))))
    """
    write(tmp_path, "script.py", text)
    assert home.ionian("python", "-q", "script.py", cwd=tmp_path).stdout == "5\n"


def test_a_container_that_writes_nonsense_to_its_worker_harms_no_other(fresh: Home, tmp_path: Path):
    text = """
        import ionian as modal
        app = modal.App("nonsense")

        @app.function()
        def shout():
            import os, socket, struct
            data, side = socket.socket(fileno=100), socket.socket(fileno=101)
            for kind in (1, 2, 3, 4, 9):
                data.send(struct.pack("<BII", kind, 4, 0) + b"zzzz")
                side.sendall(struct.pack("<BII", kind, 4, 0) + b"zzzz")
            data.send(b"")
            side.sendall(struct.pack("<BII", 0, 4, 0) + b"zzzz")
            side.sendall(struct.pack("<BII", 1, 0, 1 << 31) + b"z" * 1000)
            data.detach(), side.detach()

        @app.function()
        def steady(number):
            import time
            time.sleep(0.1)
            return number

        with app.run():
            numbers = steady.map(range(50))
            assert next(numbers) == 0
            shout.remote()
            assert list(numbers) == list(range(1, 50))
    """
    write(tmp_path, "script.py", text)
    done = fresh.ionian("python", "-q", "script.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "broke its connection" in (fresh.folder / "logs" / "worker.log").read_text()
    log = (fresh.folder / "logs" / "worker.log").read_text()
    assert log.count("connected epoch") == 1, "the worker was cut off"


def test_a_map_over_more_bytes_than_a_frame_holds(home: Home, tmp_path: Path):
    text = """
        import ionian as modal
        app = modal.App("bytes")

        @app.function()
        def f(data):
            return len(data)

        with app.run():
            print(sum(f.map([bytes(1 << 20)] * 200)) >> 20)
    """
    write(tmp_path, "script.py", text)
    assert home.ionian("python", "-q", "script.py", cwd=tmp_path).stdout == "200\n"


def test_breaking_out_of_a_map_while_the_server_is_away_ends_what_runs(fresh: Home, tmp_path: Path):
    text = """
        import ionian as modal
        app = modal.App("left")

        @app.function(max_containers=1)
        def f(number):
            import time
            print("begun", number, flush=True)
            time.sleep(600 if number < 2 else 0)
            return number

        with modal.enable_output(), app.run():
            results = f.map([5, 1], order_outputs=False)
            print("first", next(results))
            input()  # the test kills the server
            results.close()
            print("second", f.remote(7))
    """
    process = subprocess.Popen(
        [sys.executable, write(tmp_path, "script.py", text)],
        env=fresh.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    try:
        read_until(process, "begun 1")
        kill_server(fresh)
        process.stdin.write("\n")
        process.stdin.flush()
        assert "second 7" in read_until(process, "second")
    finally:
        process.kill()
        process.communicate()


def test_a_client_that_comes_while_the_server_ends_gets_the_next_one(fresh: Home, tmp_path: Path):
    text = """
        import ionian as modal
        app = modal.App("next")

        @app.function()
        def f(number):
            return number

        with app.run():
            print("result", f.remote(7))
    """
    script = write(tmp_path, "script.py", text)
    for _ in range(3):
        with program(fresh, script) as first:
            read_until(first, "result")
        facts = json.loads((fresh.folder / "run" / "server.json").read_text())
        os.kill(facts["pid"], signal.SIGTERM)
        with program(fresh, script) as second:
            read_until(second, "result 7")


def test_a_detached_app_ends_by_itself_once_its_spawned_calls_have(fresh: Home, tmp_path: Path):
    text = """
        import ionian as modal
        app = modal.App("left-alone")

        @app.function()
        def f(seconds):
            import time
            time.sleep(seconds)
            return seconds

        @app.local_entrypoint()
        def main():
            print("call", f.spawn(3).object_id)
    """
    path = write(tmp_path, "left.py", text)
    soon = {"IONIAN_CLIENT_GONE_S": "0.5"}  # the server begins with it
    done = fresh.ionian("run", "--detach", path, environment=soon)
    call_id = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("call "))
    read = f"""
        import ionian as modal
        print("result", modal.FunctionCall.from_id("{call_id}").get(timeout=60))
    """
    assert "result 3" in fresh.ionian("python", write(tmp_path, "read.py", read)).stdout
    state = ""
    for _ in range(100):
        (app,) = json.loads(fresh.ionian("app", "list", "--json").stdout)
        state = app["State"]
        if state == "stopped":
            break
    assert state == "stopped"
