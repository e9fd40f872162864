"""The program of the mission, as a user of Modal wrote it: it embeds 10,000 documents, and runs unmodified.

Its model's package looks for its tokenizer in a folder of another name than its wheel has, and then on the internet,
which a test may not need. So the test offers a wheel with the file in both folders by `--find-links`, as a company
would offer a release that it mended; builds obey the settings of this machine's pip.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.homes import cache_folder, new_home

PROGRAM = Path(__file__).with_name("programs") / "batch.py"
TOKENIZER = "l2_supercat_tokenizer_config.json"


@pytest.fixture(scope="module")
def wheels() -> Path:
    """A folder with the mended wheel, which outlives the run."""
    folder = cache_folder() / "wheels"
    if not list(folder.glob("wordllama-*+mended-*.whl")):
        download = folder / "as-released"
        command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:")
        target = ("--python-version=3.11", "--dest", str(download), "wordllama")
        subprocess.run((*command, *target), check=True, timeout=100)
        mend(next(download.glob("*.whl")), folder)
    return folder


def mend(wheel: Path, folder: Path) -> None:
    """Writes the wheel again as version +mended, with the tokenizer where the package looks for it."""
    name, version, tags = wheel.name.split("-", 2)
    old, new = f"{name}-{version}.dist-info", f"{name}-{version}+mended.dist-info"
    target = folder / f"{name}-{version}+mended-{tags}"
    partial = target.with_suffix(".part")
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as mended:
        records: list[str] = []

        def add(path: str, content: bytes) -> None:
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            records.append(f"{path},sha256={digest},{len(content)}")
            mended.writestr(path, content)

        for path in source.namelist():
            if path.endswith("/") or path == f"{old}/RECORD":
                continue
            content = source.read(path)
            if path == f"{old}/METADATA":
                content = content.replace(
                    f"\nVersion: {version}".encode(), f"\nVersion: {version}+mended".encode()
                )
            add(path.replace(old, new), content)
            if path.endswith(f"/tokenizers/{TOKENIZER}"):
                add(path.replace("/tokenizers/", "/tokenizer/"), content)
        mended.writestr(f"{new}/RECORD", "\n".join([*records, f"{new}/RECORD,,", ""]))
    partial.rename(target)


@pytest.mark.timeout(400)
@pytest.mark.xdist_group("batch")
def test_the_batch_program_runs_unmodified(wheels: Path) -> None:
    links = " ".join(filter(None, [os.environ.get("PIP_FIND_LINKS", ""), str(wheels)]))
    with new_home() as home:  # its worker is started with the setting
        done = home.ionian("python", PROGRAM, timeout_s=380, environment={"PIP_FIND_LINKS": links})
    assert done.returncode == 0, done.stdout
    assert "10000 embeddings of 256 numbers" in done.stdout
