"""A volume, or a folder of it, made ready for containers."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from ionian.protocol.spec import VolumeMount
from ionian.worker.sandbox import Bind, IdMap, SandboxError
from ionian.worker.sandbox.launcher import open_source
from ionian.worker.volumes import bind_of

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    (tmp_path / "volume").mkdir()
    return tmp_path / "volume"


def bind(root: Path, sub_path: str = "") -> Bind:
    return asyncio.run(bind_of(root, VolumeMount("/data", "vo-1", sub_path=sub_path)))


def test_a_folder_that_is_missing_is_made(root: Path) -> None:
    assert bind(root, "a/b") == Bind(root, "/data", read_only=False, below="a/b")
    assert (root / "a/b").is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_lay_there_before_the_first_container_belongs_to_containers(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a/file").write_text("x")
    (root / "a/link").symlink_to("/etc/passwd")
    owner = IdMap.current().host_uid
    bind(root)
    assert {path.lstat().st_uid for path in (root, *root.rglob("*"))} == {owner}
    assert Path("/etc/passwd").stat().st_uid == 0


@pytest.mark.parametrize("leads_to", ["../secret", "/etc", "/proc/self/root"])
def test_a_link_out_of_the_volume_is_not_mounted(root: Path, leads_to: str) -> None:
    (root / "a").symlink_to(leads_to)
    with pytest.raises(SandboxError, match="no link there may lead out of the volume"):
        bind(root, "a")
    with pytest.raises(OSError, match="is to be shown in the sandbox, but"):  # made after the worker looked
        open_source(str(root), "a")


def test_a_path_out_of_the_volume_is_not_mounted(root: Path) -> None:
    with pytest.raises(SandboxError, match="can't be mounted"):
        bind(root, "../secret")
    with pytest.raises(OSError, match="is to be shown in the sandbox, but"):
        open_source(str(root), "../secret")


def test_a_file_is_no_folder_to_mount(root: Path) -> None:
    (root / "file").write_text("x")
    with pytest.raises(
        SandboxError, match="the folder 'file' of the volume at /data can't be mounted: Not a directory"
    ):
        bind(root, "file")
