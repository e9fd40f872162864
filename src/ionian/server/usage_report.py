"""What was used and cost, summed as people want to see it. Blocks: it reads the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ..protocol.usage import By, UsageReport, UsageRow
from .prices import PriceSheet
from .store.usage_sums import SLOT_S, Sum

if TYPE_CHECKING:
    from .store import Store

COLUMNS: dict[By, tuple[str, ...]] = {
    "day": ("slot",),
    "hour": ("slot",),
    "environment": ("environment",),
    "app": ("environment", "app_id"),
    "function": ("environment", "app_id", "root_id", "tag"),
    "line": ("line",),
    "container": ("environment", "app_id", "root_id", "tag", "id"),
    "call": ("environment", "app_id", "root_id", "tag", "id"),
}

SINGLE: dict[By, tuple[str, ...]] = {"container": ("container", "template", "build"), "call": ("call",)}
"""What is kept one by one → the kinds of rows that are it."""

SHAPES: dict[By, str] = {"day": "%Y-%m-%d", "hour": "%Y-%m-%d %H:00"}


@dataclass(frozen=True)
class Span:
    """Whose usage, and of which time. "" and None: of all."""

    since: float
    until: float
    environment: str = ""
    app_ids: Sequence[str] | None = None


def report(store: Store, prices: PriceSheet, by: Sequence[By], span: Span, zone: ZoneInfo) -> UsageReport:
    """The sums by these, in their order; what has the same keys is one row."""
    columns = list(dict.fromkeys(name for one in by for name in COLUMNS[one]))
    found = _found(store, by, [*columns, "gpu"], span)
    names = (
        store.apps.names({one.keys[columns.index("app_id")] for one in found}) if "app_id" in columns else {}
    )
    rows: dict[tuple[str, ...], UsageRow] = {}
    for one in found:
        values = dict(zip([*columns, "gpu"], one.keys, strict=True))
        keys = {key: value for each in by for key, value in _keys(each, values, zone).items()}
        row = rows.setdefault(tuple(keys.values()), UsageRow(keys, _names(values, names)))
        row.used.add(one.used)
        if one.used.gpu_s:
            row.gpus[values["gpu"]] = row.gpus.get(values["gpu"], 0.0) + one.used.gpu_s
        for name, cost in prices.costs(one.used, values["gpu"]).items():
            row.costs[name] = row.costs.get(name, 0.0) + cost
    return UsageReport([rows[key] for key in sorted(rows)], "" if prices.is_free else prices.currency)


def cost_of_app(store: Store, prices: PriceSheet, app_id: str) -> float:
    """What all that an app has used costs."""
    if prices.is_free:
        return 0.0
    found = store.metered.sums(["gpu"], 0.0, 1e11, app_ids=[app_id])
    return sum(sum(prices.costs(one.used, one.keys[0]).values()) for one in found)


def _found(store: Store, by: Sequence[By], columns: Sequence[str], span: Span) -> list[Sum]:
    kinds = [kind for one in by for kind in SINGLE.get(one, ())]
    times, only = (span.since, span.until), {"environment": span.environment, "app_ids": span.app_ids}
    if kinds:
        return store.metered.details(columns, *times, kinds, **only)  # type: ignore[arg-type]
    return store.metered.sums(columns, *times, **only)  # type: ignore[arg-type]


def _keys(by: By, values: dict[str, str], zone: ZoneInfo) -> dict[str, str]:
    """Each key of a row by its name."""
    match by:
        case "day" | "hour":
            begun = datetime.fromtimestamp(int(values["slot"]) * SLOT_S, zone)
            return {by: begun.strftime(SHAPES[by])}
        case "app":
            return {"environment": values["environment"], "app": values["app_id"]}
        case "function":
            whose = {"environment": values["environment"], "app": values["app_id"]}
            return {**whose, "function": values["root_id"]}
        case "container" | "call":
            whose = {"environment": values["environment"], "app": values["app_id"]}
            return {**whose, "function": values["root_id"], by: values["id"]}
        case _:
            return {by: values[by]}


def _names(values: dict[str, str], apps: dict[str, str]) -> dict[str, str]:
    found = {"app": apps.get(values["app_id"], "")} if "app_id" in values else {}
    return {**found, "function": values["tag"]} if "tag" in values else found
