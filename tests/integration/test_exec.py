"""`ionian container exec`: programs beside a function, with real containers."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.homes import IONIAN, Home
from tests.integration.test_command_line import write

from ionian.machine.state import StateFolder
from ionian.protocol.apps import KillExec, StartExec
from ionian.protocol.ids import new_id
from ionian.protocol.messages import Hello
from ionian.protocol.stream import Peer, dial
from ionian.server.auth import local_token
from ionian.version import VERSION

pytestmark = [pytest.mark.timeout(300), pytest.mark.container]

APP = """
    import os, pathlib, time
    import modal

    app = modal.App("held")
    image = modal.Image.debian_slim().env({"FROM_IMAGE": "yes"})

    @app.function(image=image, secrets=[modal.Secret.from_dict({"WORD": "xyzzy"})])
    def held():
        print("container", os.environ["MODAL_TASK_ID"], flush=True)
        while not os.path.exists("/tmp/done"):
            time.sleep(0.05)
        return "let go"

    @app.local_entrypoint()
    def main():
        print(held.remote())
"""


@dataclass
class Held:
    """A container whose function waits until /tmp/done is there."""

    home: Home
    container_id: str
    run: subprocess.Popen[str]

    def exec(
        self, *words: str, stdin: bytes = b"", timeout_s: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs a program in it, without a terminal."""
        return subprocess.run(
            [IONIAN, "container", "exec", "--no-pty", self.container_id, *words],
            input=stdin,
            capture_output=True,
            env=self.home.environment,
            timeout=timeout_s,
            check=False,
        )


@contextmanager
def held_container(home: Home, folder: Path) -> Generator[Held]:
    write(folder, "held.py", APP)
    with subprocess.Popen(
        [IONIAN, "run", "-q", "held.py"],
        cwd=folder,
        env=home.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    ) as run:
        assert run.stdout is not None
        said = ""
        for line in run.stdout:
            said += line
            if found := re.search(r"container (ta-\w+)", line):
                break
        else:
            raise AssertionError(said)
        try:
            yield Held(home, found[1], run)
        finally:
            run.terminate()


