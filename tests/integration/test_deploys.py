"""Deployed apps in real containers: versions, calls over deploys, restarts, what is refused."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest
from tests.homes import IONIAN, Home, new_home
from tests.integration.messages import fails_with, said
from tests.integration.seen import PROGRAMS

pytestmark = pytest.mark.timeout(300)

APP = """
    import time
    import modal

    app = modal.App("{name}")

    @app.function({options})
    def version(n: int):
        time.sleep(0.01)
        return {version}, n
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Home]:
    """A home of this module's own: its apps stay until the end."""
    with new_home() as made:
        yield made


def write(folder: Path, version: int, *, name: str = "app", options: str = "") -> Path:
    file = folder / "app.py"
    file.write_text(dedent(APP.format(name=name, version=version, options=options)))
    return file


def deploy(home: Home, file: Path, *arguments: str) -> str:
    done = home.ionian("deploy", file, *arguments, cwd=file.parent)
    assert done.returncode == 0, done.stdout
    return done.stdout


class Calls:
    """A program that calls a function all the time."""

    def __init__(self, home: Home, app: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, PROGRAMS / "deployed_calls.py", app, "version"],
            env=home.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seen: list[str] = []

    def until(self, line: str) -> None:
        """Reads on until the program has printed this."""
        assert self.process.stdout is not None
        for read in self.process.stdout:
            self.seen.append(read.strip())
            if self.seen[-1].startswith(line):
                return
        raise AssertionError(f"the program ended with {self.process.wait()} after {self.seen[-5:]}")

    def end(self) -> list[int]:
        """The versions that answered, in order."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.until("calls")
        assert self.process.wait(30) == 0
        assert self.seen[-1] == f"calls {len(self.seen) - 1}"
        return [int(version) for version in self.seen[:-1]]


@contextmanager
def calls(home: Home, app: str) -> Generator[Calls]:
    made = Calls(home, app)
    with made.process:
        try:
            yield made
        finally:
            made.process.kill()


def test_calls_go_on_over_deploys_and_none_is_lost(place: Home, tmp_path: Path):
    deploy(place, write(tmp_path, 1, name="stream"))
    with calls(place, "stream") as stream:
        stream.until("1")
        for version in range(2, 6):
            strategy = "recreate" if version == 4 else "rolling"
            assert f"version {version} of stream" in deploy(
                place, write(tmp_path, version, name="stream"), "--strategy", strategy
            )
            stream.until(str(version))
        versions = stream.end()
    assert versions == sorted(versions)
    assert set(versions) == {1, 2, 3, 4, 5}


def test_a_map_that_runs_over_a_deploy_gets_each_result_once(place: Home, tmp_path: Path):
    deploy(place, write(tmp_path, 1, name="mapped", options="max_containers=2"))
    text = """
        import itertools
        import sys
        import threading
        import ionian as modal

        deployed = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.readline(), deployed.set()), daemon=True).start()

        def numbers():
            given = itertools.count()
            while not deployed.is_set():
                yield next(given)
            yield from itertools.islice(given, 100)

        results = []
        for result in modal.Function.from_name("mapped", "version").map(numbers()):
            results.append(result)
            if len(results) == 20:
                print("under way", flush=True)
        assert [n for _, n in results] == list(range(len(results)))
        print(sorted({version for version, _ in results}))
    """
    (tmp_path / "mapping.py").write_text(dedent(text))
    with subprocess.Popen(
        [sys.executable, "mapping.py"],
        cwd=tmp_path,
        env=place.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.readline() == "under way\n"
        deploy(place, write(tmp_path, 2, name="mapped", options="max_containers=2"))
        program.stdin.write("deployed\n")
        program.stdin.flush()
        assert program.stdout.read() == "[1, 2]\n"
    assert program.returncode == 0


GATED = """
    import os, time
    import modal

    app = modal.App("gated")
    signals = modal.Volume.from_name("signals", create_if_missing=True)

    @app.function(volumes={{"/signals": signals}})
    def wait(name: str):
        with open(f"/signals/{{name}}.begun", "a") as file:
            file.write("{version} ")
        while not os.path.exists(f"/signals/{{name}}.go"):
            time.sleep(0.01)
        return {version}

    @app.function()
    def version():
        return {version}
