"""GPUs end to end: a worker whose CDI spec offers two cards, which are device nodes that every machine has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home, new_home

pytestmark = pytest.mark.container

CARDS = {"/dev/nvidia0": "/dev/zero", "/dev/nvidia1": "/dev/full"}
"""Path in a container → node of this machine that stands in for the card."""

PROGRAM = '''
import json, os, stat, time
import ionian as modal

app = modal.App("gpus")
meeting = modal.Volume.from_name("meeting", create_if_missing=True)


def seen() -> dict[str, list[int]]:
    """The cards of this container by their device numbers; each can be opened."""
    found = {}
    for name in sorted(os.listdir("/dev")):
        if name.startswith("nvidia"):
            path = f"/dev/{name}"
            os.close(os.open(path, os.O_RDWR))
            number = os.stat(path).st_rdev
            found[path] = [os.major(number), os.minor(number)]
    return found


def meet(me: str, other: str) -> None:
    """Comes back when both are here at once."""
    open(f"/meeting/{me}", "w").close()
    while not os.path.exists(f"/meeting/{other}"):
        time.sleep(0.01)


@app.function(gpu="A100", volumes={"/meeting": meeting})
def first():
    meet("first", "second")
    return seen()


@app.function(gpu=["H100", "A100-40GB"], volumes={"/meeting": meeting})
def second():
    meet("second", "first")
    return seen()


@app.function(gpu="any:2")
def both():
    import ctypes

    names = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "DRIVER")
    answer = ctypes.CDLL("libionian-driver.so.1").answer()  # by the name that a hook's ldconfig would make
    return {"cards": seen(), "env": {name: os.environ.get(name) for name in names}, "answer": answer}


@app.function()
def none():
    return {"cards": seen(), "path": os.environ.get("LD_LIBRARY_PATH", "")}


@app.local_entrypoint()
def main():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        met = [future.result() for future in [pool.submit(f.remote) for f in (first, second)]]
    print("FOUND", json.dumps({"met": met, "both": both.remote(), "none": none.remote()}))
'''

WANTING = """
import os
import modal

app = modal.App("wanting")


@app.function(gpu="H200:2", memory=16 << 20)  # MiB: 16 TiB
def cards() -> str:
    return "cards: " + ",".join(name for name in os.listdir("/dev") if name.startswith("nvidia"))


@app.local_entrypoint()
def main():
    print(cards.remote())
"""

SCRIPT = """
import modal
from wanting import app, cards

with app.run():
    print(cards.remote())
"""


@dataclass
class Machine:
    """A home whose worker offers the cards, and a folder of programs."""

    home: Home
    folder: Path

    def ionian(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        environment = {"IONIAN_CDI_DIRS": str(self.folder / "cdi"), **environment}
        return self.home.ionian(*arguments, cwd=self.folder, environment=environment)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("gpus")
    for name, text in {"gpus.py": PROGRAM, "wanting.py": WANTING, "script.py": SCRIPT}.items():
        (folder / name).write_text(text)
    write_spec(folder)
    with new_home() as home:
        yield Machine(home, folder)


def write_spec(folder: Path) -> None:
    library = driver(folder)
    spec: dict[str, Any] = {
        "cdiVersion": "0.6.0",
        "kind": "nvidia.com/gpu",
        "annotations": {"ionian.dev/model": "A100-40GB", "ionian.dev/memory-mib": "40960"},
        "devices": [
            {"name": str(number), "containerEdits": {"deviceNodes": [{"path": path, "hostPath": node}]}}
            for number, (path, node) in enumerate(CARDS.items())
        ],
        "containerEdits": {
            "deviceNodes": [{"path": "/dev/nvidiactl", "hostPath": "/dev/null"}],
            "mounts": [
                {"hostPath": str(library), "containerPath": f"/usr/lib/{library.name}", "options": ["ro"]}
            ],
            "env": ["DRIVER=550.54", "NVIDIA_VISIBLE_DEVICES=void"],
        },
    }
    (folder / "cdi").mkdir()
    (folder / "cdi" / "nvidia.json").write_text(json.dumps(spec))


def driver(folder: Path) -> Path:
    """A library as a driver brings them: by its full version, with a link that this machine's ldconfig made."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler is needed to make the driver's library")
    library = folder / "libionian-driver.so.550.54"
    build = [compiler, "-shared", "-nostdlib", "-fPIC", "-x", "c", "-o", library, "-"]
    subprocess.run(build, input=b"int answer(void) { return 42; }", check=True)
    (folder / "libionian-driver.so.1").symlink_to(library.name)
    return library


def number_of(node: str) -> list[int]:
    found = os.stat(node).st_rdev
    return [os.major(found), os.minor(found)]


def test_containers_get_exactly_their_cards_and_never_share_one(machine: Machine) -> None:
    done = machine.ionian("run", "-q", "gpus.py")
    assert done.returncode == 0, done.stdout
    found = json.loads(re.findall(r"^FOUND (.*)$", done.stdout, re.MULTILINE)[0])
    common = {"/dev/nvidiactl": number_of("/dev/null")}
    cards = {path: number_of(node) for path, node in CARDS.items()}
    one, other = ({path: number for path, number in cards.items() if path == own} | common for own in CARDS)
    assert found["met"] in ([one, other], [other, one])
    assert found["both"] == {
        "cards": cards | common,
        "env": {"CUDA_VISIBLE_DEVICES": "0,1", "NVIDIA_VISIBLE_DEVICES": "0,1", "DRIVER": "550.54"},
        "answer": 42,
    }
    assert found["none"] == {"cards": {}, "path": ""}


def test_cards_are_metered_by_their_model(machine: Machine) -> None:
    done = machine.ionian("run", "-q", "gpus.py")
    assert done.returncode == 0, done.stdout
    rows = json.loads(machine.ionian("usage", "--by", "function", "--json").stdout)
    assert {model for row in rows for model in row["gpu_s"]} == {"A100-40GB"}
    for row in rows:  # one card, or two
        cards = row["gpu_s"].get("A100-40GB", 0.0) / row["container_s"]
        assert cards <= 2.001


def test_a_gpu_that_no_worker_has_is_refused_with_the_line_that_runs_it(machine: Machine) -> None:
    done = machine.ionian("run", "wanting.py")
    assert done.returncode == 1
    assert (
        "cards can't run: it asks for the GPU H200:2, and the workers have A100-40GB (up to 2)" in done.stdout
    )
    assert done.stdout.rstrip().endswith("    ionian run --no-gpu wanting.py")
    assert "FROM" not in done.stdout, "no image was built for it"


@pytest.mark.parametrize("line", ["run --no-gpu wanting.py", "python --no-gpu script.py"])
def test_no_gpu_runs_it_on_the_cpu_and_says_so(machine: Machine, line: str) -> None:
    done = machine.ionian(*line.split())
    assert done.returncode == 0, done.stdout
    assert "Without the GPU that they ask for (--no-gpu): cards\n" in done.stdout
    assert re.search(
        r"^cards gets \d+ of 16777216 MiB of memory: no worker is larger$", done.stdout, re.MULTILINE
    )
    assert "\ncards: \n" in done.stdout


def test_a_worker_with_no_gpu_runs_it_on_the_cpu_and_the_client_says_so(tmp_path: Path) -> None:
    (tmp_path / "wanting.py").write_text(WANTING)
    with new_home() as home:
        assert home.ionian("server", "start", "--no-gpu").returncode == 0
        done = home.ionian("run", "wanting.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "Without the GPU that they ask for (the workers run with --no-gpu): cards\n" in done.stdout
    assert "\ncards: \n" in done.stdout
