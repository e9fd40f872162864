"""Why nothing runs is said when it lasts, once, and again when the reason is another."""

from __future__ import annotations

import threading

from ionian.client.output.screen import Line, Row, RowSource, Screen
from ionian.client.output.waiting import Waiting


class Said:
    """What was said, and a way to wait for it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = threading.Condition()

    def __call__(self, text: str, style: str) -> None:
        with self._more:
            self.lines.append(text)
            self._more.notify_all()

    def until(self, count: int) -> list[str]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.lines) >= count, 10)
            return self.lines


class Pipe(Screen):
    def write(self, line: Line) -> None:
        raise AssertionError(line)


class Live(Pipe):
    live = True

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, RowSource] = {}

    def show(self, key: str, row: RowSource) -> None:
        self.rows[key] = row

    def drop(self, key: str) -> None:
        self.rows.pop(key, None)


def test_a_reason_that_lasts_is_said_once_whatever_its_figures() -> None:
    said = Said()
    waiting = Waiting(Pipe(), said, patience_s=0.05)
    waiting.update("fu-1", "f", "a container for it is starting, since 0.1 s")
    assert said.until(1) == ["f waits: a container for it is starting, since 0.1 s"]
    waiting.update("fu-1", "f", "a container for it is starting, since 4.1 s")
    waiting.update("fu-1", "f", "no worker has room for it now; it is 2nd in the queue")
    waiting.update("fu-1", "f", "no worker has room for it now; it is 1st in the queue")
    assert said.until(2)[1:] == ["f waits: no worker has room for it now; it is 1st in the queue"]


def test_what_is_over_soon_is_not_said() -> None:
    said = Said()
    waiting = Waiting(Pipe(), said, patience_s=3600)
    waiting.update("fu-1", "f", "its image is being built")
    waiting.update("fu-1", "f", "")
    waiting.update("fu-2", "g", "its image is being built")
    waiting.clear()
    assert said.lines == []


def test_a_reason_that_comes_again_after_progress_is_said_again() -> None:
    said = Said()
    waiting = Waiting(Pipe(), said, patience_s=0.01)
    for count in (1, 2):
        waiting.update("fu-1", "f", "no worker is connected")
        assert len(said.until(count)) == count
        waiting.update("fu-1", "f", "")


def test_a_terminal_has_a_row_with_the_newest_reason() -> None:
    screen, said = Live(), Said()
    waiting = Waiting(screen, said, patience_s=0.0)
    waiting.update("fu-1", "f", "a container for it is starting, since 3.1 s")
    waiting.update("fu-1", "f", "a container for it is starting, since 3.4 s")
    (row,) = [source() for source in screen.rows.values()]
    assert isinstance(row, Row)
    assert row.text == "f waits: a container for it is starting, since 3.4 s"
    waiting.update("fu-1", "f", "")
    assert screen.rows == {}
    assert said.lines == []
    Waiting(screen, said, patience_s=3600).update("fu-1", "f", "no worker is connected")
    assert [source() for source in screen.rows.values()] == [None]


def test_a_reason_between_two_others_is_not_said() -> None:
    said = Said()
    waiting = Waiting(Pipe(), said, patience_s=0.2)
    waiting.update("fu-1", "f", "no worker has room for it now")
    said.until(1)
    waiting.update("fu-1", "f", "its image is being built")
    waiting.update("fu-1", "f", "a container for it is starting")
    assert said.until(2)[1] == "f waits: a container for it is starting"
