"""`ionian server start`, `status` and `stop`."""

from __future__ import annotations

from tests.homes import new_home


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


def test_a_worker_without_a_token_is_told_where_to_get_one():
    with new_home() as home:
        done = home.ionian("worker", "--server", "ws://127.0.0.1:1")
        assert done.returncode == 2
        assert "the server prints it" in done.stdout