"""


@contextmanager
def one_call(home: Home, *arguments: str) -> Generator[subprocess.Popen[str]]:
    """A program that makes one call and prints its result."""
    with subprocess.Popen(
        [sys.executable, PROGRAMS / "deployed_call.py", *arguments],
        env=home.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def result(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    return program.stdout.read().strip()


def wait_for(file: Path, text: str) -> None:
    """Waits until a container has written this."""
    deadline = time.monotonic() + 60
    while not file.exists() or file.read_text() != text:
        assert time.monotonic() < deadline, file.read_text() if file.exists() else "no such file"
        time.sleep(0.02)


def gated(home: Home, folder: Path, version: int, *arguments: str) -> None:
    (folder / "gated.py").write_text(dedent(GATED.format(version=version)))
    deploy(home, folder / "gated.py", *arguments)


def test_what_runs_ends_on_its_version_or_runs_again_where_containers_are_recreated(tmp_path: Path):
    with new_home() as home:
        gated(home, tmp_path, 1)
        (signals,) = (home.folder / "volumes").glob("vo-*")
        with one_call(home, "gated", "wait", "a") as first:
            wait_for(signals / "a.begun", "1 ")
            gated(home, tmp_path, 2)
            with one_call(home, "gated", "version") as second:
                assert result(second) == "2"
            (signals / "a.go").touch()
            assert result(first) == "1"
        assert (signals / "a.begun").read_text() == "1 "
        with one_call(home, "gated", "wait", "b") as third:
            wait_for(signals / "b.begun", "2 ")
            gated(home, tmp_path, 3, "--strategy", "recreate")
            wait_for(signals / "b.begun", "2 3 ")
            (signals / "b.go").touch()
            assert result(third) == "3"


def test_a_function_that_a_deploy_drops_is_gone_and_comes_back_with_a_rollback(place: Home, tmp_path: Path):
    file = tmp_path / "app.py"
    kept = dedent("""
        import os
        import modal

        app = modal.App("dropping")

        @app.function()
        def kept():
            return "kept"
    """)
    gone = dedent("""
        @app.function(secrets=[modal.Secret.from_dict({"WORD": "hello"})])
        def gone():
            return os.environ["WORD"]
    """)
    for text in (kept + gone, kept):
        file.write_text(text)
        deploy(place, file)
    with one_call(place, "dropping", "gone") as call:
        assert "app 'dropping' has no function or class 'gone'; there are: kept" in result(call)
    done = place.ionian("app", "rollback", "dropping")
    assert done.returncode == 0, done.stdout
    with one_call(place, "dropping", "gone") as call:
        assert result(call) == "hello"


def test_a_deploy_of_what_is_there_makes_no_version(place: Home, tmp_path: Path):
    file = write(tmp_path, 1, name="same")
    assert "version 1 of same" in deploy(place, file)
    assert "No changes: version 1 of same runs already" in deploy(place, file)
    assert "version 2 of same" in deploy(place, file, "--tag", "named")
    assert "No changes: version 2" in deploy(place, file, "--tag", "named")


def test_a_deploy_says_how_its_functions_are_called(place: Home, tmp_path: Path):
    text = said(place.ionian("deploy", write(tmp_path, 1, name="told"), cwd=tmp_path))
    assert 'version modal.Function.from_name("told", "version")' in text
    assert "Logs: ionian app logs told" in text


def test_a_deploy_that_fails_changes_nothing(place: Home, tmp_path: Path):
    deploy(place, write(tmp_path, 1, name="kept"))
    broken = write(tmp_path, 2, name="kept", options="image=modal.Image.debian_slim().run_commands('exit 3')")
    fails_with(place.ionian("deploy", broken, cwd=tmp_path), "exit 3")
    with calls(place, "kept") as stream:
        stream.until("1")
        assert set(stream.end()) == {1}
    assert "version 2 of kept" in deploy(place, write(tmp_path, 2, name="kept"))


def test_a_deployed_app_survives_the_kill_of_its_server(tmp_path: Path):
    with new_home() as home:
        deploy(home, write(tmp_path, 1, name="durable", options="min_containers=1"))
        with calls(home, "durable") as stream:
            stream.until("1")
            os.kill(server_pid(home), signal.SIGKILL)
            deploy(home, write(tmp_path, 2, name="durable", options="min_containers=1"))
            stream.until("2")
            versions = stream.end()
        assert versions == sorted(versions)
        os.kill(server_pid(home), signal.SIGKILL)
        with calls(home, "durable") as stream:  # found by a client that starts the server anew
            stream.until("2")
            stream.end()


def server_pid(home: Home) -> int:
    status = home.ionian("server", "status").stdout
    found = re.search(r"process (\d+)", status)
    assert found is not None, status
    return int(found[1])


VARIED = """
    import os
    import modal

    app = modal.App("varied")

    @app.function(env={{"WHO": "deployed"}})
    def who():
        return {version}, os.environ["WHO"]

    @app.cls()
    class Model:
        size: int = modal.parameter()

        @modal.method()
        def read(self):
            return {version}, self.size
