"""`ionian volume` with a real server: no container runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.homes import IONIAN, Home
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.container, pytest.mark.timeout(180)]

LENDER = """
    import modal

    app = modal.App("lender")
    image = modal.Image.debian_slim(python_version="3.11")

    @app.function(image=image, volumes={"/shelf": modal.Volume.from_name("SHELF")})
    def lend():
        return 1
"""
LENDING = "import modal; print(modal.Function.from_name('lender', 'lend').remote())".replace(
    "modal", "ionian"
)


def volume(home: Home, *arguments: str | Path, fails: bool = False) -> str:
    done = home.ionian("volume", *arguments)
    assert (done.returncode != 0) is fails, done.stdout
    return done.stdout


@pytest.fixture
def shelf(home: Home, request: pytest.FixtureRequest) -> str:
    name = request.node.name[5:50].replace("[", "-").strip("-_]")
    volume(home, "create", name, "--version", "2")
    return name


@pytest.fixture
def books(tmp_path: Path) -> Path:
    folder = tmp_path / "books"
    (folder / "plays").mkdir(parents=True)
    (folder / "plays/hamlet.txt").write_text("to be")
    (folder / "odd ü\n'name").write_bytes(b"\0" * 300_000)
    return folder


def test_a_folder_comes_back_as_it_was_sent(home: Home, shelf: str, books: Path, tmp_path: Path) -> None:
    assert "✓ 2 files, 300.0 kB in" in volume(home, "put", shelf, books, "/kept")
    back = tmp_path / "back"
    volume(home, "get", shelf, "kept", back)
    assert (back / "plays/hamlet.txt").read_text() == "to be"
    assert (back / "odd ü\n'name").read_bytes() == b"\0" * 300_000
    volume(home, "get", shelf, "kept/plays/", tmp_path)
    assert (tmp_path / "plays/hamlet.txt").exists()


def test_a_file_goes_below_a_slash_or_under_its_new_name(
    home: Home, shelf: str, books: Path, tmp_path: Path
) -> None:
    volume(home, "put", shelf, books / "plays/hamlet.txt")
    volume(home, "put", shelf, books / "plays/hamlet.txt", "deep/other")
    assert volume(home, "ls", shelf).split() == ["deep", "hamlet.txt"]
    volume(home, "get", shelf, "deep/other", tmp_path)
    volume(home, "get", shelf, "deep/other", tmp_path / "renamed")
    assert (tmp_path / "other").read_text() == (tmp_path / "renamed").read_text() == "to be"


def test_nothing_is_replaced_without_force(home: Home, shelf: str, books: Path, tmp_path: Path) -> None:
    file = books / "plays/hamlet.txt"
    volume(home, "put", shelf, file)
    assert "in the volume already" in volume(home, "put", shelf, file, fails=True)
    volume(home, "put", shelf, file, "--force")
    (tmp_path / "hamlet.txt").write_text("mine")
    told = volume(home, "get", shelf, "hamlet.txt", tmp_path, fails=True)
    assert "is here already; --force replaces files" in told
    assert (tmp_path / "hamlet.txt").read_text() == "mine"
    volume(home, "get", shelf, "hamlet.txt", tmp_path, "--force")
    assert sorted(os.listdir(tmp_path)) == ["books", "hamlet.txt"]
    assert (tmp_path / "hamlet.txt").read_text() == "to be"


def test_a_dash_is_stdin_and_stdout(home: Home, shelf: str) -> None:
    for arguments, sent, expected in (
        (("put", shelf, "-", "piped"), b"\xff\n" * 200_000, b""),
        (("get", shelf, "piped", "-"), b"", b"\xff\n" * 200_000),
    ):
        done = subprocess.run(
            (IONIAN, "volume", *arguments),
            input=sent,
            capture_output=True,
            env=home.environment,
            timeout=60,
            check=True,
        )
        assert done.stdout == expected


def test_files_are_copied_removed_and_listed_for_programs(home: Home, shelf: str, books: Path) -> None:
    volume(home, "put", shelf, books)
    volume(home, "cp", shelf, "plays", "copies", "--recursive")
    assert "it is a folder" in volume(home, "rm", shelf, "plays", fails=True)
    volume(home, "rm", shelf, "plays", "-r")
    listed = json.loads(volume(home, "ls", shelf, "copies", "--json"))
    assert [(each["Filename"], each["Type"], each["Size"]) for each in listed] == [
        ("copies/hamlet.txt", "file", "5 B")
    ]
    assert "there is no such file or folder" in volume(home, "ls", shelf, "plays", fails=True)
    assert "expected a path within the volume" in volume(home, "get", shelf, "../x", fails=True)


def test_a_deleted_volume_is_named_by_the_container_that_can_not_start(
    home: Home, shelf: str, tmp_path: Path
) -> None:
    write(tmp_path, "lender.py", LENDER.replace("SHELF", shelf))
    assert home.ionian("deploy", "lender.py", cwd=tmp_path).returncode == 0
    assert "The containers of lender can't start without it" in volume(home, "delete", shelf, fails=True)
    volume(home, "delete", shelf, "--yes")
    volume(home, "create", shelf)
    done = home.python("-c", LENDING)
    assert "that it mounts at /shelf was deleted; run or deploy the app again" in done.stdout
    assert home.ionian("app", "stop", "lender", "--yes").returncode == 0


def test_volumes_are_listed_renamed_and_deleted(home: Home, shelf: str) -> None:
    assert "Say --yes" in volume(home, "rename", shelf, "shelf-renamed", fails=True)
    volume(home, "rename", shelf, "shelf-renamed", "--yes")
    names = [each["Name"] for each in json.loads(volume(home, "list", "--json"))]
    assert "shelf-renamed" in names
    assert shelf not in names
    volume(home, "delete", "shelf-renamed", "--yes")
    assert "there is no volume 'shelf-renamed'" in volume(home, "ls", "shelf-renamed", fails=True)
    volume(home, "delete", "shelf-renamed", "--yes", "--allow-missing")
