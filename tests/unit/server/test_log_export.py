"""Kept logs that are exported: nothing is left out, whoever is away for a while."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ionian.protocol.apps import STARTED, LogLine
from ionian.server.logfiles import Bounds, LogFiles
from ionian.server.telemetry import log_export, log_file
from ionian.server.telemetry.log_export import Exported, LogExport
from ionian.server.telemetry.log_file import FileBounds, LogFile, encoded

NOON = 1_790_000_000.0
BOUNDS = Bounds(1 << 30, 1 << 30, 1e9)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is the event, however slow the machine is."""
    for name, value in (("LOOK_S", 0.0), ("AGAIN_S", 0.01), ("LAST_S", 60.0)):
        monkeypatch.setattr(log_export, name, value)


def line(text: str, fd: int = 1, at: float = NOON) -> LogLine:
    return LogLine(at, "f", "ta-1", fd, text, "fc-1", 3)


class Receiver:
    """Takes lines, or refuses them."""

    def __init__(self) -> None:
        self.lines: list[Exported] = []
        self.refuses = False
        self.refused = 0
        self._changed = threading.Condition()

    def __call__(self, lines: Sequence[Exported]) -> bool:
        with self._changed:
            self.refused += self.refuses
            if not self.refuses:
                self.lines += lines
            self._changed.notify_all()
            return not self.refuses

    def stop(self) -> None:
        pass

    def wait(self, until: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(until, 60)

    @property
    def texts(self) -> list[str]:
        return [one.line.text for one in self.lines]


class Scene:
    """The logs of an app and who gets them."""

    def __init__(self, folder: Path) -> None:
        self.files = LogFiles(folder / "applogs", BOUNDS)
        self.place = folder / "place.json"
        self.receiver = Receiver()

    def write(self, *texts: str, fd: int = 1) -> None:
        self.files.append("ap-1", [line(text, fd) for text in texts])

    def begin(self) -> LogExport:
        """A start of the server."""
        export = LogExport("test", self.files, lambda _: ("letters", "main"), self.receiver, self.place)
        self.files.deleting = [export.deleted]
        export.start()
        return export


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_lines_are_exported_with_what_they_are_of(scene: Scene) -> None:
    export = scene.begin()
    scene.write("Dear Ada")
    scene.write("started", fd=STARTED)
    export.kept("ap-1")
    export.stop()
    (one,) = scene.receiver.lines
    assert (one.app, one.app_id, one.environment, one.source) == ("letters", "ap-1", "main", "stdout")
    assert one.line == line("Dear Ada")
    assert export.exported == 1


def test_what_was_there_before_the_first_export_is_not_exported(scene: Scene) -> None:
    scene.write("of long ago")
    export = scene.begin()
    scene.write("new")
    export.kept("ap-1")
    export.stop()
    assert scene.receiver.texts == ["new"]


def test_the_next_start_goes_on_where_the_last_one_was(scene: Scene) -> None:
    export = scene.begin()
    scene.write("one")
    export.kept("ap-1")
    export.stop()
    scene.write("while nothing ran")
    scene.begin().stop()
    assert scene.receiver.texts == ["one", "while nothing ran"]


def test_what_a_receiver_refuses_comes_again_until_it_is_taken_and_one_warning_says_so(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "ionian.server")
    scene.receiver.refuses = True
    export = scene.begin()
    scene.write("one", "two")
    export.kept("ap-1")
    scene.receiver.wait(lambda: scene.receiver.refused > 2)
    scene.receiver.refuses = False
    scene.receiver.wait(lambda: len(scene.receiver.lines) == 2)
    export.stop()
    assert scene.receiver.texts == ["one", "two"]
    assert (export.exported, export.dropped) == (2, 0)
    assert len(caplog.records) == 1


def test_lines_that_are_deleted_before_they_were_taken_are_counted(scene: Scene) -> None:
    scene.receiver.refuses = True
    export = scene.begin()
    scene.write("one", "two", "three")
    export.kept("ap-1")
    scene.receiver.wait(lambda: scene.receiver.refused > 0)
    scene.files.purge([], now=NOON + 1e10)
    assert export.dropped == 3
    export.stop()


def test_an_app_has_the_name_and_environment_of_the_moment_and_is_forgotten_when_nothing_of_it_is_kept(
    scene: Scene,
) -> None:
    environments = ["main"]
    export = LogExport(
        "test", scene.files, lambda _: ("letters", environments[-1]), scene.receiver, scene.place
    )
    export.start()
    for text in ("one", "two"):
        scene.write(text)
        export.kept("ap-1")
        scene.receiver.wait(lambda text=text: text in scene.receiver.texts)
        environments.append("renamed")
    assert [one.environment for one in scene.receiver.lines] == ["main", "renamed"]
    scene.files.purge([], now=NOON + 1e10)
    scene.files.append("ap-2", [line("three")])
    export.kept("ap-2")
    export.stop()
    assert [*json.loads(scene.place.read_text())] == ["ap-2"]


# --- to a file


def exported(text: str, at: float = NOON) -> Exported:
    return Exported("letters", "ap-1", "main", line(text, at=at))


def texts_of(*files: Path) -> list[str]:
    found = [json.loads(one) for file in files for one in file.read_text().splitlines()]
    return [one["message"] for one in found]


def test_a_line_of_the_file_says_all_that_is_known(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "apps.log"
    LogFile(path, FileBounds(1 << 20, 3600, 3))([exported("Dear Ada")])
    assert json.loads(path.read_text()) == {
        "time": "2026-09-21T14:13:20+00:00",
        "environment": "main",
        "app": "letters",
        "app_id": "ap-1",
        "function": "f",
        "container": "ta-1",
        "call": "fc-1",
        "input": 3,
        "source": "stdout",
        "message": "Dear Ada",
    }


def test_a_full_file_is_followed_by_another_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "apps.log"
    two_lines = 2 * len(encoded(exported("0")))
    LogFile(path, FileBounds(two_lines, 3600, 2))([exported(str(number)) for number in range(9)])
    full = sorted(tmp_path.glob("apps-*.log"))
    assert texts_of(*full, path) == ["4", "5", "6", "7", "8"]
    assert len(full) == 2


def test_a_file_that_is_old_is_followed_by_another_also_after_a_start_of_the_server(tmp_path: Path) -> None:
    path = tmp_path / "apps.log"
    bounds = FileBounds(1 << 20, 3600, 3)
    LogFile(path, bounds)([exported("old")])
    LogFile(path, bounds)([exported("the same hour", NOON + 3599)])
    LogFile(path, bounds)([exported("new", NOON + 3600)])
    assert texts_of(*tmp_path.glob("apps-*.log")) == ["old", "the same hour"]
    assert texts_of(path) == ["new"]


def test_a_line_that_a_kill_tore_is_taken_away_before_it_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "apps.log"
    bounds = FileBounds(1 << 20, 3600, 3)
    LogFile(path, bounds)([exported("whole")])
    with open(path, "ab") as file:
        file.write(encoded(exported("x" * 200_000))[:-1])
    LogFile(path, bounds)([exported("again")])
    assert texts_of(path) == ["whole", "again"]


def test_a_line_that_a_full_disk_tore_is_taken_away_before_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "apps.log"
    receiver = LogFile(path, FileBounds(1 << 20, 3600, 3))
    receiver([exported("whole")])

    def torn(one: Exported) -> bytes:
        with open(path, "ab") as file:
            file.write(encoded(one)[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(log_file, "encoded", torn)
        with pytest.raises(OSError, match="No space left"):
            receiver([exported("again")])
    receiver([exported("again")])
    assert texts_of(path) == ["whole", "again"]
