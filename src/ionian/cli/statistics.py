"""`info` and `stats` of apps and functions: what they are and did, for people and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click

from .. import app as apps
from .. import function as functions
from ..exception import Error
from ..types import AppInfo, AppStats, FunctionAutoscalerSettings, FunctionInfo, FunctionStats
from .lists import find_app, now, show_table
from .logs import Ago

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

SHOWN = (50.0, 90.0, 99.0)


def time_options(function: F) -> F:
    """`--since`, `--until`: the time that statistics are of."""
    for option in (
        click.option("--no-color", is_flag=True, help="Without colours: always so."),
        click.option("--until", type=Ago(), default=0.0, help="Up to then; now, unless given."),
        click.option(
            "--since", type=Ago(), default=0.0, help="From then on: 30m, 2h, 1d or ISO 8601 [1 hour before]."
        ),
    ):
        function = option(function)
    return function


def window(since: float, until: float) -> dict[str, datetime | None]:
    """The arguments of `stats`, of the options in seconds ago."""
    at = now()
    return {name: _ago(at, ago) for name, ago in (("since", since), ("until", until))}


def _ago(at: float, seconds: float) -> datetime | None:
    return datetime.fromtimestamp(at - seconds).astimezone() if seconds else None


def tried(ask: Callable[..., T], *args: Any, **given: Any) -> T:
    """What a call of the API gives. A refusal ends the command with its sentence."""
    try:
        return ask(*args, **given)
    except Error as error:
        raise click.ClickException(str(error)) from None


def app_of(named: str, environment: str) -> apps.App:
    """The app of a name or an id."""
    found = find_app(named, environment)
    app = apps.App(found.name)
    app.app_id = found.app_id
    return app


def function_of(named: str, environment: str) -> functions.Function[..., Any, Any]:
    """The function of APP/NAME, or of an id."""
    if named.startswith("fu-"):
        return functions.handle(named, named, False)
    app_name, slash, name = named.partition("/")
    if not (app_name and slash and name):
        raise click.UsageError(f"FUNCTION: expected APP/NAME or the id of a function, fu-…, got {named!r}")
    there = tried(app_of(app_name, environment).info).functions
    function_id = there.get(name) or there.get(f"{name}.*")
    if function_id is None:
        names = ", ".join(sorted(there)) or "none"
        raise click.ClickException(f"app {app_name!r} has no function {name!r}; it has: {names}")
    return functions.handle(function_id, name, False)


def as_json(value: Any) -> str:
    """A value of the API for programs."""
    return json.dumps(value, indent=2, default=_plain)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _lines(rows: Iterable[tuple[str, Any]]) -> None:
    """Names and values below each other; what has none is left out."""
    shown = [(name, value) for name, value in rows if value not in (None, "", [], {}, False)]
    width = max(len(name) for name, _ in shown) + 1
    for name, value in shown:
        click.echo(f"{name + ':':<{width}}  {value}")


def _when(at: datetime | None, by: str | None) -> str:
    return f"{at.astimezone().isoformat(' ', 'seconds')}{f', by {by}' if by else ''}" if at else ""


def show_app(info: AppInfo, *, json: bool) -> None:
    """`ionian app info`."""
    if json:
        click.echo(as_json(dataclasses.asdict(info)))
        return
    life = info.lifecycle
    _lines(
        [
            ("App", info.description),
            ("App ID", info.app_id),
            ("State", life.state.value),
            ("Version", f"v{life.version}" if life.version else ""),
            ("Created", _when(life.created_at, life.created_by)),
            ("Deployed", _when(life.deployed_at, life.deployed_by)),
            ("Stopped", _when(life.stopped_at, life.stopped_by)),
        ]
    )
    click.echo()
    show_table(
        ("Function", "ID"),
        sorted(info.functions.items()),
        as_json=False,
        nothing="It has no function.",
    )


def show_app_stats(app_id: str, stats: AppStats, *, json: bool) -> None:
    """`ionian app stats`."""
    if json:
        click.echo(as_json({"app_id": app_id, **dataclasses.asdict(stats)}))
        return
    _title(stats.since, stats.until)
    all_of = {name: one.counts for name, one in stats.functions.items()}
    rows = [_counts(name, counts) for name, counts in sorted(all_of.items())]
    columns = ("Function", "Inputs", "Succeeded", "Failed", "Cancelled", "Containers", "Container errors")
    show_table(
        columns,
        [*rows, _counts("all", stats.functions.total)],
        as_json=False,
        nothing="It has no function.",
    )


def _counts(name: str, counts: AppStats.FunctionCounts) -> tuple[str, ...]:
    calls, containers = counts.calls, counts.containers
    numbers = (
        *(calls.total, calls.succeeded, calls.failed, calls.cancelled),
        *(containers.total, containers.errors),
    )
    return (name, *(f"{number:,}" for number in numbers))


def _title(since: datetime, until: datetime) -> None:
    begin, end = (at.astimezone().isoformat(" ", "seconds") for at in (since, until))
    click.secho(f"{begin} to {end}", dim=True)
    click.echo()


def show_function(
    name: str, function_id: str, info: FunctionInfo, scaling: FunctionAutoscalerSettings | None, *, json: bool
) -> None:
    """`ionian function info`."""
    if json:
        own = {"name": name, "object_id": function_id, **dataclasses.asdict(info)}
        click.echo(as_json({**own, **(scaling._asdict() if scaling is not None else {})}))
        return
    web = [info.web_info] if info.web_info is not None else list((info.method_details or {}).values())
    several, batch, cluster = info.concurrency_info, info.batching_info, info.cluster_info
    _lines(
        [
            ("Function", name),
            ("ID", function_id),
            ("Image", info.image_info.image_id),
            ("Cores", _range(info.cpu)),
            ("Memory", f"{_range(info.memory_mib)} MiB"),
            ("Disk", f"{info.ephemeral_disk_mib} MiB" if info.ephemeral_disk_mib else ""),
            ("GPUs", " or ".join(f"{model}:{count}" for model, count in info.gpus)),
            ("Containers", _scaling(scaling) if scaling is not None else ""),
            ("Timeout", f"{info.timeout} s, {info.startup_timeout} s to start"),
            ("Retries", info.max_retries),
            ("Inputs at once", f"{several.max_inputs}" if several is not None else ""),
            ("Batches", f"{batch.max_batch_size} inputs, {batch.wait_ms} ms" if batch is not None else ""),
            ("Cluster", f"{cluster.size} containers" if cluster is not None else ""),
            ("Schedule", info.schedule),
            ("Network", "none" if info.block_network else ""),
            ("Methods", ", ".join(info.method_names or [])),
            ("Web", " ".join(one.web_url for one in web)),
            *[
                (f"Volume at {path}", f"{mount.name or mount.volume_id}{' read-only' * mount.read_only}")
                for path, mount in info.volumes.items()
            ],
            ("Secrets", ", ".join(info.secrets)),
        ]
    )


def _range(value: Any) -> str:
    if isinstance(value, tuple):
        low, high = value  # pyright: ignore[reportUnknownVariableType]
        return f"{low:g} to {high:g}"
    return f"{value:g}"


def _scaling(of: FunctionAutoscalerSettings) -> str:
    most = of.max_containers if of.max_containers is not None else "any number"
    spare = f", {of.buffer_containers} to spare" if of.buffer_containers else ""
    return f"{of.min_containers} to {most}{spare}; an idle one ends after {of.scaledown_window:g} s"


def show_function_stats(function_id: str, stats: FunctionStats, *, json: bool) -> None:
    """`ionian function stats`."""
    if json:
        click.echo(as_json({"object_id": function_id, **dataclasses.asdict(stats), **_spreads(stats)}))
        return
    _title(stats.since, stats.until)
    _lines(
        [
            ("Inputs that succeeded", f"{stats.input_success_count:,}"),
            ("Inputs that failed", f"{stats.input_failure_count:,}"),
            ("Inputs that ran too long", f"{stats.input_timeout_count:,}"),
            ("Inputs that were cancelled", f"{stats.input_cancelled_count:,}"),
            ("Inputs that run at the end", f"{stats.input_running_at_end_count:,}"),
            ("Containers", f"{stats.container_total_count:,}"),
            ("Containers that were started", f"{stats.container_started_count:,}"),
            ("Containers that start at the end", f"{stats.container_creating_at_end_count:,}"),
            ("Containers that ended in an error", f"{stats.container_error_count:,}"),
        ]
    )
    rows = [
        (name, *(f"{value:.3f}" for value in values.values()))
        for group in _spreads(stats).values()
        for name, one in group.items()
        if (values := one["percentiles"])
    ]
    if rows:
        click.echo()
        show_table(("", *(f"p{place:g}" for place in SHOWN)), rows, as_json=False, nothing="")


def _spreads(stats: FunctionStats) -> dict[str, Mapping[str, Any]]:
    """Distributions with a name for each percentile, as programs read them."""
    return {
        field: {
            name: {
                "unit": one.unit,
                "percentiles": {f"p{each.percentile:g}": each.value for each in one.percentiles},
            }
            for name, one in getattr(stats, field).items()
        }
        for field in ("input_percentile_stats", "container_percentile_stats")
    }


def show_autoscaler(settings: FunctionAutoscalerSettings, *, json: bool) -> None:
    """`ionian function autoscaler settings`."""
    if json:
        click.echo(as_json({"current_settings": settings._asdict()}))
        return
    names: Sequence[tuple[str, Any]] = [
        ("Min containers", str(settings.min_containers)),
        ("Max containers", settings.max_containers if settings.max_containers is not None else "-"),
        ("Buffer containers", str(settings.buffer_containers)),
        ("Scaledown window", f"{settings.scaledown_window:g} s"),
    ]
    _lines(names)
