from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from ionian.machine.state import SOCKET_NAME_MAX, SOCKET_PATH_MAX, StateError, StateFolder


def test_every_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "home")
    folders = [
        state.blobs,
        state.volumes,
        state.images,
        state.logs,
        state.volume("vo-1"),
        state.worker("one"),
    ]
    for folder in [*folders, state.runtime, state.root]:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    assert state.database_url == f"sqlite:///{state.root}/state.db"


def test_a_folder_that_others_can_read_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    StateFolder(tmp_path).blobs.stat()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IONIAN_HOME", str(tmp_path))
    assert StateFolder.default().root == tmp_path
    monkeypatch.delenv("IONIAN_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert StateFolder.default().root == Path("/data/ionian")


def test_a_deep_folder_has_short_paths_for_sockets(tmp_path: Path) -> None:
    state, same = StateFolder(tmp_path / ("deep" * 30)), StateFolder(tmp_path / ("deep" * 30))
    other = StateFolder(tmp_path / ("Deep" * 30))
    try:
        assert len(os.fsencode(state.runtime)) + 1 + SOCKET_NAME_MAX <= SOCKET_PATH_MAX
        assert state.runtime == same.runtime != other.runtime
        assert stat.S_IMODE(state.runtime.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(state.runtime)
        shutil.rmtree(other.runtime)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StateError, match=f"can't use {tmp_path}/home.*set IONIAN_HOME"):
        _ = StateFolder(tmp_path / "home").blobs
