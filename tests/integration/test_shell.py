"""`ionian shell`: in a container like a function's, in one of its own, and beside a function that runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.homes import IONIAN, Home
from tests.integration.test_command_line import write
from tests.integration.test_exec import held_container, terminal

pytestmark = [pytest.mark.timeout(300), pytest.mark.container]

APP = """
    import modal

    app = modal.App("shop")
    image = modal.Image.debian_slim().env({"FROM_IMAGE": "yes"})
    volume = modal.Volume.from_name("till", create_if_missing=True)

    @app.function(image=image, volumes={"/till": volume}, secrets=[modal.Secret.from_dict({"WORD": "xyzzy"})],
                  env={"TILL": "3"}, schedule=modal.Period(seconds=1), min_containers=1)
    def sell():
        print("nobody calls this")

    @app.cls(image=image)
    class Desk:
        kind: str = modal.parameter()

        @modal.method()
        def ask(self):
            raise RuntimeError("nobody calls this")

        @modal.fastapi_endpoint(label="shop-desk")
        def page(self):
            raise RuntimeError("nobody calls this")

    @app.local_entrypoint()
    def main():
        raise RuntimeError("nobody calls this")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("shop")
    write(made, "shop.py", APP)
    return made


def shell(home: Home, folder: Path, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs a shell without a terminal."""
    return subprocess.run(
        [IONIAN, "shell", *words],
        cwd=folder,
        env=home.environment,
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_a_command_sees_what_the_function_would_and_its_output_is_all_there_is(home: Home, folder: Path):
    script = "pwd; ls; echo $FROM_IMAGE $WORD $TILL; echo 5 > /till/coins; echo err >&2; exit 7"
    done = shell(home, folder, "shop.py::sell", "-c", script)
    assert done.stdout.decode() == "/root\nshop.py\nyes xyzzy 3\n", done.stderr
    assert done.stderr.decode().splitlines()[-1] == "err"
    assert done.returncode == 7
    coins = shell(home, folder, "--volume", "till", "-c", "cat /mnt/till/coins")
    assert (coins.returncode, coins.stdout) == (0, b"5\n"), coins.stderr


def test_nothing_but_the_shell_comes_of_it(home: Home, folder: Path):
    done = shell(home, folder, "shop.py::Desk.page", "-c", "python -c 'import fastapi'; ls")
    assert (done.returncode, done.stdout) == (0, b"shop.py\n"), done.stderr
    assert b"nobody calls this" not in done.stderr
    assert b"http://" not in done.stderr
    assert "shop" not in home.ionian("container", "list").stdout


def test_what_is_piped_in_is_the_programs_input(home: Home, folder: Path):
    done = shell(
        home,
        folder,
        "--add-local",
        str(folder / "shop.py"),
        stdin=b"echo sum $((3 + 4)); wc -l < /mnt/shop.py",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == f"sum 7\n{(folder / 'shop.py').read_text().count(chr(10))}\n"


def test_a_person_has_a_terminal_of_their_size(home: Home, folder: Path):
    with terminal(home, "shell", "shop.py::sell", cwd=folder) as person:
        person.wait_for("# ")
        assert person.is_raw()
        person.type("tty; stty size; echo $WORD\r")
        person.wait_for("/dev/pts/")
        person.wait_for("33 111")
        person.wait_for("xyzzy")
        person.type("echo sle''eping; sleep 60\r")
        person.wait_for("sleeping")
        person.type("\x03")
        person.type("echo af''ter\r")
        person.wait_for("after")
        person.type("exit 5\r")
        assert person.process.wait(30) == 5
        assert not person.is_raw()


def test_a_shell_stands_beside_a_function_that_runs(home: Home, tmp_path: Path):
    with held_container(home, tmp_path) as held:
        done = shell(home, tmp_path, held.container_id, "-c", "sh -c 'echo $WORD $MODAL_TASK_ID'")
        assert done.stdout.decode() == f"xyzzy {held.container_id}\n", done.stderr
        done = shell(home, tmp_path, held.container_id, "--gpu", "any")
        assert done.returncode == 2
        assert b"runs already: --gpu can't change it" in done.stderr
        assert shell(home, tmp_path, held.container_id, stdin=b"touch /tmp/done").returncode == 0
        assert held.run.wait(60) == 0


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["shop.py"], "ionian shell shop.py::sell"),
        (["shop.py::main"], "has nothing named 'main' to run"),
        (["shop.py::sell", "--memory", "512"], "as those of shop.py::sell: --memory can't change it"),
        (["ta-nothing"], "there is no container 'ta-nothing'"),
        (["--secret", "no-such-secret"], "no-such-secret"),
        (["--add-local", "no-such-file"], "there is no file or folder 'no-such-file'"),
        (["--gpu", "H100:8", "-c", "true"], "--no-gpu"),
        (["sb-123"], "sandboxes come with a later version"),
    ],
)
def test_what_can_not_be_is_said(home: Home, folder: Path, words: list[str], wanted: str):
    done = shell(home, folder, *words)
    assert done.returncode in (1, 2)
    assert wanted in done.stderr.decode(), done.stderr