"""
ASKING = """
    import ionian as modal

    varied = modal.Function.from_name("varied", "who").with_options(env={"WHO": "varied"})
    model = modal.Cls.from_name("varied", "Model")
    print([*varied.remote(), *model(size=3).read.remote(), *model(size=4).read.remote()], flush=True)
    input()
    print([*varied.remote(), *model(size=3).read.remote(), *model(size=4).read.remote()], flush=True)
"""


def test_variants_and_objects_follow_their_app_over_deploys_and_restarts(tmp_path: Path):
    (tmp_path / "asking.py").write_text(dedent(ASKING))
    with new_home() as home:
        varied(home, tmp_path, 1)
        with subprocess.Popen(
            [sys.executable, "asking.py"],
            cwd=tmp_path,
            env=home.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == "[1, 'varied', 1, 3, 1, 4]\n"
            varied(home, tmp_path, 2)
            os.kill(server_pid(home), signal.SIGKILL)
            assert home.ionian("app", "list").returncode == 0  # starts the server anew
            out, _ = program.communicate("\n", timeout=60)
            assert out == "[2, 'varied', 2, 3, 2, 4]\n"


def varied(home: Home, folder: Path, version: int) -> None:
    (folder / "varied.py").write_text(dedent(VARIED.format(version=version)))
    deploy(home, folder / "varied.py")


PINNED = """
    import modal

    app = modal.App("pinned")

    @app.function()
    def inner():
        return {version}

    @app.function()
    def outer():
        return [{version}, inner.remote(), Model(size=5).read.remote()]

    @app.cls()
    class Model:
        size: int = modal.parameter(default=0)

        @modal.method()
        def read(self):
            return {version}, self.size, inner.remote()
"""
PINNING = """
    import ionian as modal

    for version in (1, 2, None):
        outer = modal.Function.from_name("pinned", "outer", version=version)
        model = modal.Cls.from_name("pinned", "Model", version=version)
        print(version, outer.remote(), outer.spawn().get(), model(size=3).read.remote(), flush=True)
    try:
        modal.Function.from_name("pinned", "outer", version=7).remote()
    except modal.exception.NotFoundError as error:
        print(error)
