import io
import threading

import pytest

from ionian.client.output.report import Report
from ionian.client.output.screen import Line, Row, RowSource, Screen
from ionian.client.output.words import count, duration, rate, size
from ionian.protocol.apps import AppUsage, BuildStep, ContainerNews, Log
from ionian.protocol.calls import CallState


class Pipe(Screen):
    """A screen without live rows, and what it has written."""

    def __init__(self) -> None:
        self.file = io.StringIO()
        super().__init__(self.file, self.file)


class Rows(Screen):
    """A screen that has live rows, and lines in order."""

    live = True

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, RowSource] = {}
        self.lines: list[Line] = []

    def write(self, line: Line) -> None:
        self.lines.append(line)

    def show(self, key: str, row: RowSource) -> None:
        self.rows[key] = row

    def drop(self, key: str) -> None:
        self.rows.pop(key, None)

    def current(self) -> list[Row | None]:
        return [row() for row in self.rows.values()]


def log(text: str, *, function: str = "f", container: str = "ta-01", fd: int = 1) -> tuple[Log, bytes]:
    return Log("ap-1", function, container, fd), text.encode()


def drained(report: Report) -> str:
    """All that was written, once it is."""
    assert isinstance(report.screen, Pipe)
    report.drain()
    report.screen.close()
    return report.screen.file.getvalue()


def test_output_of_one_container_is_shown_as_it_is():
    report = Report(Pipe())
    report.log(*log("hel"))
    report.log(*log("lo\nrest"))
    assert drained(report) == "hello\nrest\n"


def test_lines_of_several_containers_are_not_mixed_and_say_whose_they_are():
    report = Report(Pipe())
    report.container(ContainerNews("ap-1", "f", "ta-01", "ready"))
    report.container(ContainerNews("ap-1", "f", "ta-02", "ready"))
    report.log(*log("one ", container="ta-01"))
    report.log(*log("two\n", container="ta-02"))
    report.log(*log("line\n", container="ta-01"))
    assert drained(report) == "a-02 | two\na-01 | one line\n"


def test_lines_of_several_functions_name_them():
    report = Report(Pipe())
    report.expect(["f", "g"])
    report.log(*log("x\n"))
    assert drained(report) == "f | x\n"


def test_the_two_streams_of_a_container_are_put_together_apart():
    report = Report(Pipe())
    report.log(*log("out", fd=1))
    report.log(*log("err\n", fd=2))
    report.log(*log("put\n", fd=1))
    assert sorted(drained(report).splitlines()) == ["err", "output"]


def test_a_container_that_ends_gives_up_its_last_line():
    screen = Rows()
    report = Report(screen)
    report.log(*log("no newline"))
    report.container(ContainerNews("ap-1", "f", "ta-01", "gone"))
    assert [line.text for line in screen.lines] == ["no newline"]


def test_a_container_that_fails_says_why_once_even_when_quiet():
    screen = Rows()
    Report(screen, show_progress=False).container(
        ContainerNews("ap-1", "f", "ta-01", "failed", "out of memory")
    )
    assert [line.text for line in screen.lines] == ["f: out of memory"]


def test_the_steps_of_a_build_show_while_they_last_and_what_they_took():
    screen = Rows()
    report = Report(screen)
    report.build_step(BuildStep("im-1", 1, 2, "debian_slim 3.11", "cached"))
    report.build_step(BuildStep("im-1", 2, 2, "pip_install numpy", "start"))
    report.build_step(BuildStep("im-1", 2, 2, "Resolving\nDownloading\n", "log"))
    (row,) = screen.current()
    assert row is not None
    assert row.text == "2/2 pip_install numpy"
    assert row.detail.endswith("Downloading")
    report.build_step(BuildStep("im-1", 2, 2, "pip_install numpy", "done", 3.25))
    assert screen.rows == {}
    texts = [line.text for line in screen.lines]
    assert texts == ["= 1/2 debian_slim 3.11 (cached)", "✓ 2/2 pip_install numpy (3.2 s)"]


def test_in_a_pipe_the_output_of_a_build_is_shown_too():
    report = Report(Pipe())
    report.build_step(BuildStep("im-1", 1, 1, "run_commands make", "start"))
    report.build_step(BuildStep("im-1", 1, 1, "cc -o a\n", "log"))
    assert drained(report) == "  1/1 run_commands make …\n    cc -o a\n"


