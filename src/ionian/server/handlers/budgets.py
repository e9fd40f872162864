"""Budgets as requests name them."""

from __future__ import annotations

from ionian.protocol.stream import Refused

MOST = 1e12


def check_budget(amount: float | None) -> None:
    """Refuses what is no sum of money."""
    if amount is not None and not 0 <= amount <= MOST:
        raise Refused("InvalidError", f"budget: expected an amount from 0 to {MOST:.0e}, got {amount:g}")
