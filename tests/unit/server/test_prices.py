"""The file of prices: what it may say, and what is said of one that is not right."""

from __future__ import annotations

from pathlib import Path

import pytest

from ionian.protocol.usage import Amounts
from ionian.server.prices import PriceError, Prices, read

USED = Amounts(3600.0, 7200.0, 1800.0, 3600.0)


def test_without_a_file_nothing_has_a_price(tmp_path: Path) -> None:
    sheet = Prices(tmp_path / "prices.toml").sheet()
    assert (sheet.is_free, sheet.costs(USED, "H100")) == (True, {})


def test_cards_have_the_price_of_their_model_or_that_of_others(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('currency = "USD"\n[per_hour]\ncpu_core = 0.1\n[per_hour.gpu]\nh100 = 4\nother = 1.5\n')
    sheet = read(file)
    assert sheet.costs(USED, "H100") == pytest.approx({"cpu": 0.2, "H100": 4.0})
    assert sheet.costs(USED, "L4") == pytest.approx({"cpu": 0.2, "L4": 1.5})
    assert sheet.costs(USED, "") == pytest.approx({"cpu": 0.2})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("currency = ", "can't be read as prices"),
        ("currency = 3", 'expected a currency such as currency = "EUR", got 3'),
        ("[per_hour]\ncpu_core = 1", "expected a currency beside the prices"),
        ('currency = "EUR"\nper_hour = 3', r"expected \[per_hour\] to be a table of prices, got 3"),
        ('currency = "EUR"\nprices = 3', "expected currency, per_hour, got prices"),
        ('currency = "EUR"\nper_hour = { cpu_core = "1" }', "per_hour.cpu_core to be a price of an hour"),
        ('currency = "EUR"\nper_hour = { memory_gib = -1 }', "per_hour.memory_gib to be a price of an hour"),
        ('currency = "EUR"\nper_hour = { gpu = { L4 = true } }', "per_hour.gpu.L4 to be a price of an hour"),
    ],
)
def test_what_is_wrong_in_it_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(PriceError, match=sentence):
        read(file)


def test_the_sample_in_the_docs_can_be_read() -> None:
    sheet = read(Path("examples") / "prices.toml")
    assert not sheet.is_free
    assert sheet.gpu["H100"] > sheet.gpu["T4"] > 0
