"""`ionian app`: the apps of a server: what there is, what they print, their versions, their end."""

from __future__ import annotations

import re
import time
from typing import Any, Literal

import click

from .. import config
from ..protocol.apps import (
    AppHistory,
    AppList,
    AppRolled,
    AppVersions,
    ContainerList,
    ListApps,
    ListContainers,
    RollbackApp,
    StopApp,
)
from . import logs as log_lines
from . import statistics
from .dashboard import open_page
from .lists import ask, confirm, env_option, find_app, json_option, moment, show_table

STATES = {"initializing": "starting", "detached": "ephemeral (detached)"}

strategy_option: Any = click.option(
    "--strategy",
    type=click.Choice(["rolling", "recreate"]),
    default="rolling",
    show_default=True,
    help="rolling: containers end with what they run. recreate: at once, and what they ran runs again.",
)


@click.group(name="app")
def command() -> None:
    """Apps: list, info, stats, logs, stop, history, rollback, rollover. APP is a name or an id such as ap-…"""


@command.command("list", short_help="List what is deployed or running.")
@click.option("--limit", type=click.IntRange(1), default=None, help="Show so many at most, newest first.")
@env_option
@json_option
def list_apps(limit: int | None, environment: str, as_json: bool) -> None:
    """Lists the apps that are deployed or running, and those that ended in the last day."""
    listed: AppList = ask(ListApps(config.environment(environment)))
    rows = [
        (
            app.app_id,
            app.name,
            STATES.get(app.state, app.state),
            str(app.containers),
            f"v{app.version}" if app.version else "",
            moment(app.created_at),
            moment(app.next_run_at),
            moment(app.stopped_at),
        )
        for app in listed.apps[:limit]
    ]
    columns = (
        "App ID",
        "Description",
        "State",
        "Containers",
        "Version",
        "Created at",
        "Next run",
        "Stopped at",
    )
    show_table(columns, rows, as_json=as_json, nothing="No app is deployed or running.")


@command.command("logs", short_help="Show what an app printed.")
@click.argument("app_identifier", metavar="APP")
@click.option("--function", default="", help="Of this function alone.")
@click.option("--container", default="", help="Of this container alone, by its id.")
@log_lines.call_option
@log_lines.options
@click.option("--show-function-id", is_flag=True, help="Begin each line with its function.")
@click.option("--show-container-id", is_flag=True, help="Begin each line with the id of its container.")
@env_option
def logs(app_identifier: str, function: str, container: str, environment: str, **options: Any) -> None:
    """Shows what the containers of an app printed: the last 100 lines, or what the options ask for."""
    app = find_app(app_identifier, environment)
    log_lines.show(app_id=app.app_id, function=function, container_id=container, **options)


@command.command("dashboard", short_help="Open an app's page in a browser.")
@click.argument("app_identifier", metavar="APP")
@env_option
def dashboard(app_identifier: str, environment: str) -> None:
    """Opens the page of an app in a browser, and prints a link that lets one browser in."""
    open_page(f"/id/{find_app(app_identifier, environment).app_id}")


@command.command("info", short_help="Show what an app is.")
@click.argument("app_identifier", metavar="APP")
@click.option("--no-color", is_flag=True, help="Without colours: always so.")
@env_option
@json_option
def info(app_identifier: str, no_color: bool, environment: str, as_json: bool) -> None:
    """Shows an app's state, who deployed it when, and its functions."""
    del no_color
    app = statistics.app_of(app_identifier, environment)
    statistics.show_app(statistics.tried(app.info), json=as_json)


@command.command("stats", short_help="Show what an app's functions did.")
@click.argument("app_identifier", metavar="APP")
@statistics.time_options
@env_option
@json_option
def stats(
    app_identifier: str, since: float, until: float, no_color: bool, environment: str, as_json: bool
) -> None:
    """Shows how many inputs of each function of an app ended how, and its containers: of the last hour, or from --since
    to --until."""
    del no_color
    app = statistics.app_of(app_identifier, environment)
    found = statistics.tried(app.stats, **statistics.window(since, until))
    statistics.show_app_stats(app.app_id or "", found, json=as_json)


@command.command("stop", short_help="Stop an app for good.")
@click.argument("app_identifier", metavar="APP")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@env_option
def stop(app_identifier: str, yes: bool, environment: str) -> None:
    """Stops an app for good: its containers end, its calls and schedules too. Its logs stay for a while."""
    app = find_app(app_identifier, environment)
    if app.state == "stopped":
        raise click.ClickException(f"app {app.name} ({app.app_id}) has been stopped already")
    there: ContainerList = ask(ListContainers(app_id=app.app_id))
    running = sum(bool(info.container_id) for info in there.containers)
    containers = (
        f"its {running} container{'s' if running != 1 else ''}" if running else "it runs no container"
    )
    confirm(f"Stop app {app.name} ({app.app_id})? {containers[0].upper()}{containers[1:]} will end.", yes=yes)
    ask(StopApp(app.app_id, "stopped with ionian app stop", for_good=True))
    click.echo(f"✓ Stopped app {app.name} ({app.app_id}).")


@command.command("history", short_help="List the versions of a deployed app.")
@click.argument("app_identifier", metavar="APP")
@env_option
@json_option
def history(app_identifier: str, environment: str, as_json: bool) -> None:
    """Lists the versions of a deployed app, newest first."""
    found: AppVersions = ask(AppHistory(find_app(app_identifier, environment).app_id))
    rows = [
        (
            f"v{version.number}",
            moment(version.deployed_at),
            version.client_version,
            version.user,
            version.commit,
            version.tag,
            f"v{version.from_version}" if version.from_version else "",
        )
        for version in found.versions
    ]
    columns = ("Version", "Time deployed", "Client", "Deployed by", "Commit", "Tag", "Brings back")
    show_table(columns, rows, as_json=as_json, nothing="It has no version yet.")


@command.command("rollback", short_help="Make an earlier version the newest.")
@click.argument("app_identifier", metavar="APP")
@click.argument("version", default="", metavar="[VERSION]")
@strategy_option
@env_option
def rollback(
    app_identifier: str, version: str, strategy: Literal["rolling", "recreate"], environment: str
) -> None:
    """Makes an earlier version of an app its newest: the one before, or VERSION (v3, as `history` shows it)."""
    number = _version(version)
    app = find_app(app_identifier, environment)
    done: AppRolled = ask(RollbackApp(app.app_id, number, strategy))
    click.echo(
        f"✓ Deployment rollback successful! v{done.number} of {app.name} is v{done.from_version} again."
    )


@command.command("rollover", short_help="Replace all containers of an app.")
@click.argument("app_identifier", metavar="APP")
@strategy_option
@env_option
def rollover(app_identifier: str, strategy: Literal["rolling", "recreate"], environment: str) -> None:
    """Replaces all containers of an app by new ones of the same version."""
    app = find_app(app_identifier, environment)
    begun = time.monotonic()
    done: AppRolled = ask(RollbackApp(app.app_id, 0, strategy))
    click.echo(f"✓ Rollover of {app.name} to v{done.number} completed in {time.monotonic() - begun:.1f}s.")


def _version(text: str) -> int:
    """The number of a version; -1, the one before, where none is given."""
    if not text:
        return -1
    match = re.fullmatch(r"v?([1-9][0-9]{0,8})", text)
    if match is None:
        raise click.UsageError(f"VERSION: expected a version such as v3, got {text!r}")
    return int(match[1])
