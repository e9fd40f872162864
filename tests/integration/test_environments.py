"""Apps of one name in two environments, deployed by two people at once: neither knows of the other."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.homes import Home, new_home
from tests.integration.processes import server_of
from tests.integration.test_command_line import write

from ionian.machine.state import StateFolder
from ionian.server.store import Store

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

APP = """
    import modal

    app = modal.App("twin")

    @app.function()
    def where():
        return "{environment}"

    @app.cls()
    class Place:
        @modal.method()
        def where(self):
            return modal.Function.from_name("twin", "where").remote() + "'s place"
"""
ASKING = """
    import modal

    def ask(*environment):
        try:
            found = next(iter(environment), None)
            print(modal.Function.from_name("twin", "where", environment_name=found).remote())
            Place = modal.Cls.from_name("twin", "Place", environment_name=found)
            print(Place().where.remote())
        except modal.exception.NotFoundError as error:
            print(error)

    ask()
    ask("main")
    ask("dev")
"""
MAIN, DEV = "main\nmain's place\n", "dev\ndev's place\n"


def deploy(home: Home, folder: Path, environment: str, *arguments: str) -> str:
    folder = folder / environment
    folder.mkdir(exist_ok=True)
    write(folder, "twin.py", APP.replace("{environment}", environment))
    done = home.ionian("deploy", "twin.py", *arguments, cwd=folder)
    assert done.returncode == 0, done.stdout
    return done.stdout


def versions(home: Home, *arguments: str) -> list[tuple[str, str]]:
    rows = json.loads(home.ionian("app", "list", "--json", *arguments).stdout)
    return [(row["State"], row["Version"]) for row in rows if row["Description"] == "twin"]


def test_two_apps_of_one_name_in_two_environments_do_not_touch_each_other(tmp_path: Path) -> None:
    write(tmp_path, "asking.py", ASKING)
    with new_home() as home:
        assert home.ionian("app", "list").returncode == 0
        store = Store.open(StateFolder(home.folder).database_url)
        store.environments.create("dev")
        store.close()
        with ThreadPoolExecutor(2) as two:
            for said in two.map(
                deploy, (home, home), (tmp_path, tmp_path), ("main", "dev"), ("--tag=a", "--env=dev")
            ):
                assert "version 1 of twin" in said
        deploy(home, tmp_path, "dev", "--env", "dev", "--tag", "again")
        assert versions(home) == [("deployed", "v1")]
        assert versions(home, "--env", "dev") == [("deployed", "v2")]
        os.kill(server_of(home), signal.SIGKILL)

        done = home.ionian("python", "-q", "asking.py", cwd=tmp_path)
        assert done.stdout == MAIN + MAIN + DEV
        done = home.ionian(
            "python", "-q", "asking.py", cwd=tmp_path, environment={"IONIAN_ENVIRONMENT": "dev"}
        )
        assert done.stdout == DEV + MAIN + DEV

        assert "v3 of twin is v1 again" in home.ionian("app", "rollback", "twin", "-e", "dev").stdout
        assert versions(home) == [("deployed", "v1")]
        assert home.ionian("app", "stop", "twin", "-y", "-e", "dev").returncode == 0
        done = home.ionian("python", "-q", "asking.py", cwd=tmp_path)
        assert done.stdout.startswith(MAIN + MAIN)
        assert "in environment 'dev'" in done.stdout
        assert home.ionian("app", "history", "twin", "-e", "dev").returncode == 1
        assert versions(home, "--env", "dev") == [("stopped", "v3")]
