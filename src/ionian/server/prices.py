"""What cores, memory and cards cost here: a TOML file that a person writes. Without one nothing has a price.

currency = "EUR"

[per_hour]
cpu_core = 0.04
memory_gib = 0.005

[per_hour.gpu]
H100 = 3.5
other = 1.0     # of any model that has no line of its own
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib

from ..protocol.usage import Amounts

FILE = "prices.toml"
"""In the folder of the server's state, unless the setting `prices` names another."""

HOUR_S = 3600.0

OTHER = "other"


class PriceError(Exception):
    """The file of prices can't be used. The message says what is wrong in it."""


@dataclass(frozen=True)
class PriceSheet:
    """Prices of an hour."""

    currency: str = ""
    cpu_core: float = 0.0
    memory_gib: float = 0.0
    gpu: Mapping[str, float] = field(default_factory=dict[str, float])  # model → of one card

    @property
    def is_free(self) -> bool:
        """Whether nothing has a price."""
        return not (self.cpu_core or self.memory_gib or any(self.gpu.values()))

    def costs(self, used: Amounts, gpu: str) -> dict[str, float]:
        """What this costs, by "cpu", "memory" and the model of the cards."""
        found = {
            "cpu": used.cpu_s * self.cpu_core / HOUR_S,
            "memory": used.memory_gib_s * self.memory_gib / HOUR_S,
        }
        if gpu:
            price = self.gpu.get(gpu.upper(), self.gpu.get(OTHER, 0.0))
            found[gpu] = used.gpu_s * price / HOUR_S
        return {name: cost for name, cost in found.items() if cost}


class Prices:
    """The file, read anew when it was changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state: tuple[int, int] | None = None
        self._sheet = PriceSheet()

    def sheet(self) -> PriceSheet:
        """The prices that count now. Raises PriceError; a sheet that was good before it counts no more."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._state, self._sheet = None, PriceSheet()
            return self._sheet
        except OSError as error:
            raise PriceError(f"{self.path} can't be read: {error.strerror}") from None
        state = (status.st_mtime_ns, status.st_size)
        if state != self._state:
            self._sheet = read(self.path)
            self._state = state
        return self._sheet


def read(path: Path) -> PriceSheet:
    """The prices of a file. Raises PriceError."""
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise PriceError(f"{path} can't be read as prices: {error}") from None
    per_hour = _table(path, found, "per_hour", "")
    _only(path, found, {"currency", "per_hour"}, "")
    _only(path, per_hour, {"cpu_core", "memory_gib", "gpu"}, "per_hour.")
    gpu = _table(path, per_hour, "gpu", "per_hour.")
    currency: Any = found.get("currency", "")
    if not isinstance(currency, str):
        raise PriceError(f'{path}: expected a currency such as currency = "EUR", got {currency!r}')
    sheet = PriceSheet(
        currency,
        _price(path, per_hour, "cpu_core", "per_hour."),
        _price(path, per_hour, "memory_gib", "per_hour."),
        {
            model if model == OTHER else model.upper(): _price(path, gpu, model, "per_hour.gpu.")
            for model in gpu
        },
    )
    if not (currency or sheet.is_free):
        raise PriceError(f'{path}: expected a currency beside the prices, such as currency = "EUR"')
    return sheet


def _table(path: Path, of: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    found: Any = of.get(name, {})
    if not isinstance(found, dict):
        raise PriceError(f"{path}: expected [{where}{name}] to be a table of prices, got {found!r}")
    return found  # pyright: ignore[reportUnknownVariableType]


def _only(path: Path, of: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(of) - known):
        raise PriceError(f"{path}: expected {', '.join(sorted(known))}, got {where}{unknown[0]}")


def _price(path: Path, of: Mapping[str, Any], name: str, where: str) -> float:
    value: Any = of.get(name, 0.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise PriceError(f"{path}: expected {where}{name} to be a price of an hour, 0 or more, got {value!r}")
    return float(value)
