"""The words of a Dockerfile: quotes, escapes and variables as Docker reads them."""

from __future__ import annotations

import pytest

from ionian.protocol.dockerfile_words import WordError, expand, split

VALUES = {"A": "one", "EMPTY": "", "B_2": "two words"}


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("$A/x", "one/x"),
        ("${A}x$B_2", "onextwo words"),
        ("'$A'", "$A"),
        ('"$A \\"q\\" \\n"', 'one "q" \\n'),
        ("\\$A", "$A"),
        ("a\\ b", "a b"),
        ("${NONE:-x$A}", "xone"),
        ("${NONE:-${A:+y}}", "y"),
        ("${EMPTY:-z}${EMPTY-z}", "z"),
        ("${A:+set}${EMPTY:+set}${EMPTY+there}", "setthere"),
        ("$NONE", ""),
        ("100$", "100$"),
        ("", ""),
    ],
)
def test_variables_are_replaced_and_quotes_taken_off(word: str, result: str) -> None:
    assert expand(word, VALUES) == result


@pytest.mark.parametrize("word", ["'open", '"open', "${A", "${}", "${A%x}", "${A:", "${NONE:?no}"])
def test_a_word_that_cannot_be_read_is_refused(word: str) -> None:
    with pytest.raises(WordError):
        expand(word, VALUES)


def test_words_are_split_outside_of_quotes() -> None:
    assert split("A='1 2'  B=\"3 4\" C=5\\ 6") == ["A='1 2'", 'B="3 4"', "C=5\\ 6"]
