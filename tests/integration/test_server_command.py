"""`ionian server start`, `status` and `stop`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.homes import IONIAN, new_home

from ionian.client.local import held

PROGRAMS = Path(__file__).with_name("programs")


def test_a_server_in_the_background_is_started_once_seen_and_stopped():
    with new_home() as home:
        done = home.ionian("server", "status")
        assert done.returncode == 1
        assert "No server runs" in done.stdout
        assert "Ionian server at ws" in home.ionian("server", "start").stdout
        assert "(it ran already)" in home.ionian("server", "start").stdout
        done = home.ionian("server", "status")
        assert done.returncode == 0
        assert str(home.folder) in done.stdout
        assert home.ionian("server", "stop").stdout == "The server has stopped.\n"
        assert home.ionian("server", "stop").stdout == "No server runs.\n"


def test_a_server_that_is_still_starting_is_stopped_when_who_began_it_is_dead():
    with new_home() as home:
        run = home.folder / "run"
        starter = subprocess.Popen((IONIAN, "server", "start"), env=home.environment)
        children = Path(f"/proc/{starter.pid}/task/{starter.pid}/children")
        while not (children.read_text() and held(run / "starting.lock")):
            assert starter.poll() is None
        starter.kill()
        starter.wait()
        assert home.ionian("server", "stop").stdout == "The server has stopped.\n"
        assert not held(run / "server.lock")
        assert not held(run / "starting.lock")


def test_a_worker_without_a_token_is_told_where_to_get_one():
    with new_home() as home:
        done = home.ionian("worker", "--server", "ws://127.0.0.1:1")
        assert done.returncode == 2
        assert "`ionian server status --tokens` shows it" in done.stdout


def test_a_worker_with_something_else_than_a_servers_url_is_told_so():
    with new_home() as home:
        done = home.ionian("worker", "--server", "127.0.0.1:1", "--token", "any")
        assert done.returncode == 2
        assert "expected the server's URL, as in ws://host:4100, got '127.0.0.1:1'" in done.stdout


def test_the_status_shows_tokens_only_when_asked_and_a_client_elsewhere_can_use_them():
    with new_home() as home, new_home() as elsewhere:
        assert home.ionian("server", "start").returncode == 0
        assert "ti-" not in home.ionian("server", "status").stdout
        lines = home.ionian("server", "status", "--tokens").stdout.splitlines()
        client = next(line for line in lines if line.startswith("client ")).split()[1:]
        settings = dict(setting.split("=", 1) for setting in client)
        done = elsewhere.ionian("python", "named.py", "1", cwd=PROGRAMS, environment=settings)
        assert done.returncode == 0, done.stdout
        assert elsewhere.ionian("server", "status").returncode == 1  # no server of its own was started
