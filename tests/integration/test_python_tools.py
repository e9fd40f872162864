"""Images by the tools of Python's projects: uv, pyproject.toml."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.integration.image_bench import SLIM, Bench, bench, cached, go
from tests.kept import Kept

from ionian.image import Image
from ionian.protocol.spec import FileRef, Instruction
from ionian.worker.images import ImageError
from ionian.worker.images.packages import find_uv

__all__ = ["bench", "cached"]

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

PROJECT = """\
[project]
name = "demo"
version = "1"
requires-python = ">=3.11"
dependencies = ["tabulate"]
[project.optional-dependencies]
six = ["six"]
[dependency-groups]
dev = ["iniconfig"]
wide = ["wcwidth"]
"""
SAY = (
    "import sys; from importlib.metadata import distributions; "
    "print(sys.prefix, *sorted(f'{one.name}=={one.version}' for one in distributions()))"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of uv with a lock."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    lock(folder)
    return folder


def lock(folder: Path) -> None:
    done = subprocess.run(
        [find_uv(), "lock"], cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


def synced(bench: Bench, image: Image) -> list[Instruction]:
    """The image's instructions, with their files among the blobs of the bench."""
    out: list[Instruction] = []
    for step in image.steps:
        made = step.instruction(Kept())
        made.files = [
            FileRef(one.path, bench.file(one.path, source.local.read_text()).digest, one.size)
            for one, source in zip(made.files, step.sources, strict=True)
            if hasattr(source, "local")
        ]
        out.append(made)
    return out


def test_a_project_of_uv_is_installed_as_its_lock_says(bench: Bench, project: Path) -> None:
    async def main() -> None:
        image = Image.debian_slim("3.11").uv_sync(str(project), extras=["six"], groups=["wide"])
        built = await bench.build(*synced(bench, image))
        assert (built.python, built.python_version) == ("/.uv/.venv/bin/python", "3.11")
        prefix, *packages = (await bench.output(built, "python", "-c", SAY)).split()
        assert prefix == "/.uv/.venv"
        assert [one.partition("=")[0] for one in packages] == ["iniconfig", "six", "tabulate", "wcwidth"]
        said = await bench.output(built, "python", "-c", "import six; print(six.__cached__)")
        assert said.startswith("/.uv/.venv/lib/python3.11/site-packages/__pycache__")
        assert "sandbox" not in bench.logged()

        # What is installed after goes into the same environment.
        more = await bench.build(*synced(bench, image), Instruction("PIP", ["idna"]))
        assert "idna" in await bench.output(more, "python", "-c", "import idna; print(idna.__name__)")

        # Another choice of the same lock takes the same environment's layer, and no dev group.
        image = Image.debian_slim("3.11").uv_sync(str(project), extra_options="--no-dev")
        fewer = await bench.build(*synced(bench, image))
        assert fewer.layers[:-1] == built.layers[:-1]
        _, *packages = (await bench.output(fewer, "python", "-c", SAY)).split()
        assert [one.partition("=")[0] for one in packages] == ["tabulate"]

    go(main)


def test_a_lock_is_made_or_brought_up_to_date_in_a_sandbox(bench: Bench, project: Path) -> None:
    shutil.copy(project / "uv.lock", project / "kept.lock")
    (project / "uv.lock").unlink()

    async def main() -> None:
        image = Image.debian_slim("3.11").uv_sync(str(project))
        built = await bench.build(*synced(bench, image))
        assert "resolving, in a sandbox" in bench.logged()
        _, *packages = (await bench.output(built, "python", "-c", SAY)).split()
        assert [one.partition("=")[0] for one in packages] == ["iniconfig", "tabulate"]
        assert "tabulate" in await bench.output(built, "cat", "/.uv/uv.lock")

        (project / "pyproject.toml").write_text(PROJECT.replace('["tabulate"]', '["idna<3.7"]'))
        shutil.move(project / "kept.lock", project / "uv.lock")
        image = Image.debian_slim("3.11").uv_sync(str(project), frozen=False, extra_options="--no-dev")
        built = await bench.build(*synced(bench, image))
        _, package = (await bench.output(built, "python", "-c", SAY)).split()
        assert package == "idna==3.6"
        assert 'name = "idna"' not in (project / "uv.lock").read_text()

        (project / "uv.lock").unlink()
        (project / "pyproject.toml").write_text(PROJECT.replace('["tabulate"]', '["tabulate>9999"]'))
        image = Image.debian_slim("3.11").uv_sync(str(project))
        with pytest.raises(ImageError, match=r"(?s)SYNC: ended with exit code 1.*tabulate>9999"):
            await bench.build(*synced(bench, image))

    go(main)


def test_a_package_of_the_lock_without_a_wheel_is_built_in_a_sandbox(bench: Bench, project: Path) -> None:
    (project / "pyproject.toml").write_text(PROJECT.replace('["tabulate"]', '["docopt==0.6.2", "tabulate"]'))
    lock(project)

    async def main() -> None:
        image = Image.debian_slim("3.11").uv_sync(str(project), extra_options="--no-dev")
        built = await bench.build(*synced(bench, image))
        prefix, *packages = (await bench.output(built, "python", "-c", SAY)).split()
        assert prefix == "/.uv/.venv"
        assert packages[0] == "docopt==0.6.2"
        assert packages[1].startswith("tabulate==")

    go(main)


def test_a_chosen_uv_resolves_and_never_touches_the_cache(bench: Bench) -> None:
    async def main() -> None:
        built = await bench.build(SLIM, Instruction("PIP", ["six==1.16.0"], uv_version="0.8.4"))
        assert [one.is_file() for one in bench.root.glob("cache/*/programs/uv-0.8.4/bin/uv")] == [True]
        kept = [one.read_text() for one in bench.root.glob("cache/*/built/*/resolved.txt")]
        assert "six==1.16.0" in kept
        assert await bench.output(built, "python", "-c", "import six; print(six.__version__)") == "1.16.0"
        with pytest.raises(
            ImageError, match=r"uv_version='0\.8\.999': the package index of this worker gives no"
        ):
            await bench.build(SLIM, Instruction("PIP", ["six==1.16.0"], uv_version="0.8.999"))

    go(main)
