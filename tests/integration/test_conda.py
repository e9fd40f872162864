"""Packages of conda, from a channel that the test makes, in real images; and channels that can't be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.conda_channel import CondaChannel
from tests.integration.image_bench import SLIM, Bench, bench, cached, go, shell

import ionian
from ionian.exception import InvalidError
from ionian.protocol.spec import Instruction
from ionian.worker.images import ImageError

__all__ = ["bench", "cached"]

pytestmark = [pytest.mark.container, pytest.mark.timeout(200)]

PYTHON = {
    "bin/python3.11": "→/usr/bin/python3.11",
    "bin/python": "→python3.11",
    "pyvenv.cfg": "home = /usr/bin\n",
}
"""A Python such as a channel has it, as small as may be: the image's own, in an environment of its own."""


@pytest.fixture
def channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CondaChannel:
    """conda-forge, as this test has it."""
    made = CondaChannel(tmp_path / "channels" / "conda-forge")
    made.add("python", "3.11.2", PYTHON)
    made.add("python", "3.12.1", PYTHON)
    made.add("tiny", "1.0", {"site-packages/tiny.py": "VALUE = 1\n"}, ["python >=3.10"], python=True)
    made.add("tiny", "2.0", {"site-packages/tiny.py": "VALUE = 2\n"}, ["python >=3.10"], python=True)
    made.add("tool", "1.0", {"bin/tool": "#!/bin/sh\necho the tool\n", "share/prefix": "x"})
    monkeypatch.setenv("CONDA_CHANNEL_ALIAS", f"file://{tmp_path}/channels/")
    return made


def conda(*specs: str, channels: tuple[str, ...] = ("conda-forge",)) -> Instruction:
    return Instruction("CONDA", [*(word for name in channels for word in ("--channel", name)), *specs])


def test_packages_of_conda_are_placed_and_import(bench: Bench, channel: CondaChannel) -> None:
    async def main() -> None:
        base = (SLIM, conda("python=3.11", "tiny=1"))
        built = await bench.build(*base)
        assert built.python == "/opt/conda/bin/python"
        said = await bench.output(built, "python", "-c", "import tiny; print(tiny.VALUE, tiny.__cached__)")
        value, _, compiled = said.partition(" ")
        assert value == "1"
        assert await bench.output(built, "ls", compiled) == compiled
        assert (
            await bench.output(built, "stat", "-c", "%u %a", "/opt/conda/conda-meta/tiny-1.0-0.json")
            == "0 644"
        )
        assert "tiny 1.0 from conda-forge" in bench.logged()

        more = await bench.build(*base, shell("echo mine > /opt/conda/mine"), conda("tool", "tiny"))
        assert bench.states("CONDA") == ["cached", "done"]
        assert await bench.output(more, "tool") == "the tool"
        assert await bench.output(more, "cat", "/opt/conda/mine") == "mine"
        assert await bench.output(more, "python", "-c", "import tiny; print(tiny.VALUE)") == "1"  # as it was

        newer = await bench.build(*base, conda("tiny=2"))
        assert await bench.output(newer, "python", "-c", "import tiny; print(tiny.VALUE)") == "2"
        assert "python 3.12" not in bench.logged()
        assert "tiny-1.0" not in await bench.output(newer, "ls", "/opt/conda/conda-meta")
        assert await bench.output(built, "python", "-c", "import tiny; print(tiny.VALUE)") == "1"

    go(main)


def test_a_channel_that_can_t_be_read_is_named(
    bench: Bench, channel: CondaChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        with pytest.raises(ImageError, match=r"has no such packages that fit together: .*nothing"):
            await bench.build(SLIM, conda("nothing"))
        monkeypatch.setenv("CONDA_CHANNEL_ALIAS", "http://127.0.0.1:9/")
        with pytest.raises(
            ImageError, match=r"the channels http://127.0.0.1:9/\S+ can't be read from here: "
        ):
            await bench.build(SLIM, conda("tiny"))
        url = "http://127.0.0.1:9/t/$TOKEN/private"
        step = Instruction("CONDA", ["--channel", url, "tiny"], secret_ids=["st-1"])
        with pytest.raises(ImageError) as refused:
            await bench.build(SLIM, step, secrets={"st-1": {"TOKEN": "xyzzy"}})
        assert "/t/…/private" in str(refused.value)
        assert "xyzzy" not in str(refused.value) + bench.logged()

    go(main)


def test_a_file_names_packages_and_channels(tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text(
        "channels: [bioconda]\ndependencies:\n- samtools\n- numpy >=2\n- pip:\n  - tabulate\n"
    )
    image = ionian.Image.debian_slim(python_version="3.11").micromamba_install(
        "scipy", spec_file=tmp_path / "environment.yml", channels=["mine"]
    )
    channels = ("--channel", "mine", "--channel", "bioconda", "--channel", "conda-forge")
    assert [(step.op, step.args) for step in image.steps[1:]] == [
        ("CONDA", (*channels, "samtools", "numpy >=2", "scipy")),
        ("PIP", ("tabulate",)),
    ]
    (tmp_path / "list.txt").write_text("numpy  # fast\n\nscipy\n")
    image = ionian.Image.micromamba("3.11").micromamba_install(spec_file=tmp_path / "list.txt")
    assert image.steps[1].args == ("--channel", "conda-forge", "python=3.11", "pip", "micromamba")
    assert image.steps[2].args == ("--channel", "conda-forge", "numpy", "scipy")


def test_what_is_no_name_of_packages_is_refused_where_it_is_written(tmp_path: Path) -> None:
    image = ionian.Image.micromamba("3.11")
    assert image.micromamba_install() is image
    (tmp_path / "explicit.txt").write_text("@EXPLICIT\nhttps://x/y.conda\n")
    (tmp_path / "no.yml").write_text("name: x\n")
    with pytest.raises(InvalidError, match="a list of files for one kind of machine"):
        image.micromamba_install(spec_file=tmp_path / "explicit.txt")
    with pytest.raises(InvalidError, match=r"expected no\.yml to have a list `dependencies`"):
        image.micromamba_install(spec_file=tmp_path / "no.yml")
    with pytest.raises(InvalidError, match="spec_file: expected a file here"):
        image.micromamba_install(spec_file=tmp_path / "nowhere.yml")
    with pytest.raises(InvalidError, match="'defaults' are several"):
        image.micromamba_install("x", channels=["defaults"])
    with pytest.raises(InvalidError, match="names of channels such as"):
        image.micromamba_install("x", channels=["/etc"])