@pytest.fixture(scope="module")
def held(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Generator[Held]:
    with held_container(home, tmp_path_factory.mktemp("held")) as container:
        yield container


def test_a_program_sees_what_the_function_sees_and_has_no_more_rights(held: Held):
    script = "pwd; echo $FROM_IMAGE $WORD $MODAL_TASK_ID; id -u; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status"
    done = held.exec("sh", "-c", script)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().split("\n")
    assert lines[:3] == ["/root", f"yes xyzzy {held.container_id}", "0"]
    assert [line.split()[1] for line in lines[3:-1]] == ["0" * 16, "0" * 16, "1", "2"]


def test_what_is_piped_in_comes_out_whole(held: Held):
    data = os.urandom(1 << 20) * 3
    done = held.exec("cat", stdin=data)
    assert done.returncode == 0, done.stderr
    assert done.stdout == data


def test_the_two_outputs_and_the_exit_code_are_the_programs_own(held: Held):
    done = held.exec("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert held.exec("sh", "-c", "kill -9 $$").returncode == 137


def test_a_program_that_is_not_there_is_said_with_127(held: Held):
    done = held.exec("no-such-program")
    assert done.returncode == 127
    assert done.stderr == b"no-such-program: No such file or directory\n"


def test_two_dashes_may_stand_before_the_command_and_belong_to_it_behind_its_name(held: Held):
    done = held.exec("--", "sh", "-c", "echo $0 $*", "--", "-c")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"-- -c\n", b"")
    done = held.exec("--")
    assert done.returncode == 2
    assert b"expected a command behind --" in done.stderr


def test_what_a_program_leaves_running_ends_with_it(held: Held):
    done = held.exec("sh", "-c", "setsid sleep 4321 >/dev/null 2>&1 & echo gone")
    assert done.stdout == b"gone\n"
    assert b"4321" not in all_programs(held)


def all_programs(held: Held) -> bytes:
    return held.exec("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout.replace(b"/proc", b"")


def test_a_program_ends_with_its_person(held: Held):
    with subprocess.Popen(
        [IONIAN, "container", "exec", "--no-pty", held.container_id, "sh", "-c", "echo up; exec sleep 8642"],
        env=held.home.environment,
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
    ) as person:
        assert person.stdout is not None
        assert person.stdout.readline() == b"up\n"
        assert b"8642" in all_programs(held)
        person.kill()
    eventually(lambda: b"8642" not in all_programs(held))


def test_a_program_whose_person_goes_while_it_starts_ends_too(held: Held):
    async def story() -> None:
        state = StateFolder(held.home.folder)
        url = json.loads((state.runtime / "server.json").read_text())["url"]
        person = await dial(url, Peer)
        await person.request(Hello("client", local_token(state), VERSION, new_id("cl")))
        exec_id = new_id("ex")
        asked = person.request(StartExec(exec_id, held.container_id, ["sleep", "9753"], True, -1, 1 << 20))
        person.send(KillExec(exec_id))
        await asked
        person.disconnect()

    asyncio.run(story())
    eventually(lambda: b"9753" not in all_programs(held))


def eventually(true: object, within_s: float = 20) -> None:
    end = time.monotonic() + within_s
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_slow_reader_pauses_the_program(held: Held):
    """It writes 64 MiB, says so in a file, and nobody reads: it can't get that far."""
    script = "head -c 67108864 /dev/zero; echo > /tmp/written"
    with subprocess.Popen(
        [IONIAN, "container", "exec", "--no-pty", held.container_id, "sh", "-c", script],
        env=held.home.environment,
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
    ) as person:
        assert person.stdout is not None
        assert len(person.stdout.read(1 << 20)) == 1 << 20
        assert held.exec("test", "-e", "/tmp/written").returncode == 1
        rest = person.stdout.read()
        assert person.wait() == 0
    assert len(rest) == 63 << 20
    assert held.exec("test", "-e", "/tmp/written").returncode == 0


class Terminal:
    """A person's terminal with a command on it."""

    def __init__(self, home: Home, *command: str | Path, cwd: Path | None = None) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(self.master, (33, 111))
        self.before = termios.tcgetattr(self.master)
        environment = {k: v for k, v in home.environment.items() if k not in ("LINES", "COLUMNS")}
        self.process = subprocess.Popen(
            [IONIAN, *command],
            env=environment,
            cwd=cwd,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        os.close(slave)
        self.text = ""

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def wait_for(self, wanted: str, within_s: float = 60) -> str:
        """Reads on until this was written; returns what came before it."""
        end = time.monotonic() + within_s
        while wanted not in self.text:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, self.text
            self.text += os.read(self.master, 65536).decode(errors="replace")
        before, _, self.text = self.text.partition(wanted)
        return before

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.master)[3] & termios.ICANON

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def _own_terminal() -> None:
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def terminal(home: Home, *command: str | Path, cwd: Path | None = None) -> Generator[Terminal]:
    made = Terminal(home, *command, cwd=cwd)
    try:
        yield made
    finally:
        made.close()


def test_a_shell_has_a_terminal_of_the_persons_size_and_keys_are_its_own(held: Held):
    with terminal(held.home, "container", "exec", held.container_id, "sh") as person:
        person.wait_for("# ")
        assert person.is_raw()
        person.type("tty; stty size\r")
        person.wait_for("/dev/pts/")
        person.wait_for("33 111")
        termios.tcsetwinsize(person.master, (20, 90))
        person.process.send_signal(signal.SIGWINCH)
        person.type("until stty size | grep '20 9'0; do sleep 0.05; done\r")
        person.wait_for("20 90\r\n")
        person.type("echo sle''eping; sleep 60\r")
        person.wait_for("sleeping")
        person.type("\x03")  # ends sleep, not us
        person.type("echo af''ter\r")
        person.wait_for("after")
        person.type("exit 5\r")
        assert person.process.wait(20) == 5
        assert termios.tcgetattr(person.master) == person.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_is_put_back_when_the_command_is_told_to_end(held: Held, number: signal.Signals):
    with terminal(held.home, "container", "exec", held.container_id, "sh") as person:
        person.wait_for("# ")
        assert person.is_raw()
        person.process.send_signal(number)
        assert person.process.wait(20) == 128 + number
        assert termios.tcgetattr(person.master) == person.before


def test_an_unknown_container_is_said(home: Home):
    done = home.ionian("container", "exec", "ta-nothing", "true")
    assert done.returncode == 1
    assert "there is no container 'ta-nothing'" in done.stdout


def test_a_program_ends_with_its_container(home: Home, tmp_path: Path):
    with (
        held_container(home, tmp_path) as held,
        subprocess.Popen(
            [
                IONIAN,
                "container",
                "exec",
                "--no-pty",
                held.container_id,
                "sh",
                "-c",
                "echo up; exec sleep 60",
            ],
            env=home.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.PIPE,
        ) as person,
    ):
        assert person.stdout is not None
        assert person.stderr is not None
        assert person.stdout.readline() == b"up\n"
        assert held.exec("touch", "/tmp/done").returncode == 0
        assert held.run.wait(60) == 0
        assert person.wait(60) == 137
        assert b"its container has ended" in person.stderr.read()


def test_the_containers_own_memory_limit_holds_for_programs(held: Held):
    """Where cgroups can be written: a program is in those of the container."""
    groups = held.exec("cat", "/proc/1/cgroup", "/proc/self/cgroup").stdout.decode().splitlines()
    half = len(groups) // 2
    assert groups[:half] == groups[half:]
    assert json.dumps(groups)
