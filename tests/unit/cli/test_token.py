from __future__ import annotations

import click
import pytest

from ionian.cli.token import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("90s", 90), ("5m", 300), ("12h", 43200), ("30d", 2592000), (" 2 w ", 1209600)],
)
def test_a_span_of_time_is_so_many_seconds(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["30", "d", "0d", "-1d", "1y", "1.5h"])
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError, match="--expires-in: expected a time such as 30d"):
        seconds(text)
