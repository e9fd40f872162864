"""`ionian function metrics`: what a function did, step by step, as JSON or CSV."""

from __future__ import annotations

import csv
import json
import sys
from datetime import datetime, timedelta

import click

from ..types import MetricsSchema, ObjectMetrics
from . import statistics
from .lists import env_option, show_table
from .logs import Ago


@click.command("metrics", short_help="Show or export what a function did, step by step.")
@click.argument("function", metavar="FUNCTION")
@click.option(
    "--since", type=Ago(), default=0.0, help="From then on: 30m, 2h, 1d or ISO 8601 [1 hour before]."
)
@click.option("--until", type=Ago(), default=0.0, help="Up to then; now, unless given.")
@click.option(
    "--group", "groups", multiple=True, help="calls or containers; may be repeated. All, unless given."
)
@click.option(
    "--bucket-size",
    type=Ago(),
    default=0.0,
    help="How long a step is, as 5m or 1h; up to 100 steps, unless given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the values as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the values as CSV.")
@click.option("--all-variants", is_flag=True, help="With other options or parameters, too.")
@env_option
def metrics(
    function: str,
    since: float,
    until: float,
    groups: tuple[str, ...],
    bucket_size: float,
    as_json: bool,
    as_csv: bool,
    all_variants: bool,
    environment: str,
) -> None:
    """Shows which series there are of a function. With --json or --csv, their values: of the last hour, or from --since to
    --until. The step that is under way is left out."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv are two ways to print the same; give one of both")
    found = statistics.function_of(function, environment)
    wanted = list(groups) or None
    if not (as_json or as_csv):
        _show(statistics.tried(found.metrics.schema, wanted))
        return
    exported = statistics.tried(
        found.metrics.export,
        **statistics.window(since, until),
        bucket_size=timedelta(seconds=round(bucket_size)) if bucket_size else None,
        groups=wanted,
        all_variants=all_variants,
    )
    if as_csv:
        _write_csv(exported)
    else:
        click.echo(json.dumps(_plain(exported), indent=2))


def _show(groups: dict[str, MetricsSchema]) -> None:
    rows = [
        (name, one.name, one.unit, one.description)
        for name, group in groups.items()
        for one in group.definitions
    ]
    show_table(("Group", "Series", "Unit", "What it is"), rows, as_json=False, nothing="There is none.")


def _write_csv(exported: ObjectMetrics) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["series_name", "unit", "time", "value"])
    for series in exported.series.values():
        for point in series.points:
            writer.writerow(
                [series.name, series.unit, _time(point.time), "" if point.value is None else point.value]
            )


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _plain(exported: ObjectMetrics) -> dict[str, object]:
    return {
        "object_id": exported.object_id,
        "since": exported.since.isoformat(),
        "until": exported.until.isoformat(),
        "bucket_secs": int(exported.bucket_size.total_seconds()),
        "series": [
            {
                "name": series.name,
                "unit": series.unit,
                "description": series.description,
                "points": [
                    {"timestamp": point.time.isoformat(), "value": point.value} for point in series.points
                ],
            }
            for series in exported.series.values()
        ],
    }
