"""Images to which a Python is added: a standalone build, or that of a registry's image."""

from __future__ import annotations

import gzip
import json
import platform
import re
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from tests.integration.image_bench import SLIM, Bench, bench, cached, go
from tests.integration.registries import OwnRegistry, registry, system
from tests.kept import Kept

from ionian.image import Image
from ionian.protocol.spec import Instruction
from ionian.secret import Secret
from ionian.worker.images import ImageError

__all__ = ["bench", "cached", "registry"]

pytestmark = [pytest.mark.container, pytest.mark.timeout(240)]

PYTHON = Instruction("PYTHON", ["3.11"])
LEFT_OUT = re.compile(
    r"/(test|idlelib|tkinter|ensurepip|__pycache__|dist-packages|lib2to3|pydoc_data|config-.*)(/|$)"
)
SAY = "import sys, sysconfig; print(sys.prefix, sysconfig.get_config_var('MARK'))"


def packed(base: Path, prefix: str) -> bytes:
    """The Python of a Debian base as one that lies in a folder of its own."""
    data = BytesIO()

    def kept(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if LEFT_OUT.search(info.name) or info.issym() else info  # they lead to /etc

    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add((base / "usr/bin/python3.11").resolve(), f"{prefix}/bin/python3.11")
        tar.add(base / "usr/lib/python3.11", f"{prefix}/lib/python3.11", filter=kept)
        for name in ("bin/python", "bin/python3"):
            link = tarfile.TarInfo(f"{prefix}/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "python3.11"
            tar.addfile(link)
        for name in ("lib/python3.11/EXTERNALLY-MANAGED", "BUILD"):
            tar.addfile(tarfile.TarInfo(f"{prefix}/{name}"))
    return data.getvalue()


@pytest.fixture
def base(bench: Bench) -> Path:
    built: list[Path] = []

    async def main() -> None:
        built.append((await bench.build(SLIM)).layers[0])

    go(main)
    # What is fetched in these tests is not for others.
    (bench.root / "cache").unlink()
    (bench.root / "cache").mkdir()
    return built[0]


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What this machine's uv takes for the builds that there are: one, which is not there yet."""
    machine = platform.machine()
    (tmp_path / "builds.json").write_text(
        json.dumps(
            {
                f"cpython-3.11.2-linux-{machine}-gnu": {
                    "name": "cpython",
                    "arch": {"family": machine, "variant": None},
                    "os": "linux",
                    "libc": "gnu",
                    "major": 3,
                    "minor": 11,
                    "patch": 2,
                    "prerelease": "",
                    "url": f"file://{tmp_path}/python.tar.gz",
                    "sha256": None,
                    "variant": None,
                    "build": "20230101",
                }
            }
        )
    )
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", str(tmp_path / "builds.json"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    return tmp_path / "python.tar.gz"


def test_a_standalone_python_is_added_and_kept(bench: Bench, base: Path, downloads: Path) -> None:
    downloads.write_bytes(gzip.compress(packed(base, "python"), 1))

    async def main() -> None:
        built = await bench.build(SLIM, PYTHON)
        assert (built.python, built.python_version) == ("/usr/local/bin/python", "3.11")
        assert built.env["TERMINFO_DIRS"].startswith("/etc/terminfo:")
        assert (await bench.output(built, "python", "-c", SAY)).startswith("/usr/local ")
        assert await bench.output(built, "/bin/ls", "/usr/local/lib/python3.11/EXTERNALLY-MANAGED") != ""
        wanted = f"cpython-3.11-linux-{platform.machine()}-gnu"
        assert {one.name for one in (bench.root / "cache" / "pythons").iterdir()} == {
            wanted,
            f"{wanted}.lock",
        }
        downloads.unlink()
        again = await bench.build(SLIM, Instruction("ENV", ["A", "1"]), PYTHON, Instruction("PIP", ["six"]))
        assert await bench.output(again, "python", "-c", "import six; print(six.__name__)") == "six"

    go(main)


def test_the_python_of_a_registrys_image_is_added_where_it_runs(
    bench: Bench, base: Path, downloads: Path, registry: OwnRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IONIAN_REGISTRY", registry.host)
    registry.push("tool", "1", {}, system(a="x"))

    async def main() -> None:
        with pytest.raises(
            ImageError,
            match=r"add_python='3\.11': no standalone build can be had \(.*\), and python:3\.11-slim: ",
        ):
            await bench.build(SLIM, PYTHON)
        registry.push("python", "3.11-slim", {}, system(), packed(base, "usr/local"))
        built = await bench.build(SLIM, PYTHON)
        assert "taking that of python:3.11-slim" in bench.logged()
        assert (await bench.output(built, "python", "-c", SAY)).startswith("/usr/local ")
        image = Image.from_registry(f"{registry.host}/tool:1", add_python="3.11")
        with pytest.raises(ImageError, match=r"that of python:3\.11-slim doesn't run in this image: .*lib"):
            await bench.build(*(step.instruction(Kept()) for step in image.steps))
        assert not [one for one in bench.root.glob("tmp/*") if "output" not in one.name]

    go(main)


def test_a_python_is_added_before_the_setup_commands(tmp_path: Path) -> None:
    image = Image.from_registry(
        "tool", add_python="3.12", setup_dockerfile_commands=["ARG A", "RUN x"], build_args={"A": "1"}
    )
    steps = [step.instruction(Kept()) for step in image.steps]
    assert [(step.op, step.args) for step in steps] == [
        ("FROM", ["registry", "tool"]),
        ("PYTHON", ["3.12"]),
        ("ARG", ["A", "1"]),
        ("RUN", ["x"]),
    ]
    (tmp_path / "Dockerfile").write_text("FROM tool\n")
    image = Image.from_dockerfile(tmp_path / "Dockerfile", add_python="3.10")
    assert [step.op for step in image.steps] == ["FROM", "PYTHON"]
    with pytest.raises(TypeError, match="expected no argument 'tags'"):
        Image.from_registry("tool", tags="x")
    with pytest.raises(Exception, match=r"add_python: expected one of 3\.10, .* as a string, got '3\.12\.1'"):
        Image.from_gcp_artifact_registry("tool", add_python="3.12.1", secret=Secret.from_dict({}))
