"""Volumes in real containers and from a client (programs/volumes.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("local")
    return seen_by(home, "volumes.py", "--folder", str(folder))[0]


def test_what_a_client_uploads_containers_read_and_change(seen: dict[str, Any]) -> None:
    inside = seen["inside"]
    assert (inside["small"], inside["mode"], inside["removable"]) == ("there and here", "0o755", "nothing")
    assert inside["owner"] == 0
    assert seen["large"] is True
    assert seen["into"] == [14, "there and here"]
    assert seen["listed"] == [
        ["from-client/small.txt", "FILE", 14],
        ["from-client/sub", "DIRECTORY", 0],
        ["from-client/sub/large.bin", "FILE", 5_120_000],
        ["from-client/sub/odd ü\n'name", "FILE", 0],
    ]


def test_the_methods_work_in_a_container_too(seen: dict[str, Any]) -> None:
    assert seen["inside"]["listed"] == ["made/in container", "made/large"]
    assert seen["inside"]["large"] == 1 << 20
    assert seen["ephemeral"] == ["b FILE 2"]
    assert "it may have been deleted" in seen["gone"]


def test_a_reload_with_open_files_names_file_and_process(seen: dict[str, Any]) -> None:
    told = seen["inside"]["with open files"]
    assert told.startswith(
        "RuntimeError: there are open files preventing the operation: /data/made/in container is open in"
    )
    assert "(process " in told


def test_an_upload_replaces_files_only_by_force(seen: dict[str, Any]) -> None:
    assert seen["again"].startswith("FileExistsError: from-client/small.txt is in the volume already")


def test_a_read_only_mount_is_not_written_to(seen: dict[str, Any]) -> None:
    assert "Read-only file system" in seen["read-only"]


def test_a_folder_of_a_volume_is_mounted_alone_and_made_where_it_is_missing(seen: dict[str, Any]) -> None:
    assert seen["in folder"] == {"above": True, "here": ["up", "weights"]}


def test_a_link_to_a_folder_to_mount_is_followed_within_the_volume_and_never_out_of_it(
    seen: dict[str, Any],
) -> None:
    names, written = seen["within"]
    assert sorted(names) == ["up", "weights"]
    assert "Read-only file system" in written
    assert "the folder 'models/out' of the volume at /data can't be mounted" in seen["out"]


def test_files_are_copied_and_the_methods_have_twins_for_coroutines(seen: dict[str, Any]) -> None:
    assert seen["copied"] == ["copied/small.txt", "copied/sub"]
    assert seen["coroutines"] == ["from a coroutine", True]


def test_what_is_wrong_is_said_in_one_sentence(seen: dict[str, Any]) -> None:
    begins = (
        "InvalidError: escape: a link there leads out of the volume",
        "FileNotFoundError: none: there is no such file",
        "InvalidError: expected a path within the volume, without '..'",
        "IsADirectoryError: copied: it is a folder",
        "InvalidError: path: expected a folder or file, got the pattern",
        "InvalidError: Volume.from_name('volumes-data').remove_file(): this handle is read-only",
        "ExecutionError: Volume.from_name('volumes-data').commit() is for functions",
        "ExecutionError: Volume.from_name('volumes-data').reload() is for functions",
        "NotFoundError: there is no volume 'volumes-none' in environment 'main'",
    )
    for told, begin in zip(seen["errors"], begins, strict=True):
        assert told.startswith(begin)


def test_volumes_are_made_listed_renamed_and_deleted_by_name(seen: dict[str, Any]) -> None:
    assert seen["taken"].startswith("AlreadyExistsError: there is a volume 'volumes-data'")
    ours = [name for name in seen["names"] if name.startswith("volumes-")]  # other tests have made theirs
    assert ours == ["volumes-new", "volumes-data"]
    assert seen["info"] == "volumes-new"
    assert seen["deleted"].startswith("NotFoundError: there is no volume 'volumes-new'")