"""


def test_calls_of_a_version_and_what_they_call_stay_in_it(place: Home, tmp_path: Path):
    for version in (1, 2, 3):
        (tmp_path / "pinned.py").write_text(dedent(PINNED.format(version=version)))
        deploy(place, tmp_path / "pinned.py")
    (tmp_path / "pinning.py").write_text(dedent(PINNING))
    done = place.python("pinning.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.strip().splitlines()
    for version, asked in ((1, 1), (2, 2), (3, None)):
        outer = [version, version, (version, 5, version)]
        assert f"{asked} {outer} {outer} {(version, 3, version)}" in lines
    assert "app pinned has no version v7; it has v1 to v3" in lines[-1]


def test_two_first_deploys_at_once_are_two_versions_of_one_app(place: Home, tmp_path: Path):
    files: list[Path] = []
    for version in (1, 2):
        folder = tmp_path / str(version)
        folder.mkdir()
        files.append(write(folder, version, name="at-once"))
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(deploy, (place, place), files))
    versions = sorted(found[1] for text in said if (found := re.search(r"version (\d) of at-once", text)))
    assert versions == ["1", "2"]
    with calls(place, "at-once") as stream:
        stream.until("")
        assert len(set(stream.end())) == 1


def test_a_module_of_a_package_is_deployed_by_its_name(place: Home, tmp_path: Path):
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "words.py").write_text("WORD = 'from the package'\n")
    text = """
        import modal
        from .words import WORD

        service = modal.App("packaged")

        @service.function()
        def word():
            return WORD
    """
    (package / "service.py").write_text(dedent(text))
    done = place.ionian("deploy", "-m", "shop.service::service", "--name", "renamed", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    with one_call(place, "renamed", "word") as call:
        assert result(call) == "from the package"


def test_a_deploy_can_stay_and_show_what_the_app_prints(place: Home, tmp_path: Path):
    file = tmp_path / "app.py"
    text = """
        import modal
        app = modal.App("talking")

        @app.function()
        def say(word):
            print("said", word)
    """
    file.write_text(dedent(text))
    with subprocess.Popen(
        [IONIAN, "deploy", "--stream-logs", file],
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            while "Logs:" not in program.stdout.readline():
                pass
            with one_call(place, "talking", "say", "hello") as call:
                assert result(call) == "None"
            assert program.stdout.readline() == "said hello\n"
            program.send_signal(signal.SIGINT)
            assert program.wait(30) == 130
        finally:
            program.kill()


def test_a_program_deploys_finds_and_stops_an_app(place: Home, tmp_path: Path):
    text = """
        import asyncio
        import modal

        app = modal.App("by-hand", tags={"team": "a"})

        @app.function()
        def double(n):
            return 2 * n

        other = modal.App("other")

        @other.function()
        def triple(n):
            return 3 * n

        app.include(other)
        assert app.deploy() is app
        assert asyncio.run(app.deploy.aio(tag="v2")) is app
        assert [double.remote(2), triple.remote(2)] == [4, 6]
        found = modal.App.lookup("by-hand")
        assert found.app_id == app.app_id
        assert found.get_tags() == {"team": "a"}
        found.set_tags({"team": "b"})
        assert app.get_tags() == {"team": "b"}
        assert modal.App.lookup("made-now", create_if_missing=True).app_id
        found.stop()
        try:
            modal.App.lookup("by-hand")
        except modal.exception.NotFoundError as error:
            print(error)
    """
    (tmp_path / "program.py").write_text(dedent(text))
    done = place.ionian("python", "-q", "program.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "app 'by-hand' is neither deployed nor running in environment 'main'; there are:" in done.stdout
    assert "made-now" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (("missing.py",), "missing.py", 1),
        (("app.py::other",), "app.py has no app named 'other'; its apps: app", 2),
        (("two.py",), "defines several apps, and none is named app; say which", 2),
        (("none.py",), "none.py defines no app at its top", 2),
        (("app.py", "--name", "a b"), "name: expected a name of 1 to 64 characters", 1),
        (("app.py", "--tag", "x" * 51), "tag: expected up to 50 characters", 1),
        (("app.py", "--strategy", "blue"), "'blue' is not one of 'rolling', 'recreate'", 2),
        (("app.py", "-e", "prod"), "there is no environment 'prod'; there are: main", 1),
    ],
)
def test_what_can_not_be_deployed_is_refused(
    place: Home, tmp_path: Path, arguments: tuple[str, ...], sentence: str, code: int
):
    write(tmp_path, 1, name="refused")
    (tmp_path / "two.py").write_text("import modal\none, two = modal.App('a'), modal.App('b')\n")
    (tmp_path / "none.py").write_text("")
    fails_with(place.ionian("deploy", *arguments, cwd=tmp_path), sentence, code=code)
