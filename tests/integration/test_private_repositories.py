"""Packages of private repositories, and projects of Poetry."""

from __future__ import annotations

import hashlib
import http.server
import subprocess
import threading
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.integration import repositories
from tests.integration.image_bench import SLIM, Bench, bench, cached, go
from tests.kept import Kept

from ionian.exception import InvalidError, NotFoundError
from ionian.image import Image
from ionian.protocol.spec import Instruction
from ionian.secret import Secret
from ionian.worker.images import ImageError

__all__ = ["bench", "cached"]

pytestmark = [pytest.mark.container, pytest.mark.timeout(400)]

TOKEN = "ghp-very-private-token"
PACKAGE = {
    "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    '[project]\nname = "six"\nversion = "1.17.0"\n[tool.setuptools]\npy-modules = ["private_six"]\n',
    "private_six.py": "WHOSE = 'ours'\n",
}
"""A package that has the name and the version of a public one."""


def test_a_private_repository_is_installed_and_its_token_is_nowhere(bench: Bench, tmp_path: Path) -> None:
    repositories.push(tmp_path / "git", "private", "v1", PACKAGE)

    async def main(host: str) -> None:
        url = f"git+http://reader:$GITHUB_TOKEN@{host}/private/.git@v1"
        steps = [SLIM, Instruction("APT", ["git"]), Instruction("PIP", [url], secret_ids=["st-1"])]
        with pytest.raises(ImageError) as failed:
            await bench.build(*steps, secrets={"st-1": {"GITHUB_TOKEN": TOKEN + "-old"}})
        assert "git" in str(failed.value)
        assert TOKEN not in str(failed.value) + "".join(step.text for step in bench.said)
        built = await bench.build(*steps, secrets={"st-1": {"GITHUB_TOKEN": TOKEN}})
        said = "".join(step.text for step in bench.said)
        assert TOKEN not in said
        program = "import private_six; print(private_six.WHOSE)"
        assert await bench.output(built, "python", "-c", program) == "ours"
        frozen = await bench.output(built, "pip", "freeze", "--disable-pip-version-check")
        assert "six==1.17.0" in frozen.splitlines()
        for folder in (built.layers[-1], bench.root / "k"):
            found = subprocess.run(
                ["grep", "-rlF", TOKEN, folder], capture_output=True, text=True, check=False
            )
            assert found.stdout == ""

    with repositories.served(tmp_path / "git", "reader", TOKEN) as host:
        go(lambda: main(host))


def test_a_repository_is_one_of_github_or_gitlab_with_a_secret() -> None:
    secret = Secret.from_dict({"GITHUB_TOKEN": "t"})
    slim = Image.debian_slim("3.11")
    image = slim.pip_install_private_repos(
        "github.com/o/r@v1", "gitlab.com/o/r#subdirectory=a", git_user="me", secrets=[secret], pre=True
    )
    _, git, made = [step.instruction(Kept()) for step in image.steps]
    assert (git.op, git.args) == ("APT", ["git"])
    assert made.args == [
        *("--prerelease", "allow"),
        "git+https://me:$GITHUB_TOKEN@github.com/o/r@v1",
        "git+https://me:$GITLAB_TOKEN@gitlab.com/o/r#subdirectory=a",
    ]
    with pytest.raises(InvalidError, match=r"repositories: expected such as github\.com/org/repo@ref or"):
        slim.pip_install_private_repos("example.com/o/r", git_user="me", secrets=[secret])
    with pytest.raises(InvalidError, match=r"secrets: expected a modal\.Secret with GITHUB_TOKEN"):
        slim.pip_install_private_repos("github.com/o/r", git_user="me")


