"""What containers wrote is kept in whole lines, bounded in size and age, and found again by what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from ionian.machine.state import StateError
from ionian.protocol.apps import Log, LogLine
from ionian.protocol.marks import BEGIN, OVER, mark
from ionian.server import logfiles
from ionian.server.logbook import LogBook
from ionian.server.logfiles import Bounds, LogFiles, Position, Query

ALL = Query()
ONE = Log("ap-1", "f", "ta-1", 1)
OTHER = Log("ap-1", "g", "ta-2", 2)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[LogBook]:
    book = LogBook(tmp_path)
    yield book
    book.close()


def texts(book: LogBook, query: Query = ALL, app_id: str = "ap-1") -> list[str]:
    return [line.text for line in asyncio.run(book.read(app_id, query)).lines]


def fill(files: LogFiles, count: int, begin: int = 0) -> None:
    """So many lines of a kilobyte, one a second, from 1970 on."""
    for number in range(begin, begin + count):
        files.append("ap-1", [LogLine(float(number), "f", "ta-1", 1, f"{number:04} " + "x" * 1000)])


def numbers(lines: list[LogLine]) -> list[int]:
    return [int(line.text[:4]) for line in lines]


def test_bytes_cut_anywhere_are_lines_of_one_stream_each(book: LogBook) -> None:
    for message, data in (
        (ONE, b"ab"),
        (OTHER, b"one\ntw"),
        (ONE, "c\u00e9"[:1].encode() + b"\xc3"),
        (ONE, b"\xa9\n"),
    ):
        book.write(message, data)
    book.write(OTHER, b"o\n")
    assert sorted(texts(book)) == ["abc\u00e9", "one", "two"]


def test_what_stands_without_a_newline_is_a_line_when_its_container_ends(book: LogBook) -> None:
    book.write(ONE, b"begin")
    assert texts(book) == []
    book.ended("ap-1", "f", "ta-1", "it was killed")
    assert texts(book) == ["begin", "it was killed"]
    assert texts(book, Query(fd=3)) == ["it was killed"]


def test_what_stands_without_a_newline_is_kept_when_the_server_ends(book: LogBook, tmp_path: Path) -> None:
    book.write(ONE, b"last words")
    book.close()
    assert texts(LogBook(tmp_path)) == ["last words"]


def test_lines_are_found_by_call_and_by_input(book: LogBook) -> None:
    call = "fc-01JD0000000000000000000000"
    for index in range(2):
        marked = mark(BEGIN, f"{call}:{index}".encode()) + f"input {index}\n".encode() + mark(OVER)
        book.write(ONE, marked + f"of nobody, who names {call}\n".encode())
    assert texts(book, Query(call_id=call)) == ["input 0", "input 1"]
    assert texts(book, Query(call_id=call, tail=1)) == ["input 1"]
    assert texts(book, Query(call_id=call, index=0)) == ["input 0"]


def test_lines_that_were_kept_before_calls_were_are_read(book: LogBook, tmp_path: Path) -> None:
    (tmp_path / "ap-1").mkdir()
    (tmp_path / "ap-1" / f"{1:015d}.log").write_text('[1.5,"f","ta-1",1,"long ago"]\n')
    assert texts(book) == ["long ago"]


def test_lines_are_found_by_function_container_stream_and_text(book: LogBook) -> None:
    book.write(ONE, b"apple\npear\n")
    book.write(OTHER, b"apple pie\n")
    assert texts(book, Query(text="apple")) == ["apple", "apple pie"]
    assert texts(book, Query(function="g")) == ["apple pie"]
    assert texts(book, Query(container_id="ta-1", text="pear")) == ["pear"]
    assert texts(book, Query(fd=2)) == ["apple pie"]
    assert texts(book, ALL, "ap-2") == []


def test_the_last_lines_are_those_that_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "SEGMENT_BYTES", 10_000)
    files = LogFiles(tmp_path)
    fill(files, 100)
    assert len(list(tmp_path.glob("ap-1/*"))) > 5
    assert numbers(files.read("ap-1", Query(tail=30)).lines) == list(range(70, 100))
    assert numbers(files.read("ap-1", Query(tail=3, text="5 x")).lines) == [75, 85, 95]
    assert numbers(files.read("ap-1", Query(tail=1000)).lines) == list(range(100))
    assert numbers(files.read("ap-1", Query(since=91, until=93)).lines) == [91, 92, 93]
    assert numbers(files.read("ap-1", Query(since=91, tail=2)).lines) == [98, 99]


def test_a_long_log_comes_in_parts_that_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "SEGMENT_BYTES", 20_000)
    monkeypatch.setattr(logfiles, "ANSWER_BYTES", 7_000)
    files = LogFiles(tmp_path)
    fill(files, 100)
    part = files.read("ap-1", ALL)
    found = part.lines
    while part.more:
        part = files.read_on("ap-1", ALL, Position.parse(str(part.position)))
        found += part.lines
    assert numbers(found) == list(range(100))
    fill(files, 2, begin=100)
    assert numbers(files.read_on("ap-1", ALL, part.position).lines) == [100, 101]


def test_an_app_keeps_no_more_than_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "SEGMENT_BYTES", 10_000)
    files = LogFiles(tmp_path, Bounds(40_000, 1 << 30, 3600))
    fill(files, 200)
    assert sum(path.stat().st_size for path in tmp_path.glob("ap-1/*")) <= 42_000
    assert numbers(files.read("ap-1", ALL).lines)[-1] == 199


def test_a_reader_whose_place_was_deleted_goes_on_with_the_oldest_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfiles, "SEGMENT_BYTES", 10_000)
    files = LogFiles(tmp_path, Bounds(40_000, 1 << 30, 3600))
    fill(files, 5)
    position = files.read("ap-1", ALL).position
    fill(files, 200, begin=5)
    found = numbers(files.read_on("ap-1", ALL, position).lines)
    assert found == list(range(found[0], 205))


def test_old_files_go_and_of_too_many_those_of_ended_apps_first(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, Bounds(1 << 20, 3000, 3600))
    for app_id in ("ap-live", "ap-over"):
        files.append(app_id, [LogLine(1.0, "f", "ta-1", 1, "x" * 2000)])
    files.purge({"ap-live"})
    assert [path.name for path in tmp_path.iterdir()] == ["ap-live"]
    written = next(tmp_path.glob("ap-live/*")).stat().st_mtime
    files.purge({"ap-live"}, now=written + 3599)
    assert files.read("ap-live", ALL).lines
    files.purge({"ap-live"}, now=written + 3601)
    assert files.read("ap-live", ALL).lines == []


def test_a_line_that_a_crash_tore_costs_no_other(tmp_path: Path) -> None:
    files = LogFiles(tmp_path)
    fill(files, 1)
    path = next(tmp_path.glob("ap-1/*"))
    path.write_bytes(path.read_bytes() + b'[1.0,"f","ta-')
    fill(files, 1, begin=1)
    assert numbers(files.read("ap-1", ALL).lines) == [0, 1]


@pytest.mark.parametrize("text", ["", "1", "a:b", "1:-1", "1:2:3"])
def test_a_cursor_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a cursor of an earlier answer"):
        Position.parse(text)


def test_an_app_id_that_would_leave_the_folder_is_not_written(book: LogBook, tmp_path: Path) -> None:
    book.write(Log("../ap-1", "f", "ta-1", 1), b"line\n")
    book.write(ONE, b"line\n")
    assert texts(book) == ["line"]
    assert not (tmp_path.parent / "ap-1").exists()


def test_a_disk_that_refuses_costs_the_lines_of_that_time_and_is_said_once(
    book: LogBook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(app_id: str, lines: list[LogLine]) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(book.files, "append", full)
        for _ in range(3):
            book.write(ONE, b"lost\n")
            book.flush()
    book.write(ONE, b"kept\n")
    assert texts(book) == ["kept"]
    assert [record.message for record in caplog.records] == [
        "logs of app=ap-1: [Errno 28] No space left on device; lines not kept until now: 1"
    ]


def test_the_bounds_are_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IONIAN_LOGS_APP_MIB", "IONIAN_LOGS_MIB", "IONIAN_LOGS_DAYS"):
        monkeypatch.setenv(name, "0.5")
    assert Bounds.of_environment() == Bounds(1 << 19, 1 << 19, 43_200)
    for wrong in ("many", "0", "-1", "inf", "nan"):
        monkeypatch.setenv("IONIAN_LOGS_DAYS", wrong)
        with pytest.raises(StateError, match=f"IONIAN_LOGS_DAYS: expected a number above 0, got '{wrong}'"):
            Bounds.of_environment()


# --- following


def play(book: LogBook, scene: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await scene()

    asyncio.run(asyncio.wait_for(run(), 10))


def test_who_waits_hears_the_next_lines_once_each(book: LogBook) -> None:
    async def scene() -> None:
        book.write(ONE, b"before\n")
        found = await book.read("ap-1", ALL)
        heard: list[str] = []
        for number in range(20):
            waiting = asyncio.ensure_future(book.wait("ap-1", ALL, found.position, 5))
            await asyncio.sleep(0)
            book.write(ONE, f"line {number}\n".encode())
            found, _ = await waiting
            heard += [line.text for line in found.lines]
        assert heard == [f"line {number}" for number in range(20)]

    play(book, scene)


def test_who_waits_in_vain_is_answered_in_time_at_the_same_place(book: LogBook) -> None:
    async def scene() -> None:
        book.write(ONE, b"before\n")
        position = (await book.read("ap-1", ALL)).position
        book.write(OTHER, b"of another function\n")
        found, _ = await book.wait("ap-1", Query(function="f"), position, 0.2)
        assert found.lines == []
        book.write(ONE, b"after\n")
        later, _ = await book.wait("ap-1", Query(function="f"), found.position, 5)
        assert [line.text for line in later.lines] == ["after"]

    play(book, scene)


def test_what_waits_to_be_written_is_counted(book: LogBook) -> None:
    book.write(ONE, b"12345\n")
    assert book.backlog == 6
    book.flush()
    assert book.backlog == 0


def test_who_waits_is_told_that_it_is_over_behind_the_last_line(book: LogBook) -> None:
    async def scene() -> None:
        ended = False

        async def over() -> bool:
            return ended

        book.write(ONE, b"before\n")
        position = (await book.read("ap-1", ALL)).position
        waiting = asyncio.ensure_future(book.wait("ap-1", ALL, position, 5, over))
        await asyncio.sleep(0.01)
        ended = True
        book.write(ONE, b"last")
        book.ended("ap-1", "f", "ta-1")
        found, said = await waiting
        assert ([line.text for line in found.lines], said) == (["last"], True)

    play(book, scene)
