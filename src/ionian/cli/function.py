"""`ionian function`: the functions of apps."""

from __future__ import annotations

from typing import Any

import click

from . import logs as log_lines
from .lists import env_option, find_app


@click.group(name="function")
def command() -> None:
    """Functions: logs. FUNCTION is APP/NAME, or an id such as fu-…"""


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