def test_variables_of_a_step_run_nothing_beside_the_worker(bench: Bench, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\nexit 1\n")
    trap.chmod(0o755)
    given = {"GIT_SSH_COMMAND": str(trap), "GIT_ASKPASS": str(trap), "LD_AUDIT": str(trap)}

    async def main() -> None:
        with pytest.raises(ImageError):
            await bench.build(SLIM, Instruction("PIP", ["git+ssh://git@127.0.0.1:1/a/b"], env=given))
        assert not (tmp_path / "sprung").exists()

    go(main)


POETRY = """\
[tool.poetry]
name = "demo"
version = "1"
description = ""
authors = []
package-mode = false
[tool.poetry.dependencies]
python = ">=3.11"
ionian-demo = "3"
[tool.poetry.group.more.dependencies]
ionian-more = "*"
[[tool.poetry.source]]
name = "here"
url = "http://HOST/simple"
priority = "primary"
"""


def wheel(folder: Path, name: str, version: str) -> None:
    """A package of one module, on a page of an index."""
    module, metadata = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
    place = folder / "simple" / name / f"{module}-{version}-py3-none-any.whl"
    place.parent.mkdir(parents=True)
    with zipfile.ZipFile(place, "w") as made:
        made.writestr(f"{module}.py", f"VERSION = {version!r}\n")
        made.writestr(f"{metadata}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        made.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr(f"{metadata}/RECORD", f"{module}.py,,\n{metadata}/METADATA,,\n{metadata}/WHEEL,,\n")
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    page = f'<a href="{place.name}#sha256={digest}">{place.name}</a>'
    place.with_name("index.html").write_text(page)


@contextmanager
def index(folder: Path) -> Generator[str]:
    """Serves a folder: host and port."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_project_of_poetry_is_a_file_with_its_lock(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(POETRY)
    slim = Image.debian_slim("3.11")
    with pytest.raises(NotFoundError, match=r"there is no .*/poetry\.lock; name another, or write ignore_"):
        slim.poetry_install_from_file(tmp_path / "pyproject.toml")
    (tmp_path / "poetry.lock").write_text("")
    image = slim.poetry_install_from_file(
        str(tmp_path / "pyproject.toml"),
        without=["a", "b"],
        only=["c d"],
        poetry_version="2.1.0",
        env={"A": "1"},
    )
    _, poetry, copied, ran = [step.instruction(Kept()) for step in image.steps]
    assert (poetry.op, poetry.args) == ("PIP", ["poetry==2.1.0"])
    assert [file.path for file in copied.files] == ["poetry.lock", "pyproject.toml"]
    assert ran.args == ["cd /.poetry && poetry install --no-root --compile --without a,b --only 'c d'"]
    assert (ran.env["A"], ran.env["POETRY_VIRTUALENVS_CREATE"]) == ("1", "false")
    image = slim.poetry_install_from_file(
        tmp_path / "pyproject.toml", poetry_version=None, ignore_lockfile=True
    )
    assert [step.op for step in image.steps] == ["FROM", "COPY", "RUN"]


def test_a_project_of_poetry_is_installed_as_its_lock_says(bench: Bench, tmp_path: Path) -> None:
    wheel(tmp_path, "ionian-demo", "3")
    wheel(tmp_path, "ionian-more", "1")

    async def main(host: str) -> None:
        project = POETRY.replace("HOST", host)
        (tmp_path / "pyproject.toml").write_text(project)
        image = Image.debian_slim("3.11").poetry_install_from_file(
            tmp_path / "pyproject.toml", ignore_lockfile=True, without=["more"]
        )
        steps = [step.instruction(Kept()) for step in image.steps]
        steps[2].files = [bench.file("pyproject.toml", project)]
        built = await bench.build(*steps)
        program = "import ionian_demo as d, os; print(d.VERSION, os.path.exists(d.__cached__), d.__file__)"
        said = await bench.output(built, "python", "-c", program)
        assert said == "3 True /usr/local/lib/python3.11/dist-packages/ionian_demo.py"
        assert "No module" in await bench.output(built, "python", "-c", "import ionian_more")
        assert not any((layer / "root/.cache/pypoetry").exists() for layer in built.layers)

        # The lock that Poetry made leads to the same again.
        lock = await bench.output(built, "cat", "/.poetry/poetry.lock")
        steps[2].files.append(bench.file("poetry.lock", lock + "\n"))
        again = await bench.build(*steps)
        assert await bench.output(again, "python", "-c", program) == said
        assert "Resolving dependencies" not in bench.logged()

    with index(tmp_path) as host:
        go(lambda: main(host))
