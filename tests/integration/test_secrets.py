"""Secrets with names, on the command line and in containers; where their values are not; and another master key."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.dashboards import Visitor
from tests.homes import Home, new_home
from tests.integration.processes import running, server_of
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

READER = """
    import os
    import modal

    app = modal.App("reader")

    @app.function(secrets=[modal.Secret.from_name("words")], single_use_containers=True)
    def read():
        return os.environ.get("WORD"), os.environ.get("MORE")
"""
ASKING = """
    import modal
    print(*modal.Function.from_name("reader", "read").remote())
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Path]]:
    """A home with a deployed function that says which variables it has; each call has a container of its own."""
    folder = tmp_path_factory.mktemp("reader")
    write(folder, "reader.py", READER)
    write(folder, "asking.py", ASKING)
    with new_home() as home:
        assert home.ionian("secret", "create", "words", "WORD=one").returncode == 0
        done = home.ionian("deploy", "reader.py", cwd=folder)
        assert done.returncode == 0, done.stdout
        yield home, folder


def read(reader: tuple[Home, Path]) -> str:
    home, folder = reader
    return home.ionian("python", "-q", "asking.py", cwd=folder).stdout.strip()


def test_a_changed_secret_is_what_the_next_container_has(reader: tuple[Home, Path]) -> None:
    home, folder = reader
    assert read(reader) == "one None"
    done = home.ionian("secret", "create", "words", "WORD=two")
    assert done.returncode == 1
    assert "already; `ionian secret create --force` replaces" in done.stdout
    assert "two" not in done.stdout
    (folder / "values.env").write_text("# comment\nexport WORD='two'\nMORE=a=b\n")
    done = home.ionian("secret", "create", "words", "--from-dotenv", str(folder / "values.env"), "--force")
    assert done.returncode == 0, done.stdout
    assert 'modal.Secret.from_name("words")' in done.stdout
    assert read(reader) == "two a=b"
    (row,) = json.loads(home.ionian("secret", "list", "--json").stdout)
    assert (row["Name"], row["Created by"], row["Version"], row["Apps"]) == ("words", "local", "v2", "reader")
    assert row["Last used at"]


def test_another_key_seals_all_while_the_app_is_called(reader: tuple[Home, Path]) -> None:
    home, folder = reader
    before = (home.folder / "master.key").read_text()
    server = server_of(home)
    expected = read(reader)
    with running(home, "python", "-q", "asking.py", cwd=folder) as call:
        done = home.ionian("secret", "rotate-key")
        assert call.end() == 0
    assert call.text == expected
    assert "seals all secrets now" in done.stdout, done.stdout
    assert (home.folder / "master.key").read_text() != before
    assert before.strip() not in done.stdout
    assert server_of(home) == server
    assert read(reader) == expected


@pytest.mark.parametrize("given", ["WORD", "=x", ""])
def test_what_is_no_variable_is_refused(reader: tuple[Home, Path], given: str) -> None:
    home, _ = reader
    done = home.ionian("secret", "create", "other", *([given] if given else []))
    assert done.returncode == 2
    assert "KEY=VALUE" in done.stdout


