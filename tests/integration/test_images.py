"""Images built for real: from this machine's mirrors or a registry that the test starts, run in sandboxes."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.integration.image_bench import SLIM, Bench, bench, cached, go, shell
from tests.integration.registries import OwnRegistry, deletion, registry, system

from ionian.protocol.apps import BuildStep
from ionian.protocol.spec import ImageSpec, Instruction
from ionian.worker.images import BuiltImage, ImageError, inner_ring

__all__ = ["bench", "cached", "registry"]

pytestmark = [pytest.mark.container, pytest.mark.timeout(600)]


def test_debian_slim_looks_like_python_slim(bench: Bench):
    async def main() -> None:
        built = await bench.build(SLIM)
        assert (built.python, built.python_version) == ("/usr/local/bin/python", "3.11")
        assert built.workdir == "/root"
        assert built.env["LANG"] == "C.UTF-8"
        said = await bench.output(
            built,
            "/bin/sh",
            "-c",
            "pwd; which python python3 pip; python --version; pip --version; python -m venv /tmp/v && echo venv; "
            "python -c 'import ssl, sqlite3, ctypes, lzma, bz2, readline; print(len(ssl.create_default_context().get_ca_certs()) > 50)'; "
            "ls /usr/lib/python3*/EXTERNALLY-MANAGED",
        )
        lines = said.splitlines()
        assert lines[:4] == ["/root", "/usr/local/bin/python", "/usr/local/bin/python3", "/usr/local/bin/pip"]
        assert lines[4].startswith("Python 3.11.")
        assert lines[6:8] == ["venv", "True"]
        assert "No such file" in lines[8]

    go(main)


def test_packages_are_placed_from_the_cache_and_import(bench: Bench):
    async def main() -> None:
        await bench.build(SLIM, Instruction("PIP", ["numpy"]))
        built = await bench.build(SLIM, Instruction("ENV", ["NEW", "base"]), Instruction("PIP", ["numpy"]))
        assert "Download" not in bench.logged()
        assert "Prepared" not in bench.logged()
        assert "compiling" not in bench.logged()
        said = await bench.output(
            built, "python", "-c", "import numpy; print(numpy.arange(3).sum(), numpy.__cached__)"
        )
        assert said.startswith("3 /usr/local/lib/python3.11/dist-packages/numpy/__pycache__")

    go(main)


def test_a_step_that_edits_a_package_edits_neither_the_cache_nor_the_layer_below(bench: Bench):
    async def main() -> None:
        six = Instruction("PIP", ["six"])
        edit = shell("echo 'raise SystemExit(9)' >> $(python -c 'import six; print(six.__file__)')")
        edited = await bench.build(SLIM, six, edit)
        assert await bench.output(edited, "python", "-c", "import six; print(1)") == ""
        clean = await bench.build(SLIM, Instruction("ENV", ["A", "1"]), six)
        assert await bench.output(clean, "python", "-c", "import six; print(1)") == "1"

    go(main)


def test_a_newer_version_replaces_that_of_a_layer_below(bench: Bench):
    async def main() -> None:
        built = await bench.build(
            SLIM, Instruction("PIP", ["six==1.16.0"]), Instruction("PIP", ["six==1.17.0"])
        )
        said = await bench.output(built, "pip", "list", "--format=freeze", "--disable-pip-version-check")
        assert [line for line in said.splitlines() if line.startswith("six")] == ["six==1.17.0"]
        assert await bench.output(built, "python", "-c", "import six; print(six.__version__)") == "1.17.0"

    go(main)


def test_a_package_without_a_wheel_is_built_in_a_sandbox_and_its_wheel_kept(bench: Bench):
    async def main() -> None:
        step = Instruction("PIP", ["docopt==0.6.2"])
        built = await bench.build(SLIM, step)
        assert (
            await bench.output(built, "python", "-c", "import docopt; print(docopt.__version__)") == "0.6.2"
        )
        await bench.build(SLIM, Instruction("ENV", ["A", "1"]), step)
        assert "building from source" not in bench.logged()

    go(main)


def test_requirements_come_from_a_file_of_the_step(bench: Bench):
    async def main() -> None:
        file = bench.file("requirements.txt", "six==1.17.0\n")
        built = await bench.build(SLIM, Instruction("PIP", ["-r", "requirements.txt"], files=[file]))
        assert await bench.output(built, "python", "-c", "import six; print(six.__version__)") == "1.17.0"

    go(main)


def test_no_such_package_is_one_clear_message_and_leaves_nothing(bench: Bench):
    async def main() -> None:
        before = bench.layers()
        with pytest.raises(
            ImageError, match="there is no package 'ionian-no-such-package' in the package index"
        ):
            await bench.build(SLIM, Instruction("PIP", ["ionian-no-such-package"]))
        assert bench.layers() == before
        assert list((bench.root / "tmp").iterdir()) == []

    go(main)


def test_a_failing_command_shows_its_last_lines_and_leaves_nothing(bench: Bench):
    async def main() -> None:
        before = bench.layers()
        with pytest.raises(ImageError) as error:
            await bench.build(
                SLIM, shell("for i in $(seq 100); do echo line $i; done; echo the reason >&2; exit 7")
            )
        message = str(error.value)
        assert message.startswith("RUN for i in")
        assert "ended with exit code 7" in message
        assert message.endswith("line 100\n    the reason")
        assert "line 5\n" not in message
        assert bench.layers() == before
        assert list((bench.root / "tmp").iterdir()) == []

    go(main)


def test_plain_pip_install_works_in_a_step_and_leaves_no_settings_of_this_machine(bench: Bench):
    async def main() -> None:
        built = await bench.build(
            SLIM, shell("pip install six && python -c 'import six' && test -f $PIP_CONFIG_FILE")
        )
        top = built.layers[-1]
        assert not (top / "run").exists()
        assert not (top / "etc").exists()
        assert not (top / "root/.cache").exists()

    go(main)


def test_a_debian_package_is_installed(bench: Bench):
    async def main() -> None:
        built = await bench.build(SLIM, Instruction("APT", ["hello"]))
        assert await bench.output(built, "hello") == "Hello, world!"

    go(main)


def test_files_are_copied_with_their_modes_to_where_links_of_the_image_lead(bench: Bench):
    async def main() -> None:
        files = [bench.file("tool", "#!/bin/sh\necho from the tool\n", 0o755), bench.file("deep/data", "d")]
        built = await bench.build(
            SLIM, Instruction("COPY", ["/bin"], files=files), shell("echo more >> /bin/deep/data")
        )
        assert await bench.output(built, "tool") == "from the tool"
        assert await bench.output(built, "cat", "/usr/bin/deep/data") == "dmore"
        assert Path(bench.blobs / files[1].digest).read_text() == "d"

    go(main)


def test_a_step_that_is_unchanged_is_cached_and_what_stands_on_a_changed_one_is_not(bench: Bench):
    async def main() -> None:
        await bench.build(SLIM, shell("echo 1 > /a"), shell("echo 2 > /b"))
        await bench.build(SLIM, shell("echo 1 > /a"), shell("echo 2 > /b"))
        assert bench.states("RUN") == ["cached", "cached"]
        await bench.build(SLIM, shell("echo 9 > /a"), shell("echo 2 > /b"))
        assert bench.states("RUN") == ["done", "done"]
        await bench.build(SLIM, shell("echo 1 > /a"), shell("echo 2 > /b", force=True))
        assert bench.states("RUN") == ["cached", "done"]

    go(main)


def test_a_step_depends_on_the_content_of_its_files_and_the_settings_of_pip(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    async def main() -> None:
        for content, state in (("1", "done"), ("2", "done"), ("1", "cached")):
            await bench.build(SLIM, Instruction("COPY", ["/x"], files=[bench.file("f", content)]))
            assert bench.states("COPY") == [state]
        await bench.build(SLIM, Instruction("PIP", ["six"]))
        monkeypatch.setenv("UV_PRERELEASE", "allow")
        await bench.build(SLIM, Instruction("PIP", ["six"]))
        assert bench.states("PIP") == ["done"]

    go(main)


def test_builds_of_one_image_at_the_same_time_run_each_step_once(bench: Bench):
    """Three of two workers, which share a folder of images."""

    async def main() -> None:
        stores = [bench.store, bench.store, Bench(bench.root, bench.blobs).store]
        once = shell("echo ran >> /count; cat /count")
        said: list[list[BuildStep]] = [[], [], []]

        async def build(number: int) -> BuiltImage:
            return await stores[number].build(
                ImageSpec([SLIM, once]), image_id=f"im-same-{number}", secrets={}, report=said[number].append
            )

        built = await asyncio.gather(*(build(number) for number in range(3)))
        assert len({tuple(one.layers) for one in built}) == 1
        states = [step.state for steps in said for step in steps if step.text.startswith("RUN")]
        assert sorted(states).count("done") == 1
        assert sorted(states).count("cached") == 2

    go(main)


def test_an_image_of_120_steps_has_few_layers_and_shows_what_each_step_did(bench: Bench):
    async def main() -> None:
        steps = [
            shell(f"echo {n} > /n{n}; rm -f /n{n - 3}; mkdir -p /d/x{n}; touch /d/x{n}/f; rm -rf /d/x{n - 2}")
            for n in range(120)
        ]
        built = await bench.build(SLIM, *steps)
        assert len(built.layers) <= 24
        said = await bench.output(built, "/bin/sh", "-c", "ls -d /n* /d/*; python --version")
        assert said.splitlines()[:-1] == ["/d/x118", "/d/x119", "/n117", "/n118", "/n119"]
        assert said.splitlines()[-1].startswith("Python 3.11")

    go(main)


def test_settings_change_the_image_without_a_layer(bench: Bench):
    async def main() -> None:
        built = await bench.build(
            SLIM,
            Instruction("ENV", ["A", "one two", "PATH", "/opt/x:/usr/local/bin:/usr/bin:/bin"]),
            Instruction("WORKDIR", ["/srv/new/place"]),
            Instruction("ENTRYPOINT", ["/bin/tool"]),
            Instruction("CMD", ["arg"]),
            Instruction("SHELL", ["/bin/bash", "-c"]),
            shell("[[ $A == 'one two' ]] && pwd > where"),
        )
        assert built.env["A"] == "one two"
        assert (built.workdir, built.entrypoint, built.cmd) == ("/srv/new/place", ["/bin/tool"], ["arg"])
        assert await bench.output(built, "cat", "/srv/new/place/where") == "/srv/new/place"

    go(main)


def test_a_secret_is_seen_by_its_step_and_its_value_is_nowhere_after(bench: Bench):
    async def main() -> None:
        step = shell("test $TOKEN = open-sesame-1 && echo ok", secret_ids=["st-1"])
        built = await bench.build(SLIM, step, secrets={"st-1": {"TOKEN": "open-sesame-1"}})
        found = subprocess.run(
            [
                "grep",
                "-r",
                "-l",
                "open-sesame-1",
                built.layers[-1],
                *(bench.root / name for name in ("k", "i", "tmp")),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.stdout == ""
        with pytest.raises(ImageError, match="expected the values of secret st-1"):
            await bench.build(SLIM, shell("echo $TOKEN", secret_ids=["st-1"]))

    go(main)


def test_a_step_is_built_anew_for_other_names_of_variables_and_not_for_another_secret_or_value(bench: Bench):
    async def main() -> None:
        async def build(secret: str, **values: str) -> list[str]:
            await bench.build(SLIM, shell("true", secret_ids=[secret]), secrets={secret: values})
            return bench.states("RUN")

        assert await build("st-1", TOKEN="one") == ["done"]
        assert await build("st-1", TOKEN="two") == ["cached"]
        assert await build("st-2", TOKEN="one") == ["cached"]
        assert await build("st-2", OTHER="one") == ["done"]

    go(main)


def test_a_cancelled_build_ends_its_step_and_leaves_nothing(bench: Bench):
    async def main() -> None:
        before, started = bench.layers(), asyncio.Event()

        def report(step: BuildStep) -> None:
            if step.state == "log":
                started.set()

        spec = ImageSpec([SLIM, shell("echo here; sleep 1000")])
        task = asyncio.ensure_future(bench.store.build(spec, image_id="im-x", secrets={}, report=report))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.layers() == before
        assert list((bench.root / "tmp").iterdir()) == []

    go(main)


def test_the_drafts_of_a_builder_that_died_are_removed_by_the_next(bench: Bench):
    async def main() -> None:
        died = subprocess.run(
            ["sh", "-c", "echo $$"], capture_output=True, text=True, check=True
        ).stdout.strip()
        mine, theirs = (bench.root / "tmp" / f"abc-{pid}-1" for pid in (os.getpid(), died))
        for draft in (mine, theirs):
            (draft / "box/upper").mkdir(parents=True)
        await bench.build(SLIM)
        assert list((bench.root / "tmp").iterdir()) == [mine]

    go(main)


def test_what_was_built_is_found_until_a_layer_of_it_is_gone(bench: Bench):
    async def main() -> None:
        built = await bench.build(SLIM, shell("echo 1 > /a"))
        assert bench.store.find(built.image_id) == built
        assert bench.store.find("im-never") is None
        subprocess.run(["rm", "-rf", built.layers[-1]], check=True)
        assert bench.store.find(built.image_id) is None

    go(main)


def test_source_files_become_a_layer_once(bench: Bench):
    async def main() -> None:
        files = [bench.file("/root/app.py", "print('app')\n"), bench.file("/root/pkg/__init__.py", "")]
        layer = await bench.store.mount_layer(files)
        assert await bench.store.mount_layer(files) == layer
        changed = await bench.store.mount_layer([bench.file("/root/app.py", "print('new')\n"), files[1]])
        assert changed != layer
        assert (changed / "root/pkg/__init__.py").samefile(layer / "root/pkg/__init__.py")
        built = await bench.build(SLIM)
        built.layers.append(layer)
        assert await bench.output(built, "python", "app.py") == "app"

    go(main)


def test_the_inner_ring_is_compiled_for_the_images_python(bench: Bench):
    async def main() -> None:
        built = await bench.build(SLIM)
        ring = await inner_ring(bench.root, built)
        assert await inner_ring(bench.root, built) == ring
        assert {"cloudpickle", "ionian"} <= {entry.name for entry in ring.iterdir()}
        assert (ring / "ionian/__pycache__/app.cpython-311.pyc").is_file()
        assert (ring / "ionian/protocol/__pycache__/batch.cpython-311.pyc").is_file()
        assert not (ring / "ionian/protocol/codec.py").exists()
        assert not (ring / "ionian/worker").exists()

    go(main)


def test_this_machines_own_packages_are_a_base_where_nothing_else_is(
    tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
):
    if not Path("/usr/bin/python3.11").exists():
        pytest.skip("this machine's own Python is not 3.11")
    monkeypatch.setenv("IONIAN_BASES", "machine")
    root = tmp_path / "images"
    root.mkdir()
    (cached / "cache").mkdir(exist_ok=True)
    (root / "cache").symlink_to(cached / "cache")
    bench = Bench(root, tmp_path / "blobs")

    async def main() -> None:
        built = await bench.build(SLIM, Instruction("PIP", ["six"]), Instruction("APT", ["hello"]))
        assert [step.text for step in bench.said if step.state == "source"] == [
            "FROM debian_slim 3.11: from this machine's own packages"
        ]
        assert await bench.output(built, "hello") == "Hello, world!"
        assert (
            await bench.output(built, "python", "-c", "import six, ssl; print(six.__version__[:2])") == "1."
        )
        assert not os.path.exists(built.layers[0] / "usr/lib/python3/dist-packages/numpy")

    go(main)


def test_a_base_that_no_source_has_says_why_each_one_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IONIAN_REGISTRY", "http://127.0.0.1:9")

    async def main() -> None:
        with pytest.raises(ImageError) as error:
            await bench.build(Instruction("FROM", ["debian_slim", "3.9"]))
        assert re.search(r"registry: .*out of reach.*mirrors: .*machine: ", str(error.value))

    go(main)


def test_a_full_disk_is_said_and_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    async def main() -> None:
        before = bench.layers()
        monkeypatch.setattr(os, "copy_file_range", full)
        with pytest.raises(
            ImageError, match=r"the disk that holds .* is full; nothing was kept of this step"
        ):
            await bench.build(SLIM, Instruction("COPY", ["/x"], files=[bench.file("f", "1")]))
        assert bench.layers() == before
        assert list((bench.root / "tmp").iterdir()) == []

    go(main)


# --- from a registry -----------------------------------------------------------------------------------------------


def test_an_image_of_a_registry_is_built_upon(bench: Bench, registry: OwnRegistry):
    async def main() -> None:
        config = {"Env": ["PATH=/usr/bin:/bin", "GREETING=hi"], "WorkingDir": "/data", "Cmd": ["/bin/sh"]}
        registry.push("team/tool", "1.0", config, system(a="first", b="second"), deletion("b"))
        base = Instruction("FROM", ["registry", f"{registry.host}/team/tool:1.0"])
        built = await bench.build(base, shell("echo $GREETING > new; cat a >> new; ls >> new"))
        assert (built.workdir, built.python, built.cmd) == ("/data", "", ["/bin/sh"])
        assert await bench.output(built, "cat", "new") == "hi\nfirsta\nnew"
        with pytest.raises(ImageError, match="expected Python in the image"):
            await bench.build(base, Instruction("PIP", ["six"]))

    go(main)


def test_a_tag_that_moved_is_built_anew_and_one_out_of_reach_stays_as_it_was(
    bench: Bench, registry: OwnRegistry
):
    async def main() -> None:
        base = Instruction("FROM", ["registry", f"{registry.host}/tool:latest"])
        registry.push("tool", "latest", {}, system(a="old"))
        first = await bench.build(base)
        await bench.build(base)
        assert bench.states("FROM") == ["cached"]
        registry.push("tool", "latest", {}, system(a="new"))
        second = await bench.build(base)
        assert await bench.output(second, "cat", "/data/a") == "new"
        assert await bench.output(first, "cat", "/data/a") == "old"
        gone = Bench(bench.root, bench.blobs)
        gone.store.out_of_reach.refuse(registry.host, "it was switched off")
        again = await gone.build(base)
        assert again.layers == second.layers
        assert any("as it was here before; it was switched off" in step.text for step in gone.said)

    go(main)


def test_a_layer_that_is_no_archive_is_said_and_leaves_nothing(bench: Bench, registry: OwnRegistry):
    async def main() -> None:
        registry.push("broken", "1", {}, system(a="x")[:50_000])
        with pytest.raises(ImageError, match=r"layer sha256:\w+ broke off or is no archive"):
            await bench.build(Instruction("FROM", ["registry", f"{registry.host}/broken:1"]))
        assert list((bench.root / "tmp").iterdir()) == []

    go(main)


def test_an_image_that_a_registry_lacks_is_named(bench: Bench, registry: OwnRegistry):
    async def main() -> None:
        with pytest.raises(ImageError, match=f"no image nothing:1 in {registry.host}"):
            await bench.build(Instruction("FROM", ["registry", f"{registry.host}/nothing:1"]))

    go(main)


def test_a_registry_with_python_is_the_first_choice_for_debian_slim(
    bench: Bench, registry: OwnRegistry, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("IONIAN_REGISTRY", registry.host)

    async def main() -> None:
        registry.push("python", "3.12-slim", {"Env": ["PATH=/usr/bin:/bin"]}, system(a="slim"))
        built = await bench.build(Instruction("FROM", ["debian_slim", "3.12"]))
        sources = [step.text for step in bench.said if step.state == "source"]
        assert sources[0].startswith(f"FROM debian_slim 3.12: from {registry.host} python@sha256:")
        assert await bench.output(built, "cat", "/data/a") == "slim"

    go(main)
