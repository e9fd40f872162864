"""`ionian run -i`: functions that use the terminal of who runs them, in real containers."""

from __future__ import annotations

import signal
import termios
from pathlib import Path

import pytest
from tests.homes import Home
from tests.integration.test_command_line import write
from tests.integration.test_exec import terminal

pytestmark = [pytest.mark.timeout(300), pytest.mark.container]

APP = """
    import asyncio, os, sys, time
    import modal

    app = modal.App("interactive")

    @app.function()
    def stops(n):
        secret = n * 111
        breakpoint()
        return secret

    @app.function()
    def asks(question):
        modal.interact()
        modal.interact()  # a second time it does nothing
        print("size", *os.get_terminal_size(0), os.isatty(0), os.isatty(1), os.environ["TERM"])
        answer = input(question)
        return answer.upper()

    @app.function()
    async def later():
        await modal.interact.aio()
        return input("later? ")

    @app.function()
    def sleeps():
        modal.interact()
        os.system("stty -echo")
        print("asleep", flush=True)
        time.sleep(600)

    @app.cls()
    class Many:
        @modal.method()
        def ask(self, n):
            modal.interact()
            return input(f"number {n}? ")

    @app.function()
    def plain():
        print("plain output", os.isatty(1))

    @app.local_entrypoint()
    def main(what: str):
        if what == "stops":
            print("stops gave", stops.remote(6))
            plain.remote()
        elif what == "asks":
            print("asks gave", asks.remote("your name? "))
            print("here", input("and here? "))
            print("later gave", later.remote())
        elif what == "sleeps":
            sleeps.remote()
        elif what == "many":
            print("many gave", list(Many().ask.map([1, 2])))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interactive")
    write(folder, "talk.py", APP)
    return folder


def test_a_breakpoint_opens_pdb_at_its_line_on_the_terminal(home: Home, folder: Path):
    with terminal(home, "run", "-i", "talk.py", "--what", "stops", cwd=folder) as person:
        person.wait_for("(Pdb) ")
        assert person.is_raw()
        person.type("p n, secret\r")
        person.wait_for("(6, 666)")
        person.wait_for("(Pdb) ")
        person.type("secret = 7\r")
        person.wait_for("(Pdb) ")
        person.type("c\r")
        person.wait_for("stops gave 7\r\n")
        assert not person.is_raw()
        person.wait_for("plain output False\r\n")
        assert person.process.wait(60) == 0
        assert termios.tcgetattr(person.master) == person.before


def test_input_in_a_function_is_typed_here_and_the_terminal_is_back_before_the_result(
    home: Home, folder: Path
):
    with terminal(home, "run", "-i", "talk.py", "--what", "asks", cwd=folder) as person:
        person.wait_for("size 111 33 True True ")
        person.wait_for("your name? ")
        assert person.is_raw()
        person.type("Ada\r")
        person.wait_for("asks gave ADA\r\n")
        person.wait_for("and here? ")
        assert not person.is_raw()
        person.type("yes\n")
        person.wait_for("here yes\r\n")
        person.wait_for("later? ")
        person.type("in a moment\r")
        person.wait_for("later gave in a moment\r\n")
        assert person.process.wait(60) == 0


def test_ctrl_c_reaches_the_function_and_ends_the_run(home: Home, folder: Path):
    with terminal(home, "run", "-i", "talk.py", "--what", "sleeps", cwd=folder) as person:
        person.wait_for("asleep")
        person.type("\x03")
        person.wait_for("KeyboardInterrupt")
        assert person.process.wait(60) != 0
        assert termios.tcgetattr(person.master) == person.before


def test_a_run_that_is_told_to_end_puts_the_terminal_back(home: Home, folder: Path):
    with terminal(home, "run", "-i", "talk.py", "--what", "sleeps", cwd=folder) as person:
        person.wait_for("asleep")
        assert person.is_raw()
        person.process.send_signal(signal.SIGTERM)
        assert person.process.wait(60) == 128 + signal.SIGTERM
        assert termios.tcgetattr(person.master) == person.before


def test_containers_have_the_terminal_one_after_the_other(home: Home, folder: Path):
    with terminal(home, "run", "-i", "talk.py", "--what", "many", cwd=folder) as person:
        for _ in range(2):
            person.wait_for("number ")
            person.wait_for("? ")
            person.type("x\r")
        person.wait_for("many gave ['x', 'x']\r\n")
        assert person.process.wait(60) == 0


def test_without_a_terminal_a_sentence_says_so(home: Home, folder: Path):
    done = home.ionian("run", "-i", "talk.py", "--what", "stops", cwd=folder)
    assert done.returncode == 1
    assert "Interactive mode needs a terminal" in done.stdout
    done = home.ionian("run", "-i", "-q", "talk.py", "--what", "stops", cwd=folder)
    assert done.returncode == 2
    assert "To use interactive mode, remove the --quiet flag" in done.stdout


@pytest.mark.parametrize(("what", "name"), [("stops", "breakpoint()"), ("asks", "modal.interact()")])
def test_an_app_that_does_not_run_interactively_says_how_it_would(
    home: Home, folder: Path, what: str, name: str
):
    done = home.ionian("run", "-q", "talk.py", "--what", what, cwd=folder)
    assert done.returncode == 1
    assert f"Cannot use {name} without running the app in interactive mode" in done.stdout
