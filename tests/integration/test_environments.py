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
        assert home.ionian("environment", "create", "dev").returncode == 0
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


HOLDING = """
    import modal

    app = modal.App("holding")
    data = modal.Volume.from_name("data", create_if_missing=True)

    @app.function(volumes={"/data": data}, min_containers=1)
    def keep():
        open("/data/file", "w").write("x")
"""


@pytest.mark.parametrize("point", ["marked", "emptied"])
def test_a_server_killed_amid_the_deletion_of_an_environment_takes_it_to_its_end(
    tmp_path: Path, point: str
) -> None:
    write(tmp_path, "holding.py", HOLDING)
    with new_home() as home:
        fault = {"IONIAN_FAULT": f"environment.{point}", "IONIAN_FAULT_ONCE": str(home.folder / "killed")}
        assert home.ionian("environment", "create", "dev", environment=fault).returncode == 0
        done = home.ionian("deploy", "holding.py", "--env", "dev", cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        (folder,) = (home.folder / "volumes").glob("vo-*")
        refused = home.ionian("environment", "delete", "dev")  # nobody there to be asked
        assert "Its app will stop" in refused.stdout
        assert refused.returncode == 2
        done = home.ionian("environment", "delete", "dev", "--yes")
        assert (home.folder / "killed").exists()
        assert done.returncode == 0, done.stdout
        assert not folder.exists()
        listed = json.loads(home.ionian("environment", "list", "--json").stdout)
        assert [row["Name"] for row in listed] == ["main"]
        assert "there is no environment 'dev'" in home.ionian("app", "list", "--env", "dev").stdout
        containers = json.loads(home.ionian("container", "list", "--json").stdout)
        assert containers == []


def test_a_server_of_others_is_used_by_a_profile_until_its_token_is_revoked() -> None:
    with new_home() as home:
        assert home.ionian("environment", "create", "dev").returncode == 0
        made = home.ionian("token", "new", "--name", "bob", "--env", "dev")
        command = made.stdout.strip().splitlines()[-1].split()
        secret = command[-1]
        here = {"IONIAN_HOME": str(home.folder / "elsewhere")}  # where no server is
        done = home.ionian(*command[1:-1], "wrong", environment=here)
        assert "does not know this token" in done.stdout
        assert home.ionian("profile", "list", "--json").stdout == "[]\n"
        done = home.ionian(*command[1:], environment=here)
        assert done.returncode == 0, done.stdout
        assert secret not in done.stdout
        assert home.ionian("profile", "current", environment=here).stdout == "default\n"
        (row,) = json.loads(home.ionian("token", "info", "--json", environment=here).stdout)
        assert (row["Name"], row["Environment"]) == ("bob", "dev")
        assert "belongs to 'dev'" in home.ionian("environment", "create", "x", environment=here).stdout
        assert secret not in home.ionian("config", "show", environment=here).stdout

        local = {"IONIAN_CONFIG_PATH": str(home.folder / "none.toml")}
        rows = json.loads(home.ionian("token", "list", "--json", environment=local).stdout)
        assert secret not in json.dumps(rows)
        revoked = home.ionian("token", "revoke", row["Token ID"], "--yes", environment=local)
        assert revoked.returncode == 0, revoked.stdout
        assert "was revoked" in home.ionian("app", "list", environment=here).stdout

        url = command[command.index("--server-url") + 1]
        made = home.ionian(
            "token", "new", "--name", "all", "--expires-in", "1h", environment=local
        ).stdout.split()
        token = f"{made[made.index('--token-id') + 1]}.{made[-1]}"
        done = home.ionian(
            "setup", "--server-url", url, "--token", token, "--profile", "admin", environment=here
        )
        assert done.returncode == 0, done.stdout
        done = home.ionian("setup", environment=here)
        assert f"The server of {url} answers; programs run in its environment 'main'" in done.stdout
        done = home.ionian("--profile", "admin", "token", "rotate", environment=here)
        assert done.returncode == 0, done.stdout
        rows = json.loads(home.ionian("token", "list", "--json", environment=here).stdout)
        assert [bool(row["Revoked at"]) for row in rows if row["Name"] == "all"] == [True, False]
        rows = json.loads(home.ionian("profile", "list", "--json", environment=here).stdout)
        assert [(row["Profile"], bool(row["Active"])) for row in rows] == [
            ("default", False),
            ("admin", True),
        ]
        found = [Path(base, name) for base, _, names in os.walk(home.folder) for name in names]
        for file in found:  # some may go meanwhile
            if file.is_file() and file.name != "ionian.toml" and "images" not in file.parts:
                assert secret.encode() not in file.read_bytes(), file
