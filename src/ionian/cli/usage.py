"""`ionian usage`: what was used, by whom, and what it costs."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from ..client.output.words import money
from ..protocol.tags import shown
from ..protocol.usage import Amounts, ReadUsage, UsageReport, UsageRow
from .lists import ask, env_option, json_option, now, show_table
from .logs import Ago

HOUR_S = 3600.0

MONTH_S = 30 * 24 * HOUR_S

BY = ("app", "function", "line", "day", "hour", "environment", "call", "container")

HEADINGS = {"line": "On", "call": "Call", "container": "Container"}


@click.command(name="usage", short_help="See what was used, and what it costs.")
@click.option(
    "--by",
    "by",
    type=click.Choice(BY),
    multiple=True,
    help="What the rows are [app]; several, as in --by day --by app, give a row for each pair.",
)
@click.option("--since", type=Ago(), default=MONTH_S, help="From then on: 2h, 7d or ISO 8601 [30d].")
@click.option("--until", type=Ago(), default=0.0, help="Up to then; now, unless given.")
@click.option("--app", default="", help="Of this app alone, by its name or id.")
@click.option("-t", "--tz", default="", help="Whose days they are, as in Europe/Berlin; this machine's [].")
@env_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for programs.")
def command(
    by: tuple[str, ...],
    since: float,
    until: float,
    app: str,
    tz: str,
    environment: str,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Shows what containers used and were charged for: of cores and memory what they used or what was kept free for them,
    whichever was more, second by second; of GPUs what they had. Of all environments, unless one is given."""
    if as_json and as_csv:
        raise click.UsageError("expected one of --json and --csv, got both")
    wanted: Any = list(dict.fromkeys(by)) or ["app"]
    at = now()
    report: UsageReport = ask(ReadUsage(wanted, at - since, at - until, environment, app, tz or local_zone()))
    if as_json:
        click.echo(json.dumps([_plain(row, report.currency) for row in report.rows], indent=2))
    elif as_csv:
        _write_csv(report)
    else:
        _show(report)


def local_zone() -> str:
    """The name of this machine's time zone."""
    named = os.environ.get("TZ", "").lstrip(":")
    if named and not named.startswith("/"):
        return named
    try:
        _, found, name = str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")
    except OSError:
        return "UTC"
    return name if found else "UTC"


def _plain(row: UsageRow, currency: str) -> dict[str, Any]:
    """A row for programs: seconds, and the price in full."""
    used = row.used
    return {
        **row.keys,
        **{f"{name}_name": value for name, value in row.names.items()},
        "container_s": used.wall_s,
        "cpu_core_s": used.cpu_s,
        "memory_gib_s": used.memory_gib_s,
        "gpu_s": row.gpus,
        "used_cpu_core_s": used.used_cpu_s,
        "used_memory_gib_s": used.used_memory_gib_s,
        "cost": row.cost,
        "costs": row.costs,
        "currency": currency,
    }


def _write_csv(report: UsageReport) -> None:
    rows = [_plain(row, report.currency) for row in report.rows]
    models = sorted({model for row in report.rows for model in row.gpus})
    writer: Any = None
    for row in rows:
        gpus: dict[str, float] = row.pop("gpu_s")
        del row["costs"]
        row.update({f"gpu_s {model}": gpus.get(model, 0.0) for model in models})
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)


def _show(report: UsageReport) -> None:
    rows = sorted(report.rows, key=lambda row: row.cost, reverse=True) if report.currency else report.rows
    if rows and {"day", "hour"} & set(rows[0].keys):
        rows = report.rows
    keys = list(rows[0].keys) if rows else []
    columns = [HEADINGS.get(key, key.capitalize()) for key in keys]
    total = UsageRow(dict.fromkeys(keys, ""))
    for row in rows:
        total.used.add(row.used)
        for into, of in ((total.gpus, row.gpus), (total.costs, row.costs)):
            for name, value in of.items():
                into[name] = into.get(name, 0.0) + value
    table = [(*_named(row), *_numbers(row, report.currency)) for row in rows]
    if len(rows) > 1:
        table.append(("all", *[""] * (len(keys) - 1), *_numbers(total, report.currency)))
    numbers = ("Container hours", "Core hours", "GiB hours", "GPU hours", "Cost")
    show_table((*columns, *numbers), table, as_json=False, nothing="Nothing was used.")


def _named(row: UsageRow) -> list[str]:
    return [
        shown(row.names["function"])
        if key == "function" and row.names.get(key)
        else row.names.get(key) or value
        for key, value in row.keys.items()
    ]


def _numbers(row: UsageRow, currency: str) -> tuple[str, ...]:
    used: Amounts = row.used
    gpus = ", ".join(f"{_hours(seconds)} {model}" for model, seconds in sorted(row.gpus.items()))
    hours = (_hours(used.wall_s), _hours(used.cpu_s), _hours(used.memory_gib_s))
    return (*hours, gpus, money(row.cost, currency) if currency else "")


def _hours(seconds: float) -> str:
    return f"{seconds / HOUR_S:,.4f}"
