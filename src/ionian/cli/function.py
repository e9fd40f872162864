"""`ionian function`: the functions of apps."""

from __future__ import annotations

from typing import Any

import click

from ..exception import Error
from ..protocol.calls import CallList, ListCalls
from ..protocol.statistics import FunctionInspected, InspectFunction
from ..protocol.tags import shown
from . import logs as log_lines
from . import statistics
from .call import show_calls
from .function_metrics import metrics
from .function_variants import variants
from .lists import ask, env_option, find_app, json_option, now

MOST_CALLS = 10_000
"""Calls in one list."""

HOUR_S = 3600.0


@click.group(name="function")
def command() -> None:
    """Functions: info, stats, metrics, variants, calls, logs, autoscaler. FUNCTION is APP/NAME, or an id such as fu-…"""


command.add_command(metrics)
command.add_command(variants)


@command.command("logs", short_help="Show what a function printed.")
@click.argument("function", metavar="FUNCTION")
@click.option("--container", default="", help="Of this container alone, by its id.")
@click.option("--all-variants", is_flag=True, help="Of the function with other options, too: always so.")
@log_lines.call_option
@log_lines.options
@click.option("--show-function-id", is_flag=True, help="Begin each line with its function.")
@click.option("--show-container-id", is_flag=True, help="Begin each line with the id of its container.")
@env_option
def logs(function: str, container: str, all_variants: bool, environment: str, **options: Any) -> None:
    """Shows what the containers of a function printed: the last 100 lines, or what the options ask for."""
    del all_variants
    if function.startswith("fu-"):
        log_lines.show(function_id=function, container_id=container, **options)
        return
    app, slash, name = function.partition("/")
    if not (app and slash and name):
        raise click.UsageError(f"FUNCTION: expected APP/NAME or the id of a function, fu-…, got {function!r}")
    found = find_app(app, environment)
    log_lines.show(app_id=found.app_id, function=name, container_id=container, **options)


@command.command("info", short_help="Show what a function is.")
@click.argument("function", metavar="FUNCTION")
@env_option
@json_option
def info(function: str, environment: str, as_json: bool) -> None:
    """Shows what a function's containers have, how many there may be, and where it answers."""
    found = statistics.function_of(function, environment)
    about = statistics.tried(found.info)
    try:
        scaling = found.autoscaler.settings()
    except Error:  # its app runs no more
        scaling = None
    statistics.show_function(function, found.object_id, about, scaling, json=as_json)


@command.command("stats", short_help="Show what a function did.")
@click.argument("function", metavar="FUNCTION")
@click.option("--all-variants", is_flag=True, help="With other options or parameters, too.")
@click.option("--container", default=None, help="Of this container of it alone, by its id.")
@statistics.time_options
@env_option
@json_option
def stats(
    function: str,
    all_variants: bool,
    container: str | None,
    since: float,
    until: float,
    no_color: bool,
    environment: str,
    as_json: bool,
) -> None:
    """Shows how many inputs of a function ended how and how long they took, and its containers: of the last hour, or from
    --since to --until."""
    del no_color
    found = statistics.function_of(function, environment)
    window = statistics.window(since, until)
    about = statistics.tried(found.stats, container=container, all_variants=all_variants, **window)
    statistics.show_function_stats(found.object_id, about, json=as_json)


@command.command("calls", short_help="List the calls of a function that are kept.")
@click.argument("function", metavar="FUNCTION")
@click.option(
    "-n",
    "--tail",
    type=click.IntRange(1, MOST_CALLS),
    default=None,
    help="The last so many, newest first [10].",
)
@click.option("--all-variants", is_flag=True, help="With other options or parameters, too: always so.")
@click.option("--show-function-call-id", is_flag=True, help="With their ids: always so.")
@statistics.time_options
@env_option
@json_option
def calls(
    function: str, tail: int | None, since: float, until: float, environment: str, as_json: bool, **_: bool
) -> None:
    """Lists the spawned and scheduled calls of a function: what .remote and .map ran is counted, not kept (see
    `ionian function stats`). The last ten, newest first; with --since or --until all of that time, oldest first."""
    if tail and (since or until):
        raise click.UsageError(
            "--tail says how many of the newest, --since and --until of when; give one of both"
        )
    found = statistics.function_of(function, environment)
    about: FunctionInspected = ask(InspectFunction(found.object_id))
    window = since or until
    limit = MOST_CALLS if window else tail or 10
    name = shown(about.spec.tag)
    listed: CallList = ask(ListCalls(about.environment, about.app_id, name, limit=limit))
    kept = listed.calls
    if window:
        at = now()
        begin, end = at - (since or until + HOUR_S), at - until
        kept = [one for one in reversed(kept) if begin <= one.created_at < end]
    show_calls(kept, as_json=as_json)


@command.group("autoscaler")
def autoscaler() -> None:
    """How many containers a function has: settings, update."""


@autoscaler.command("settings", short_help="Show how many containers it may have.")
@click.argument("function", metavar="FUNCTION")
@env_option
@json_option
def settings(function: str, environment: str, as_json: bool) -> None:
    """Shows how many containers a function has at least, at most and to spare, and when an idle one ends."""
    found = statistics.function_of(function, environment)
    statistics.show_autoscaler(statistics.tried(found.autoscaler.settings), json=as_json)


@autoscaler.command("update", short_help="Change it, until the next deploy.")
@click.argument("function", metavar="FUNCTION")
@click.option("--min-containers", type=int, default=None, help="So many are kept.")
@click.option("--max-containers", type=int, default=None, help="There are never more.")
@click.option("--buffer-containers", type=int, default=None, help="So many to spare while it works.")
@click.option("--scaledown-window", type=int, default=None, help="Seconds that an idle container waits.")
@env_option
def update(function: str, environment: str, **given: int | None) -> None:
    """Changes how many containers a function has, until its app is deployed again."""
    said = {name: value for name, value in given.items() if value is not None}
    if not said:
        raise click.UsageError(
            "expected one of --min-containers, --max-containers, --buffer-containers, --scaledown-window"
        )
    found = statistics.function_of(function, environment)
    changed = statistics.tried(found.autoscaler.update, **said)
    statistics.show_autoscaler(changed, json=False)
