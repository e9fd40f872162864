"""Durations as a histogram: each is in a bucket an eighth of an octave wide, so that a percentile is right to 5%."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log2

STEPS = 8
"""Buckets from one power of two to the next."""

SAMPLES = 4
"""Of a batch the times of so many inputs, evenly spread, stand for all of it: of 256 all would cost as much as the rest of its
way through the server."""


def bucket(micros: float) -> int:
    """The bucket of a duration in microseconds."""
    return int(STEPS * log2(micros)) if micros > 1 else 0


def seconds(bucket: int) -> float:
    """The duration in the middle of a bucket."""
    return 2 ** ((bucket + 0.5) / STEPS) / 1e6


def merged(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """One histogram of several."""
    total: dict[int, int] = {}
    for one in histograms:
        for place, count in one.items():
            total[place] = total.get(place, 0) + count
    return total


def percentiles(histogram: Mapping[int, int], wanted: Iterable[float]) -> dict[float, float]:
    """Seconds by percentile, of those that are wanted in ascending order; none of a histogram in which is nothing."""
    total, found = sum(histogram.values()), dict[float, float]()
    if not total:
        return found
    places = sorted(histogram)
    at, below = 0, histogram[places[0]]
    for percentile in wanted:
        while below < total * percentile / 100 and at + 1 < len(places):
            at += 1
            below += histogram[places[at]]
        found[percentile] = seconds(places[at])
    return found