def test_quiet_silences_how_it_goes_and_not_what_containers_print():
    report = Report(Pipe(), show_progress=False)
    report.say("✓ Initialized")
    report.build_step(BuildStep("im-1", 1, 1, "x", "start"))
    report.log(*log("hello\n"))
    report.summary(1.0, AppUsage("ap-1", containers=1))
    assert drained(report) == "hello\n"


def test_a_reason_to_wait_is_shown_while_nothing_runs():
    screen = Rows()
    report = Report(screen, patience_s=0.0)
    for _ in range(3):
        report.call_state(CallState("fu-1", 0, 0, 5, 0, "no worker has an H100", "Model.*"))
    (row,) = screen.current()
    assert row is not None
    assert row.text == "Model waits: no worker has an H100"
    report.call_state(CallState("fu-1", 1, 0, 5, 1, "all its containers are busy"))
    assert screen.current() == []
    Report(screen, show_progress=False, patience_s=0.0).call_state(CallState("fu-1", 0, 0, 5, 0, "no worker"))
    assert (screen.current(), screen.lines) == ([], [])


def test_the_summary_tells_what_was_used():
    screen = Rows()
    Report(screen).summary(12.34, AppUsage("ap-1", 123.4, 60.0, 1.0, 0.0, 20))
    assert screen.lines[0].text == (
        "✓ App finished in 12.3 s: 20 containers, 123.4 container-seconds, 60.0 CPU-seconds"
    )


def test_the_progress_of_a_map_has_a_row_with_all_that_a_person_asks():
    screen = Rows()
    report = Report(screen)
    for number in range(3):
        report.container(ContainerNews("ap-1", "embed", f"ta-{number}", "ready"))
    progress = report.map_progress(type("F", (), {"tag": "embed"})())
    progress.update(40_000, 100_000)
    (row,) = screen.current()
    assert row is not None
    assert (row.text, row.done, row.total) == ("embed", 40_000, 100_000)
    assert row.detail.startswith("40,000 of 100,000 · 3 containers · ")
    assert row.detail.endswith(" left")
    progress.update(50_000, None)
    (row,) = screen.current()
    assert row is not None
    assert row.detail.startswith("50,000 done · 3 containers")
    progress.close()
    progress.close()
    assert screen.rows == {}


def test_a_reader_that_went_away_ends_the_output_and_nothing_else():
    class Gone(io.StringIO):
        def write(self, s: str) -> int:
            raise BrokenPipeError

    screen = Screen(Gone())
    for _ in range(3):
        screen.write(Line("text"))
        screen.flush()
    screen.close()


class Late(Pipe):
    """A screen whose thread gets no processor until somebody waits for it."""

    def _write_waiting(self) -> None:
        if any(not isinstance(item, Line) for item in self._queue):
            super()._write_waiting()


def test_what_was_printed_is_shown_before_a_result_is_had_however_late_its_thread_is():
    screen = Late()
    Report(screen).log(*log("printed\n"))
    screen.catch_up()
    assert screen.file.getvalue() == "printed\n"
    screen.close()


def test_a_reader_that_is_slow_holds_up_one_result_and_no_more(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ionian.client.output.screen.CATCH_UP_S", 0.01)
    reads = threading.Event()

    class Full(io.StringIO):
        def write(self, s: str) -> int:
            reads.wait()
            return super().write(s)

    file = Full()
    screen = Screen(file)
    screen.write(Line("one"))
    screen.catch_up()
    monkeypatch.setattr("ionian.client.output.screen.CATCH_UP_S", None)  # for ever
    screen.catch_up()
    reads.set()
    screen.flush()
    screen.write(Line("two"))
    screen.catch_up()
    assert file.getvalue() == "one\ntwo\n"
    screen.close()


def test_figures_read_well():
    assert [duration(s) for s in (0.0042, 12.34, 245, 7380)] == ["4 ms", "12.3 s", "4 min 05 s", "2 h 03 min"]
    assert [count(n, "container") for n in (1, 20, 12345)] == [
        "1 container",
        "20 containers",
        "12,345 containers",
    ]
    assert [rate(r) for r in (12345.6, 3.21, 0.2)] == ["12,346/s", "3.2/s", "12.0/min"]
    assert [size(n) for n in (512, 1_500_000)] == ["512 B", "1.5 MB"]
