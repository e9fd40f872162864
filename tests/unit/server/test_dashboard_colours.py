"""The colours of the dashboard: what is written can be read on what it stands on, in light and dark (WCAG 2.2, level AA)."""

from __future__ import annotations

import re

import pytest

from ionian.server.dashboard.rendering import STATIC

WRITTEN = ("text", "dim", "accent", "good", "wait", "bad", "second")
GROUNDS = ("page", "panel", "faint", "raised")
BADGES = ("accent", "good", "wait", "bad")


def colours(dark: bool) -> dict[str, str]:
    """Those of a theme, by name."""
    blocks = re.findall(r":root \{(.*?)\}", (STATIC / "style.css").read_text(), re.DOTALL)
    return dict(re.findall(r"--([\w-]+): #([0-9a-f]{6});", blocks[dark]))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_what_is_written_has_a_contrast_that_can_be_read(dark: bool) -> None:
    theme = colours(dark)
    pairs = [(text, ground) for text in WRITTEN for ground in GROUNDS]
    pairs += [(text, f"{text}-soft") for text in BADGES] + [("page", "accent"), ("page", "bad")]
    poor = {pair: contrast(theme[pair[0]], theme[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in poor.items() if ratio < 4.5} == {}
