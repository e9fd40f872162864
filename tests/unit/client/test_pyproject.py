"""What a project's pyproject.toml says for an image, and what is refused where it is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.kept import Kept

from ionian.exception import InvalidError
from ionian.image import Image
from ionian.protocol.spec import FileRef
from ionian.protocol.uv_words import CHOOSE, INDEX, PLACE, exported, only

SLIM = Image.debian_slim("3.11")
PROJECT = """\
[project]
name = "demo"
version = "1"
dependencies = ["b>=2", "a; python_version < '3.12'"]
[project.optional-dependencies]
more = ["c[x]"]
"""
POETRY = "[tool.poetry.dependencies]\npython = '*'\n"
WORKSPACE = PROJECT + "[tool.uv.workspace]\nmembers = ['a']\n"
SOURCES = PROJECT + "[tool.uv.sources]\na = { path = 'libs/a' }\n"
LOCK = """\
version = 1
[[package]]
name = "demo"
source = { virtual = "." }
[[package]]
name = "a"
source = { directory = "libs/a" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return tmp_path


def test_the_dependencies_of_a_project_and_its_extras_are_installed(folder: Path) -> None:
    image = SLIM.pip_install_from_pyproject(folder / "pyproject.toml", ["more"], pre=True)
    made = image.spec(Kept()).instructions[-1]
    assert (made.op, made.args) == (
        "PIP",
        ["--prerelease", "allow", "a; python_version < '3.12'", "b>=2", "c[x]"],
    )
    (folder / "pyproject.toml").write_text("[project]\ndependencies = []\n")
    assert SLIM.pip_install_from_pyproject(str(folder / "pyproject.toml")) is SLIM


def test_a_project_of_uv_is_a_step_with_its_lock(folder: Path) -> None:
    image = SLIM.uv_sync(folder, groups=["g"], extras=["more"], extra_options="--no-dev -q", uv_version="0.8")
    made = image.spec(Kept()).instructions[-1]
    assert (made.op, made.args) == ("SYNC", ["--group=g", "--extra=more", "--no-dev", "-q"])
    assert (made.files, made.uv_version) == ([FileRef("pyproject.toml", "pyproject.toml", 0)], "0.8")
    (folder / "uv.lock").write_text(LOCK.partition('[[package]]\nname = "a"')[0])
    assert SLIM.uv_sync(folder).spec(Kept()).instructions[-1].args == ["--frozen"]
    assert SLIM.uv_sync(folder, frozen=False).spec(Kept()).instructions[-1].args == []


@pytest.mark.parametrize(
    ("project", "lock", "options", "message"),
    [
        (PROJECT, "", "--python 3.12", "'--python' is no option of `uv sync` that an image can take"),
        (PROJECT, "", "--extra", "'--extra' has no value"),
        (PROJECT, "", "--frozen", "--frozen needs a uv.lock"),
        (PROJECT, "", "'", "can't be split into words"),
        (PROJECT, LOCK, "", "depends on 'a', which is a folder or file here"),
        (SOURCES, "", "", "depends on 'a', which is a folder or file here"),
        (WORKSPACE, "", "", "is a workspace of uv"),
        ("[", "", "", "can't be read as TOML"),
    ],
)
def test_what_an_image_can_not_carry_out_of_a_project_is_refused(
    folder: Path, project: str, lock: str, options: str, message: str
) -> None:
    (folder / "pyproject.toml").write_text(project)
    if lock:
        (folder / "uv.lock").write_text(lock)
    with pytest.raises(InvalidError, match=message):
        SLIM.uv_sync(folder, extra_options=options)


def test_what_is_left_out_may_lie_here(folder: Path) -> None:
    (folder / "uv.lock").write_text(LOCK)
    assert SLIM.uv_sync(folder, extra_options="--no-install-package a") is not SLIM
    assert SLIM.uv_sync(folder, extra_options="--no-install-package=a") is not SLIM
    assert SLIM.uv_sync(folder, extra_options="--no-install-local") is not SLIM


def test_a_project_without_what_is_asked_for_is_refused(folder: Path) -> None:
    file = folder / "pyproject.toml"
    with pytest.raises(InvalidError, match=r"optional_dependencies: .* has no 'test'; it has more"):
        SLIM.pip_install_from_pyproject(file, ["test"])
    file.write_text(POETRY)
    with pytest.raises(InvalidError, match=r"its dependencies are Poetry's, so use Image\.poetry"):
        SLIM.pip_install_from_pyproject(file)
    file.write_text("[project]\ndependencies = 'a'\n")
    with pytest.raises(InvalidError, match="expected dependencies to be a list of strings, got 'a'"):
        SLIM.pip_install_from_pyproject(file)
    with pytest.raises(InvalidError, match="uv_project_dir: expected a folder here, found none at"):
        SLIM.uv_sync(folder / "nothing")
    with pytest.raises(InvalidError, match="uv_project_dir: expected a file here, found none at"):
        SLIM.uv_sync(Path(__file__).parent)


@pytest.mark.parametrize("version", ["0.8.x", "1.2.3.4", "", 8, "../x"])
def test_a_version_of_uv_is_one(folder: Path, version: str) -> None:
    with pytest.raises(InvalidError, match=r'uv_version: expected a version of uv such as "0\.8\.4", got'):
        SLIM.uv_sync(folder, uv_version=version)


def test_each_option_of_uv_sync_goes_to_the_part_that_it_is_for() -> None:
    args = ["--no-dev", "--index-url", "--no-dev", "--no-install-package", "a", "-C", "x", "--extra=b"]
    assert only(args, INDEX, PLACE) == ["--index-url", "--no-dev", "-C", "x"]
    assert exported(only(args, CHOOSE)) == ["--no-dev", "--no-emit-package", "a", "--extra=b"]
    assert exported(["--no-install-package=a"]) == ["--no-emit-package=a"]
