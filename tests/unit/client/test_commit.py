from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ionian.client.commit import Commit

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "x")
    (tmp_path / "file").write_text("1")
    for command in ("init -q", "add file", "commit -q -m first"):
        subprocess.run(["git", *command.split()], check=True)
    return tmp_path


@needs_git
def test_the_commit_is_seven_characters_with_a_star_where_files_were_changed(repository: Path) -> None:
    clean = Commit().text
    assert re.fullmatch(r"[0-9a-f]{7}", clean)
    (repository / "new").write_text("not one of git's")
    assert Commit().text == clean
    (repository / "file").write_text("2")
    assert Commit().text == f"{clean}*"


@needs_git
def test_a_folder_without_a_repository_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert Commit().text == ""


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert Commit().text == ""
