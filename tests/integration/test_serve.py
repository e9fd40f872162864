"""`ionian serve`: an app is run anew when a file is saved, and a file with an error changes nothing."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from tests.homes import IONIAN, Home, new_home

PROGRAM = """
import modal
import words

app = modal.App("served")
image = modal.Image.debian_slim(python_version="3.11").add_local_python_source("words")


@app.function(image=image)
@modal.fastapi_endpoint()
def page() -> str:
    return words.WORD
"""
ADDRESS = re.compile(r"web function page => (\S+)")

pytestmark = [pytest.mark.container, pytest.mark.timeout(240)]


class Served:
    """A running `ionian serve`, and what it has said."""

    def __init__(self, home: Home, folder: Path) -> None:
        command = (IONIAN, "serve", folder / "served.py")
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=home.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def wait_for(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """The next line that has it."""
        while True:
            found = re.search(pattern, self._lines.get(timeout=120))
            if found is not None:
                return found


@pytest.fixture
def place() -> Iterator[Home]:
    with new_home() as home:
        yield home


def ask(address: str) -> str:
    with urlopen(address, timeout=60) as answer:
        return answer.read().decode()


def test_what_is_saved_is_served_at_the_same_address_and_an_error_changes_nothing(
    place: Home, tmp_path: Path
) -> None:
    (tmp_path / "served.py").write_text(PROGRAM)
    word = tmp_path / "words.py"
    word.write_text("WORD = 'first'\n")
    served = Served(place, tmp_path)
    try:
        address = served.wait_for(ADDRESS)[1]
        assert address.endswith("/served-page-dev/")
        assert ask(address) == '"first"'
        served.wait_for("hit Ctrl-C to stop")
        word.write_text("WORD = 'second'\n")
        served.wait_for("changed: running it anew")
        assert served.wait_for(ADDRESS)[1] == address
        assert ask(address) == '"second"'
        word.write_text("WORD = \n")
        served.wait_for("SyntaxError")
        served.wait_for("what ran before goes on")
        assert ask(address) == '"second"'
        word.write_text("WORD = 'third'\n")
        served.wait_for(ADDRESS)
        assert ask(address) == '"third"'
    finally:
        served.process.send_signal(signal.SIGINT)
        served.process.wait(60)
    assert served.process.returncode == 0
    with pytest.raises(HTTPError, match="404"):
        ask(address)


def test_what_can_not_be_served_at_first_waits_for_a_change(place: Home, tmp_path: Path) -> None:
    (tmp_path / "words.py").write_text("WORD = 'first'\n")
    program = tmp_path / "served.py"
    program.write_text("import modal\nprint(\n")
    served = Served(place, tmp_path)
    try:
        served.wait_for("SyntaxError")
        served.wait_for("hit Ctrl-C to stop")
        program.write_text(PROGRAM)
        assert ask(served.wait_for(ADDRESS)[1]) == '"first"'
    finally:
        served.process.send_signal(signal.SIGINT)
        served.process.wait(60)