def test_values_come_from_json_and_from_stdin(reader: tuple[Home, Path]) -> None:
    home, folder = reader
    (folder / "values.json").write_text('{"WORD": "three"}')
    arguments = ("secret", "create", "words", "--from-json", str(folder / "values.json"), "MORE=-", "--force")
    done = subprocess.run(
        (Path(sys.executable).with_name("ionian"), *arguments),
        env=home.environment,
        input="from stdin\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read(reader) == "three from stdin"
    (folder / "values.json").write_text('{"WORD": ["hidden"]}')
    done = home.ionian(*arguments[:5], "--force")
    assert "expected an object of texts" in done.stdout
    assert "hidden" not in done.stdout


def test_a_deleted_secret_is_named_by_the_container_that_can_not_start(reader: tuple[Home, Path]) -> None:
    home, _ = reader
    asked = home.ionian("secret", "delete", "words")
    assert asked.returncode == 2
    assert "The containers of reader can't start without it" in asked.stdout
    assert home.ionian("secret", "delete", "words", "--yes").returncode == 0
    assert home.ionian("secret", "delete", "words", "--yes").returncode == 1
    assert home.ionian("secret", "delete", "words", "--yes", "--allow-missing").returncode == 0
    assert "app reader has no secret st-" in read(reader)


def test_a_server_killed_amid_a_change_of_the_master_key_loses_no_secret(tmp_path: Path) -> None:
    write(tmp_path, "reader.py", READER)
    write(tmp_path, "asking.py", ASKING)
    with new_home() as home:
        fault = {"IONIAN_FAULT": "rotation.secret:2", "IONIAN_FAULT_ONCE": str(home.folder / "killed")}
        made = home.ionian("secret", "create", "words", "WORD=one", environment=fault)
        assert made.returncode == 0, made.stdout
        assert home.ionian("secret", "create", "others", "A=1").returncode == 0
        assert home.ionian("deploy", "reader.py", cwd=tmp_path).returncode == 0
        before = (home.folder / "master.key").read_text()
        done = home.ionian(
            "secret", "rotate-key"
        )  # asked again of the next start, which has a new key already
        assert (home.folder / "killed").exists()
        assert done.returncode == 0, done.stdout
        keys = (home.folder / "master.key").read_text().split()
        assert len(keys) == 1
        assert keys[0] not in before
        assert read((home, tmp_path)) == "one None"


def test_a_server_without_a_good_master_key_says_so_and_does_not_start() -> None:
    with new_home() as home:
        done = home.ionian("secret", "list", environment={"IONIAN_MASTER_KEY": "no-key-at-all"})
        assert done.returncode == 1
        assert "expected 32 bytes in base 64 in IONIAN_MASTER_KEY; make a key with" in done.stdout
        assert "no-key-at-all" not in done.stdout
        assert "Traceback" not in done.stdout


def test_a_lost_master_key_is_said_where_one_looks(tmp_path: Path) -> None:
    with new_home() as home:
        assert home.ionian("secret", "create", "words", "WORD=one").returncode == 0
        assert home.ionian("server", "stop").returncode == 0
        (home.folder / "master.key").rename(tmp_path / "master.key")
        assert "its master key is lost" in home.ionian("secret", "list").stdout
        log = (home.folder / "logs" / "server.log").read_text()
        assert "1 secrets are sealed with master key" in log
        assert home.ionian("server", "stop").returncode == 0
        (tmp_path / "master.key").rename(home.folder / "master.key")
        assert "its master key is lost" not in home.ionian("secret", "list").stdout


BUILT = """
    import os
    import modal

    token = modal.Secret.from_dict({"TOKEN": "for the build"})
    image = modal.Image.debian_slim().run_commands("test -n \\"$TOKEN\\"", secrets=[token])
    app = modal.App("built", image=image)

    @app.function(single_use_containers=True)
    def which():
        return os.environ["MODAL_IMAGE_ID"], os.environ.get("TOKEN")
"""


def test_a_worker_that_lacks_an_image_builds_it_with_the_secrets_of_its_steps(tmp_path: Path) -> None:
    write(tmp_path, "built.py", BUILT)
    write(tmp_path, "asking.py", ASKING.replace("reader", "built").replace('"read"', '"which"'))
    with new_home() as home:
        assert home.ionian("deploy", "built.py", cwd=tmp_path).returncode == 0
        image_id, token = read((home, tmp_path)).split()
        assert token == "None"
        (home.folder / "images" / "i" / image_id).unlink()
        assert read((home, tmp_path)) == f"{image_id} None"
        assert (home.folder / "images" / "i" / image_id).exists()


# --- where a value is not

HIDING = """
    import os, pathlib, sys, time
    import modal

    app = modal.App("hiding")
    named = modal.Secret.from_name("hidden")
    plain = modal.Secret.from_dict({"PLAIN": os.environ.get("HUSH_PLAIN", "")})
    image = modal.Image.debian_slim().run_commands("test -n \\"$NAMED\\" -a -n \\"$PLAIN\\"", secrets=[named, plain])

    @app.function(image=image, secrets=[named, plain], serialized=True)
    def hold():
        assert len(os.environ["NAMED"]) == len(os.environ["PLAIN"]) == 32
        print("holding", flush=True)
        while not os.path.exists("/tmp/done"):
            time.sleep(0.05)
        raise ValueError("it fails")

    @app.local_entrypoint()
    def main():
        hold.remote()
"""
ANSWERS = """
    import sys
    from ionian import link
    from ionian.protocol.apps import *
    from ionian.protocol.calls import *
    from ionian.protocol.environments import *
    from ionian.protocol.objects import *
    from ionian.protocol.secrets import *
    from ionian.protocol.tokens import *

    def ask(message):
        answer = link.current().request(message)
        print(answer)
        return answer[0]

    app_id = next(app.app_id for app in ask(ListApps()).apps if app.name == "hiding")
    for message in (
        FindApp(app_id), TagApp(app_id), ListContainers(), ReadLogs(app_id), ListSecrets(), ListEnvironments(),
        FindSecret("hidden", required_keys=["NAMED"]), FindObject("secret", "hidden"), ListObjects("secret"),
        ListTokens(), DescribeToken(), RotateMasterKey(),
    ):
        ask(message)
    if len(sys.argv) > 1:
        found = ask(FindFunction("hiding", "hold"))
        ask(DescribeFunction(found.function_id))
        ask(GetFunctionStats(found.function_id))
"""
SCAN = """
    import os, sys
    if os.getuid() == 0:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in sys.argv[1:]:
            try:
                sys.stdout.buffer.write(open(f"/proc/{pid}/{name}", "rb").read())
            except OSError:
                pass
"""


def contents(folder: Path, since: float) -> Iterator[tuple[Path, bytes]]:
    """The files below a folder that were written since then."""
    for path in (Path(base, name) for base, _, names in os.walk(folder) for name in names):
        try:
            if path.is_file() and not path.is_symlink() and path.stat().st_mtime >= since:
                yield path, path.read_bytes()
        except OSError:
            continue


def contents_of_processes(name: str) -> bytes:
    """What this user sees of all processes."""
    found = b""
    for path in Path("/proc").glob(f"[0-9]*/{name}"):
        try:
            found += path.read_bytes()
        except OSError:
            continue
    return found


def test_a_value_is_in_no_file_log_list_answer_or_command_line(tmp_path: Path) -> None:
    named, plain = secrets.token_hex(16), secrets.token_hex(16)
    hush = {"HUSH_PLAIN": plain}
    values = (named.encode(), plain.encode())
    begun = time.time() - 1
    for name, program in (("hiding.py", HIDING), ("answers.py", ANSWERS), ("scan.py", SCAN)):
        write(tmp_path, name, program)
    (tmp_path / "hidden.json").write_text(json.dumps({"NAMED": named}))
    with new_home() as home:
        loud = {"IONIAN_LOGLEVEL": "DEBUG"}
        json_file = str(tmp_path / "hidden.json")
        done = home.ionian("secret", "create", "hidden", "--from-json", json_file, environment=loud)
        assert done.returncode == 0, done.stdout
        shown = done.stdout
        with running(home, "run", "hiding.py", cwd=tmp_path, environment=hush) as run:
            run.until("holding")
            # other users see the command lines of all, and the environment of their own processes
            of_others = ("cmdline", "environ") if os.geteuid() == 0 else ("cmdline",)
            seen = subprocess.run(
                (sys.executable, tmp_path / "scan.py", *of_others),
                capture_output=True,
                check=True,
                timeout=60,
            ).stdout
            assert b"ionian" in seen
            assert not any(value in seen for value in values)
            environments = contents_of_processes("environ")
            assert plain.encode() in environments  # what looks would see it: of the client, which has it
            assert named.encode() not in environments  # it came by the socket
            shown += home.python("answers.py", "running", cwd=tmp_path).stdout
            shown += "".join(Visitor.of(home).all_pages().values())
            container = json.loads(home.ionian("container", "list", "--json").stdout)[0]["Container ID"]
            home.ionian("container", "exec", container, "--", "touch", "/tmp/done")
            assert run.end() == 1
        assert "it fails" in run.text
        shown += run.text
        os.kill(server_of(home), signal.SIGTERM)
        for arguments in (
            ("app", "list"),
            ("app", "logs", "hiding", "--all"),
            ("secret", "list"),
            ("config", "show"),
        ):
            shown += home.ionian(*arguments).stdout
        shown += home.python("answers.py", cwd=tmp_path).stdout
        shown += "".join(Visitor.of(home).all_pages().values())
        assert "required_keys" not in shown
        assert "'hiding'" in shown
        assert not any(value.decode() in shown for value in values)
        with sqlite3.connect(home.folder / "state.db") as database:
            dump = "\n".join(database.iterdump())
        assert "hiding" in dump
        assert not any(value.decode() in dump for value in values)
        home.ionian("server", "stop")
        found = dict(contents(home.folder, begun))
        found |= dict(contents((home.folder / "images").resolve(), begun))
        assert any(path.name == "server.log" for path in found)
        assert [path for path, content in found.items() if any(value in content for value in values)] == []
