from hypothesis import given
from hypothesis import strategies as st

from ionian.protocol.lines import LONGEST, LineAssembler


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
