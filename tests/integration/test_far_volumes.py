"""A volume on machines that do not see the server's disk (programs/far_volumes.py): commit and reload."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.machines import Machines, machines
from tests.integration.seen import PROGRAMS

pytestmark = [pytest.mark.container, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder: Path = tmp_path_factory.mktemp("machines")
    with machines(folder) as made:
        yield made


@pytest.fixture(scope="module")
def seen(far: Machines) -> dict[str, Any]:
    done = far.home.ionian("run", "-q", f"{PROGRAMS}/far_volumes.py::main", timeout_s=300)
    assert done.returncode == 0, done.stdout + far.said()
    return json.loads(done.stdout.splitlines()[-1])


def test_each_machine_has_a_copy_of_its_own(seen: dict[str, Any]) -> None:
    one, two = seen["where"]
    assert one != two
    assert all("/working/vo-" in where for where in seen["where"])


def test_a_container_that_starts_has_the_newest_version(seen: dict[str, Any]) -> None:
    assert seen["at their start"] == [{"from/client": "client"}] * 2


def test_what_one_machine_commits_others_see_when_they_reload_and_clients_at_once(
    seen: dict[str, Any],
) -> None:
    assert seen["before reload"] is False
    assert seen["after reload"] == seen["client"] == {"from/a": "a", "from/client": "client"}


def test_writers_of_different_files_never_lose_each_others(seen: dict[str, Any]) -> None:
    theirs = {"mine/a": "a", "mine/b": "b", "mine/c": "c"}
    assert seen["both"] == [{"from/a": "a", "from/client": "client", **theirs}] * 2


def test_of_two_who_write_one_file_the_last_wins_and_the_servers_log_says_so(
    seen: dict[str, Any], far: Machines
) -> None:
    assert seen["same"] == ["b", "b", "b"]
    assert "that others had changed meanwhile, one is 'same'" in far.said()


def test_a_deleted_file_goes_everywhere(seen: dict[str, Any]) -> None:
    assert seen["removed"] is False


def test_a_reload_with_open_files_names_file_and_process(seen: dict[str, Any]) -> None:
    assert "there are open files preventing the operation: /data/from/a is open in" in seen["open"]


def test_what_was_written_is_committed_every_few_seconds(seen: dict[str, Any]) -> None:
    assert seen["later"] == "without a commit"


def test_what_a_client_uploads_comes_with_the_next_reload(seen: dict[str, Any]) -> None:
    assert seen["uploaded"] == "client again"


def test_machines_that_mount_the_servers_folder_of_volumes_see_all_at_once(tmp_path: Path) -> None:
    with machines(tmp_path) as made:
        for worker in made.workers:
            worker.stop()
            worker.start(made.home, IONIAN_VOLUMES=str(made.home.folder / "volumes"))
        done = made.home.ionian("run", "-q", f"{PROGRAMS}/far_volumes.py::shared", timeout_s=300)
        assert done.returncode == 0, done.stdout
        seen = json.loads(done.stdout.splitlines()[-1])
        assert seen["where"][0] == seen["where"][1]
        assert seen["files"] == [{"from/a": "a", "from/b": "b"}] * 2
        (kept,) = (made.home.folder / "volumes").glob("vo-*/from")
        assert sorted(path.name for path in kept.iterdir()) == ["a", "b"]


def test_a_reload_for_which_the_disk_has_no_room_says_so_and_changes_nothing(tmp_path: Path) -> None:
    with machines(tmp_path, ("one",)) as made:
        worker = made.workers[0]
        worker.stop()
        small = worker.folder / "workers" / "one" / "working"
        small.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4500k,mode=700", "small", small], check=True)
        try:
            worker.start(made.home)
            done = made.home.ionian("run", "-q", f"{PROGRAMS}/far_volumes.py::full", timeout_s=300)
            worker.stop()
        finally:
            subprocess.run(["umount", small], check=True)
        assert done.returncode == 0, done.stdout
        told, *files = json.loads(done.stdout.splitlines()[-1])
        assert "the disk of this worker is full (No space left on device)" in told
        assert files == [f"first {3 << 20}"]


def test_a_commit_for_which_the_servers_disk_has_no_room_says_so_and_is_done_when_there_is_some(
    tmp_path: Path,
) -> None:
    many = [f"many-{number:02}" for number in range(20)]
    with machines(tmp_path) as made:
        made.stop_server()
        disk = made.home.folder / "blobs"
        mount(disk, "size=3m,mode=700")
        try:
            made.start_server()
            done = made.home.ionian(
                "run", "-q", f"{PROGRAMS}/far_volumes.py::too_much", environment=made.client, timeout_s=300
            )
            assert done.returncode == 0, done.stdout + made.said()
            before, told, after = json.loads(done.stdout.splitlines()[-1])
            assert before == ["kept"]
            assert "kept" in after
            assert len(after) < len(many)  # some may have been committed while they were written
            assert told.startswith(
                f"ResourceExhaustedError: the disk that holds {disk} is full: no room for "
            )
            mount(disk, "remount,size=64m")
            done = made.home.ionian(
                "run", "-q", f"{PROGRAMS}/far_volumes.py::with_room", environment=made.client, timeout_s=300
            )
            assert done.returncode == 0, done.stdout + made.said()
            committed, names = map(json.loads, done.stdout.splitlines()[-2:])
            assert committed == ["committed"] * 2
            assert names == [["kept", *many]] * 2
            made.stop_server()
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)


def mount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", disk], check=True)


def test_a_worker_that_has_another_folder_for_the_servers_is_refused_at_its_start(
    far: Machines, tmp_path: Path
) -> None:
    for folder, why in (
        (tmp_path, "mark: No such file or directory"),
        (other(tmp_path), "not that of the server"),
    ):
        machine = far.workers[0]
        told = machine.said_by(far.home, "--volumes", str(folder))
        assert f"expected the folder that the server has its volumes in, got {folder} (" in told
        assert why in told


def other(tmp_path: Path) -> Path:
    """The folder of another server's volumes."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "mark").write_text("another\n")
    return folder
