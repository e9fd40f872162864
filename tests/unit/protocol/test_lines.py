from hypothesis import given
from hypothesis import strategies as st

from ionian.protocol import lines as protocol
from ionian.protocol.lines import LONGEST, Written
from ionian.protocol.marks import BEGIN, ENDED, LENT, OVER, mark

A, B = b"fc-01JD0000000000000000000000:1", b"fc-01JD0000000000000000000000:2"


class LineAssembler(protocol.LineAssembler):
    """The lines without who wrote them."""

    def feed(self, data: bytes) -> list[str]:  # type: ignore[override]
        return [line.text for line in super().feed(data)]

    def flush(self) -> list[str]:  # type: ignore[override]
        return [line.text for line in super().flush()]


def by(key: bytes, text: bytes) -> bytes:
    """What an input writes at once."""
    return mark(BEGIN, key) + text + mark(OVER)


def of(data: bytes, step: int = 0) -> list[tuple[str, int]]:
    """The lines, and the index of the input that wrote each."""
    lines, found = protocol.LineAssembler(), list[Written]()
    for at in range(0, len(data), step or len(data)):
        found += lines.feed(data[at : at + (step or len(data))])
    return [(line.text, line.number) for line in [*found, *lines.flush()]]


def test_a_line_cut_in_pieces_is_put_together():
    lines = LineAssembler()
    assert lines.feed(b"hel") == []
    assert lines.feed(b"lo\nwor") == ["hello"]
    assert lines.feed(b"ld\n") == ["world"]
    assert lines.flush() == []


def test_a_character_cut_in_the_middle_is_put_together():
    lines = LineAssembler()
    data = "naïve ✓\n".encode()
    assert [line for byte in data for line in lines.feed(bytes([byte]))] == ["naïve ✓"]


def test_bytes_that_are_no_text_show_as_replacements():
    assert LineAssembler().feed(b"a\xff\n") == ["a�"]


def test_the_rest_without_a_newline_comes_with_the_flush():
    lines = LineAssembler()
    lines.feed(b"prompt> ")
    assert lines.flush() == ["prompt> "]
    assert lines.flush() == []


def test_a_progress_bar_shows_its_last_state():
    assert LineAssembler().feed(b"10%\r50%\r100%\n") == ["100%"]
    assert LineAssembler().feed(b"windows\r\n") == ["windows"]


def test_output_without_newlines_is_bounded():
    lines = LineAssembler()
    shown = lines.feed(b"x" * (LONGEST + 1))
    assert [len(line) for line in shown] == [LONGEST + 1]
    assert lines.flush() == []


@given(st.text(alphabet=st.characters(exclude_characters="\r", exclude_categories=["Cs"])), st.integers(1, 7))
def test_however_it_is_cut_the_text_is_the_same(text: str, step: int):
    lines, data = LineAssembler(), text.encode()
    shown = [line for at in range(0, len(data), step) for line in lines.feed(data[at : at + step])]
    assert "\n".join([*shown, *lines.flush()]) == text.removesuffix("\n")


def test_a_line_carries_the_call_and_the_input_that_wrote_it():
    (line,) = protocol.LineAssembler().feed(by(A, b"hello\n"))
    assert line == Written("hello", "fc-01JD0000000000000000000000", 1)


def test_lines_that_inputs_begin_beside_each_other_are_not_crossed():
    data = by(A, b"one ") + by(B, b"two ") + b"none\n" + by(A, b"more\n") + by(B, b"end\n")
    assert of(data) == [("none", -1), ("one more", 1), ("two end", 2)]


def test_a_line_without_its_end_is_shown_when_its_input_has_ended():
    lines = protocol.LineAssembler()
    assert lines.feed(by(A, b"rest")) == []
    assert [line.text for line in lines.feed(mark(ENDED, A))] == ["rest"]


def test_what_has_no_marks_is_of_the_input_that_it_was_lent_to():
    data = b"before\n" + mark(LENT, A) + b"program\n" + by(B, b"other\n") + mark(LENT) + b"after\n"
    assert of(data) == [("before", -1), ("program", 1), ("other", 2), ("after", -1)]


def test_what_only_looks_like_a_mark_is_text():
    assert of(b"\x1b_io:=nothing\x1b\\\n") == [("\x1b_io:=nothing\x1b\\", -1)]
    assert of(b"\x1b_io:" + b"x" * 100 + b"\n") == [("\x1b_io:" + "x" * 100, -1)]
    assert of(b"\x1b[31mred\x1b") == [("\x1b[31mred\x1b", -1)]


@given(
    st.lists(
        st.tuples(st.sampled_from([b"", A, B]), st.sampled_from([b"x", b"yy\n", b"\xc3\xa9", b"\n", b"\x1b"]))
    ),
    st.integers(1, 9),
)
def test_marks_cut_anywhere_are_read_the_same(written: list[tuple[bytes, bytes]], step: int):
    data = b"".join(by(key, text) if key else text for key, text in written) or b"\n"
    assert sorted(of(data, step)) == sorted(of(data))  # lines without an end come in any order
