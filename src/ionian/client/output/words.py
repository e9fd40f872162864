"""Figures in the words of the output: durations, counts, rates."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """`0.4 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`."""
    if seconds < 0.95:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: int, noun: str) -> str:
    """`1 container`, `20 containers`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def rate(per_second: float) -> str:
    """`12,345/s`, `3.2/s`, or `12/min` where it is slow."""
    if per_second >= 100:
        return f"{per_second:,.0f}/s"
    if per_second >= 0.95:
        return f"{per_second:.1f}/s"
    return f"{per_second * 60:.1f}/min"


def size(amount: int) -> str:
    """`512 B`, `1.5 MB`."""
    value = float(amount)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def money(amount: float, currency: str) -> str:
    """`0.42 EUR`; a small sum with more digits, as most runs cost less than a cent."""
    digits = 2 if amount >= 1 or amount == 0 else 4 if amount >= 0.01 else 6
    return f"{amount:,.{digits}f} {currency}"
