"""States of inputs by range, against a plain dict."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ionian.core.ledger import ENDED, HELD, PAGE, QUEUED, UNKNOWN, Ledger, ranges

# Small numbers, moved over a page's edge.
spans = st.tuples(
    st.integers(PAGE - 50, PAGE + 50), st.integers(1, 80), st.sampled_from([QUEUED, HELD, ENDED])
)


@given(st.lists(spans, max_size=12))
def test_a_ledger_is_a_dict_of_states(changes: list[tuple[int, int, int]]) -> None:
    ledger, model = Ledger(), dict[int, int]()
    for start, count, state in changes:
        for low, high in ranges([i for i in range(start, start + count) if model.get(i) != ENDED]):
            ledger.mark(low, high, state)
            model.update(dict.fromkeys(range(low, high), state))
        assert all(
            ledger.state(i) == model.get(i, UNKNOWN) for i in range(start - 1, start + count + 1) if i >= 0
        )
    for state in (QUEUED, HELD):
        assert ledger.indexes(state) == sorted(i for i, value in model.items() if value == state)


def test_a_page_whose_inputs_have_all_ended_takes_no_memory() -> None:
    ledger = Ledger()
    ledger.mark(0, 3 * PAGE, QUEUED)
    assert ledger.pages == 3
    for start in range(0, 3 * PAGE, 64):
        ledger.mark(start, start + 64, ENDED)
    assert ledger.pages == 0
    assert ledger.all_are(0, 3 * PAGE, ENDED)


@given(st.sets(st.integers(0, 300)))
def test_ranges_cover_exactly_their_numbers(numbers: set[int]) -> None:
    parts = ranges(sorted(numbers))
    assert [i for start, stop in parts for i in range(start, stop)] == sorted(numbers)
    assert all(stop < after for (_, stop), (after, _) in pairwise(parts))
