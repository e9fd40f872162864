"""Builds at the same time: one of a key, whoever asks for it; and those that don't depend on each other side by side."""

from __future__ import annotations

import re
import subprocess
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.homes import IONIAN, Home

PROGRAMS = Path(__file__).with_name("programs")

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


def test_apps_that_are_deployed_at_once_share_one_build_and_both_see_its_log(
    home: Home, tmp_path: Path
) -> None:
    key = uuid.uuid4().hex
    names, outputs = ("same-one", "same-two"), (tmp_path / "one", tmp_path / "two")
    assert home.ionian("server", "start").returncode == 0
    with ExitStack() as undo:
        deploys: list[subprocess.Popen[bytes]] = []
        for name, output in zip(names, outputs, strict=True):
            deploy = subprocess.Popen(
                (IONIAN, "deploy", "--name", name, PROGRAMS / "same_build.py"),
                env={**home.environment, "KEY": key},
                stdin=subprocess.DEVNULL,
                stdout=undo.enter_context(output.open("wb")),
                stderr=subprocess.STDOUT,
            )
            undo.callback(deploy.wait)
            undo.callback(deploy.kill)
            deploys.append(deploy)
        while not all(f"drawn {key}" in output.read_text() for output in outputs):
            for deploy, output in zip(deploys, outputs, strict=True):
                assert deploy.poll() is None, output.read_text()
            time.sleep(0.05)
        (tmp_path / key).touch()
        done = home.ionian("volume", "put", "gate-of-builds", tmp_path / key, f"/{key}")
        assert done.returncode == 0, done.stdout
        for deploy, output in zip(deploys, outputs, strict=True):
            assert deploy.wait() == 0, output.read_text()
    for name in names:
        assert home.ionian("app", "stop", "--yes", name).returncode == 0
    drawn = [re.findall(rf"drawn {key} +(\w+)", output.read_text()) for output in outputs]
    assert len(drawn[0]) == 1, drawn
    assert drawn[0] == drawn[1]
    assert all("through" in output.read_text() for output in outputs)


def test_images_of_one_app_that_do_not_depend_on_each_other_are_built_side_by_side(home: Home) -> None:
    done = home.ionian("run", "-q", PROGRAMS / "meeting_builds.py", timeout_s=280)
    assert done.stdout == "SAID met here\n"
